//! What the GPU tests share: one device.

use pairtune::gpu::{AdapterChoice, Gpu};

/// A fresh device. There is no skipping: without an adapter the tests fail and say what to install.
pub(crate) fn gpu() -> Gpu {
    let choice = AdapterChoice { name: std::env::var("PAIRTUNE_ADAPTER").ok() };
    pollster::block_on(Gpu::new(&choice)).expect("the tests need a GPU or a software driver (mesa-vulkan-drivers)")
}
