//! RMSNorm. Records `shaders/rmsnorm_{forward,backward}.wgsl`; the CPU twin is `reference::rmsnorm`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_row, wgsl};
use super::matmul::Store;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Scales each row of `x` (R,C) to unit mean square, then by `gain` (C), and adds `residual` (R,C), into `y` (R,C).
///
/// Also writes `rstd` (R), which the backward pass reads. (Zhang & Sennrich 2019.)
pub fn rmsnorm_forward(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    gain: &Tensor,
    eps: f32,
    residual: Option<&Tensor>,
    y: &Tensor,
    rstd: &Tensor,
) {
    let [rows, cols] = x.dims();
    assert_eq!(gain.len(), cols, "gain needs one entry per column of x");
    assert_eq!(y.dims(), x.dims(), "y needs the shape of x");
    assert!(rstd.len() >= rows, "rstd needs one entry per row of x");
    assert_eq!(cols % 4, 0, "columns come in fours");
    assert!(residual.is_none_or(|residual| residual.dims() == x.dims()), "residual needs the shape of x");
    let params = ForwardParams { rows, cols4: cols / 4, eps, has_residual: residual.is_some().into() };
    // A missing residual is not read, but something must be bound.
    let tensors = [x, gain, residual.unwrap_or(x), y, rstd];
    rec.dispatch(&FORWARD, &params, &tensors, [rows.div_ceil(ROWS), 1, 1]);
}

/// Stores in `dx` (R,C) the gradient of `rmsnorm_forward` with respect to `x`, given `dy` (R,C).
pub fn rmsnorm_backward(
    rec: &mut Recorder<'_>,
    dy: &Tensor,
    x: &Tensor,
    gain: &Tensor,
    rstd: &Tensor,
    store: Store,
    dx: &Tensor,
) {
    let [rows, cols] = x.dims();
    assert_eq!(dy.dims(), x.dims(), "dy needs the shape of x");
    assert_eq!(gain.len(), cols, "gain needs one entry per column of x");
    assert!(rstd.len() >= rows, "rstd needs one entry per row of x");
    assert_eq!(dx.dims(), x.dims(), "dx needs the shape of x");
    let params = BackwardParams { rows, cols4: cols / 4, accumulate: (store == Store::Add).into() };
    rec.dispatch(&BACKWARD, &params, &[dy, x, gain, rstd, dx], [rows.div_ceil(ROWS), 1, 1]);
}

/// Rows that a workgroup holds.
const ROWS: u32 = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ForwardParams {
    rows: u32,
    cols4: u32,
    eps: f32,
    has_residual: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BackwardParams {
    rows: u32,
    cols4: u32,
    accumulate: u32,
}

pub(super) static FORWARD: Op = Op {
    name: "rmsnorm_forward",
    params_bytes: size_of::<ForwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "rmsnorm_forward"), by_row)],
};

pub(super) static BACKWARD: Op = Op {
    name: "rmsnorm_backward",
    params_bytes: size_of::<BackwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "rmsnorm_backward"), by_row)],
};
