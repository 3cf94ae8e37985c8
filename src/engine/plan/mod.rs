//! What a run would take, before it begins.

pub(super) mod commands;
pub(super) mod planning;
pub mod presets;
