//! The texts of this page.

use crate::app::text::units;
use crate::engine::protocol::RunRecord;

pub(super) const SUBTITLE: &str = "All training runs on this computer.";
pub(super) const LOADING: &str = "Reading the list";
pub(super) const EMPTY_TITLE: &str = "No runs yet";
pub(super) const EMPTY_TEXT: &str = "A run appears here as soon as it starts, and stays until you delete it.";
pub(super) const IMPORT: &str = "Import a .run archive…";
pub(super) const REFRESH: &str = "Refresh";
pub(super) const NAME: &str = "name";
pub(super) const STATUS: &str = "status";
pub(super) const MODEL: &str = "model and pairs";
pub(super) const BETA: &str = "beta (β)";
pub(super) const RANK: &str = "rank";
pub(super) const ACCURACY_COLUMN: &str = "held-out accuracy";
pub(super) const LOSS: &str = "loss";
pub(super) const SIZE: &str = "size";
pub(super) const DATE: &str = "date";
pub(super) const CHANGES: &str = "changes";
pub(super) const CHANGES_TITLE: &str = "Changes from the previous run";
pub(super) const FIRST: &str = "No earlier run of this model.";
pub(super) const SAME: &str = "The same settings as the previous run.";
pub(super) const OPEN: &str = "Open";
pub(super) const DUPLICATE: &str = "Duplicate";
pub(super) const DUPLICATE_HELP: &str = "Takes its settings to the plan.";
pub(super) const DELETE: &str = "Delete…";
pub(super) const DELETE_YES: &str = "Delete";
pub(super) const DELETE_NO: &str = "Keep it";
pub(super) const DELETE_TEXT: &str = "Its checkpoints, adapter and figures are deleted. Exported files stay.";
pub(super) const NOTES: &str = "Notes";
pub(super) const NOTES_HINT: &str = "What was tried, and what came of it";
pub(super) const SAVE: &str = "Save";
pub(super) const SETTINGS: &str = "All settings of this run";
pub(super) const OVERLAY: &str = "Selected runs";
pub(super) const OVERLAY_HELP: &str = "Tick several runs to see their curves together.";
pub(super) const ACCURACY: &str = "Held-out accuracy";
pub(super) const MARGIN: &str = "Held-out margin";
pub(super) const TRAIN_LOSS: &str = "Training loss";
pub(super) const STORAGE: &str = "Storage";
pub(super) const NOT_KEPT: &str = "The browser may clear it when space is short.";

pub(super) fn sort_by(title: &str) -> String {
    format!("Sort by {title}")
}

pub(super) fn select(name: &str) -> String {
    format!("Show the curves of {name}")
}

pub(super) fn details(name: &str) -> String {
    format!("Details of {name}")
}

pub(super) fn delete_several(n: usize) -> String {
    format!("Delete these {}…", units::counted(n, "run"))
}

pub(super) fn delete_titles(n: usize) -> String {
    format!("Delete {}?", units::counted(n, "run"))
}

pub(super) fn delete_title(name: &str) -> String {
    format!("Delete “{name}”?")
}

pub(super) fn used(used: &str, quota: Option<&str>) -> String {
    quota.map_or_else(|| format!("{used} used"), |quota| format!("{used} of {quota} used"))
}

pub(super) fn changes(n: usize) -> String {
    if n == 0 { "none".to_owned() } else { units::counted(n, "setting") }
}

pub(super) fn won([before, now]: [f64; 2]) -> String {
    format!("{:.0} to {:.0} %", before * 100.0, now * 100.0)
}

pub(super) fn change(name: &str, before: &str, now: &str) -> String {
    format!("{name}: {before}, now {now}")
}

/// Says how far a run is, how long it took, and how large it is.
pub(super) fn extent(run: &RunRecord) -> String {
    let (step, all) = (units::count(run.step), units::count(run.n_steps));
    format!("Step {step} of {all} · {} · {}", units::duration(run.seconds), units::bytes(run.bytes))
}
