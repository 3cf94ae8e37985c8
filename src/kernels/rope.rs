//! Rotary position embedding. Records `shaders/rope.wgsl`; the CPU twin is `reference::rope`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Heads that lie side by side in a row.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// First column of the first head.
    pub first: u32,
    /// Number of heads.
    pub heads: u32,
    /// Columns of each head.
    pub head_dim: u32,
}

/// Rotates heads of each row of `x` (R, columns) in place by the row's angles.
///
/// `direction` is 1, or -1 for the backward pass.
///
/// `table` (positions, rotary columns) holds (cos, sin) pairs; the position of row r is the fourth entry of row r of
/// `spans`. A head's columns beyond the rotary ones stay.
/// The layout is half-split, as in Hugging Face's `rotate_half` (Su et al. 2021).
pub fn rope(rec: &mut Recorder<'_>, table: &Tensor, spans: &Tensor, heads: Heads, direction: f32, x: &Tensor) {
    let [rows, columns] = x.dims();
    let half_dim = table.cols() / 2;
    let Heads { first, heads, head_dim } = heads;
    assert!(2 * half_dim <= head_dim, "a head has the columns that turn");
    assert!(first + heads * head_dim <= columns, "x has so many heads");
    assert!(spans.rows() >= rows, "spans needs one row per row of x");
    let params = Params { rows, columns, first, heads, head_dim, half_dim, direction };
    rec.dispatch(&ROPE, &params, &[table, spans, x], [rows * heads * half_dim, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    columns: u32,
    first: u32,
    heads: u32,
    head_dim: u32,
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
