//! RMSNorm of queries and keys. Records `shaders/qk_norm_{forward,backward}.wgsl`; the CPU twin is
//! `reference::qk_norm`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_row, wgsl};
use crate::gpu::{Bind, Op, Recorder, Shape, Tensor, Variant};

/// Parts of a row that are normed separately: first those of the queries, then those of the keys.
#[derive(Debug, Clone, Copy)]
pub struct QkParts {
    /// Parts of the queries: their heads, or 1 for all heads together.
    pub queries: u32,
    /// Columns of each part of the queries.
    pub query_cols: u32,
    /// Parts of the keys.
    pub keys: u32,
    /// Columns of each part of the keys.
    pub key_cols: u32,
}

/// Scales each part of the queries and keys of `x` (R, columns) to unit mean square, then by `gain` (their columns),
/// into `y` (R, columns); the columns after them, the values, are copied.
pub fn qk_norm_forward(rec: &mut Recorder<'_>, x: &Tensor, gain: &Tensor, parts: QkParts, eps: f32, y: &Tensor) {
    assert_eq!(y.dims(), x.dims(), "y needs the shape of x");
    let (params, shape) = parts.of(x, gain, eps);
    rec.dispatch(&FORWARD, &params, &[x, gain, y], shape);
}

/// Replaces `dy` (R, columns) by the gradient of `qk_norm_forward` with respect to `x`.
pub fn qk_norm_backward(rec: &mut Recorder<'_>, x: &Tensor, gain: &Tensor, parts: QkParts, eps: f32, dy: &Tensor) {
    assert_eq!(dy.dims(), x.dims(), "dy needs the shape of x");
    let (params, shape) = parts.of(x, gain, eps);
    rec.dispatch(&BACKWARD, &params, &[x, gain, dy], shape);
}

impl QkParts {
    fn of(self, x: &Tensor, gain: &Tensor, eps: f32) -> (Params, Shape) {
        let [rows, cols] = x.dims();
        let Self { queries, query_cols, keys, key_cols } = self;
        let normed = queries * query_cols + keys * key_cols;
        assert_eq!(gain.len(), normed, "gain needs one entry per column of queries and keys");
        assert!(normed <= cols, "the parts lie in a row of x");
        let fours = [cols, query_cols, key_cols].iter().all(|n| n.is_multiple_of(4));
        assert!(fours, "columns come in fours");
        let (query4, key4) = (query_cols / 4, key_cols / 4);
        let params = Params { rows, cols4: cols / 4, queries, query4, keys, key4, eps };
        (params, [(rows * (queries + keys + 1)).div_ceil(PARTS), 1, 1])
    }
}

/// Parts that a workgroup holds.
const PARTS: u32 = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols4: u32,
    queries: u32,
    query4: u32,
    keys: u32,
    key4: u32,
    eps: f32,
}

pub(super) static FORWARD: Op = Op {
    name: "qk_norm_forward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "qk_norm_forward"), by_row)],
};

pub(super) static BACKWARD: Op = Op {
    name: "qk_norm_backward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "qk_norm_backward"), by_row)],
};
