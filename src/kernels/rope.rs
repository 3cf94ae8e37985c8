//! Rotary position embedding. Records `shaders/rope.wgsl`; the CPU twin is `reference::rope`.

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Bind, Kernel, Recorder, Tensor, item_grid};

/// Rotates each head of `x` (R, heads*head_dim) in place by its row's angles; `direction` is 1, or -1 for the backward.
///
/// `table` (positions, head_dim) holds (cos, sin) pairs; the position of row r is the fourth entry of row
/// `first_row + r` of `spans` (`first_row` is 0 in training, the number of cached tokens in generation).
/// Half-split as Hugging Face's `rotate_half` (Su et al. 2021).
pub fn rope(rec: &mut Recorder<'_>, table: &Tensor, spans: &Tensor, first_row: u32, direction: f32, x: &Tensor) {
    let [rows, cols] = x.dims();
    let head_dim = table.cols();
    assert_eq!(cols % head_dim, 0, "x needs whole heads");
    assert!(spans.rows() >= first_row + rows, "spans needs one row per row of x");
    let params = Params { rows, heads: cols / head_dim, half_dim: head_dim / 2, first_row, direction };
    rec.dispatch(&ROPE, &params, &[table, spans, x], item_grid(rows * cols / 2, 64));
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    heads: u32,
    half_dim: u32,
    first_row: u32,
    direction: f32,
}

pub(super) static ROPE: Kernel = Kernel {
    name: "rope",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/rope.wgsl"),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};
