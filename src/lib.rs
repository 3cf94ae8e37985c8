//! pairtune: preference tuning in WebGPU compute shaders.
pub mod doctor;
pub mod error;
pub mod gpu;
pub mod kernels;
pub mod platform;
pub mod reference;
pub use error::{Error, Result};
