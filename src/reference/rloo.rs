//! The loss of RLOO over completions that the policy wrote, as in TRL 1.16 (`trl/trainer/rloo_trainer.py`): Ahmadian et
//! al. 2024, "Back to Basics".

use super::policy::clipped_gain;

/// Results of [`rloo`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rloo {
    /// Mean over the completions.
    pub loss: f64,
    /// (N), the derivative of `loss` with respect to each log-probability.
    pub dlogp: Vec<f64>,
    /// Mean entropy of the tokens of kept completions, nats.
    pub entropy: f64,
    /// Two flags for each completion: the ratio is too low for a negative advantage, or too high for a positive one.
    pub clipped: Vec<[bool; 2]>,
}

/// The loss of S completions. `token_stats` (N,4): log-probability, nothing, entropy, nothing. `ranges` (S,2): first
/// token and end. `token_facts` (N,4): log-probability when the token was written. `sequence_facts` (S,4): advantage, 1
/// if the completion is kept. `epsilon` is the distance that a ratio may be below 1, and above 1.
///
/// A completion that is not kept has a ratio of 1 without a gradient.
pub fn rloo(
    token_stats: &[[f64; 4]],
    ranges: &[[u32; 2]],
    token_facts: &[[f64; 4]],
    sequence_facts: &[[f64; 4]],
    epsilon: [f64; 2],
) -> Rloo {
    let n = ranges.len() as f64;
    let (mut entropy, mut kept_tokens) = (0.0, 0.0);
    let mut result = Rloo { loss: 0.0, dlogp: vec![0.0; token_stats.len()], entropy: 0.0, clipped: Vec::new() };
    for (range, facts) in ranges.iter().zip(sequence_facts) {
        let tokens = range[0] as usize..range[1] as usize;
        let (advantage, keep) = (facts[0], facts[1]);
        let log_ratio = tokens.clone().map(|t| token_stats[t][0] - token_facts[t][0]).sum::<f64>();
        let ratio = (keep * log_ratio).exp();
        let [gain, slope] = clipped_gain(ratio, advantage, 1.0 - epsilon[0]..=1.0 + epsilon[1], f64::INFINITY);
        result.loss -= gain / n;
        for t in tokens {
            result.dlogp[t] = -keep * slope * ratio / n;
            entropy += keep * token_stats[t][2];
            kept_tokens += keep;
        }
        let (low, high) = (ratio < 1.0 - epsilon[0], ratio > 1.0 + epsilon[1]);
        result.clipped.push([low && advantage < 0.0, high && advantage > 0.0]);
    }
    result.entropy = entropy / kept_tokens.max(1.0);
    result
}
