//! Sums per sequence and the preference losses. Records `shaders/{sequence_sum,preference}.wgsl`; the CPU twin is
//! `reference::preference`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// How much of each loss type there is; 0 leaves it out. The names are TRL's `loss_type`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct LossWeights {
    /// DPO (Rafailov et al. 2023).
    pub sigmoid: f32,
    /// IPO (Azar et al. 2023), on log-ratios per token.
    pub ipo: f32,
    /// SLiC's hinge (Zhao et al. 2023) on DPO's margin.
    pub hinge: f32,
    /// Robust DPO (Chowdhury et al. 2024).
    pub robust: f32,
    /// APO-zero (D'Oosterlinck et al. 2024).
    pub apo_zero: f32,
    /// Cross entropy of the chosen completions.
    pub sft: f32,
}

/// Scalars of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreferenceSettings {
    /// TRL's `beta`.
    pub beta: f32,
    /// TRL's `label_smoothing`; only `robust` reads it.
    pub label_smoothing: f32,
    /// Weights of the loss types.
    pub weights: LossWeights,
}

/// Entries of the metrics tensor, the first 11 written here, the last by `grad_norm`.
pub const METRICS: u32 = 16;

/// Places in the metrics tensor.
pub mod metric {
    /// Loss.
    pub const LOSS: usize = 0;
    /// TRL's `rewards/chosen`.
    pub const REWARDS_CHOSEN: usize = 1;
    /// TRL's `rewards/rejected`.
    pub const REWARDS_REJECTED: usize = 2;
    /// TRL's `rewards/accuracies`.
    pub const REWARDS_ACCURACIES: usize = 3;
    /// TRL's `rewards/margins`.
    pub const REWARDS_MARGINS: usize = 4;
    /// TRL's `logps/chosen`.
    pub const LOGPS_CHOSEN: usize = 5;
    /// TRL's `logps/rejected`.
    pub const LOGPS_REJECTED: usize = 6;
    /// TRL's `logits/chosen`.
    pub const LOGITS_CHOSEN: usize = 7;
    /// TRL's `logits/rejected`.
    pub const LOGITS_REJECTED: usize = 8;
    /// TRL's `entropy`.
    pub const ENTROPY: usize = 9;
    /// TRL's `mean_token_accuracy`.
    pub const MEAN_TOKEN_ACCURACY: usize = 10;
    /// TRL's `grad_norm`.
    pub const GRAD_NORM: usize = 11;
}

/// Sums the rows of `stats` (T,4) over each sequence's range of tokens, row s of `ranges` (S,2), into `sums` (S,4).
pub fn sequence_sum(rec: &mut Recorder<'_>, stats: &Tensor, ranges: &Tensor, sums: &Tensor) {
    let sequences = sums.rows();
    assert!(ranges.len() >= 2 * sequences, "ranges needs two entries per sequence");
    let params = SumParams { sequences };
    rec.dispatch(&SEQUENCE_SUM, &params, &[stats, ranges, sums], [sequences.div_ceil(8), 1, 1]);
}

/// Losses of n pairs from `sums` (2n,4), chosen first, and `known` (2n,4): reference log-probability, completion
/// tokens, scored tokens, 0.
///
/// Writes `dlogp` (2n) = `share` times the derivative of the loss, and adds `share` times each metric to `metrics`;
/// `share` is 1 over the number of micro-batches of the step.
pub fn preference(
    rec: &mut Recorder<'_>,
    sums: &Tensor,
    known: &Tensor,
    settings: &PreferenceSettings,
    share: f32,
    dlogp: &Tensor,
    metrics: &Tensor,
) {
    let sequences = sums.rows();
    assert!(sequences.is_multiple_of(2) && sequences > 0, "two sequences make a pair");
    assert_eq!(known.dims(), sums.dims(), "known needs the shape of sums");
    assert!(dlogp.len() >= sequences && metrics.len() >= METRICS, "dlogp and metrics are too small");
    let params = PreferenceParams {
        pairs: sequences / 2,
        beta: settings.beta,
        // Only robust reads it, and it divides by 1 - 2e.
        label_smoothing: if settings.weights.robust == 0.0 { 0.0 } else { settings.label_smoothing },
        share,
        weights: settings.weights,
    };
    rec.dispatch(&PREFERENCE, &params, &[sums, known, dlogp, metrics], [1, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumParams {
    sequences: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PreferenceParams {
    pairs: u32,
    beta: f32,
    label_smoothing: f32,
    share: f32,
    weights: LossWeights,
}

pub(super) static SEQUENCE_SUM: Op = Op {
    name: "sequence_sum",
    params_bytes: size_of::<SumParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("sequence_sum"), as_is)],
};

pub(super) static PREFERENCE: Op = Op {
    name: "preference",
    params_bytes: size_of::<PreferenceParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("preference"), as_is)],
};
