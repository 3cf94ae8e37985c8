//! Shared by the GPU tests: a device.

use pairtune::gpu::{AdapterChoice, Gpu};
use pairtune::kernels;

/// A fresh device. There is no skipping: without an adapter the tests fail and say what to install.
pub(crate) fn gpu_as_it_is() -> Gpu {
    let choice = AdapterChoice { name: std::env::var("PAIRTUNE_ADAPTER").ok() };
    pollster::block_on(Gpu::new(&choice)).expect("the tests need a GPU or a software driver")
}

/// The same with the most demanding variant of each operation that the device can run; `kernels.rs` runs them all.
pub(crate) fn gpu() -> Gpu {
    let gpu = gpu_as_it_is();
    for op in kernels::ops() {
        gpu.force(op, gpu.variants(op).pop());
    }
    gpu
}
