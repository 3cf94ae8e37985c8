//! Notices, said aloud when something has happened.

use super::{run, units};
use crate::engine::protocol::Summary;

pub(crate) const READY: &str = "Ready";
pub(crate) const CRASHED: &str = "The engine stopped";
pub(crate) const OPENING_DEMO: &str = "opening the demo";
pub(crate) const OPENING_MODEL: &str = "opening the model";
pub(crate) const READING_PAIRS: &str = "reading pairs";
pub(crate) const MEASURED: &str = "2 trial steps were measured";
pub(crate) const GPU_MEASURED: &str = "The GPU was measured";
pub(crate) const EXPORTED: &str = "The files are written";
pub(crate) const DISCARDED: &str = "The run was discarded";
pub(crate) const RACE_DONE: &str = "The race is at its end";
pub(crate) const SWEEP_DONE: &str = "All values were tried";
pub(crate) const RUN_STARTED: &str = "The run has started";
pub(crate) const CANCELLED: &str = "Cancelled";
pub(crate) const RUN_CLOSED: &str =
    "The open run was closed: it was trained on other pairs, or another model. It is in Runs";

pub(crate) fn fetching(repo: &str) -> String {
    format!("fetching {repo}")
}

pub(crate) fn model_open(name: &str) -> String {
    format!("Model open: {name}")
}

pub(crate) fn pairs_open(usable: usize) -> String {
    format!("Pairs open: {} usable", units::count(usable))
}

pub(crate) fn not_saved(full: bool) -> &'static str {
    if full { "Storage is full: the run is not saved" } else { "The run could not be saved" }
}

pub(crate) fn paused_at(step: usize, unsaved: bool) -> String {
    match (step, unsaved) {
        (_, true) => format!("Paused at step {step}, but not saved"),
        (0, false) => "Paused before its first step".to_owned(),
        (_, false) => format!("Paused and saved at step {step}"),
    }
}

pub(crate) fn finished(summary: &Summary) -> String {
    let (_, verdict, _) = run::verdict(summary);
    format!("\"{}\": {}", summary.record.name, units::lower_first(verdict))
}
