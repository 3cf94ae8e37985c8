//! Rows: read, split, shown.

pub(super) mod commands;
mod made;
pub mod pairs;
mod problems;
mod views;
