//! Building blocks of kernels: the texts of shaders, and the common ways to cover a shape with workgroups.

use crate::gpu::{Grid, Shape, item_grid, row_grid};

/// The texts of shaders, by their paths in `shaders/` without extension.
macro_rules! wgsl {
    ($($path:literal),+) => { &[$(include_str!(concat!("../../shaders/", $path, ".wgsl"))),+] };
}
pub(super) use wgsl;

/// Forms of an operation, each by its name and the path of its text. None of them is the format of a weight.
macro_rules! forms {
    ($($name:literal: $path:literal),+) => {
        &[$($crate::gpu::Format {
            name: $name,
            dtype: None,
            part: include_str!(concat!("../../shaders/", $path, ".wgsl")),
        }),+]
    };
}
pub(super) use forms;

/// The shape itself, which is already the number of workgroups.
pub(super) fn as_is(shape: Shape) -> Grid {
    shape
}

/// One invocation per item, in workgroups of 64.
pub(super) fn by_item([items, ..]: Shape) -> Grid {
    item_grid(items, 64)
}

/// One workgroup per row.
pub(super) fn by_row([rows, ..]: Shape) -> Grid {
    row_grid(rows)
}
