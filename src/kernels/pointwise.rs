//! Elementwise and row-wise operations. Records `shaders/{gather_rows,scatter_rows,scaled_copy,softcap,dropout}.wgsl`;
//! the CPU twin is `reference::pointwise`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use super::matmul::Store;
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

/// `y = factor * x`, both of one shape.
pub fn scaled_copy(rec: &mut Recorder<'_>, x: &Tensor, factor: f32, y: &Tensor) {
    assert_eq!(x.dims(), y.dims(), "y needs the shape of x");
    assert_eq!(x.len() % 4, 0, "elements come in fours");
    let params = CopyParams { items: x.len() / 4, factor };
    rec.dispatch(&SCALED_COPY, &params, &[x, y], [params.items, 1, 1]);
}

/// `x = softcap * tanh(x / softcap)`, in place.
pub fn softcap(rec: &mut Recorder<'_>, x: &Tensor, softcap: f32) {
    assert_eq!(x.len() % 4, 0, "elements come in fours");
    let params = SoftcapParams { items: x.len() / 4, softcap, ceiling: softcap, inv_temperature: 1.0 };
    rec.dispatch(&SOFTCAP, &params, &[x], [params.items, 1, 1]);
}

/// Copies heads of `from` columns of `x` to heads of `to` columns of `y`, with zeros where the heads of `x` have no
/// column. Both have the same rows and heads.
pub fn resize_heads(rec: &mut Recorder<'_>, x: &Tensor, from: u32, to: u32, y: &Tensor) {
    let heads = x.cols() / from;
    assert_eq!([x.rows(), x.cols(), heads * to], [y.rows(), heads * from, y.cols()], "x and y have the same heads");
    let params = ResizeParams { items: y.len(), from_cols: from, to_cols: to };
    rec.dispatch(&RESIZE_HEADS, &params, &[x, y], [params.items, 1, 1]);
}

/// `y = keep * x / (1 - rate)`, set or added. `keep` is 0 with probability `rate`, and follows from `seed` and the
/// element's index. Both tensors have one shape, and `rate` is below 1.
pub fn dropout(rec: &mut Recorder<'_>, x: &Tensor, rate: f32, seed: u32, store: Store, y: &Tensor) {
    assert_eq!(x.dims(), y.dims(), "y needs the shape of x");
    assert!(x.len().is_multiple_of(4) && rate < 1.0, "elements come in fours, of which some are kept");
    let params = DropoutParams { items: x.len() / 4, seed, rate, accumulate: (store == Store::Add).into() };
    rec.dispatch(&DROPOUT, &params, &[x, y], [params.items, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SoftcapParams {
    items: u32,
    softcap: f32,
    ceiling: f32,
    inv_temperature: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DropoutParams {
    items: u32,
    seed: u32,
    rate: f32,
    accumulate: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowParams {
    rows: u32,
    cols4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CopyParams {
    items: u32,
    factor: f32,
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

pub(super) static SCALED_COPY: Op = Op {
    name: "scaled_copy",
    params_bytes: size_of::<CopyParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("scaled_copy"), by_item)],
};

pub(super) static DROPOUT: Op = Op {
    name: "dropout",
    params_bytes: size_of::<DropoutParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("dropout"), by_item)],
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ResizeParams {
    items: u32,
    from_cols: u32,
    to_cols: u32,
}

pub(super) static RESIZE_HEADS: Op = Op {
    name: "resize_heads",
    params_bytes: size_of::<ResizeParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("resize_heads"), by_item)],
};

pub(super) static SOFTCAP: Op = Op {
    name: "softcap",
    params_bytes: size_of::<SoftcapParams>(),
    binds: &[Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/logit_capped", "softcap"), by_item)],
};
