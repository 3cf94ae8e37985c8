//! Measures the device: each kernel at the shapes of real models, a training step by kernel, texts.
//!
//! This layer sees everything up to `train`. No model is read from files: each is made up as it is loaded.

mod kernels;
mod random_model;
mod report;
mod step;

pub use kernels::{KernelSpeed, Peaks};
pub use random_model::{RandomModel, Sizes};
pub use report::{Extent, MODELS, Report, bench};
pub use step::{Growth, StepKernel, StepSpeed, Writing};
