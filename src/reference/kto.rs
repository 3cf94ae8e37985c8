//! KTO's losses over single completions, each desirable or not, as in TRL 1.16 (`trl/trainer/kto_trainer.py`):
//! Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization".

use super::activation::sigmoid;

/// Settings of [`kto`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KtoSettings {
    /// Factor from log-ratio to reward, above 0.
    pub beta: f64,
    /// Weight of the desirable completions.
    pub desirable_weight: f64,
    /// Weight of the undesirable ones.
    pub undesirable_weight: f64,
    /// True if as many mismatched completions follow the matched ones; without them the loss is `apo_zero_unpaired`
    /// (D'Oosterlinck et al. 2024).
    pub mismatched: bool,
}

/// Results of [`kto`].
#[derive(Debug, Clone, PartialEq)]
pub struct Kto {
    /// Mean over the completions.
    pub loss: f64,
    /// (S,2), the derivative of `loss` with respect to the first two columns of `sums`.
    pub dsums: Vec<[f64; 2]>,
    /// Mean log-ratio of the mismatched completions, not below 0; nats.
    pub kl: f64,
    /// Mean entropy of the matched completions' scored tokens, nats.
    pub entropy: f64,
    /// Means over the desirable and over the undesirable completions; `None` where there are none.
    pub kinds: [Option<KtoMeans>; 2],
}

/// Means over completions of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KtoMeans {
    /// Mean of the rewards, `beta` times the log-ratio.
    pub reward: f64,
    /// Mean of the sums of log-probabilities, nats.
    pub logp: f64,
    /// Mean of the mean logits, over tokens.
    pub logit: f64,
}

/// The loss of n completions. `sums` (S,8): sum of log-probabilities, nothing, sum of mean logits, sum of entropies.
/// `known` (S,4): the reference's sum, completion tokens, scored tokens, 1 if the completion is desirable.
pub fn kto(sums: &[[f64; 8]], known: &[[f64; 4]], settings: &KtoSettings) -> Kto {
    let n = if settings.mismatched { sums.len() / 2 } else { sums.len() };
    let ratios: Vec<f64> = sums.iter().zip(known).map(|(sums, known)| sums[0] - known[0]).collect();
    // Without mismatched completions the sum is empty.
    let kl = (ratios[n..].iter().sum::<f64>() / n as f64).max(0.0);

    let (mut loss, mut dsums) = (0.0, vec![[0.0; 2]; sums.len()]);
    for s in 0..n {
        let (weight, sign) =
            if known[s][3] == 1.0 { (settings.desirable_weight, 1.0) } else { (settings.undesirable_weight, -1.0) };
        let gain = sigmoid(sign * settings.beta * (ratios[s] - kl));
        loss += weight * (1.0 - gain) / n as f64;
        dsums[s][0] = -weight * sign * settings.beta * gain * (1.0 - gain) / n as f64;
    }

    let total = |of: &[usize], value: &dyn Fn(usize) -> f64| of.iter().map(|s| value(*s)).sum::<f64>();
    let all: Vec<usize> = (0..n).collect();
    let means = |label: f64| {
        let of: Vec<usize> = all.iter().copied().filter(|s| known[*s][3] == label).collect();
        (!of.is_empty()).then(|| KtoMeans {
            reward: total(&of, &|s| settings.beta * ratios[s]) / of.len() as f64,
            logp: total(&of, &|s| sums[s][0]) / of.len() as f64,
            logit: total(&of, &|s| sums[s][2]) / total(&of, &|s| known[s][2]).max(1.0),
        })
    };
    let entropy = total(&all, &|s| sums[s][3]) / total(&all, &|s| known[s][2]).max(1.0);
    Kto { loss, dsums, kl, entropy, kinds: [means(1.0), means(0.0)] }
}
