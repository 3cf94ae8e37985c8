//! Commands that train several models and compare them, with their figures.

pub(super) mod plot;
pub(super) mod race;
pub(super) mod report;
pub(super) mod sweep;
