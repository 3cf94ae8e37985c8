//! The texts of this page.

use crate::app::state::{State, Tried};
use crate::app::text::units;
use crate::app::widgets::Tone;
use crate::engine::protocol::{Over, SweepEnded, SweepPoint, SweepRun, Verdict, short};

pub(super) const TITLE: &str = "From too low to too high";
pub(super) const SUBTITLE: &str = "The same training with several values of one setting, and the one to train with.";
pub(super) const REFUSED: &str = "The sweep could not go on";
pub(super) const WHAT_TITLE: &str = "What it does";
pub(super) const AGAIN_TITLE: &str = "Another sweep";
pub(super) const STOPPED_TITLE: &str = "The sweep was stopped";
pub(super) const WHAT: &str = "Trains once for each value with the plan's settings, the same pairs and the same seed, \
    and measures each model at its quarters: held-out accuracy, and how far it drifts from where it started. A run \
    that another value clearly beats ends at half of its steps. What each value trains becomes a run.";
pub(super) const VALUES: &str = "Values";
pub(super) const VALUES_HELP: &str = "Numbers above 0 with commas between them, 2 to 12 of them; 3 to 5 are usual.";
pub(super) const TWO: &str = "Give at least two values.";
pub(super) const START: &str = "Try these values";
pub(super) const ON_DEMO: &str = "Beta from too low to too high, on the demo";
pub(super) const PREPARING: &str = "Preparing";
pub(super) const PROGRESS: &str = "Progress of the sweep";
pub(super) const STOP: &str = "Stop the sweep";
pub(super) const STOP_NOTE: &str = "What was measured stays.";
pub(super) const ADVICE: &str = "What to train with";
pub(super) const EACH: &str = "Each value";
pub(super) const USE: &str = "Use";
pub(super) const OPEN_RUN: &str = "Open its run";
pub(super) const WAITS: &str = "waiting";
pub(super) const NOT_TRIED: &str = "not tried";
pub(super) const ACCURACY: &str = "Held-out accuracy";
pub(super) const ACCURACY_HELP: &str = "The share of held-out pairs where the chosen answer is likelier.";
pub(super) const DRIFT: &str = "Drift: KL to the starting model, nats per token";
pub(super) const DRIFT_HELP: &str = "How far the model is from the one that it started as, on answers that it writes \
    itself. Above 0.5 it has drifted far, below 0.002 it has hardly moved.";
pub(super) const CHOSEN: &str = "Chosen answers: nats gained per answer";
pub(super) const CHOSEN_HELP: &str = "What the log-probability of the chosen answers gained since the start. That it \
    falls is a known failure of DPO: both answers become less likely.";
pub(super) const BOUGHT: &str = "What the drift buys, at the end";
pub(super) const BOUGHT_HELP: &str = "Held-out accuracy over KL to the starting model, one point for each value: up is \
    better, left is closer to the starting model.";
pub(super) const KL_AXIS: &str = "KL to the starting model, nats per token";

/// Columns of the table after the value: name and meaning.
pub(super) const COLUMNS: [(&str, &str); 6] = [
    ("Verdict", "Whether a higher or a lower value would do better, by the held-out pairs and the drift."),
    ("Held-out accuracy", ACCURACY_HELP),
    ("KL per token", DRIFT_HELP),
    ("Chosen", CHOSEN_HELP),
    ("Loss", "Loss of the last step. Losses of different values of beta are not comparable."),
    ("Time", "Time of the steps, without measuring."),
];

/// A setting's label.
pub(super) fn name(over: Over) -> &'static str {
    match over {
        Over::Beta => "Beta (β)",
        Over::LearningRate => "Learning rate",
    }
}

/// Explains the effect of a setting.
pub(super) fn name_help(over: Over) -> &'static str {
    match over {
        Over::Beta => {
            "How strongly the model is held to the one that it started as: too low, and it drifts; too high, and it \
            hardly learns. (To ORPO it is the weight of the preference.)"
        }
        Over::LearningRate => {
            "How large the steps are: too high, and the model breaks down; too low, and it hardly moves."
        }
    }
}

pub(super) fn in_plan(over: Over, value: f64) -> String {
    format!("{} in the plan: {}", units::capitalized(over.word()), short(value))
}

pub(super) const TAKES: &str = "On the demo it takes five to ten minutes on two processor cores without a GPU; on a \
    model of your own as long as so many runs. Memory: that of one run, because the base model is loaded once.";

/// Names the open model, the pairs and the method, which a sweep would use.
pub(super) fn own(state: &State) -> String {
    let model = state.open_model().map(|model| model.name.as_str()).unwrap_or_default();
    let pairs = state.pairs.info.as_ref().map(|pairs| pairs.name.as_str()).unwrap_or_default();
    format!("Open: {model} with {pairs}, by {}", state.plan.method())
}

/// Time that a sweep took and will take, as far as that is known.
pub(super) fn times(so_far: f64, left: Option<f64>) -> String {
    let left = left.map_or_else(String::new, |left| format!(", ~{} left", units::clock(left)));
    format!("{} so far{left}", units::clock(so_far))
}

pub(super) fn going(over: Over, tried: &Tried) -> String {
    format!("{} {}, {}", units::capitalized(over.word()), short(tried.value), step(tried))
}

pub(super) fn step(tried: &Tried) -> String {
    format!("step {}/{}", units::count(tried.step), units::count(tried.n_steps))
}

pub(super) fn picture(over: Over) -> String {
    format!("All values of {} in one picture", over.word())
}

pub(super) fn use_value(over: Over, value: f64) -> String {
    format!("Use {} {}", over.word(), short(value))
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::TooLow => "too low",
        Verdict::AboutRight => "about right",
        Verdict::TooHigh => "too high",
        Verdict::Unclear => "unclear",
    }
}

pub(super) fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::AboutRight => Tone::Good,
        Verdict::TooLow | Verdict::TooHigh => Tone::Warn,
        Verdict::Unclear => Tone::Neutral,
    }
}

/// Cells of the table after the verdict: held-out accuracy, KL, chosen, loss, time and how the run ended.
pub(super) fn cells(last: Option<&SweepPoint>, run: Option<&SweepRun>) -> [String; 5] {
    let none = || "–".to_owned();
    let ended = run.map(|run| match run.ended {
        SweepEnded::Done => String::new(),
        SweepEnded::Diverged { .. } => ", broke down".to_owned(),
        SweepEnded::Beaten { .. } => ", given up".to_owned(),
        SweepEnded::Interrupted => ", stopped".to_owned(),
    });
    [
        last.map_or_else(none, |point| units::percent(point.pairs_won)),
        last.map_or_else(none, |point| format!("{:.4}", point.kl)),
        last.map_or_else(none, |point| format!("{:+.2}", point.chosen_change)),
        last.and_then(|point| point.loss).map_or_else(none, |loss| format!("{loss:.4}")),
        run.zip(ended).map_or_else(none, |(run, ended)| format!("{}{ended}", units::duration(run.seconds))),
    ]
}
