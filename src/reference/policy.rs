//! The losses of GRPO and its successors, over completions that the policy wrote, as in TRL 1.16
//! (`trl/trainer/grpo_trainer.py`).
//!
//! A token's `ratio = exp(logp - old)` is how much likelier it has become since it was written; if a sequence has a
//! single ratio (GSPO: Zheng et al. 2025), the exponent is the mean over its tokens. The parts of a token's loss depend
//! on the type: clipped ratios (GRPO: Shao et al. 2024; Dr. GRPO: Liu et al. 2025; DAPO: Yu et al. 2025), weighted
//! log-probabilities (CISPO: Chen et al. 2025; VESPO) or a soft gate (SAPO: Gao et al. 2025).

use super::activation::sigmoid;

/// TRL's `loss_type`.
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

/// Settings of [`policy`]; the names are TRL's. The first number of a pair is for advantages above 0 (`vespo`: not
/// below 0), the second for others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicySettings {
    /// Type of the loss.
    pub loss_type: PolicyLoss,
    /// Distance that a ratio may be below 1.
    pub epsilon: f64,
    /// Distance that a ratio may be above 1; `Cispo`: the largest ratio itself.
    pub epsilon_high: f64,
    /// Cap of ratios that are not clipped; infinite for none.
    pub delta: f64,
    /// True if all tokens of a sequence share one ratio.
    pub sequence_level: bool,
    /// True if ratios are 1, but have a gradient.
    pub on_policy: bool,
    /// Weight of the distance to the reference.
    pub beta: f64,
    /// True if the distance to the reference is weighted by the ratio.
    pub use_bias_correction_kl: bool,
    /// Share of tokens that count, highest entropy first.
    pub top_entropy_quantile: f64,
    /// Weight of the entropy, which is rewarded.
    pub entropy_coef: f64,
    /// Largest mean of `old - logp`, nats, at which a sequence with a negative advantage counts; infinite for no limit.
    pub off_policy_mask_threshold: f64,
    /// `Sapo`'s temperatures.
    pub sapo_temperature: [f64; 2],
    /// `Vespo`'s exponents.
    pub vespo_k: [f64; 2],
    /// `Vespo`'s rates, at least 1e-4.
    pub vespo_lambda: [f64; 2],
    /// Tokens that a completion may have, for `DrGrpo`.
    pub max_completion_length: f64,
    /// Divisor of `Dapo`, `Cispo` and `Vespo`, at least 1.
    pub step_tokens: f64,
    /// 1 over the micro-batches of a step; used by all other losses, and for the entropy's part.
    pub share: f64,
}

/// Results of [`policy`]. Means are over the tokens that are kept, and 0 if none is.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// This micro-batch's part of the step's loss.
    pub loss: f64,
    /// The loss without the entropy's part.
    pub policy_loss: f64,
    /// (N), the derivative of `loss` with respect to each log-probability.
    pub dlogp: Vec<f64>,
    /// (N), the derivative of `loss` with respect to each entropy.
    pub dentropy: Vec<f64>,
    /// Mean entropy, nats.
    pub entropy: f64,
    /// Mean distance to the reference, nats.
    pub kl: f64,
    /// Share of tokens, or of sequences with one ratio each, whose ratio is too low for a negative advantage.
    pub low: f64,
    /// The same for ratios that are too high for a positive advantage; `Cispo`: for ratios that are capped.
    pub high: f64,
    /// Lowest share of `low` in a sequence, and highest of `high`; `None` without a sequence.
    pub extremes: Option<[f64; 2]>,
    /// Mean over sequences of `Vespo`'s weight.
    pub phi: f64,
}

/// The loss of S completions. `token_stats` (N,4): log-probability, nothing, entropy, nothing. `ranges` (S,2): first
/// token and end. `token_facts` (N,4): log-probability when the token was written, and under the reference.
/// `sequence_facts` (S,4): advantage, 1 if the sequence is kept.
pub fn policy(
    token_stats: &[[f64; 4]],
    ranges: &[[u32; 2]],
    token_facts: &[[f64; 4]],
    sequence_facts: &[[f64; 4]],
    settings: &PolicySettings,
) -> Policy {
    let tokens_of = |s: usize| ranges[s][0] as usize..ranges[s][1] as usize;
    let kept: Vec<usize> = (0..ranges.len()).filter(|s| sequence_facts[*s][1] == 1.0).collect();
    let count = kept.iter().map(|s| tokens_of(*s).len()).sum::<usize>().max(1) as f64;
    let level = entropy_level(kept.iter().flat_map(|s| tokens_of(*s)).map(|t| token_stats[t][2]), settings);
    let acts = |t: usize| token_stats[t][2] >= level;
    let acting = kept.iter().flat_map(|s| tokens_of(*s)).filter(|t| acts(*t)).count().max(1) as f64;
    let bonus = settings.entropy_coef * settings.share / acting;

    let zeros = || vec![0.0; token_stats.len()];
    let mut result = Policy {
        loss: 0.0,
        policy_loss: 0.0,
        dlogp: zeros(),
        dentropy: zeros(),
        entropy: 0.0,
        kl: 0.0,
        low: 0.0,
        high: 0.0,
        extremes: None,
        phi: 0.0,
    };
    for s in 0..ranges.len() {
        let keep = kept.contains(&s);
        let weight = settings.weight(ranges.len(), tokens_of(s).len().max(1), count);
        let (mut low, mut high, mut by_shared_ratio) = (0.0, 0.0, 0.0);
        let (stats, facts) = (&token_stats[tokens_of(s)], &token_facts[tokens_of(s)]);
        let sequence = Sequence::new(stats, facts, sequence_facts[s], settings);
        for (i, t) in tokens_of(s).enumerate() {
            let token = sequence.token(i, acts(t), settings);
            if sequence.is_clipped_low(token.ratio, settings) {
                low += 1.0;
            }
            if sequence.is_clipped_high(token.ratio, settings) {
                high += 1.0;
            }
            if !keep {
                continue;
            }
            result.policy_loss += weight * token.loss;
            result.dlogp[t] += weight * token.by_logp;
            if settings.sequence_level {
                by_shared_ratio += weight * token.by_ratio;
            } else {
                result.dlogp[t] += weight * token.by_ratio * token.ratio;
            }
            result.kl += token.kl / count;
            result.entropy += token_stats[t][2] / count;
            if acts(t) {
                result.loss -= bonus * token_stats[t][2];
                result.dentropy[t] = -bonus;
            }
        }
        let length = sequence.stats.len().max(1) as f64;
        for t in tokens_of(s) {
            result.dlogp[t] += by_shared_ratio * sequence.mean_ratio() / length;
        }
        result.phi += sequence.phi(settings) / ranges.len() as f64;
        if settings.sequence_level || (keep && !sequence.stats.is_empty()) {
            let per = if settings.sequence_level { length * ranges.len() as f64 } else { count };
            result.low += low / per;
            result.high += high / per;
            let [lowest, highest] = result.extremes.unwrap_or([1.0, 0.0]);
            result.extremes = Some([lowest.min(low / length), highest.max(high / length)]);
        }
    }
    result.loss += result.policy_loss;
    result
}

/// The entropy that a token needs: the quantile as `torch.quantile` computes it, interpolated between two values.
fn entropy_level(entropies: impl Iterator<Item = f64>, settings: &PolicySettings) -> f64 {
    let mut sorted: Vec<f64> = entropies.collect();
    if settings.top_entropy_quantile >= 1.0 || sorted.is_empty() {
        return f64::NEG_INFINITY;
    }
    sorted.sort_by(f64::total_cmp);
    let place = (1.0 - settings.top_entropy_quantile) * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

impl PolicySettings {
    /// Factor of each token's loss in a sequence of `length` tokens, among `sequences` sequences and `tokens` tokens.
    fn weight(&self, sequences: usize, length: usize, tokens: f64) -> f64 {
        match self.loss_type {
            PolicyLoss::Grpo | PolicyLoss::Sapo => self.share / (sequences * length) as f64,
            PolicyLoss::Bnpo => self.share / tokens,
            PolicyLoss::DrGrpo => self.share / (sequences as f64 * self.max_completion_length),
            PolicyLoss::Luspo => self.share / sequences as f64,
            PolicyLoss::Dapo | PolicyLoss::Cispo | PolicyLoss::Vespo => 1.0 / self.step_tokens.max(1.0),
        }
    }
}

/// One completion.
struct Sequence<'a> {
    stats: &'a [[f64; 4]],
    facts: &'a [[f64; 4]],
    advantage: f64,
    /// Log-ratios of its tokens, `logp - old`; 0 on-policy, and if the completion is not kept.
    log_ratios: Vec<f64>,
}

/// A token's loss, and its derivatives with respect to the ratio and to the log-probability at that ratio.
struct TokenLoss {
    ratio: f64,
    loss: f64,
    by_ratio: f64,
    by_logp: f64,
    kl: f64,
}

impl<'a> Sequence<'a> {
    fn new(stats: &'a [[f64; 4]], facts: &'a [[f64; 4]], sequence: [f64; 4], settings: &PolicySettings) -> Self {
        let is_read = !settings.on_policy && sequence[1] == 1.0;
        let log_ratios = stats.iter().zip(facts).map(|(stats, facts)| if is_read { stats[0] - facts[0] } else { 0.0 });
        Self { stats, facts, advantage: sequence[0], log_ratios: log_ratios.collect() }
    }

    fn mean_log_ratio(&self) -> f64 {
        self.log_ratios.iter().sum::<f64>() / self.log_ratios.len().max(1) as f64
    }

    fn mean_ratio(&self) -> f64 {
        self.mean_log_ratio().exp()
    }

    /// The number of a pair that is for this advantage.
    fn of(&self, two: [f64; 2]) -> f64 {
        two[usize::from(self.advantage <= 0.0)]
    }

    /// VESPO's weight.
    fn phi(&self, settings: &PolicySettings) -> f64 {
        let sign = usize::from(self.advantage < 0.0);
        let (k, lambda) = (settings.vespo_k[sign], settings.vespo_lambda[sign].max(1e-4));
        let sum = self.log_ratios.iter().map(|ratio| ratio.clamp(-20.0, 20.0)).sum::<f64>();
        let log_weight = sum.clamp(1e-8_f64.ln(), 20.0);
        (lambda + k * log_weight - lambda * log_weight.exp()).exp()
    }

    fn is_clipped_low(&self, ratio: f64, settings: &PolicySettings) -> bool {
        ratio.min(settings.delta) < 1.0 - settings.epsilon && self.advantage < 0.0
    }

    fn is_clipped_high(&self, ratio: f64, settings: &PolicySettings) -> bool {
        let (ratio, high) = match settings.loss_type {
            PolicyLoss::Cispo => (ratio, settings.epsilon_high),
            _ => (ratio.min(settings.delta), 1.0 + settings.epsilon_high),
        };
        ratio > high && self.advantage > 0.0
    }

    /// Loss of the i-th token; `acts` if its entropy is high enough.
    fn token(&self, i: usize, acts: bool, settings: &PolicySettings) -> TokenLoss {
        let logp = self.stats[i][0];
        let log_ratio = if settings.sequence_level { self.mean_log_ratio() } else { self.log_ratios[i] };
        let ratio = log_ratio.exp();
        let is_on = self.advantage >= 0.0 || -self.mean_log_ratio() <= settings.off_policy_mask_threshold;
        let [mut loss, mut by_ratio, mut by_logp] =
            if acts && is_on { self.objective(ratio, logp, settings) } else { [0.0; 3] };

        let gap = if settings.beta == 0.0 { 0.0 } else { self.facts[i][1] - logp };
        let (mut kl, mut kl_by_logp) = (gap.exp_m1() - gap, -gap.exp_m1());
        if settings.use_bias_correction_kl {
            by_ratio += settings.beta * kl;
            kl *= ratio;
            kl_by_logp *= ratio;
        }
        loss += settings.beta * kl;
        by_logp += settings.beta * kl_by_logp;
        TokenLoss { ratio, loss, by_ratio, by_logp, kl }
    }

    /// The policy's gain with a minus sign, and its derivatives with respect to ratio and log-probability.
    fn objective(&self, ratio: f64, logp: f64, settings: &PolicySettings) -> [f64; 3] {
        let a = self.advantage;
        match settings.loss_type {
            PolicyLoss::Cispo => {
                let factor = ratio.min(settings.epsilon_high) * a;
                [-factor * logp, 0.0, -factor]
            }
            PolicyLoss::Vespo => {
                let factor = self.phi(settings) * a;
                [-factor * logp, 0.0, -factor]
            }
            PolicyLoss::Sapo => {
                let temperature = self.of(settings.sapo_temperature);
                let gate = sigmoid(temperature * (ratio - 1.0));
                [-a * gate * 4.0 / temperature, -a * 4.0 * gate * (1.0 - gate), 0.0]
            }
            _ => {
                let range = 1.0 - settings.epsilon..=1.0 + settings.epsilon_high;
                let [value, slope] = clipped_gain(ratio, a, range, settings.delta);
                [-value, -slope, 0.0]
            }
        }
    }
}

/// `min(ratio a, clamp(ratio) a)`, where the first ratio is at most `most`, and its derivative with respect to the
/// ratio (PPO: Schulman et al. 2017).
pub(super) fn clipped_gain(ratio: f64, a: f64, range: std::ops::RangeInclusive<f64>, most: f64) -> [f64; 2] {
    let (free, bound) = (ratio.min(most) * a, ratio.clamp(*range.start(), *range.end()) * a);
    let follows = if free <= bound { ratio <= most } else { range.contains(&ratio) };
    [free.min(bound), if follows { a } else { 0.0 }]
}
