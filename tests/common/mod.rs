//! What the GPU tests share: one device, and one way to judge a check.

use pairtune::doctor::Check;
use pairtune::gpu::{AdapterChoice, Gpu};

/// A fresh device. There is no skipping: without an adapter the tests fail and say what to install.
pub(crate) fn gpu() -> Gpu {
    let choice = AdapterChoice { name: std::env::var("PAIRTUNE_ADAPTER").ok() };
    pollster::block_on(Gpu::new(&choice)).expect("the tests need a GPU or a software driver (mesa-vulkan-drivers)")
}

/// Fails with the kernel's name and numbers.
#[track_caller]
pub(crate) fn assert_ok(check: pairtune::Result<Check>) {
    let check = check.expect("the device works");
    assert!(check.ok, "{}: error {:.2e}, tolerance {:.2e}", check.name, check.error, check.tolerance);
}
