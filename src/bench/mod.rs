//! How fast is the device at hand: each kernel at the shapes of real models, a training step by kernel, texts.
//!
//! Sees everything up to `train`. Nothing here is read from files: models are made up as they are loaded.

mod kernels;
mod random_model;
mod report;
mod step;

pub use kernels::{KernelSpeed, Peaks};
pub use random_model::{RandomModel, Sizes};
pub use report::{Extent, MODELS, Report, bench};
pub use step::{Growth, StepKernel, StepSpeed, Writing};
