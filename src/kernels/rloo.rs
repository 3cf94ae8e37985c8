//! The loss of RLOO. Records `shaders/rloo.wgsl`; the CPU twin is `reference::rloo`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use super::preference::METRICS;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// The loss of S completions. `token_stats` (N,4): each token's log-probability, _, entropy, _. `ranges` (S,2): first
/// token and end of each completion; together they hold all tokens. `token_facts` (N,4): log-probability when the token
/// was written, _, _, _. `sequence_facts` (S,4): advantage, 1 if the completion counts or 0, _, _. `epsilon` is the
/// distance that the ratio of a completion's probabilities may be below 1, and above 1.
///
/// Writes `dlogp` (N) = `share` times the derivative of the loss with respect to each token's log-probability, and adds
/// to `metrics` at the indices of `policy_metric`; `share` is 1 over the number of micro-batches of the step.
pub fn rloo(
    rec: &mut Recorder<'_>,
    token_stats: &Tensor,
    ranges: &Tensor,
    token_facts: &Tensor,
    sequence_facts: &Tensor,
    epsilon: [f64; 2],
    share: f32,
    dlogp: &Tensor,
    metrics: &Tensor,
) {
    let (tokens, sequences) = (token_stats.rows(), sequence_facts.rows());
    assert_eq!([token_stats.cols(), token_facts.cols(), sequence_facts.cols()], [4; 3], "rows have four columns");
    assert!(sequences > 0 && ranges.len() >= 2 * sequences, "ranges needs two entries per sequence");
    assert!(token_facts.rows() >= tokens && dlogp.len() >= tokens, "token_facts and dlogp need one entry per token");
    assert!(metrics.len() >= METRICS, "metrics is too small");
    let [low, high] = [1.0 - epsilon[0], 1.0 + epsilon[1]].map(|bound| bound as f32);
    let tensors = [token_stats, ranges, token_facts, sequence_facts, dlogp, metrics];
    rec.dispatch(&RLOO, &Params { sequences, low, high, share }, &tensors, [1, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    sequences: u32,
    low: f32,
    high: f32,
    share: f32,
}

pub(super) static RLOO: Op = Op {
    name: "rloo",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "lib/ratio", "rloo"), as_is)],
};
