//! The losses of GRPO and its successors. Records `shaders/policy.wgsl`; the CPU twin is `reference::policy`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use super::preference::METRICS;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// TRL's `loss_type` of GRPO: the loss of a token, and the divisor of the sum of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyLoss {
    /// Clipped ratios; a mean over sequences of means over tokens.
    Grpo,
    /// A mean over the micro-batch's tokens.
    Bnpo,
    /// A sum, divided by the largest number of tokens that there may be.
    DrGrpo,
    /// A sum, divided by the step's tokens.
    Dapo,
    /// A mean over sequences of sums.
    Luspo,
    /// Log-probabilities weighted by ratios that are capped; divided as `Dapo`.
    Cispo,
    /// A soft gate in place of clipping; divided as `Grpo`.
    Sapo,
    /// Log-probabilities weighted by sequence; divided as `Dapo`.
    Vespo,
}

/// Settings of [`policy`]; the names and defaults are those of TRL's `GRPOConfig`. The first number of a pair is for
/// advantages above 0 (`vespo`: not below 0), the second for others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicySettings {
    /// Type of the loss.
    pub loss_type: PolicyLoss,
    /// Distance that a ratio may be below 1.
    pub epsilon: f64,
    /// Distance that a ratio may be above 1; `cispo`: the largest ratio itself.
    pub epsilon_high: f64,
    /// Cap of ratios that are not clipped.
    pub delta: Option<f64>,
    /// True if `importance_sampling_level` is `sequence` (GSPO): all tokens of a sequence share one ratio.
    pub sequence_level: bool,
    /// True if this very policy wrote the text: ratios are 1, but have a gradient.
    pub on_policy: bool,
    /// Weight of the distance to the reference.
    pub beta: f64,
    /// True if the distance to the reference is weighted by the ratio.
    pub use_bias_correction_kl: bool,
    /// Share of tokens that count, highest entropy first.
    pub top_entropy_quantile: f64,
    /// Weight of the entropy, which is rewarded.
    pub entropy_coef: f64,
    /// Limit of the mean of `old - logp`, nats, below which a sequence with a negative advantage counts.
    pub off_policy_mask_threshold: Option<f64>,
    /// TRL's `sapo_temperature_pos` and `_neg`.
    pub sapo_temperature: [f64; 2],
    /// TRL's `vespo_k_pos` and `_neg`.
    pub vespo_k: [f64; 2],
    /// TRL's `vespo_lambda_pos` and `_neg`.
    pub vespo_lambda: [f64; 2],
    /// Tokens that a completion may have, for `dr_grpo`.
    pub max_completion_length: u32,
    /// Divisor of `dapo`, `cispo` and `vespo`: completion tokens of the generation batch that count, times
    /// micro-batches of a step over `steps_per_generation`.
    pub step_tokens: f64,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            loss_type: PolicyLoss::Dapo,
            epsilon: 0.2,
            epsilon_high: 0.2,
            delta: None,
            sequence_level: false,
            on_policy: false,
            beta: 0.0,
            use_bias_correction_kl: true,
            top_entropy_quantile: 1.0,
            entropy_coef: 0.0,
            off_policy_mask_threshold: None,
            sapo_temperature: [1.0, 1.05],
            vespo_k: [2.0, 3.0],
            vespo_lambda: [3.0, 2.0],
            max_completion_length: 512,
            step_tokens: 1.0,
        }
    }
}

/// Indices in the metrics tensor, besides the loss and the gradient's norm; the names are TRL's. `rloo` has those from
/// `ENTROPY` to `EXTREMES_COUNT` except `KL`.
///
/// Values that belong to an option mean nothing if it is off. Ratios are of tokens, or of sequences if a sequence has a
/// single ratio.
pub mod policy_metric {
    /// TRL's `entropy`, mean over tokens, nats.
    pub const ENTROPY: usize = 2;
    /// TRL's `kl`, mean over tokens, nats.
    pub const KL: usize = 3;
    /// TRL's `clip_ratio/low_mean`.
    pub const LOW_MEAN: usize = 4;
    /// TRL's `clip_ratio/high_mean`.
    pub const HIGH_MEAN: usize = 5;
    /// TRL's `clip_ratio/region_mean`.
    pub const REGION_MEAN: usize = 6;
    /// TRL's `clip_ratio/low_min`, summed over the micro-batches that had one; the caller divides by their number.
    pub const LOW_MIN: usize = 7;
    /// TRL's `clip_ratio/high_max`, the same.
    pub const HIGH_MAX: usize = 8;
    /// Micro-batches that had a lowest and a highest share.
    pub const EXTREMES_COUNT: usize = 9;
    /// TRL's `cispo_clip_ratio`.
    pub const CISPO_CLIP_RATIO: usize = 10;
    /// TRL's `vespo/phi_seq_mean`.
    pub const VESPO_PHI: usize = 11;
    /// TRL's `policy_loss`: a micro-batch's mean loss without the entropy's part.
    pub const POLICY_LOSS: usize = 12;
}

/// The loss of S completions. `token_stats` (N,4): each token's log-probability, _, entropy, _. `ranges` (S,2): first
/// token and end of each completion; together they hold all tokens. `token_facts` (N,4): log-probability when the token
/// was written (not read on-policy) and under the reference (not read if beta is 0), _, _. `sequence_facts` (S,4):
/// advantage, 1 if the completion counts or 0, _, _.
///
/// Writes `dlogp` (N) and `dentropy` (N), the derivatives of the loss with respect to each token's log-probability and
/// entropy, and adds to `metrics`. `share` is 1 over the number of micro-batches of the step. It is a factor of
/// everything except the losses that are divided by `step_tokens`.
pub fn policy(
    rec: &mut Recorder<'_>,
    token_stats: &Tensor,
    ranges: &Tensor,
    token_facts: &Tensor,
    sequence_facts: &Tensor,
    settings: &PolicySettings,
    share: f32,
    dlogp: &Tensor,
    dentropy: &Tensor,
    metrics: &Tensor,
) {
    let (tokens, sequences) = (token_stats.rows(), sequence_facts.rows());
    assert_eq!([token_stats.cols(), token_facts.cols(), sequence_facts.cols()], [4; 3], "rows have four columns");
    assert!(sequences > 0 && ranges.len() >= 2 * sequences, "ranges needs two entries per sequence");
    assert!(token_facts.rows() >= tokens, "token_facts needs a row per token");
    assert!(dlogp.len() >= tokens && dentropy.len() >= tokens, "dlogp and dentropy need one entry per token");
    assert!(metrics.len() >= METRICS, "metrics is too small");
    let params = Params::new(sequences, settings, share);
    let tensors = [token_stats, ranges, token_facts, sequence_facts, dlogp, dentropy, metrics];
    rec.dispatch(&POLICY, &params, &tensors, [1, 1, 1]);
}

/// Divisors of a token's weight in `shaders/policy.wgsl`.
const NOTHING: u32 = 0;
const BY_SEQUENCE: u32 = 1;
const BY_TOKENS: u32 = 2;

impl Params {
    fn new(sequences: u32, settings: &PolicySettings, share: f32) -> Self {
        use PolicyLoss::{Bnpo, Cispo, Dapo, DrGrpo, Grpo, Luspo, Sapo, Vespo};
        let kind = match settings.loss_type {
            Grpo | Bnpo | DrGrpo | Dapo | Luspo => 0,
            Cispo => 1,
            Sapo => 2,
            Vespo => 3,
        };
        let (rows, part) = (f64::from(sequences), f64::from(share));
        let (weight, divisor) = match settings.loss_type {
            Grpo | Sapo => (part / rows, BY_SEQUENCE),
            Bnpo => (part, BY_TOKENS),
            DrGrpo => (part / (rows * f64::from(settings.max_completion_length)), NOTHING),
            Luspo => (part / rows, NOTHING),
            Dapo | Cispo | Vespo => (1.0 / settings.step_tokens.max(1.0), NOTHING),
        };
        let is_over_the_step = matches!(settings.loss_type, Dapo | Cispo | Vespo);
        let high = if settings.loss_type == Cispo { settings.epsilon_high } else { 1.0 + settings.epsilon_high };
        // Any number of nats, and any ratio, is smaller.
        let or_none = |limit: Option<f64>| limit.map_or(3e38, |limit| limit as f32);
        let [temperature_pos, temperature_neg] = settings.sapo_temperature.map(|t| t as f32);
        let [k_pos, k_neg] = settings.vespo_k.map(|k| k as f32);
        let [lambda_pos, lambda_neg] = settings.vespo_lambda.map(|lambda| lambda.max(1e-4) as f32);
        Self {
            sequences,
            kind,
            divisor,
            sequence_level: settings.sequence_level.into(),
            on_policy: settings.on_policy.into(),
            correct_kl: settings.use_bias_correction_kl.into(),
            weight: weight as f32,
            share,
            loss_share: if is_over_the_step { share } else { 1.0 },
            low: (1.0 - settings.epsilon) as f32,
            high: high as f32,
            delta: or_none(settings.delta),
            beta: settings.beta as f32,
            left_out: (1.0 - settings.top_entropy_quantile) as f32,
            entropy_coef: settings.entropy_coef as f32,
            max_drift: or_none(settings.off_policy_mask_threshold),
            temperature_pos,
            temperature_neg,
            k_pos,
            k_neg,
            lambda_pos,
            lambda_neg,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    sequences: u32,
    kind: u32,
    divisor: u32,
    sequence_level: u32,
    on_policy: u32,
    correct_kl: u32,
    weight: f32,
    share: f32,
    loss_share: f32,
    low: f32,
    high: f32,
    delta: f32,
    beta: f32,
    left_out: f32,
    entropy_coef: f32,
    max_drift: f32,
    temperature_pos: f32,
    temperature_neg: f32,
    k_pos: f32,
    k_neg: f32,
    lambda_pos: f32,
    lambda_neg: f32,
}

pub(super) static POLICY: Op = Op {
    name: "policy",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "lib/loss", "lib/ratio", "policy"), as_is)],
};
