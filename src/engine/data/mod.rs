//! Rows: read, split, shown.

pub(super) mod commands;
pub mod pairs;
mod views;
