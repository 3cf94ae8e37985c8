//! "DPO beside RLHF": both sides on the same base, pairs and held-out prompts, stage by stage.

pub(super) mod commands;
mod running;
mod stages;
mod standing;

pub use running::{Host, Race, told};
pub use stages::{HELD_OUT, Side, check_given, sides, stage_config};
pub use standing::{Measure, Point, Row, SideResult, StageResult, Standing};
