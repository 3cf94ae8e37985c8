//! Base and tuned beside each other.

pub(super) mod held_out;
pub mod writing;
