//! The loss of a reward model over pairs, as in TRL 1.16 (`trl/trainer/reward_trainer.py`): Bradley and Terry's model
//! of preference between two texts, with a margin, and a pull towards rewards around 0 (Eisenstein et al. 2023).

use super::activation::{log_sigmoid, sigmoid};

/// Results of [`reward`].
#[derive(Debug, Clone, PartialEq)]
pub struct Reward {
    /// Mean over the pairs.
    pub loss: f64,
    /// (2n), the derivative of `loss` with respect to each of `values`.
    pub dvalues: Vec<f64>,
    /// The lowest of `values`.
    pub lowest: f64,
    /// The mean of `values`.
    pub mean: f64,
    /// The highest of `values`.
    pub highest: f64,
    /// Share of pairs whose chosen text has the higher value, strictly.
    pub accuracy: f64,
    /// Mean of chosen minus rejected.
    pub margin: f64,
}

/// The loss of n pairs from `values` (2n), those of the chosen texts first, and `margins` (n):
/// `-log sigmoid(c - r - margin) + centre (c + r)^2`.
pub fn reward(values: &[f64], margins: &[f64], centre: f64) -> Reward {
    let (chosen, rejected) = values.split_at(margins.len());
    let n = margins.len() as f64;
    let pairs = || chosen.iter().zip(rejected);
    let gaps: Vec<f64> = pairs().zip(margins).map(|((c, r), margin)| c - r - margin).collect();
    let pull = |sign: f64| {
        let gradient = pairs().zip(&gaps).map(move |((c, r), gap)| 2.0 * centre * (c + r) + sign * sigmoid(-gap));
        gradient.map(move |d| d / n)
    };
    Reward {
        loss: pairs().zip(&gaps).map(|((c, r), gap)| centre * (c + r).powi(2) - log_sigmoid(*gap)).sum::<f64>() / n,
        dvalues: pull(-1.0).chain(pull(1.0)).collect(),
        lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
        mean: values.iter().sum::<f64>() / values.len() as f64,
        highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        accuracy: pairs().filter(|(c, r)| c > r).count() as f64 / n,
        margin: pairs().map(|(c, r)| c - r).sum::<f64>() / n,
    }
}
