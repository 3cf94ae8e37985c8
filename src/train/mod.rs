//! Layer 4: settings, losses, the optimiser, the loop.
//!
//! Sees `model`, `data`, `files`, `kernels` and `gpu`. Knows nothing of commands or windows: the loop is a value that
//! takes one step at a time, and whoever drives it reports, pauses and saves.

mod checkpoint;
mod loss;
mod objective;
mod offline;
mod online;
mod optimizer;
mod plan;
mod scorer;
mod settings;
mod tokenize;
mod trainer;

pub use checkpoint::{Checkpoint, Moments, Place, read_format, with_format};
pub use loss::LossType;
pub use online::policy::{answer_logps, answers_size};
pub use online::rollouts::{AnswersState, Judged, Replay, Rollout, RolloutSource, Wanted};
pub use optimizer::Optimizer;
pub use plan::{Memory, check_fits, frozen_bytes, plan, plan_run};
pub use scorer::{
    PairLogps, PairSums, ReferenceKey, References, Scorer, batch_size, batch_size_of, check_reference, evaluation,
    logps,
};
pub use settings::common::{Kind as SettingKind, Setting, all_settings, settings};
pub use settings::config::{METHOD, Reference, Scheduler, TrainConfig};
pub use settings::method::Options;
pub use tokenize::{RowTokenizer, RowTokens, Rows};
pub use trainer::{Metrics, OnlineRun, Trainer};
