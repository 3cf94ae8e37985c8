//! Generation, one row for each text. Records `shaders/{cache_append,attention_decode,sample}.wgsl`; the CPU twin is
//! `reference::decode`.

use bytemuck::{Pod, Zeroable};

use super::attention::{AttentionShape, SCORES};
use super::grids::{as_is, by_item, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Writes the keys and values of `qkv` (R, (heads + 2 kv_heads) D) to the rows `slots` (R) of `cache`
/// (rows, 2 kv_heads D).
pub fn cache_append(rec: &mut Recorder<'_>, qkv: &Tensor, slots: &Tensor, shape: AttentionShape, cache: &Tensor) {
    let [rows, columns] = qkv.dims();
    assert_eq!(columns, shape.columns(), "qkv needs the columns of all heads");
    assert_eq!(cache.cols(), 2 * shape.kv_heads * shape.head_dim, "the cache needs the columns of keys and values");
    assert!(slots.len() >= rows, "slots needs one entry per row");
    let first4 = shape.heads * shape.head_dim / 4;
    let params = AppendParams { rows, columns4: columns / 4, first4 };
    rec.dispatch(&CACHE_APPEND, &params, &[qkv, slots, cache], [rows * (columns / 4 - first4), 1, 1]);
}

/// Computes attention of the queries of `qkv` (R, ...), each over its text's rows in `cache`, into `out` (R, heads*D).
///
/// Row r of `spans` has the first and the last row of the text in the cache.
pub fn attention_decode(
    rec: &mut Recorder<'_>,
    qkv: &Tensor,
    cache: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    out: &Tensor,
) {
    let rows = qkv.rows();
    assert_eq!(qkv.cols(), shape.columns(), "qkv needs the columns of all heads");
    assert_eq!(cache.cols(), 2 * shape.kv_heads * shape.head_dim, "the cache needs the columns of keys and values");
    assert_eq!(out.dims(), [rows, shape.heads * shape.head_dim], "out needs heads*head_dim columns");
    assert!(spans.rows() >= rows, "spans needs one row per row");
    assert!(shape.head_dim as usize <= MAX_HEAD_DIM, "a head has at most {MAX_HEAD_DIM} columns");
    let AttentionShape { heads, kv_heads, head_dim, scale, softcap, window } = shape;
    let params = AttentionParams { heads, kv_heads, d4: head_dim / 4, scale, softcap, window };
    let call = ATTENTION_DECODE.with_format(shape.form());
    rec.dispatch(call, &params, &[qkv, cache, spans, out], [rows, heads, 1]);
}

/// Settings for drawing a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Number of likeliest tokens that are kept; 0 for all.
    pub top_k: u32,
    /// Total probability that the kept tokens reach; 1 for all tokens.
    pub top_p: f32,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// Draws the next token of each text from `logits` (R, ld >= vocab): the `drawn`-th of the texts `first_text..`.
///
/// Writes it to `ids` (R) and to the column `step` of `tokens` (R, steps), and advances each text: the last row and the
/// position in `spans` (R, 4), and `slots` (R).
pub fn sample(
    rec: &mut Recorder<'_>,
    logits: &Tensor,
    vocab: u32,
    sampling: &Sampling,
    first_text: u32,
    drawn: u32,
    step: u32,
    tokens: &Tensor,
    ids: &Tensor,
    spans: &Tensor,
    slots: &Tensor,
) {
    let [rows, ld] = logits.dims();
    assert!(vocab <= ld && step < tokens.cols(), "the vocabulary and the step have their columns");
    assert!(tokens.rows() >= rows && ids.len() >= rows && spans.rows() >= rows && slots.len() >= rows, "a row each");
    let params = SampleParams {
        rows,
        vocab,
        ld,
        steps: tokens.cols(),
        step,
        drawn,
        first_text,
        seed_low: sampling.seed as u32,
        seed_high: (sampling.seed >> 32) as u32,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        temperature: sampling.temperature,
    };
    rec.dispatch(&SAMPLE, &params, &[logits, tokens, ids, spans, slots], [rows, 1, 1]);
}

/// Most columns of a head for `attention_decode`: each of its 64 lanes sums four.
pub const MAX_HEAD_DIM: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AppendParams {
    rows: u32,
    columns4: u32,
    first4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AttentionParams {
    heads: u32,
    kv_heads: u32,
    d4: u32,
    scale: f32,
    softcap: f32,
    window: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SampleParams {
    rows: u32,
    vocab: u32,
    ld: u32,
    steps: u32,
    step: u32,
    drawn: u32,
    first_text: u32,
    seed_low: u32,
    seed_high: u32,
    top_k: u32,
    top_p: f32,
    temperature: f32,
}

pub(super) static CACHE_APPEND: Op = Op {
    name: "cache_append",
    params_bytes: size_of::<AppendParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("cache_append"), by_item)],
};

pub(super) static ATTENTION_DECODE: Op = Op {
    name: "attention_decode",
    params_bytes: size_of::<AttentionParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: SCORES,
    variants: &[Variant::only(wgsl!("attention_decode"), as_is)],
};

pub(super) static SAMPLE: Op = Op {
    name: "sample",
    params_bytes: size_of::<SampleParams>(),
    binds: &[Bind::Read, Bind::Write, Bind::Write, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "sample"), as_is)],
};
