//! Plans of runs before they begin: cost, obstacles, presets.

pub(super) mod commands;
pub mod field_help;
pub(super) mod planning;
pub mod presets;
