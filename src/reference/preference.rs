//! Preference losses over pairs: value, gradient and metrics, as in TRL 1.16 (`trl/trainer/dpo_trainer.py`).
//!
//! Of a pair, `c` and `r` are the policy's minus the reference's summed log-probabilities of the chosen and of the
//! rejected completion, `d = c - r`, and `beta c` and `beta r` are their rewards (Rafailov et al. 2023, "Direct
//! Preference Optimization").
//!
//! All vectors over sequences have 2n entries for n pairs: the chosen sequences, then the rejected in the same order.

use super::activation::sigmoid;

/// Weight of each loss type in the total; 0 leaves the type out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// `-log sigmoid(beta d)` (Rafailov et al. 2023).
    pub sigmoid: f64,
    /// `(c / n_c - r / n_r - 1 / (2 beta))^2` (Azar et al. 2023), n being completion lengths in tokens.
    pub ipo: f64,
    /// `max(0, 1 - beta d)` (Zhao et al. 2023, `SLiC`).
    pub hinge: f64,
    /// `(-(1 - e) log sigmoid(beta d) + e log sigmoid(-beta d)) / (1 - 2 e)` with label smoothing e (Chowdhury et al.
    /// 2024).
    pub robust: f64,
    /// `(1 - sigmoid(beta c)) + sigmoid(beta r)` (D'Oosterlinck et al. 2024).
    pub apo_zero: f64,
    /// Minus the policy's mean log-probability over all scored chosen tokens of the call, a mean over tokens.
    pub sft: f64,
}

/// Settings of [`preference`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreferenceSettings {
    /// How strongly the policy is held to the reference, above 0; the factor from log-ratio to reward.
    pub beta: f64,
    /// Share of pairs believed to be the wrong way round, in [0, 0.5); only `robust` reads it.
    pub label_smoothing: f64,
    /// Which losses, and how much of each.
    pub weights: LossWeights,
}

/// What [`preference`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// Weighted sum of the losses, each a mean over the pairs (`sft`: over the tokens).
    pub loss: f64,
    /// (2n), the derivative of `loss` with respect to each entry of `logps`.
    pub dlogp: Vec<f64>,
    /// Mean of `beta c`, TRL's `rewards/chosen`.
    pub chosen_reward: f64,
    /// Mean of `beta r`, TRL's `rewards/rejected`.
    pub rejected_reward: f64,
    /// Mean of `beta c - beta r`, TRL's `rewards/margins`.
    pub margin: f64,
    /// Share of pairs with `beta c > beta r`, strictly; TRL's `rewards/accuracies`.
    pub accuracy: f64,
}

/// Sums `values` (T) into their sequences: `sums[s] = Σ values[t]` over the t with `sequence_of_token[t] == s`.
///
/// With the log-probabilities of scored tokens, in nats, these are the sequences' log-probabilities. Returns
/// (`sequences`).
pub fn sequence_sum(values: &[f64], sequence_of_token: &[u32], sequences: usize) -> Vec<f64> {
    assert_eq!(values.len(), sequence_of_token.len(), "every value needs a sequence");
    let mut sums = vec![0.0; sequences];
    for (value, &sequence) in values.iter().zip(sequence_of_token) {
        sums[sequence as usize] += value;
    }
    sums
}

/// The loss of n pairs, its derivatives and its metrics.
///
/// `logps` and `reference` (2n) are summed log-probabilities in nats, under the policy and under the reference.
/// `lengths` (2n) are completion tokens, which `ipo` divides by; 0 counts as 1. `scored` (2n) are the completion tokens
/// that have a log-probability, which `sft` averages over: one fewer than the length where nothing precedes the first.
pub fn preference(
    logps: &[f64],
    reference: &[f64],
    lengths: &[u32],
    scored: &[u32],
    settings: &PreferenceSettings,
) -> Preference {
    let &PreferenceSettings { beta, label_smoothing, weights } = settings;
    let pairs = logps.len() / 2;
    let per_pair = 1.0 / pairs as f64;
    let scored_chosen = f64::from(scored[..pairs].iter().sum::<u32>().max(1));

    let mut result = Preference {
        loss: 0.0,
        dlogp: vec![0.0; 2 * pairs],
        chosen_reward: 0.0,
        rejected_reward: 0.0,
        margin: 0.0,
        accuracy: 0.0,
    };
    for i in 0..pairs {
        let j = pairs + i;
        let c = logps[i] - reference[i];
        let r = logps[j] - reference[j];

        let losses = [
            (weights.sigmoid, sigmoid_loss(c, r, beta)),
            (weights.ipo, ipo_loss(c, r, beta, lengths[i], lengths[j])),
            (weights.hinge, hinge_loss(c, r, beta)),
            (weights.robust, robust_loss(c, r, beta, label_smoothing)),
            (weights.apo_zero, apo_zero_loss(c, r, beta)),
        ];
        for (weight, loss) in losses.into_iter().filter(|(weight, _)| *weight != 0.0) {
            result.loss += weight * loss.value * per_pair;
            result.dlogp[i] += weight * loss.dchosen * per_pair;
            result.dlogp[j] += weight * loss.drejected * per_pair;
        }
        result.loss -= weights.sft * logps[i] / scored_chosen;
        result.dlogp[i] -= weights.sft / scored_chosen;

        result.chosen_reward += beta * c * per_pair;
        result.rejected_reward += beta * r * per_pair;
        result.margin += (beta * c - beta * r) * per_pair;
        result.accuracy += if beta * c > beta * r { per_pair } else { 0.0 };
    }
    result
}

/// The loss of one pair and its derivatives with respect to `c` and `r`.
struct PairLoss {
    value: f64,
    dchosen: f64,
    drejected: f64,
}

fn sigmoid_loss(c: f64, r: f64, beta: f64) -> PairLoss {
    let x = beta * (c - r);
    let slope = -beta * sigmoid(-x);
    PairLoss { value: -log_sigmoid(x), dchosen: slope, drejected: -slope }
}

fn ipo_loss(c: f64, r: f64, beta: f64, chosen_length: u32, rejected_length: u32) -> PairLoss {
    let chosen_length = f64::from(chosen_length.max(1));
    let rejected_length = f64::from(rejected_length.max(1));
    let miss = c / chosen_length - r / rejected_length - 1.0 / (2.0 * beta);
    PairLoss { value: miss * miss, dchosen: 2.0 * miss / chosen_length, drejected: -2.0 * miss / rejected_length }
}

fn hinge_loss(c: f64, r: f64, beta: f64) -> PairLoss {
    let short = 1.0 - beta * (c - r);
    // At the kink the derivative is 0, as torch.relu has it.
    let slope = if short > 0.0 { -beta } else { 0.0 };
    PairLoss { value: short.max(0.0), dchosen: slope, drejected: -slope }
}

fn robust_loss(c: f64, r: f64, beta: f64, label_smoothing: f64) -> PairLoss {
    let e = label_smoothing;
    let x = beta * (c - r);
    let value = (-(1.0 - e) * log_sigmoid(x) + e * log_sigmoid(-x)) / (1.0 - 2.0 * e);
    let slope = -beta * ((1.0 - e) * sigmoid(-x) + e * sigmoid(x)) / (1.0 - 2.0 * e);
    PairLoss { value, dchosen: slope, drejected: -slope }
}

fn apo_zero_loss(c: f64, r: f64, beta: f64) -> PairLoss {
    let (x, y) = (beta * c, beta * r);
    PairLoss {
        value: sigmoid(-x) + sigmoid(y),
        dchosen: -beta * sigmoid(x) * sigmoid(-x),
        drejected: beta * sigmoid(y) * sigmoid(-y),
    }
}

/// `log(1 / (1 + exp(-x)))`, written so that a large |x| overflows nowhere and loses nothing.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}
