//! Layer 0: the only user of `wgpu`. Devices, tensors, kernels, command recording, readback.
//!
//! Knows nothing of models, losses or files. Nothing outside this folder maps a buffer or polls the device.

mod device;
mod kernel;
mod recorder;
mod tensor;

pub use device::{AdapterChoice, AdapterReport, Gpu};
pub use kernel::{Bind, Kernel};
pub use recorder::{Grid, Recorder, item_grid, row_grid};
pub use tensor::{Dtype, Tensor};
