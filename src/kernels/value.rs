//! A head that gives each row one number. Records `shaders/value_{forward,backward,backward_weight}.wgsl`; the CPU twin
//! is `reference::value`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, by_row, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// `values` (N,1): the products of the rows of `normed` (N,H) with `score` (1,H), without a bias: the head of a reward
/// model or of a value model.
pub fn value_forward(rec: &mut Recorder<'_>, normed: &Tensor, score: &Tensor, values: &Tensor) {
    let params = Params::of(normed, score);
    assert!(values.len() >= params.rows, "values needs one entry per row of normed");
    rec.dispatch(&FORWARD, &params, &[normed, score, values], [params.rows.div_ceil(8), 1, 1]);
}

/// Stores in `dnormed` (N,H) the gradient of `value_forward` with respect to `normed`, given `dvalues` (N,1).
pub fn value_backward(rec: &mut Recorder<'_>, dvalues: &Tensor, score: &Tensor, dnormed: &Tensor) {
    let params = Params::of(dnormed, score);
    assert!(dvalues.len() >= params.rows, "dvalues needs one entry per row of dnormed");
    rec.dispatch(&BACKWARD, &params, &[dvalues, score, dnormed], [params.rows * params.hidden4, 1, 1]);
}

/// Adds to `dscore` (1,H) the gradient of `value_forward` with respect to `score`, given `dvalues` (N,1): the sum over
/// the rows of `normed` (N,H), in the same order each time.
pub fn value_backward_weight(rec: &mut Recorder<'_>, dvalues: &Tensor, normed: &Tensor, dscore: &Tensor) {
    let params = Params::of(normed, dscore);
    assert!(dvalues.len() >= params.rows, "dvalues needs one entry per row of normed");
    rec.dispatch(&BACKWARD_WEIGHT, &params, &[dvalues, normed, dscore], [params.hidden4.div_ceil(8), 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    hidden4: u32,
}

impl Params {
    /// Sizes of a matrix, and of a vector with one entry per column of it.
    fn of(matrix: &Tensor, vector: &Tensor) -> Self {
        let [rows, hidden] = matrix.dims();
        assert_eq!(vector.len(), hidden, "the head needs one entry per column");
        assert!(rows > 0 && hidden > 0 && hidden % 4 == 0, "columns come in fours");
        Self { rows, hidden4: hidden / 4 }
    }
}

pub(super) static FORWARD: Op = Op {
    name: "value_forward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "value_forward"), by_row)],
};

pub(super) static BACKWARD: Op = Op {
    name: "value_backward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("value_backward"), by_item)],
};

pub(super) static BACKWARD_WEIGHT: Op = Op {
    name: "value_backward_weight",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("value_backward_weight"), by_row)],
};
