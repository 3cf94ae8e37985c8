//! Linear layers. Records `shaders/matmul_{forward,backward_input,backward_weight}.wgsl`; the CPU twin is
//! `reference::matmul`.

use bytemuck::{Pod, Zeroable};

use super::weight::{for_dtype, per_dtype};
use crate::gpu::{Bind, Kernel, Recorder, Tensor};

/// Whether a result replaces what is there or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// `=`
    Set,
    /// `+=`
    Add,
}

/// `y[:, first..] = scale * x wᵀ` with `x` (M,K), `w` (N,K) and `y` (M,L), `first + N <= L` up to rounding to 4.
///
/// `w` may be one block of rows of a larger weight; `first`, a multiple of 4, is then the block's first row.
pub fn matmul_forward(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    w: &Tensor,
    scale: f32,
    store: Store,
    first: u32,
    y: &Tensor,
) {
    let [m, k] = x.dims();
    let n = w.rows();
    assert_eq!(w.cols(), k, "w needs the columns of x");
    assert_eq!(y.rows(), m, "y needs the rows of x");
    let params = Params::new(m, n, k, y, first, store, scale);
    rec.dispatch(for_dtype(&FORWARD, w.dtype()), &params, &[x, w, y], tile_grid(m, n));
}

/// `dx = scale * dy[:, first..first+N] w` with `dy` (M,L), `w` (N,K) and `dx` (M,K).
///
/// The columns of `dy` from `first + N` up to the next multiple of 4 must be zero.
pub fn matmul_backward_input(
    rec: &mut Recorder<'_>,
    dy: &Tensor,
    w: &Tensor,
    scale: f32,
    store: Store,
    first: u32,
    dx: &Tensor,
) {
    let [n, k] = w.dims();
    let m = dy.rows();
    assert_eq!(dx.dims(), [m, k], "dx needs the rows of dy and the columns of w");
    let params = Params::new(m, n, k, dy, first, store, scale);
    rec.dispatch(for_dtype(&BACKWARD_INPUT, w.dtype()), &params, &[dy, w, dx], tile_grid(m, k));
}

/// `dw += scale * dyᵀ x` with `dy` (M,N), `x` (M,K) and `dw` (N,K); N and K are multiples of 4.
pub fn matmul_backward_weight(rec: &mut Recorder<'_>, dy: &Tensor, x: &Tensor, scale: f32, dw: &Tensor) {
    let [m, n] = dy.dims();
    let k = x.cols();
    assert_eq!(x.rows(), m, "x needs the rows of dy");
    assert_eq!(dw.dims(), [n, k], "dw needs the columns of dy and of x");
    assert!(n.is_multiple_of(4) && k.is_multiple_of(4), "columns come in fours");
    let params = WeightParams { m, n4: n / 4, k4: k / 4, scale };
    rec.dispatch(&BACKWARD_WEIGHT, &params, &[dy, x, dw], [k.div_ceil(32), n.div_ceil(8), 1]);
}

/// Workgroups of 8x8 invocations, each with an 8x8 tile.
fn tile_grid(rows: u32, cols: u32) -> [u32; 3] {
    [cols.div_ceil(64), rows.div_ceil(64), 1]
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    accumulate: u32,
    scale: f32,
}

impl Params {
    /// `wide` is the matrix that has a column per row of the weight: `y`, or `dy`.
    fn new(m: u32, n: u32, k: u32, wide: &Tensor, first: u32, store: Store, scale: f32) -> Self {
        let ld = wide.cols();
        assert!(k.is_multiple_of(4) && ld.is_multiple_of(4) && first.is_multiple_of(4), "columns come in fours");
        assert!(first + n.next_multiple_of(4) <= ld, "columns {first}..{} of {ld}", first + n);
        Self { m, n, k4: k / 4, ldy4: ld / 4, first4: first / 4, accumulate: u32::from(store == Store::Add), scale }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct WeightParams {
    m: u32,
    n4: u32,
    k4: u32,
    scale: f32,
}

pub(super) static FORWARD: [Kernel; 3] = per_dtype!("matmul_forward", Params, &[Bind::Read, Bind::Read, Bind::Write]);

pub(super) static BACKWARD_INPUT: [Kernel; 3] =
    per_dtype!("matmul_backward_input", Params, &[Bind::Read, Bind::Read, Bind::Write]);

pub(super) static BACKWARD_WEIGHT: Kernel = Kernel {
    name: "matmul_backward_weight",
    wgsl: include_str!("../../shaders/matmul_backward_weight.wgsl"),
    params_bytes: size_of::<WeightParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
};
