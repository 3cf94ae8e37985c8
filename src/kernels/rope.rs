//! Rotary position embedding. Records `shaders/rope.wgsl`; the CPU twin is `reference::rope`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Rotates the first `heads` heads of each row of `x` (R, columns) in place by the row's angles.
///
/// `direction` is 1, or -1 for the backward.
///
/// `table` (positions, head_dim) holds (cos, sin) pairs; the position of row r is the fourth entry of row r of `spans`.
/// Half-split as Hugging Face's `rotate_half` (Su et al. 2021).
pub fn rope(rec: &mut Recorder<'_>, table: &Tensor, spans: &Tensor, heads: u32, direction: f32, x: &Tensor) {
    let [rows, columns] = x.dims();
    let half_dim = table.cols() / 2;
    assert!(2 * heads * half_dim <= columns, "x has so many heads");
    assert!(spans.rows() >= rows, "spans needs one row per row of x");
    let params = Params { rows, columns, heads, half_dim, direction };
    rec.dispatch(&ROPE, &params, &[table, spans, x], [rows * heads * half_dim, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    columns: u32,
    heads: u32,
    half_dim: u32,
    direction: f32,
}

pub(super) static ROPE: Op = Op {
    name: "rope",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("rope"), by_item)],
};
