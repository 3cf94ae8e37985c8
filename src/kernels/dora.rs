//! DoRA (Liu et al. 2024): rows of adapted weights are scaled to trained lengths. Records
//! `shaders/{dora_norms,scale_columns,dora_backward_lengths}.wgsl`; the CPU twin is `reference::dora`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, by_row, wgsl};
use super::matmul::{MAX_SEGMENTS, Partials, Segments};
use super::weight::FORMATS;
use crate::gpu::{Bind, Grid, Op, Recorder, Shape, Tensor, Variant};

/// Computes the lengths c of the rows of `w + scales[s] b a`, and the factors that bring them to `lengths`. Writes
/// `1 + strength (lengths / c - 1)`, `1 / c` and `c`, or 1, 0, 0 for a layer without an adapter, into the columns of
/// `norms` from `first` on; `norms` has three rows of at least L.
///
/// `a` is (ranks,K), `w` (N,K) a block of rows of the layers side by side, `b` (L,r), `lengths` (L). `scales` has one
/// number for each layer with an adapter, or one for all.
pub fn dora_norms(
    rec: &mut Recorder<'_>,
    a: &Tensor,
    w: &Tensor,
    first: u32,
    b: &Tensor,
    lengths: &Tensor,
    segments: &Segments,
    scales: &[f32],
    strength: f32,
    norms: &Tensor,
) {
    let ([n, k], columns) = (w.dims(), b.rows());
    segments.check(columns);
    assert_eq!([a.cols(), lengths.len()], [k, columns], "a needs the columns of w, lengths the rows of b");
    assert!(norms.rows() == 3 && norms.cols() >= columns && first + n <= columns, "three numbers for each row of b");
    let mut scale_of = [0.0; MAX_SEGMENTS];
    let adapted = segments.u_at.iter().enumerate().filter(|(_, at)| at.is_some());
    for (i, (s, _)) in adapted.enumerate() {
        scale_of[s] = scales[i.min(scales.len() - 1)];
    }
    let params = NormsParams {
        n,
        k4: k / 4,
        first,
        stride: norms.cols(),
        rank: b.cols(),
        strength,
        pad: [0; 2],
        ends: segments.ends(),
        a_at: segments.u_at(),
        scales: scale_of,
    };
    rec.dispatch(NORMS.with_weight(w.dtype()), &params, &[a, w, b, lengths, norms], [n.div_ceil(ROWS), 1, 1]);
}

/// `y = scale * gain[n] * x[:,n] + bias[n] + residual[:,n]`, all but `gain` and `bias` (L) of one shape (M,L).
pub fn scale_columns(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    gain: &Tensor,
    scale: f32,
    bias: Option<&Tensor>,
    residual: Option<&Tensor>,
    y: &Tensor,
) {
    let [_, cols] = x.dims();
    assert_eq!(y.dims(), x.dims(), "y needs the shape of x");
    assert_eq!([gain.len(), cols % 4], [cols, 0], "gain needs one entry per column of x, and columns come in fours");
    assert!(bias.is_none_or(|bias| bias.len() == cols), "the bias needs one entry per column of x");
    assert!(residual.is_none_or(|residual| residual.dims() == x.dims()), "the residual needs the shape of x");
    let params = ColumnsParams {
        items: x.len() / 4,
        cols4: cols / 4,
        scale,
        has_bias: bias.is_some().into(),
        has_residual: residual.is_some().into(),
    };
    // Missing tensors are not read, but something must be bound.
    let tensors = [x, gain, bias.unwrap_or(gain), residual.unwrap_or(x), y];
    rec.dispatch(&COLUMNS, &params, &tensors, [params.items, 1, 1]);
}

/// `partials[part, at + n] = inverse[n] * Σ dy[:,n] z[:,n]` over the part's rows, with `dy` and `z` (M,L).
///
/// `sum_partials` adds the parts up.
pub fn dora_backward_lengths(
    rec: &mut Recorder<'_>,
    dy: &Tensor,
    z: &Tensor,
    inverse: &Tensor,
    partials: &Partials,
    at: u32,
) {
    let [m, cols] = dy.dims();
    assert_eq!([z.dims(), [1, inverse.len()]], [[m, cols], [1, cols]], "z and inverse need the columns of dy");
    assert!(cols.is_multiple_of(4) && at.is_multiple_of(4), "columns come in fours");
    assert!(at + cols <= partials.tensor.cols(), "the gradient has its place in the partials");
    let params = LengthsParams {
        m,
        cols4: cols / 4,
        rows_per_part: partials.rows_per_part,
        stride4: partials.tensor.cols() / 4,
        at4: at / 4,
    };
    rec.dispatch(&LENGTHS, &params, &[dy, z, inverse, &partials.tensor], [cols / 4, partials.parts(m), 1]);
}

/// Rows that a workgroup holds.
const ROWS: u32 = 8;

fn by_columns([cols4, parts, _]: Shape) -> Grid {
    [cols4.div_ceil(64), parts, 1]
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NormsParams {
    n: u32,
    k4: u32,
    first: u32,
    stride: u32,
    rank: u32,
    strength: f32,
    pad: [u32; 2],
    ends: [u32; MAX_SEGMENTS],
    a_at: [u32; MAX_SEGMENTS],
    scales: [f32; MAX_SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ColumnsParams {
    items: u32,
    cols4: u32,
    scale: f32,
    has_bias: u32,
    has_residual: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LengthsParams {
    m: u32,
    cols4: u32,
    rows_per_part: u32,
    stride4: u32,
    at4: u32,
}

pub(super) static NORMS: Op = Op {
    name: "dora_norms",
    params_bytes: size_of::<NormsParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: FORMATS,
    variants: &[Variant::only(wgsl!("lib/reduce", "dora_norms"), by_row)],
};

pub(super) static COLUMNS: Op = Op {
    name: "scale_columns",
    params_bytes: size_of::<ColumnsParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("scale_columns"), by_item)],
};

pub(super) static LENGTHS: Op = Op {
    name: "dora_backward_lengths",
    params_bytes: size_of::<LengthsParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("dora_backward_lengths"), by_columns)],
};
