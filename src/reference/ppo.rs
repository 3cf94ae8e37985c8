//! The two losses of PPO, as in TRL 1.12 (`trl/experimental/ppo`): Schulman et al. 2017, "Proximal Policy Optimization
//! Algorithms", with clipped values.

use super::policy::clipped_gain;

/// Results of [`ppo_policy`].
#[derive(Debug, Clone, PartialEq)]
pub struct PpoPolicy {
    /// Mean over the tokens that count.
    pub loss: f64,
    /// (N), the derivative of `loss` with respect to each log-probability.
    pub dlogp: Vec<f64>,
    /// Half the mean square of `logp - old` over all positions.
    pub approxkl: f64,
    /// Share of tokens whose loss is the clipped one.
    pub clipfrac: f64,
    /// Mean ratio over all positions; positions that do not count have a ratio of 1.
    pub ratio: f64,
    /// Mean entropy, nats.
    pub entropy: f64,
}

/// The policy's loss, `max(-A ratio, -A clamp(ratio, 1 ± cliprange))` with `ratio = exp(logp - old)`. `token_stats`
/// (N,4): log-probability, nothing, entropy, nothing. `token_facts` (N,4): log-probability when the token was written,
/// advantage A, 1 if the token counts. `positions` is the number of rows times their padded length.
pub fn ppo_policy(token_stats: &[[f64; 4]], token_facts: &[[f64; 4]], cliprange: f64, positions: f64) -> PpoPolicy {
    let count = token_facts.iter().map(|facts| facts[2]).sum::<f64>().max(1.0);
    let (mut loss, mut dlogp, mut square, mut clipped) = (0.0, Vec::new(), 0.0, 0.0);
    let (mut ratios, mut entropy) = (positions, 0.0);
    for (stats, &[old, advantage, mask, _]) in token_stats.iter().zip(token_facts) {
        let ratio = (stats[0] - old).exp();
        let [gain, slope] = clipped_gain(ratio, advantage, 1.0 - cliprange..=1.0 + cliprange, f64::INFINITY);
        loss -= mask * gain / count;
        dlogp.push(-mask * slope * ratio / count);
        square += mask * (stats[0] - old).powi(2);
        clipped += if gain < ratio * advantage { mask } else { 0.0 };
        ratios += mask * (ratio - 1.0);
        entropy += mask * stats[2];
    }
    PpoPolicy {
        loss,
        dlogp,
        approxkl: 0.5 * square / positions,
        clipfrac: clipped / count,
        ratio: ratios / positions,
        entropy: entropy / count,
    }
}

/// Results of [`ppo_value`].
#[derive(Debug, Clone, PartialEq)]
pub struct PpoValue {
    /// Half the mean over the positions that count.
    pub loss: f64,
    /// (N), the derivative of `loss` with respect to each value.
    pub dvalues: Vec<f64>,
    /// Share of positions whose loss is the clipped one.
    pub clipfrac: f64,
}

/// The value model's loss, half of `max((V - R)^2, (near - R)^2)` with `near` within `cliprange` of the old value.
/// `values` (N). `token_facts` (N,4): old value, return R, 1 if the position counts.
pub fn ppo_value(values: &[f64], token_facts: &[[f64; 4]], cliprange: f64) -> PpoValue {
    let count = token_facts.iter().map(|facts| facts[2]).sum::<f64>().max(1.0);
    let (mut loss, mut dvalues, mut clipped) = (0.0, Vec::new(), 0.0);
    for (value, &[old, target, mask, _]) in values.iter().zip(token_facts) {
        let near = value.clamp(old - cliprange, old + cliprange);
        let (far_miss, near_miss) = (value - target, near - target);
        let is_clipped = near_miss.powi(2) > far_miss.powi(2);
        loss += mask * 0.5 * far_miss.powi(2).max(near_miss.powi(2)) / count;
        dvalues.push(if is_clipped { 0.0 } else { mask * far_miss / count });
        clipped += if is_clipped { mask } else { 0.0 };
    }
    PpoValue { loss, dvalues, clipfrac: clipped / count }
}
