//! Settings read from a run's record, and the commands that continue a run; several pages need both.

use serde_json::{Value, json};

use crate::app::methods::method_of;
use crate::engine::plan::presets::EPOCHS;
use crate::engine::protocol::{Command, RunCommand, RunRecord, Settings, Status, settings};

/// Setting for the number of steps.
pub(crate) const MAX_STEPS: &str = "max_steps";

/// Length of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// Number of steps.
    Steps(u64),
    /// Number of passes over the pairs.
    Epochs(f64),
}

impl Length {
    pub(crate) fn of(record: &RunRecord) -> Self {
        match setting(record, MAX_STEPS) {
            Some(steps) if steps > 0.0 => Self::Steps(steps as u64),
            _ => Self::Epochs(setting(record, EPOCHS).unwrap_or(3.0)),
        }
    }

    pub(crate) fn twice(self) -> Self {
        match self {
            Self::Steps(steps) => Self::Steps(2 * steps),
            Self::Epochs(epochs) => Self::Epochs(2.0 * epochs),
        }
    }

    /// Returns the setting for this length, with its value.
    pub(crate) fn setting(self) -> (&'static str, Value) {
        match self {
            Self::Steps(steps) => (MAX_STEPS, json!(steps)),
            Self::Epochs(epochs) => (EPOCHS, json!(epochs)),
        }
    }
}

/// A number among the settings of a run.
pub(crate) fn setting(record: &RunRecord, name: &str) -> Option<f64> {
    record.settings.get(name).and_then(Value::as_f64)
}

/// Beta of a run.
pub(crate) fn beta(record: &RunRecord) -> f64 {
    setting(record, "beta").unwrap_or(0.1)
}

/// True if the method of a run has a setting.
pub(crate) fn has_setting(record: &RunRecord, name: &str) -> bool {
    settings(method_of(&record.settings)).any(|setting| setting.key == name)
}

/// Continues a run. A run that has taken all its steps takes as many again if other settings are given, unless they say
/// how many.
pub(crate) fn resumed(record: &RunRecord, mut settings: Settings) -> Command {
    let is_told = [MAX_STEPS, EPOCHS].iter().any(|name| settings.contains_key(*name));
    if is_over(record) && !settings.is_empty() && !is_told {
        settings.extend(as_many_again(record));
    }
    Command::Run(RunCommand::Resume { run_id: record.run_id.clone(), settings })
}

/// Continues an interrupted run. One that diverged continues at a lower learning rate, or it would diverge again.
pub(crate) fn continued(record: &RunRecord) -> Command {
    let again = record.checkpoint.is_some() && record.status == Status::Diverged;
    resumed(record, if again { lower_rate(record) } else { Settings::new() })
}

/// True if all steps were taken.
pub(crate) fn is_over(record: &RunRecord) -> bool {
    record.step >= record.n_steps
}

/// Evaluations to come; the last one is after the last step.
pub(crate) fn rounds_left(record: &RunRecord) -> usize {
    let RunRecord { step, n_steps, .. } = *record;
    let between = n_steps.saturating_sub(1).checked_div(record.watch.eval_steps).unwrap_or(0);
    let done = step.checked_div(record.watch.eval_steps).unwrap_or(0);
    if step < n_steps { between.saturating_sub(done) + 1 } else { 0 }
}

/// Seconds that steps and evaluations to come will take, if the run's own steps were timed.
pub(crate) fn seconds_left(record: &RunRecord) -> Option<f64> {
    let steps = record.step_seconds? * record.n_steps.saturating_sub(record.step) as f64;
    Some(steps + record.round_seconds.unwrap_or(0.0) * rounds_left(record) as f64)
}

/// Returns the setting that makes a run twice as long.
pub(crate) fn as_many_again(record: &RunRecord) -> Settings {
    let (name, value) = Length::of(record).twice().setting();
    changed(name, value)
}

pub(crate) fn changed(name: &str, value: Value) -> Settings {
    Settings::from_iter([(name.to_owned(), value)])
}

pub(crate) fn lower_rate(record: &RunRecord) -> Settings {
    let rate = setting(record, "learning_rate").unwrap_or(1e-6) / 3.0;
    // Two digits are enough, and easier to read.
    changed("learning_rate", json!(format!("{rate:.1e}").parse().unwrap_or(rate)))
}
