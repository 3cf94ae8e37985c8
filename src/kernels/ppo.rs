//! The two losses of PPO. Records `shaders/ppo_{policy,value}.wgsl`; the CPU twin is `reference::ppo`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use super::preference::METRICS;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Indices in the metrics tensor, besides the loss (of both) and the gradient's norm; the names are those of TRL 1.12.
pub mod ppo_metric {
    /// TRL's `policy/approxkl_avg`.
    pub const APPROXKL: usize = 2;
    /// TRL's `policy/clipfrac_avg`.
    pub const CLIPFRAC: usize = 3;
    /// TRL's `loss/policy_avg`.
    pub const LOSS_POLICY: usize = 4;
    /// TRL's `val/ratio`.
    pub const RATIO: usize = 5;
    /// Mean over the micro-batches of the square of (mean ratio - 1), for TRL's `val/ratio_var`.
    pub const RATIO_SQUARES: usize = 6;
    /// Mean entropy of the tokens that count, nats; TRL's `policy/entropy_avg` is over padding too.
    pub const ENTROPY: usize = 7;
    /// TRL's `loss/value_avg`.
    pub const LOSS_VALUE: usize = 8;
    /// TRL's `val/clipfrac_avg`.
    pub const VAL_CLIPFRAC: usize = 9;
}

/// The policy's loss. `token_stats` (N,4): each token's log-probability, _, entropy, _. `token_facts` (N,4):
/// log-probability when the token was written, advantage, 1 if the token counts or 0, _. `positions` is the number of
/// rows of the micro-batch times TRL's `response_length`; some metrics are means over it.
///
/// Writes `dlogp` (N) = `share` times the derivative of the loss with respect to each token's log-probability, and adds
/// to `metrics`; `share` is 1 over the number of micro-batches of the step.
pub fn ppo_policy(
    rec: &mut Recorder<'_>,
    token_stats: &Tensor,
    token_facts: &Tensor,
    cliprange: f64,
    positions: u32,
    share: f32,
    dlogp: &Tensor,
    metrics: &Tensor,
) {
    let tokens = token_stats.rows();
    assert_eq!([token_stats.cols(), token_facts.cols()], [4; 2], "rows have four columns");
    assert!(token_facts.rows() >= tokens && dlogp.len() >= tokens, "token_facts and dlogp need one entry per token");
    assert!(metrics.len() >= METRICS && positions > 0, "metrics is too small, or there is no position");
    let [low, high] = [1.0 - cliprange, 1.0 + cliprange].map(|bound| bound as f32);
    let params = PolicyParams { tokens, positions: positions as f32, low, high, share };
    rec.dispatch(&POLICY, &params, &[token_stats, token_facts, dlogp, metrics], [1, 1, 1]);
}

/// The value model's loss. `values` (N,1). `token_facts` (N,4): value when the text was written, return, 1 if the
/// position counts or 0, _.
///
/// Writes `dvalues` (N,1) = `share` times the derivative of the loss, which is `vf_coef` times TRL's, and adds to
/// `metrics`; `share` is 1 over the number of micro-batches of the step.
pub fn ppo_value(
    rec: &mut Recorder<'_>,
    values: &Tensor,
    token_facts: &Tensor,
    cliprange_value: f32,
    vf_coef: f32,
    share: f32,
    dvalues: &Tensor,
    metrics: &Tensor,
) {
    let positions = values.len();
    assert_eq!(token_facts.cols(), 4, "rows have four columns");
    assert!(token_facts.rows() >= positions, "token_facts needs a row per position");
    assert!(dvalues.len() >= positions && metrics.len() >= METRICS, "dvalues and metrics are too small");
    let params = ValueParams { positions, cliprange: cliprange_value, vf_coef, share };
    rec.dispatch(&VALUE, &params, &[values, token_facts, dvalues, metrics], [1, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PolicyParams {
    tokens: u32,
    positions: f32,
    low: f32,
    high: f32,
    share: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ValueParams {
    positions: u32,
    cliprange: f32,
    vf_coef: f32,
    share: f32,
}

pub(super) static POLICY: Op = Op {
    name: "ppo_policy",
    params_bytes: size_of::<PolicyParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "lib/ratio", "ppo_policy"), as_is)],
};

pub(super) static VALUE: Op = Op {
    name: "ppo_value",
    params_bytes: size_of::<ValueParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "ppo_value"), as_is)],
};
