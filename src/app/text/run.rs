//! Sentences about a run that several pages share: its status, its result, and what can be done with it.

use super::units::{self, Unit};
use crate::app::state::State;
use crate::app::widgets::Tone;
use crate::engine::protocol::{Failure, Phase, Progress, RunRecord, Status, Summary};

pub(crate) fn failed(failure: &Failure) -> String {
    match failure {
        Failure::Diverged { step, what, .. } => format!("The run diverged at step {step}: {what}"),
        Failure::OutOfMemory { problem, .. } => format!("Out of memory: {}", problem.what),
        Failure::DeviceLost { problem } => format!("The graphics driver reset: {}", problem.what),
        Failure::Other { problem } => problem.what.clone(),
    }
}

pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Loading => "Reading weights",
        Phase::Reference => "Scoring pairs with the base model",
        Phase::Evaluating => "Evaluating held-out pairs",
        Phase::Sampling => "Answering the sample prompts",
        Phase::Training => "Training",
        Phase::Saving => "Saving",
    }
}

/// Unit of the progress in a phase.
pub(crate) fn phase_unit(phase: Phase) -> Unit {
    match phase {
        Phase::Loading | Phase::Saving => Unit::Bytes,
        Phase::Sampling => Unit::Things(ANSWERS),
        Phase::Training => Unit::Things(STEPS),
        Phase::Reference | Phase::Evaluating => Unit::Things(PAIRS),
    }
}

/// Describes work of a run beside its steps, with its progress.
pub(crate) fn work(phase: Phase, progress: &Progress) -> String {
    let Progress { done, total, .. } = progress;
    let name = self::phase(phase);
    match (total, phase_unit(phase)) {
        (0, _) => name.to_owned(),
        (_, Unit::Bytes) => format!("{name} {}", units::bytes_of(*done, *total)),
        (_, Unit::Things(_)) => {
            format!("{name} {}/{}", units::count(*done as usize), units::count(*total as usize))
        }
    }
}

/// Says what is still done although an end was asked for: the step at hand, unless other work is named.
pub(crate) fn stopping(work: Option<&str>) -> String {
    format!("Stopping: {}", work.map_or_else(|| FINISHING.to_owned(), units::lower_first))
}

/// The same of a race or a sweep, by the steps of the model that is trained, done and in all.
pub(crate) fn stopping_trial(steps: Option<(usize, usize)>) -> String {
    let is_trained = steps.is_some_and(|(step, n_steps)| step > 0 && step >= n_steps);
    stopping(is_trained.then_some("measuring this model"))
}

/// Status of a stored run.
pub(crate) fn run_status(state: &State, run: &RunRecord) -> &'static str {
    if state.is_at_work(run) { AT_WORK } else { status(run.status) }
}

pub(crate) const FINISHING: &str = "finishing this step";
const ANSWERS: &str = "answers";
const STEPS: &str = "steps";
pub(crate) const PAIRS: &str = "pairs";
pub(crate) const INTERRUPTED: &str = "Interrupted";
const AT_WORK: &str = "At work";
pub(crate) const TRY_DEMO: &str = "Try the demo";
pub(crate) const STARTING: &str = "Starting…";
pub(crate) const CANCEL: &str = "Cancel";
pub(crate) const PAUSE: &str = "Pause";
pub(crate) const DISCARD: &str = "Discard this run…";
pub(crate) const DISCARD_TITLE: &str = "Discard this run?";
pub(crate) const DISCARD_TEXT: &str = "Its checkpoints, adapter and figures are deleted. There is no way back.";
pub(crate) const DISCARD_YES: &str = "Discard";
pub(crate) const DISCARD_NO: &str = "Keep it";
pub(crate) const NO_HELD_OUT: &str = "No pairs are held out, so there is nothing to judge by.";
const NOT_EVALUATED_NOW: &str = "What was kept was not evaluated; Compare can score the held-out pairs.";
pub(crate) const LONGER: &str = "longer wins";
pub(crate) const MARGIN: &str = "Margin";
pub(crate) const MARGIN_HELP: &str = "How far chosen is ahead of rejected, against the base model \
    (TRL: rewards/margins). Rising is learning; \
     if only the training line rises, it is learning by heart. Drag to zoom, double-click to reset.";
pub(crate) const TRAIN: &str = "train";
pub(crate) const HELD_OUT: &str = "held out";
pub(crate) const CHOSEN: &str = "chosen";
pub(crate) const REJECTED: &str = "rejected";
pub(crate) const LOSS: &str = "Loss";
pub(crate) const LOSS_HELP: &str = "Starts at 0.693 for the usual loss; lower is better.";
pub(crate) const NAME: &str = "Name of the run";
pub(crate) const RENAME: &str = "Rename";
pub(crate) const DISMISS: &str = "Dismiss";
pub(crate) const BETA: &str = "Beta (β)";
pub(crate) const LOWER_RATE: &str = "Resume with a third of the learning rate";
pub(crate) const REFUSED: &str = "That could not be done";
pub(crate) const OPEN_MODEL: &str = "Open the model's folder…";
const IMPROVED: &str = "Finished: improved";
const WITHIN_CHANCE: &str = "Finished: improved, but not significantly";
const WITHIN_CHANCE_TEXT: &str = "The intervals of before and now overlap, so the difference \
    may be chance. More held-out pairs make them narrower.";
const NOT_IMPROVED: &str = "Finished. It did not improve";
pub(crate) const FINISHED: &str = "Finished";
const NOT_IMPROVED_TEXT: &str = "Held-out accuracy did not rise, or not by more than chance. Try more or \
    cleaner pairs, a lower beta or another learning rate, and look at the worst margins in Compare.";
const NOT_BETTER_TEXT: &str = "The held-out rows came out no better than before. Try more rows, more steps, or another \
    learning rate.";

pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Running => INTERRUPTED,
        Status::Paused => "Paused",
        Status::Finished => "Finished",
        Status::Stopped => "Stopped early",
        Status::Diverged => "Diverged",
        Status::Failed => "Failed",
    }
}

/// Label of the button that continues a run.
pub(crate) fn go_on(run: &RunRecord) -> &'static str {
    match (&run.checkpoint, run.status) {
        (None, _) => "Start over",
        (Some(_), Status::Diverged) => LOWER_RATE,
        (Some(_), _) => "Continue",
    }
}

pub(crate) fn rename(name: &str) -> String {
    format!("{RENAME} {name}")
}

/// Verdict on a finished run: its tone, a heading, and advice.
pub(crate) fn verdict(summary: &Summary) -> (Tone, &'static str, &'static str) {
    match (&summary.before, &summary.after) {
        (Some(before), Some(after)) if summary.improved && after.interval[0] <= before.interval[1] => {
            (Tone::Accent, WITHIN_CHANCE, WITHIN_CHANCE_TEXT)
        }
        _ if summary.improved => (Tone::Good, IMPROVED, ""),
        (_, Some(_)) => (Tone::Warn, NOT_IMPROVED, NOT_IMPROVED_TEXT),
        (_, None) if summary.record.n_held_out == 0 => (Tone::Accent, FINISHED, NO_HELD_OUT),
        (None, None) if summary.record.best.is_some() => (Tone::Warn, NOT_IMPROVED, NOT_BETTER_TEXT),
        (_, None) => (Tone::Accent, FINISHED, NOT_EVALUATED_NOW),
    }
}

pub(crate) fn warning(step: usize, text: &str) -> String {
    if step == 0 { text.to_owned() } else { format!("Step {step}: {text}") }
}

pub(crate) const EMPTY_TEXT: &str = "Train something first, or open a stored run.";
pub(crate) const BUSY_TITLE: &str = "The run needs the GPU";
pub(crate) const BUSY_TEXT: &str = "Pause it to compare; it goes on exactly where it was.";
pub(crate) const SHOW_RUN: &str = "Show the run";
pub(crate) const FAILED_TITLE: &str = "The run failed";
pub(crate) const FAILED_TEXT: &str = "Its last good state is kept and can be compared.";
pub(crate) const OPEN_SAFE: &str = "Open its last good state";
pub(crate) const SCALE: &str = "Adapter scale (%)";
pub(crate) const SCALE_HELP: &str =
    "How much of the adapter is used: 0 is the base model, 100 as trained, more exaggerates.";
