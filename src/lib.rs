//! pairtune: preference tuning in WebGPU compute shaders.
pub mod data;
pub mod doctor;
pub mod error;
pub mod files;
pub mod gpu;
pub mod kernels;
pub mod model;
pub mod platform;
pub mod reference;
pub mod train;
pub use error::{Error, Result};
