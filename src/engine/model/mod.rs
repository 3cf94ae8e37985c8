//! Models: open, kept.

pub(super) mod commands;
pub mod open_model;
