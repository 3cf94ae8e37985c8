//! pairtune: preference tuning in WebGPU compute shaders.
pub mod error;
pub mod gpu;
pub mod kernels;
pub mod platform;
pub use error::{Error, Result};
