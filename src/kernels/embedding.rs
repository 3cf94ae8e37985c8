//! Embedding gather. Records `shaders/{embedding,add_positions}.wgsl`; the CPU twin is `reference::embedding`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use super::weight::{FORMATS, PLAIN};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Copies row `ids[r]` of the table, multiplied by `scale`, into row r of `y` (R,C), for the ids within this block.
///
/// `block` (V',C) holds the table's rows from `first` on; large tables come in several blocks, one call each.
pub fn embedding(rec: &mut Recorder<'_>, ids: &Tensor, block: &Tensor, first: u32, scale: f32, y: &Tensor) {
    let [rows, cols] = y.dims();
    assert!(ids.len() >= rows, "ids needs one entry per row of y");
    assert_eq!(block.cols(), cols, "the table needs the columns of y");
    assert_eq!(cols % 4, 0, "columns come in fours");
    let params = Params { rows, cols4: cols / 4, first, block: block.rows(), scale };
    rec.dispatch(EMBEDDING.with_weight(block.dtype()), &params, &[ids, block, y], [rows * cols / 4, 1, 1]);
}

/// Adds to row r of `x` (R,C) the row of `table` (positions, C) of its position, the fourth entry of row r of `spans`.
pub fn add_positions(rec: &mut Recorder<'_>, spans: &Tensor, table: &Tensor, x: &Tensor) {
    let [rows, cols] = x.dims();
    assert!(spans.rows() >= rows, "spans needs one row per row of x");
    assert_eq!(table.cols(), cols, "the table needs the columns of x");
    assert_eq!(cols % 4, 0, "columns come in fours");
    let params = PositionParams { rows, cols4: cols / 4 };
    rec.dispatch(ADD_POSITIONS.with_weight(table.dtype()), &params, &[spans, table, x], [rows * cols / 4, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols4: u32,
    first: u32,
    block: u32,
    scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PositionParams {
    rows: u32,
    cols4: u32,
}

pub(super) static EMBEDDING: Op = Op {
    name: "embedding",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: FORMATS,
    variants: &[Variant::only(wgsl!("embedding"), by_item)],
};

pub(super) static ADD_POSITIONS: Op = Op {
    name: "add_positions",
    params_bytes: size_of::<PositionParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: PLAIN,
    variants: &[Variant::only(wgsl!("add_positions"), by_item)],
};
