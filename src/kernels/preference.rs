//! Sums per sequence and the losses of pairs. Records `shaders/{sequence_sum,token_gradient}.wgsl` and
//! `shaders/{preference,pair_metrics,token_nll}.wgsl`; the CPU twin is `reference::preference`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, by_item, forms, wgsl};
use crate::gpu::{Bind, Format, Op, Recorder, Tensor, Variant};

/// A loss of pairs; TRL's `loss_type` except for the last two. `shaders/lib/loss_*.wgsl` say what each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the shaders say what each is")]
pub enum PairLoss {
    Sigmoid,
    SigmoidNorm,
    Ipo,
    Hinge,
    Robust,
    ExoPair,
    NcaPair,
    BcoPair,
    SppoHard,
    Aot,
    AotUnpaired,
    ApoZero,
    ApoDown,
    Discopop,
    Dpop,
    /// CPO's, and SimPO's with a margin.
    Smoothed,
    /// ORPO's.
    OddsRatio,
}

impl PairLoss {
    /// Every loss.
    pub const ALL: [Self; 17] = [
        Self::Sigmoid,
        Self::SigmoidNorm,
        Self::Ipo,
        Self::Hinge,
        Self::Robust,
        Self::ExoPair,
        Self::NcaPair,
        Self::BcoPair,
        Self::SppoHard,
        Self::Aot,
        Self::AotUnpaired,
        Self::ApoZero,
        Self::ApoDown,
        Self::Discopop,
        Self::Dpop,
        Self::Smoothed,
        Self::OddsRatio,
    ];

    /// Name of the form of the kernel that computes it.
    pub fn form(self) -> &'static str {
        LOSSES[self as usize].name
    }
}

/// Divergence of a policy from its reference, by the ratio of their probabilities; TRL's `f_divergence_type`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Divergence {
    /// The log-ratio itself.
    ReverseKl,
    /// `1 - exp(-x)`.
    ForwardKl,
    /// `log 2 + log sigmoid(x)`.
    JensenShannon,
    /// `(exp((a-1) x) - 1) / (a-1)`.
    Alpha(f32),
    /// `AlphaPO`'s `(1 - exp(-a x)) / a`, of log-probabilities without a reference.
    AlphaPo(f32),
}

/// Scalars of a loss of pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreferenceSettings {
    /// Factor from score to reward.
    pub beta: f32,
    /// Share of labels assumed to be wrong: `robust`, `exo_pair`, `aot`, `aot_unpaired`, `smoothed` read it.
    pub label_smoothing: f32,
    /// Map from log-ratio to score.
    pub divergence: Divergence,
    /// True if log-ratios are divided by their scored tokens instead of summed.
    pub by_token: bool,
    /// True if each pair's loss is multiplied by WPO's weights of its answers.
    pub weighted: bool,
    /// Temperature of `discopop`'s mixture.
    pub discopop_tau: f32,
    /// Margin that `smoothed` subtracts from beta times the difference.
    pub gamma: f32,
    /// Factor of `dpop`'s penalty.
    pub dpop_lambda: f32,
}

/// Entries of the metrics tensor; each objective names the entries that it adds to.
pub const METRICS: u32 = 32;

/// Indices in the metrics tensor.
pub mod metric {
    /// Loss, of every objective.
    pub const LOSS: usize = 0;
    /// TRL's `grad_norm`, of every objective; `grad_norm` writes it.
    pub const GRAD_NORM: usize = 1;
    /// TRL's `rewards/chosen`.
    pub const REWARDS_CHOSEN: usize = 2;
    /// TRL's `rewards/rejected`.
    pub const REWARDS_REJECTED: usize = 3;
    /// TRL's `rewards/accuracies`.
    pub const REWARDS_ACCURACIES: usize = 4;
    /// TRL's `rewards/margins`.
    pub const REWARDS_MARGINS: usize = 5;
    /// TRL's `logps/chosen`.
    pub const LOGPS_CHOSEN: usize = 6;
    /// TRL's `logps/rejected`.
    pub const LOGPS_REJECTED: usize = 7;
    /// TRL's `logits/chosen`.
    pub const LOGITS_CHOSEN: usize = 8;
    /// TRL's `logits/rejected`.
    pub const LOGITS_REJECTED: usize = 9;
    /// TRL's `entropy` of pairs.
    pub const ENTROPY: usize = 10;
    /// TRL's `mean_token_accuracy` of chosen answers.
    pub const MEAN_TOKEN_ACCURACY: usize = 11;
    /// TRL's `nll_loss`.
    pub const NLL: usize = 12;
    /// Entropy of the tokens of `NLL`.
    pub const NLL_ENTROPY: usize = 13;
    /// Share of the tokens of `NLL` that are the likeliest.
    pub const NLL_ACCURACY: usize = 14;
    /// TRL's `log_odds_ratio`.
    pub const LOG_ODDS_RATIO: usize = 15;
    /// TRL's `log_odds_chosen`.
    pub const LOG_ODDS_CHOSEN: usize = 16;
}

/// Sums statistics of tokens over each sequence's range, row s of `ranges` (S,2), into `sums` (S,8).
///
/// A token t has the weights (w, v, u, 0), row t of `weights` (T,4), and the log-probability lp. It adds w lp, v lp, u
/// times mean logit, entropy and hit, and lp minus the log of the sum of squared probabilities. `stats` (T,4) and
/// `state` (T,8) come from the log-probability kernels. If `by_chance`, v lp is multiplied by the token's probability
/// (DFT).
pub fn sequence_sum(
    rec: &mut Recorder<'_>,
    stats: &Tensor,
    state: &Tensor,
    weights: &Tensor,
    ranges: &Tensor,
    by_chance: bool,
    sums: &Tensor,
) {
    let sequences = sums.rows();
    assert_eq!(sums.cols(), 8, "sums has eight columns");
    assert!(ranges.len() >= 2 * sequences, "ranges needs two entries per sequence");
    let params = SumParams { sequences, by_chance: u32::from(by_chance) };
    rec.dispatch(&SEQUENCE_SUM, &params, &[stats, state, weights, ranges, sums], [sequences.div_ceil(8), 1, 1]);
}

/// `dlogp` (T): the derivative with respect to each token's log-probability, from `dsums` (S,2), the derivative with
/// respect to the first two sums of its sequence, row t of `sequence` (T).
pub fn token_gradient(
    rec: &mut Recorder<'_>,
    dsums: &Tensor,
    stats: &Tensor,
    weights: &Tensor,
    sequence: &Tensor,
    by_chance: bool,
    dlogp: &Tensor,
) {
    let tokens = dlogp.len();
    assert!(sequence.len() >= tokens && weights.len() >= 4 * tokens, "every token has a sequence and weights");
    let params = TokenParams { tokens, by_chance: u32::from(by_chance) };
    rec.dispatch(&TOKEN_GRADIENT, &params, &[dsums, stats, weights, sequence, dlogp], [tokens, 1, 1]);
}

/// A loss of n pairs. `sums` (2n,8), chosen first. `known` (2n,4): reference log-probability, completion tokens, scored
/// tokens, 0.
///
/// Adds `scale` times the derivative to `dsums` (2n,2), and `scale` times the loss to the metrics; `scale` is the
/// loss's weight over the number of micro-batches of the step.
pub fn preference(
    rec: &mut Recorder<'_>,
    loss: PairLoss,
    sums: &Tensor,
    known: &Tensor,
    settings: &PreferenceSettings,
    scale: f32,
    dsums: &Tensor,
    metrics: &Tensor,
) {
    let params = pair_params(sums, known, settings, scale);
    assert!(dsums.len() >= 2 * sums.rows() && metrics.len() >= METRICS, "dsums and metrics are too small");
    let kernel = PREFERENCE.with_format(loss.form());
    rec.dispatch(kernel, &params, &[sums, known, dsums, metrics], [1, 1, 1]);
}

/// Adds `scale` times the metrics that TRL logs of n pairs to `metrics`; `sums` and `known` as for [`preference`].
pub fn pair_metrics(
    rec: &mut Recorder<'_>,
    sums: &Tensor,
    known: &Tensor,
    settings: &PreferenceSettings,
    scale: f32,
    metrics: &Tensor,
) {
    assert!(metrics.len() >= METRICS, "metrics is too small");
    rec.dispatch(&PAIR_METRICS, &pair_params(sums, known, settings, scale), &[sums, known, metrics], [1, 1, 1]);
}

/// Cross entropy of the first `sequences` rows of `sums` (S,8). Adds minus `scale` to the second column of their
/// `dsums` (S,2), the loss to `metrics`, and the same sums times `each_token`, which makes them means, to `metrics`
/// too.
pub fn token_nll(
    rec: &mut Recorder<'_>,
    sums: &Tensor,
    sequences: u32,
    scale: f32,
    each_token: f32,
    dsums: &Tensor,
    metrics: &Tensor,
) {
    assert!(sequences <= sums.rows() && metrics.len() >= METRICS, "sums and metrics are too small");
    let params = NllParams { sequences, scale, each_token };
    rec.dispatch(&TOKEN_NLL, &params, &[sums, dsums, metrics], [1, 1, 1]);
}

fn pair_params(sums: &Tensor, known: &Tensor, settings: &PreferenceSettings, scale: f32) -> PairParams {
    let sequences = sums.rows();
    assert!(sequences.is_multiple_of(2) && sequences > 0, "two sequences make a pair");
    assert_eq!([sums.cols(), known.cols(), known.rows()], [8, 4, sequences], "sums and known fit");
    let (divergence, alpha) = match settings.divergence {
        Divergence::ReverseKl => (0, 0.0),
        Divergence::ForwardKl => (1, 0.0),
        Divergence::JensenShannon => (2, 0.0),
        Divergence::Alpha(alpha) => (3, alpha),
        Divergence::AlphaPo(alpha) => (4, alpha),
    };
    PairParams {
        pairs: sequences / 2,
        divergence,
        by_token: u32::from(settings.by_token),
        weighted: u32::from(settings.weighted),
        beta: settings.beta,
        label_smoothing: settings.label_smoothing,
        alpha,
        tau: settings.discopop_tau,
        gamma: settings.gamma,
        dpop_lambda: settings.dpop_lambda,
        scale,
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumParams {
    sequences: u32,
    by_chance: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TokenParams {
    tokens: u32,
    by_chance: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PairParams {
    pairs: u32,
    divergence: u32,
    by_token: u32,
    weighted: u32,
    beta: f32,
    label_smoothing: f32,
    alpha: f32,
    tau: f32,
    gamma: f32,
    dpop_lambda: f32,
    scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NllParams {
    sequences: u32,
    scale: f32,
    each_token: f32,
}

pub(super) static SEQUENCE_SUM: Op = Op {
    name: "sequence_sum",
    params_bytes: size_of::<SumParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("sequence_sum"), as_is)],
};

pub(super) static TOKEN_GRADIENT: Op = Op {
    name: "token_gradient",
    params_bytes: size_of::<TokenParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("token_gradient"), by_item)],
};

/// The losses in the order of `PairLoss`.
const LOSSES: &[Format] = forms!(
    "sigmoid": "lib/loss_sigmoid",
    "sigmoid_norm": "lib/loss_sigmoid_norm",
    "ipo": "lib/loss_ipo",
    "hinge": "lib/loss_hinge",
    "robust": "lib/loss_robust",
    "exo_pair": "lib/loss_exo_pair",
    "nca_pair": "lib/loss_nca_pair",
    "bco_pair": "lib/loss_bco_pair",
    "sppo_hard": "lib/loss_sppo_hard",
    "aot": "lib/loss_aot",
    "aot_unpaired": "lib/loss_aot_unpaired",
    "apo_zero": "lib/loss_apo_zero",
    "apo_down": "lib/loss_apo_down",
    "discopop": "lib/loss_discopop",
    "dpop": "lib/loss_dpop",
    "smoothed": "lib/loss_smoothed",
    "odds_ratio": "lib/loss_odds_ratio"
);

pub(super) static PREFERENCE: Op = Op {
    name: "preference",
    params_bytes: size_of::<PairParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: LOSSES,
    variants: &[Variant::only(wgsl!("lib/loss", "lib/pair", "preference"), as_is)],
};

pub(super) static PAIR_METRICS: Op = Op {
    name: "pair_metrics",
    params_bytes: size_of::<PairParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/loss", "lib/pair", "pair_metrics"), as_is)],
};

pub(super) static TOKEN_NLL: Op = Op {
    name: "token_nll",
    params_bytes: size_of::<NllParams>(),
    binds: &[Bind::Read, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("token_nll"), as_is)],
};
