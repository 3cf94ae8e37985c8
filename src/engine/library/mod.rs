//! Stored runs.

pub(super) mod commands;
pub mod folder;
pub(super) mod imports;
pub(super) mod open;
