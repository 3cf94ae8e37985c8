//! Linear layers. Records `shaders/matmul_{forward,backward_input,backward_weight}.wgsl`; the CPU twin is
//! `reference::matmul`.
//!
//! Forward and backward to the input exist in variants, of which `autotune` takes the fastest on the device at hand.
//! All add up in the same order and give the same bits.

use bytemuck::{Pod, Zeroable};

use super::weight::{for_dtype, per_dtype};
use crate::error::Result;
use crate::gpu::{Bind, Dtype, Gpu, Grid, Kernel, Recorder, Tensor};

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
    let (kernels, grid) = match variant(rec.gpu()) {
        Variant::Tile => (&FORWARD, tile_grid(m, n)),
        Variant::Subgroup => (&FORWARD_SUBGROUP, subgroup_grid(m, n)),
        Variant::Wide => (&FORWARD_WIDE, wide_grid(m, n)),
    };
    rec.dispatch(for_dtype(kernels, w.dtype()), &params, &[x, w, y], grid);
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
    let (kernels, grid) = match variant(rec.gpu()) {
        Variant::Tile => (&BACKWARD_INPUT, tile_grid(m, k)),
        Variant::Subgroup => {
            let [columns, rows, _] = subgroup_grid(m, k);
            (&BACKWARD_INPUT_SUBGROUP, [rows, columns, 1])
        }
        Variant::Wide => (&BACKWARD_INPUT_WIDE, wide_grid(m, k)),
    };
    rec.dispatch(for_dtype(kernels, w.dtype()), &params, &[dy, w, dx], grid);
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

/// A way to compute `matmul_forward` and `matmul_backward_input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// An 8x8 tile per lane, no communication: runs everywhere.
    Tile,
    /// A 64x4 tile per lane, one operand passed around in a subgroup of 8 lanes or more.
    Subgroup,
    /// A 16x16 tile per lane, no communication: for software adapters, where loads are dear.
    Wide,
}

/// The name under which the device remembers the choice.
const OPERATION: &str = "matmul";

/// The variant in use on a device.
pub fn variant(gpu: &Gpu) -> Variant {
    // In the order of their numbers, which `set_variant` keeps.
    [Variant::Tile, Variant::Subgroup, Variant::Wide][gpu.variant(OPERATION)]
}

/// The variants that a device can run.
pub fn variants(gpu: &Gpu) -> Vec<Variant> {
    let mut variants = vec![Variant::Tile];
    if gpu.has_subgroups() {
        variants.push(Variant::Subgroup);
    }
    if gpu.report().is_software() {
        variants.push(Variant::Wide);
    }
    variants
}

/// Uses one of `variants` from now on.
pub fn set_variant(gpu: &Gpu, variant: Variant) {
    gpu.set_variant(OPERATION, variant as usize);
}

/// Times each variant on a middling matmul and keeps the fastest; `seconds` is the platform's clock.
pub async fn autotune(gpu: &Gpu, seconds: &dyn Fn() -> f64) -> Result<Variant> {
    let candidates = variants(gpu);
    let (x, w) = (gpu.zeros("x", 256, 512, Dtype::F32), gpu.zeros("w", 256, 512, Dtype::F32));
    let y = gpu.zeros("y", 256, 256, Dtype::F32);
    let mut best = (f64::INFINITY, Variant::Tile);
    for candidate in candidates {
        set_variant(gpu, candidate);
        // The first round compiles; of the others the fastest counts.
        for round in 0..4 {
            gpu.wait().await?;
            let start = seconds();
            let mut rec = gpu.recorder();
            matmul_forward(&mut rec, &x, &w, 1.0, Store::Set, 0, &y);
            rec.submit();
            gpu.wait().await?;
            let time = seconds() - start;
            if round > 0 && time < best.0 {
                best = (time, candidate);
            }
        }
    }
    set_variant(gpu, best.1);
    Ok(best.1)
}

/// Workgroups of 8 lanes with a 64x32 tile.
fn subgroup_grid(rows: u32, cols: u32) -> Grid {
    [cols.div_ceil(32), rows.div_ceil(64), 1]
}

/// Workgroups of 8 invocations, each with a 16x16 tile, one below the other.
fn wide_grid(rows: u32, cols: u32) -> Grid {
    [cols.div_ceil(16), rows.div_ceil(128), 1]
}

/// Workgroups of 8x8 invocations, each with an 8x8 tile.
fn tile_grid(rows: u32, cols: u32) -> Grid {
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

const BINDS: &[Bind] = &[Bind::Read, Bind::Read, Bind::Write];

pub(super) static FORWARD: [Kernel; 3] = per_dtype!("matmul_forward", "", ["matmul"], Params, BINDS, subgroups: false);

pub(super) static BACKWARD_INPUT: [Kernel; 3] =
    per_dtype!("matmul_backward_input", "", ["matmul"], Params, BINDS, subgroups: false);

pub(super) static FORWARD_SUBGROUP: [Kernel; 3] =
    per_dtype!("matmul_forward_subgroup", "subgroup", ["matmul", "subgroup"], Params, BINDS, subgroups: true);

pub(super) static BACKWARD_INPUT_SUBGROUP: [Kernel; 3] =
    per_dtype!("matmul_backward_input_subgroup", "subgroup", ["matmul", "subgroup"], Params, BINDS, subgroups: true);

pub(super) static FORWARD_WIDE: [Kernel; 3] =
    per_dtype!("matmul_forward_wide", "wide", ["matmul", "wide"], Params, BINDS, subgroups: false);

pub(super) static BACKWARD_INPUT_WIDE: [Kernel; 3] =
    per_dtype!("matmul_backward_input_wide", "wide", ["matmul", "wide"], Params, BINDS, subgroups: false);

pub(super) static BACKWARD_WEIGHT: Kernel = Kernel {
    name: "matmul_backward_weight",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/matmul_backward_weight.wgsl"),
    params_bytes: size_of::<WeightParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};
