//! Quantises weights to blocks as they are loaded. Records `shaders/{quantise_q8_0,quantise_q4_0,quantise_nf4}.wgsl`;
//! the CPU twin is `reference::quantise`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use super::weight::PLAIN;
use crate::gpu::{Bind, Dtype, Op, Recorder, Tensor, Variant};

/// Elements that one invocation stores: rows of a weight in blocks have a multiple of this number.
pub const QUANTISED_TOGETHER: u32 = 64;

/// Stores all rows of `w` in `blocks`, from row `first` on, in the type of `blocks`: Q8_0, Q4_0 or NF4.
pub fn quantise(rec: &mut Recorder<'_>, w: &Tensor, blocks: &Tensor, first: u32) {
    match blocks.dtype() {
        Dtype::Q8_0 => quantise_q8_0(rec, w, blocks, first),
        Dtype::Q4_0 => quantise_q4_0(rec, w, blocks, first),
        Dtype::Nf4 => quantise_nf4(rec, w, blocks, first),
        other => unreachable!("nothing is quantised to {other:?}"),
    }
}

/// Stores blocks of 32 signed bytes under an f16 scale.
pub fn quantise_q8_0(rec: &mut Recorder<'_>, w: &Tensor, blocks: &Tensor, first: u32) {
    record(rec, &QUANTISE_Q8_0, Dtype::Q8_0, w, blocks, first);
}

/// Stores blocks of 32 numbers from -8 to 7 under the f16 scale that errs least.
pub fn quantise_q4_0(rec: &mut Recorder<'_>, w: &Tensor, blocks: &Tensor, first: u32) {
    record(rec, &QUANTISE_Q4_0, Dtype::Q4_0, w, blocks, first);
}

/// Stores blocks of 64 indices into NF4's code book, scaled by the block's largest absolute weight.
pub fn quantise_nf4(rec: &mut Recorder<'_>, w: &Tensor, blocks: &Tensor, first: u32) {
    record(rec, &QUANTISE_NF4, Dtype::Nf4, w, blocks, first);
}

fn record(rec: &mut Recorder<'_>, op: &'static Op, dtype: Dtype, w: &Tensor, blocks: &Tensor, first: u32) {
    let [rows, cols] = w.dims();
    assert_eq!(blocks.dtype(), dtype, "the blocks are of this type");
    assert_eq!(cols % QUANTISED_TOGETHER, 0, "a row is whole blocks");
    assert_eq!(blocks.cols(), cols, "the blocks need the columns of w");
    assert!(first + rows <= blocks.rows(), "rows {first}..{} of {}", first + rows, blocks.rows());
    let each = cols / QUANTISED_TOGETHER;
    let params = Params { items: rows * each, first: first * each };
    rec.dispatch(op.with_weight(w.dtype()), &params, &[blocks, w], [params.items, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    items: u32,
    first: u32,
}

pub(super) static QUANTISE_Q8_0: Op = Op {
    name: "quantise_q8_0",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Write, Bind::Read],
    formats: PLAIN,
    variants: &[Variant::only(wgsl!("lib/quantise", "quantise_q8_0"), by_item)],
};

pub(super) static QUANTISE_Q4_0: Op = Op {
    name: "quantise_q4_0",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Write, Bind::Read],
    formats: PLAIN,
    variants: &[Variant::only(wgsl!("lib/quantise", "quantise_q4_0"), by_item)],
};

pub(super) static QUANTISE_NF4: Op = Op {
    name: "quantise_nf4",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Write, Bind::Read],
    formats: PLAIN,
    variants: &[Variant::only(wgsl!("quantise_nf4"), by_item)],
};
