//! Embedding gather. Records `shaders/embedding.wgsl`; the CPU twin is `reference::embedding`.

use bytemuck::{Pod, Zeroable};

use super::weight::{for_dtype, per_dtype};
use crate::gpu::{Bind, Kernel, Recorder, Tensor, item_grid};

/// Copies row `ids[r]` of the table into row r of `y` (R,C), for the ids that lie in this block of the table.
///
/// `block` (V',C) holds the table's rows from `first` on; large tables come in several blocks, one call each.
pub fn embedding(rec: &mut Recorder<'_>, ids: &Tensor, block: &Tensor, first: u32, y: &Tensor) {
    let [rows, cols] = y.dims();
    assert!(ids.len() >= rows, "ids needs one entry per row of y");
    assert_eq!(block.cols(), cols, "the table needs the columns of y");
    assert_eq!(cols % 4, 0, "columns come in fours");
    let params = Params { rows, cols4: cols / 4, first, block: block.rows() };
    let kernel = for_dtype(&EMBEDDING, block.dtype());
    rec.dispatch(kernel, &params, &[ids, block, y], item_grid(rows * cols / 4, 64));
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols4: u32,
    first: u32,
    block: u32,
}

pub(super) static EMBEDDING: [Kernel; 3] =
    per_dtype!("embedding", "", [], Params, &[Bind::Read, Bind::Read, Bind::Write], subgroups: false);
