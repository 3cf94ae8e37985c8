//! Runs: requests, records and results.

use serde::{Deserialize, Serialize};

use super::{Chat, Fix, Metrics, ModelSource, Problem, Settings};

/// Commands about the run at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunCommand {
    /// Begin a run with the open model and pairs.
    Start(Box<RunRequest>),
    /// Finish this step, save, and wait.
    Pause,
    /// Go on with a paused or interrupted run, opened as by [`LibraryCommand::Open`](super::LibraryCommand::Open).
    Resume {
        /// The run.
        run_id: String,
        /// Settings that differ from now on; the run then continues as a new one.
        settings: Settings,
    },
    /// Finish this step and end the run with what it has.
    Stop,
    /// End the run and discard it.
    Discard {
        /// The run.
        run_id: String,
    },
}

/// A run to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Name of the run.
    pub name: String,
    /// Settings.
    pub settings: Settings,
    /// Its evaluations, samples and saves.
    pub watch: Watch,
    /// Rewards, and the run to start from.
    #[serde(default)]
    pub inputs: Inputs,
}

/// Inputs of a run beyond settings and rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Rewards of answers, for a method that writes them: rules as on the command line, or `run:` and the identifier of
    /// a reward model's run.
    #[serde(default)]
    pub rewards: Vec<String>,
    /// The run whose adapter it starts from; none for a fresh adapter.
    #[serde(default)]
    pub start_from: Option<String>,
}

impl Inputs {
    /// Prefix of a reward that is a reward model's run.
    const RUN: &str = "run:";

    /// A run's reward model as a reward.
    pub fn run_reward(run_id: &str) -> String {
        format!("{}{run_id}", Self::RUN)
    }

    /// The run whose reward model a reward is; none for a rule.
    pub fn run_of(reward: &str) -> Option<&str> {
        reward.strip_prefix(Self::RUN)
    }

    /// True for a reward that is a run's reward model, and no rule.
    pub fn is_run(reward: &str) -> bool {
        Self::run_of(reward).is_some()
    }
}

/// Evaluations, samples and saves of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Steps between evaluations of the held-out pairs; 0 for only before and after.
    pub eval_steps: usize,
    /// Held-out pairs of the run at most; 0 for all. The others are neither scored nor trained on.
    #[serde(default)]
    pub max_eval_pairs: usize,
    /// Keep the adapter of the best evaluation.
    pub keep_best: bool,
    /// Evaluations in a row without a better one after which the run stops (transformers' `early_stopping_patience`);
    /// 0 for never.
    #[serde(default)]
    pub patience: usize,
    /// Prompts that are answered before the run and at every evaluation; some of the held-out pairs' if there are none.
    pub prompts: Vec<String>,
    /// Answer no prompts.
    #[serde(default)]
    pub no_samples: bool,
    /// Seconds between saves, as well as every `save_steps`; 0 for none.
    pub save_seconds: f64,
}

/// A failure on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drill {
    /// Destroy the GPU device.
    DestroyDevice,
    /// Treat the next write as if the storage were full.
    FillStorage,
    /// End the worker by a panic.
    Crash,
    /// Treat the next step as if its loss were not a number.
    Diverge,
    /// Treat the next step as if the device had no memory left.
    OutOfMemory,
}

/// Work of a run beside its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading weights.
    Loading,
    /// Scoring pairs with the base model.
    Reference,
    /// Scoring the held-out pairs.
    Evaluating,
    /// Answering the sample prompts.
    Sampling,
    /// Taking steps.
    Training,
    /// Writing a checkpoint.
    Saving,
}

/// A run as it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Record of the run.
    pub record: RunRecord,
    /// Steps and evaluations so far.
    pub history: Vec<Metrics>,
    /// Sample prompts.
    pub prompts: Vec<String>,
    /// Their answers so far: step and texts.
    pub samples: Vec<(usize, Vec<SampleAnswer>)>,
    /// Warnings so far.
    pub warnings: Vec<crate::engine::run::warnings::Warning>,
    /// Bytes on the device by the plan; 0 if that is not known yet.
    pub planned_bytes: u64,
    /// Bytes on the device at the most; 0 if nothing was measured yet.
    pub device_bytes: u64,
}

/// An answer to a sample prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredAnswer")]
pub struct SampleAnswer {
    /// Its text.
    pub text: String,
    /// True if it was cut where it had as many tokens as it may have.
    pub cut: bool,
}

/// An answer as versions have stored it: the earlier ones only as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredAnswer {
    Text(String),
    Answer { text: String, cut: bool },
}

impl From<StoredAnswer> for SampleAnswer {
    fn from(stored: StoredAnswer) -> Self {
        match stored {
            StoredAnswer::Text(text) => Self { text, cut: false },
            StoredAnswer::Answer { text, cut } => Self { text, cut },
        }
    }
}

/// A run in the list of runs; `run.json` of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Names the run and its folder.
    pub run_id: String,
    /// Its name, which a person can change.
    pub name: String,
    /// Free text.
    pub notes: String,
    /// State of the run.
    pub status: Status,
    /// When it began, seconds since 1970.
    pub created: f64,
    /// Seconds that it has worked: preparing, steps, evaluations.
    pub seconds: f64,
    /// Median seconds of its recent steps; none before the first, and in records from before this was written down.
    #[serde(default)]
    pub step_seconds: Option<f64>,
    /// Mean seconds of an evaluation, with its samples; none likewise.
    #[serde(default)]
    pub round_seconds: Option<f64>,
    /// Source of its model.
    pub model: ModelSource,
    /// Name of its model.
    pub model_name: String,
    /// Bytes of its model's weights; 0 in records from before this was written down.
    #[serde(default)]
    pub model_bytes: u64,
    /// Licence that the model states.
    pub licence: Option<String>,
    /// Name of its pairs file.
    pub pairs_name: String,
    /// Chat template and variables that were set.
    #[serde(default)]
    pub chat: Chat,
    /// All settings.
    pub settings: Settings,
    /// Its evaluations, samples and saves.
    pub watch: Watch,
    /// Rewards, and the run that it started from.
    #[serde(default)]
    pub inputs: Inputs,
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub n_steps: usize,
    /// The folder of its latest checkpoint.
    pub checkpoint: Option<String>,
    /// The step of its best adapter.
    pub best_step: Option<usize>,
    /// The best evaluation.
    pub best: Option<Metrics>,
    /// Held-out accuracy before and at the latest evaluation.
    pub won: Option<[f64; 2]>,
    /// Held-out pairs.
    pub n_held_out: usize,
    /// Share of held-out pairs whose preferred answer is longer.
    pub longer_wins: f64,
    /// Share of held-out pairs whose preferred answer the base model finds likelier per token, once it is known.
    pub likelier_wins: Option<f64>,
    /// Losses, thinned out, for a sparkline.
    pub sparkline: Vec<f64>,
    /// Bytes that it takes in storage.
    pub bytes: u64,
}

impl RunRecord {
    /// Returns the name of the folder of a step's checkpoint.
    pub fn checkpoint_at(step: usize) -> String {
        format!("checkpoint-{step}")
    }

    /// The step of its latest checkpoint.
    pub fn saved_step(&self) -> Option<usize> {
        self.checkpoint.as_ref()?.rsplit('-').next()?.parse().ok()
    }
}

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Steps are being taken; if no engine is at it, the run was interrupted.
    Running,
    /// It waits.
    Paused,
    /// All steps were taken.
    Finished,
    /// It was ended before its last step.
    Stopped,
    /// A step was not finite.
    Diverged,
    /// Something else failed.
    Failed,
}

/// A run at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Record of the run.
    pub record: RunRecord,
    /// True if the held-out accuracy rose.
    pub improved: bool,
    /// Wins, pairs, and the 95 % interval of the share before and after.
    pub before: Option<Share>,
    /// After.
    pub after: Option<Share>,
    /// Bytes on the device at the most.
    pub device_bytes: u64,
    /// Bytes that the plan had said.
    pub planned_bytes: u64,
}

/// An answer that the model wrote while it was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Index of the prompt's row among the usable rows.
    pub row: usize,
    /// The prompt as the model sees it, without special tokens.
    pub prompt: String,
    /// The answer.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// Value of each reward; none where a reward does not apply.
    pub rewards: Vec<Option<f64>>,
    /// Advantage over the expected answer; for PPO, the mean over its tokens.
    pub advantage: f64,
}

/// A share with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Pairs whose chosen answer is the likelier one.
    pub wins: u64,
    /// Pairs.
    pub n: u64,
    /// Wilson's 95 % interval.
    pub interval: [f64; 2],
}

/// Reason why a run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// A step was not finite.
    Diverged {
        /// The step that was refused.
        step: usize,
        /// Description of the failure.
        what: String,
        /// Indices of the pairs of that step among the usable rows.
        pairs: Vec<usize>,
    },
    /// The device has no memory left.
    OutOfMemory {
        /// The request that did not fit.
        problem: Problem,
        /// Changes that would make it fit.
        fixes: Vec<Fix>,
    },
    /// The device is gone.
    DeviceLost {
        /// Why.
        problem: Problem,
    },
    /// Something else.
    Other {
        /// The problem.
        problem: Problem,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_earlier_versions_are_read() {
        let read = |json: &str| serde_json::from_str::<SampleAnswer>(json).expect("an answer");
        let answer = SampleAnswer { text: "Sure.".to_owned(), cut: true };
        assert_eq!(read(&serde_json::to_string(&answer).expect("JSON")), answer, "as it was written");
        assert_eq!(read("\"Sure.\""), SampleAnswer { cut: false, ..answer }, "a text alone");
    }
}
