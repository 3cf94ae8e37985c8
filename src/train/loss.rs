//! TRL's loss types, by name.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::trainer::PairLogps;
use crate::data::TokenPair;
use crate::kernels::LossWeights;

/// A value of `loss_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "kernels::LossWeights says what each is")]
pub enum LossType {
    Sigmoid,
    Ipo,
    Hinge,
    Robust,
    ApoZero,
    Sft,
}

/// Every name that `loss_type` takes.
pub(super) const NAMES: &str = "sigmoid, ipo, hinge, robust, apo_zero, sft";

/// How much of each loss there is: `loss_weights`, or 1 each.
pub(super) fn weights(types: &[LossType], weights: Option<&[f64]>) -> LossWeights {
    let mut sum = LossWeights::default();
    for (i, kind) in types.iter().enumerate() {
        let weight = weights.and_then(|w| w.get(i)).copied().unwrap_or(1.0) as f32;
        *match kind {
            LossType::Sigmoid => &mut sum.sigmoid,
            LossType::Ipo => &mut sum.ipo,
            LossType::Hinge => &mut sum.hinge,
            LossType::Robust => &mut sum.robust,
            LossType::ApoZero => &mut sum.apo_zero,
            LossType::Sft => &mut sum.sft,
        } += weight;
    }
    sum
}

/// TRL's `eval_loss` of pairs with these log-probabilities `[chosen, rejected]`: the loss of a batch at a time, each
/// batch counting by its pairs. The batches matter to `sft` only, which is a mean over a batch's tokens.
pub fn eval_loss(config: &TrainConfig, pairs: &[TokenPair], policy: &[PairLogps], reference: &[PairLogps]) -> f64 {
    let weights = config.preference().weights;
    let batch = config.per_device_train_batch_size;
    let batches = pairs.chunks(batch).zip(policy.chunks(batch)).zip(reference.chunks(batch));
    let sums = batches.map(|((pairs, policy), reference)| {
        let of_pairs = pairs.iter().zip(policy).zip(reference).map(|((pair, policy), reference)| {
            let ratio = |side: usize| f64::from(policy[side]) - f64::from(reference[side]);
            let lengths = pair.completion_lengths().map(|length| length.max(1) as f64);
            pair_loss(config, &weights, [ratio(0), ratio(1)], lengths)
        });
        let scored: usize = pairs.iter().map(|pair| pair.scored_lengths()[0]).sum();
        let chosen: f64 = policy.iter().map(|logps| f64::from(logps[0])).sum();
        let sft = -chosen / scored.max(1) as f64;
        of_pairs.sum::<f64>() + f64::from(weights.sft) * sft * pairs.len() as f64
    });
    sums.sum::<f64>() / pairs.len() as f64
}

/// The losses of one pair but `sft`, from its log-ratios and completion tokens; `shaders/preference.wgsl` has them too.
fn pair_loss(config: &TrainConfig, weights: &LossWeights, [c, r]: [f64; 2], [n_c, n_r]: [f64; 2]) -> f64 {
    let (beta, e) = (config.beta, config.label_smoothing);
    let x = beta * (c - r);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let log_sigmoid = |x: f64| x.min(0.0) - (-x.abs()).exp().ln_1p();
    let losses = [
        (weights.sigmoid, -log_sigmoid(x)),
        (weights.ipo, (c / n_c - r / n_r - 0.5 / beta).powi(2)),
        (weights.hinge, (1.0 - x).max(0.0)),
        (weights.robust, ((e - 1.0) * log_sigmoid(x) + e * log_sigmoid(-x)) / (1.0 - 2.0 * e)),
        (weights.apo_zero, sigmoid(-beta * c) + sigmoid(beta * r)),
    ];
    losses.into_iter().filter(|(weight, _)| *weight != 0.0).map(|(weight, loss)| f64::from(weight) * loss).sum()
}
