//! Layer 3: does the GPU at hand compute correctly, and how fast? Every kernel against its CPU twin; matmul against
//! the device's own peak.
//!
//! The checks serve `pairtune doctor` at one size each and `tests/kernels.rs` at many. Knows nothing of models.

pub mod check;
mod speed;

use crate::kernels;

pub use check::{Check, check_all};
pub use speed::{MatmulSpeed, Speed, measure};

/// Every shader there is as it is compiled, by the name of a file for it. Needs no GPU.
pub fn shaders() -> Vec<(String, String)> {
    kernels::all().into_iter().map(|kernel| (kernel.file_name(), kernel.listing())).collect()
}
