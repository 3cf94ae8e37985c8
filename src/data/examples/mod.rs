//! Examples: rows as the tokens that each method trains on.

pub(super) mod batch;
pub(super) mod encode;
pub(super) mod example;
pub(super) mod kto;
pub(super) mod pairwise;
pub(super) mod sft;
