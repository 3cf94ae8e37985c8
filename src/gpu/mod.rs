//! Layer 0: the only user of `wgpu`. Devices, tensors, kernels, command recording, readback.
//!
//! Knows nothing of models, losses or files. Nothing outside this folder maps a buffer or polls the device.

mod adapter_report;
mod bind_groups;
mod choices;
mod device;
mod kernel;
mod profiler;
mod recorder;
mod tensor;

pub use adapter_report::{AdapterReport, Backend, DeviceType};
pub use choices::{Call, VariantSet};
pub use device::{AdapterChoice, Counters, Gpu};
pub use kernel::{Adapters, Bind, Format, Kernel, Needs, Op, Precision, Shape, Variant};
pub use profiler::KernelTime;
pub use recorder::{Grid, Recorder, item_grid, row_grid};
pub use tensor::{Dtype, Tensor};
