//! Base and tuned beside each other.

pub(super) mod held_out;
mod texts;
pub mod writing;
