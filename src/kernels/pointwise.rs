//! Elementwise and row-wise operations. Records `shaders/{gather_rows,scatter_rows,swiglu_*}.wgsl`; the CPU
//! twin is `reference::pointwise`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// `y[i,:] = x[rows[i],:]` with `x` (R,C) and `y` (N,C).
pub fn gather_rows(rec: &mut Recorder<'_>, x: &Tensor, rows: &Tensor, y: &Tensor) {
    let [n, cols] = y.dims();
    assert_eq!(x.cols(), cols, "y needs the columns of x");
    assert!(rows.len() >= n, "rows needs one entry per row of y");
    let params = RowParams::new(n, cols);
    rec.dispatch(&GATHER_ROWS, &params, &[x, rows, y], [n * params.cols4, 1, 1]);
}

/// `dx[r,:]` = sum of `dy[i,:]` over the (up to two) rows i named by row r of `sources` (R,2); `u32::MAX` names none.
pub fn scatter_rows(rec: &mut Recorder<'_>, dy: &Tensor, sources: &Tensor, dx: &Tensor) {
    let [rows, cols] = dx.dims();
    assert_eq!(dy.cols(), cols, "dx needs the columns of dy");
    assert!(sources.len() >= 2 * rows, "sources needs two entries per row of dx");
    let params = RowParams::new(rows, cols);
    rec.dispatch(&SCATTER_ROWS, &params, &[dy, sources, dx], [rows * params.cols4, 1, 1]);
}

/// `y = silu(gate) * up` (Shazeer 2020) of the two halves of each row of `gate_up` (R, 2C), into `y` (R,C).
pub fn swiglu_forward(rec: &mut Recorder<'_>, gate_up: &Tensor, y: &Tensor) {
    let params = halves(gate_up, y);
    rec.dispatch(&SWIGLU_FORWARD, &params, &[gate_up, y], [params.rows * params.cols4, 1, 1]);
}

/// Replaces both halves of `gate_up` by the gradients of `swiglu_forward` with respect to them, given `dy`, and `dy` by
/// what `swiglu_forward` gave.
pub fn swiglu_backward(rec: &mut Recorder<'_>, dy: &Tensor, gate_up: &Tensor) {
    let params = halves(gate_up, dy);
    rec.dispatch(&SWIGLU_BACKWARD, &params, &[dy, gate_up], [params.rows * params.cols4, 1, 1]);
}

fn halves(gate_up: &Tensor, y: &Tensor) -> RowParams {
    let [rows, cols] = y.dims();
    assert_eq!(gate_up.dims(), [rows, 2 * cols], "gate_up needs two columns for each of the other's");
    RowParams::new(rows, cols)
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowParams {
    rows: u32,
    cols4: u32,
}

impl RowParams {
    fn new(rows: u32, cols: u32) -> Self {
        assert_eq!(cols % 4, 0, "columns come in fours");
        Self { rows, cols4: cols / 4 }
    }
}

pub(super) static GATHER_ROWS: Op = Op {
    name: "gather_rows",
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("gather_rows"), by_item)],
};

pub(super) static SCATTER_ROWS: Op = Op {
    name: "scatter_rows",
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("scatter_rows"), by_item)],
};

pub(super) static SWIGLU_FORWARD: Op = Op {
    name: "swiglu_forward",
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("swiglu_forward"), by_item)],
};

pub(super) static SWIGLU_BACKWARD: Op = Op {
    name: "swiglu_backward",
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("swiglu_backward"), by_item)],
};
