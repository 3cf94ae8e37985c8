//! Layer 4: settings, losses, the optimiser, the loop.
//!
//! Sees `model`, `data`, `files`, `kernels` and `gpu`. Knows nothing of commands or windows: the loop is a value that
//! takes one step at a time, and whoever drives it reports, pauses and saves.

mod checkpoint;
mod config;
mod loss;
mod optimizer;
mod plan;
mod trainer;

pub use checkpoint::{Checkpoint, Moments, Place, read_format, with_format};
pub use config::{KEYS, Reference, Scheduler, TrainConfig};
pub use loss::{LossType, eval_loss};
pub use optimizer::Optimizer;
pub use plan::{Memory, check_fits, plan};
pub use trainer::{Metrics, PairLogps, ReferenceKey, References, Scorer, Trainer, batch_size, check_reference};
