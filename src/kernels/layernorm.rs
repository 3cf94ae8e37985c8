//! LayerNorm. Records `shaders/layernorm_{forward,backward}.wgsl`; the CPU twin is `reference::layernorm`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_row, wgsl};
use super::matmul::Store;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Scales each row of `x` (R,C) to mean 0 and variance 1, then by `gain` (C), and adds `bias` (C), into `y` (R,C).
///
/// Also writes `stats` (R,2), mean and 1/deviation, which the backward pass reads. (Ba, Kiros & Hinton 2016.)
pub fn layernorm_forward(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    gain: &Tensor,
    bias: &Tensor,
    eps: f32,
    y: &Tensor,
    stats: &Tensor,
) {
    let [rows, cols] = x.dims();
    assert!(gain.len() == cols && bias.len() == cols, "gain and bias need one entry per column of x");
    assert_eq!(y.dims(), x.dims(), "y needs the shape of x");
    assert!(stats.len() >= 2 * rows, "stats needs two entries per row of x");
    assert_eq!(cols % 4, 0, "columns come in fours");
    let params = ForwardParams { rows, cols4: cols / 4, eps };
    rec.dispatch(&FORWARD, &params, &[x, gain, bias, y, stats], [rows.div_ceil(ROWS), 1, 1]);
}

/// Stores in `dx` (R,C) the gradient of `layernorm_forward` with respect to `x`, given `dy` (R,C).
pub fn layernorm_backward(
    rec: &mut Recorder<'_>,
    dy: &Tensor,
    x: &Tensor,
    gain: &Tensor,
    stats: &Tensor,
    store: Store,
    dx: &Tensor,
) {
    let [rows, cols] = x.dims();
    assert_eq!(dy.dims(), x.dims(), "dy needs the shape of x");
    assert_eq!(gain.len(), cols, "gain needs one entry per column of x");
    assert!(stats.len() >= 2 * rows, "stats needs two entries per row of x");
    assert_eq!(dx.dims(), x.dims(), "dx needs the shape of x");
    let params = BackwardParams { rows, cols4: cols / 4, accumulate: (store == Store::Add).into() };
    rec.dispatch(&BACKWARD, &params, &[dy, x, gain, stats, dx], [rows.div_ceil(ROWS), 1, 1]);
}

/// Rows that a workgroup holds.
const ROWS: u32 = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ForwardParams {
    rows: u32,
    cols4: u32,
    eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BackwardParams {
    rows: u32,
    cols4: u32,
    accumulate: u32,
}

pub(super) static FORWARD: Op = Op {
    name: "layernorm_forward",
    params_bytes: size_of::<ForwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "layernorm_forward"), by_row)],
};

pub(super) static BACKWARD: Op = Op {
    name: "layernorm_backward",
    params_bytes: size_of::<BackwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "layernorm_backward"), by_row)],
};
