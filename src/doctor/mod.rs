//! Layer 3: does the GPU at hand compute correctly, and how fast? Every kernel against its CPU twin; matmul against
//! the device's own peak.
//!
//! The checks serve `pairtune doctor` at one size each and `tests/kernels.rs` at many. Knows nothing of models.

pub mod check;
mod shaders;
mod speed;

pub use check::{Check, check_all};
pub use shaders::shaders;
pub use speed::{MatmulSpeed, Speed, measure};
