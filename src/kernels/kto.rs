//! KTO's losses. Records `shaders/kto.wgsl`; the CPU twin is `reference::kto`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use super::preference::METRICS;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Scalars of KTO's losses; the names are TRL's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KtoSettings {
    /// Factor from log-ratio to reward.
    pub beta: f32,
    /// Weight of the desirable completions.
    pub desirable_weight: f32,
    /// Weight of the undesirable ones.
    pub undesirable_weight: f32,
    /// True if mismatched completions follow the matched ones, as in `loss_type` `kto`; otherwise `apo_zero_unpaired`.
    pub mismatched: bool,
}

/// Indices in the metrics tensor, besides the loss and the gradient's norm; the names are TRL's.
///
/// The values from `REWARDS_CHOSEN` on are sums over the micro-batches that had such completions. The number of these
/// micro-batches follows them, and the caller divides.
pub mod kto_metric {
    /// TRL's `kl`: the policy's distance from the reference on mismatched completions, nats, not below 0.
    pub const KL: usize = 2;
    /// TRL's `entropy`, mean over scored tokens, nats.
    pub const ENTROPY: usize = 3;
    /// TRL's `rewards/chosen`.
    pub const REWARDS_CHOSEN: usize = 4;
    /// TRL's `logps/chosen`.
    pub const LOGPS_CHOSEN: usize = 5;
    /// TRL's `logits/chosen`.
    pub const LOGITS_CHOSEN: usize = 6;
    /// Micro-batches that had desirable completions.
    pub const CHOSEN_COUNT: usize = 7;
    /// TRL's `rewards/rejected`.
    pub const REWARDS_REJECTED: usize = 8;
    /// TRL's `logps/rejected`.
    pub const LOGPS_REJECTED: usize = 9;
    /// TRL's `logits/rejected`.
    pub const LOGITS_REJECTED: usize = 10;
    /// Micro-batches that had undesirable completions.
    pub const REJECTED_COUNT: usize = 11;
    /// TRL's `rewards/margins`.
    pub const REWARDS_MARGINS: usize = 12;
    /// Micro-batches that had both kinds.
    pub const MARGINS_COUNT: usize = 13;
}

/// Losses of n completions. The first column of `sums` (S,8) is the sum of log-probabilities. `known` (S,4): the
/// reference's sum, completion tokens, scored tokens, 1 for a desirable completion and 0 for another.
///
/// S is n, or 2n if a mismatched completion for each follows them. Writes `dsums` (S,2) = `share` times the derivative
/// of the loss with respect to the first two columns of `sums`; only the first counts, and it is 0 for the mismatched
/// completions. Adds the metrics to `metrics`; `share` is 1 over the number of micro-batches of the step.
pub fn kto(
    rec: &mut Recorder<'_>,
    sums: &Tensor,
    known: &Tensor,
    settings: &KtoSettings,
    share: f32,
    dsums: &Tensor,
    metrics: &Tensor,
) {
    let (sequences, parts) = (sums.rows(), 1 + u32::from(settings.mismatched));
    assert!(sequences.is_multiple_of(parts) && sequences > 0, "each completion has a mismatched one");
    assert_eq!([sums.cols(), known.cols()], [8, 4], "sums has eight columns, known four");
    assert!(known.rows() >= sequences && dsums.len() >= 2 * sequences, "known and dsums need the rows of sums");
    assert!(metrics.len() >= METRICS, "metrics is too small");
    let params = Params {
        completions: sequences / parts,
        mismatched: settings.mismatched.into(),
        beta: settings.beta,
        desirable: settings.desirable_weight,
        undesirable: settings.undesirable_weight,
        share,
    };
    rec.dispatch(&KTO, &params, &[sums, known, dsums, metrics], [1, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    completions: u32,
    mismatched: u32,
    beta: f32,
    desirable: f32,
    undesirable: f32,
    share: f32,
}

pub(super) static KTO: Op = Op {
    name: "kto",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/loss", "kto"), as_is)],
};
