//! Layer 4: settings, losses, the optimiser, the loop.
//!
//! Sees `model`, `data`, `files`, `kernels` and `gpu`. Knows nothing of commands or windows: the loop is a value that
//! takes one step at a time, and whoever drives it reports, pauses and saves.

mod advantages;
mod checkpoint;
mod config;
mod fields;
mod loss;
mod method;
mod objective;
mod offline;
mod online;
mod optimizer;
mod plan;
mod policy;
mod ppo;
mod ranges;
mod rollouts;
mod scorer;
mod settings;
mod tokenize;
mod trainer;

pub use checkpoint::{Checkpoint, Moments, Place, read_format, with_format};
pub use config::{METHOD, Reference, Scheduler, TrainConfig};
pub use loss::LossType;
pub use method::Options;
pub use optimizer::Optimizer;
pub use plan::{Memory, check_fits, frozen_bytes, plan, plan_run};
pub use policy::{answer_logps, answers_size};
pub use rollouts::{AnswersState, Judged, Replay, Rollout, RolloutSource, Wanted};
pub use scorer::{
    PairLogps, PairSums, ReferenceKey, References, Scorer, batch_size, batch_size_of, check_reference, evaluation,
    logps,
};
pub use settings::{Kind as SettingKind, Setting, all_settings, settings};
pub use tokenize::{RowTokenizer, RowTokens, Rows};
pub use trainer::{Metrics, OnlineRun, Trainer};
