//! The loss of a reward model. Records `shaders/reward.wgsl`; the CPU twin is `reference::reward`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use super::preference::METRICS;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Indices in the metrics tensor, besides the loss and the gradient's norm; the names are TRL's.
pub mod reward_metric {
    /// The lowest of all rewards.
    pub const MIN_REWARD: usize = 2;
    /// The mean of all rewards.
    pub const MEAN_REWARD: usize = 3;
    /// The highest of all rewards.
    pub const MAX_REWARD: usize = 4;
    /// Share of pairs whose chosen text has the higher reward.
    pub const ACCURACY: usize = 5;
    /// Mean of chosen minus rejected.
    pub const MARGIN: usize = 6;
}

/// Loss of n pairs. `values` (2n,1) are the rewards of the chosen and then of the rejected texts. `margins` (n,1) are
/// the amounts by which the first should be above the second; `centre` is TRL's `center_rewards_coefficient`, 0 for
/// none.
///
/// Writes `dvalues` (2n,1) = `share` times the derivative of the loss, and adds `share` times each metric to `metrics`;
/// `share` is 1 over the number of micro-batches of the step.
pub fn reward(
    rec: &mut Recorder<'_>,
    values: &Tensor,
    margins: &Tensor,
    centre: f32,
    share: f32,
    dvalues: &Tensor,
    metrics: &Tensor,
) {
    let pairs = values.len() / 2;
    assert!(values.len().is_multiple_of(2) && pairs > 0, "two texts make a pair");
    assert!(margins.len() >= pairs, "margins needs one entry per pair");
    assert!(dvalues.len() >= 2 * pairs && metrics.len() >= METRICS, "dvalues and metrics are too small");
    rec.dispatch(&REWARD, &Params { pairs, centre, share }, &[values, margins, dvalues, metrics], [1, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    pairs: u32,
    centre: f32,
    share: f32,
}

pub(super) static REWARD: Op = Op {
    name: "reward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/loss", "reward"), as_is)],
};
