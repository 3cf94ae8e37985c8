//! Stored runs.

pub(super) mod commands;
pub mod folder;
pub(super) mod imports;
pub(super) mod keep;
pub(super) mod open;
