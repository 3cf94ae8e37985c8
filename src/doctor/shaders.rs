//! The shaders as texts, for bug reports and for tools that read WGSL.

use crate::kernels;

/// Name of a file and text of every shader there is, as it is compiled. Needs no GPU.
pub fn shaders() -> Vec<(String, String)> {
    kernels::all().map(|kernel| (format!("{}.wgsl", kernel.name()), kernel.listing())).collect()
}
