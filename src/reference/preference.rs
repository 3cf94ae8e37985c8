//! Losses of pairs: value, gradient and metrics, as in TRL 1.16 (`trl/trainer/dpo_trainer.py`, and for the last two
//! losses `trl/experimental/{cpo,orpo}`).
//!
//! In a pair, `c` and `r` are the policy's minus the reference's log-probabilities of the chosen and of the rejected
//! completion, `C` and `R` their scores by a divergence, `d = C - R`, and `beta c` and `beta r` their rewards (Rafailov
//! et al. 2023, "Direct Preference Optimization").
//!
//! All vectors over sequences have 2n entries for n pairs: the chosen sequences, then the rejected in the same order.

use super::activation::sigmoid;

/// A loss of pairs, by TRL's name; the last two are the loss of CPO and SimPO, and that of ORPO.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "`loss_of` says what each is")]
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
    Smoothed,
    OddsRatio,
}

/// TRL's `f_divergence_type`, and `AlphaPO`'s transformation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Divergence {
    /// `x`.
    ReverseKl,
    /// `1 - exp(-x)`.
    ForwardKl,
    /// `log 2 + log sigmoid(x)`.
    JensenShannon,
    /// `(exp((a-1) x) - 1) / (a-1)`, the exponent at most 80.
    Alpha(f64),
    /// `(1 - exp(-a x)) / a`.
    AlphaPo(f64),
}

/// Settings of [`preference`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreferenceSettings {
    /// Strength with which the policy is held to the reference, above 0: the factor from log-ratio to reward.
    pub beta: f64,
    /// Share of pairs assumed to be the wrong way round, in [0, 0.5).
    pub label_smoothing: f64,
    /// Map from log-ratio to score.
    pub divergence: Divergence,
    /// True if log-ratios are divided by their scored tokens instead of summed.
    pub by_token: bool,
    /// Temperature of `Discopop`'s mixture.
    pub discopop_tau: f64,
    /// Margin that `Smoothed` subtracts from beta times the difference.
    pub gamma: f64,
    /// Factor of `Dpop`'s penalty.
    pub dpop_lambda: f64,
}

/// Facts about n pairs; every list has 2n entries.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    /// Summed log-probabilities under the policy, nats.
    pub logps: &'a [f64],
    /// Summed log-probabilities under the reference, nats.
    pub reference: &'a [f64],
    /// Completion tokens, 1 or more.
    pub lengths: &'a [f64],
    /// Completion tokens that have a log-probability.
    pub scored: &'a [f64],
    /// WPO's weight of each answer, a constant; 1 without WPO.
    pub weights: &'a [f64],
}

/// Metrics that TRL logs of pairs, as means over the pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairMetrics {
    /// TRL's `rewards/chosen`.
    pub chosen_reward: f64,
    /// TRL's `rewards/rejected`.
    pub rejected_reward: f64,
    /// Share of pairs with the larger reward for the chosen answer, strictly; TRL's `rewards/accuracies`.
    pub accuracy: f64,
    /// TRL's `rewards/margins`.
    pub margin: f64,
    /// TRL's `logps/chosen` and `logps/rejected`.
    pub logps: [f64; 2],
}

/// Sums `values` (T) into their sequences: `sums[s] = Σ values[t]` over the t with `sequence_of_token[t] == s`.
///
/// If `values` are the log-probabilities of scored tokens, in nats, the sums are the sequences' log-probabilities.
/// Returns (`sequences`).
pub fn sequence_sum(values: &[f64], sequence_of_token: &[u32], sequences: usize) -> Vec<f64> {
    assert_eq!(values.len(), sequence_of_token.len(), "every value needs a sequence");
    let mut sums = vec![0.0; sequences];
    for (value, &sequence) in values.iter().zip(sequence_of_token) {
        sums[sequence as usize] += value;
    }
    sums
}

/// The derivative with respect to each token's log-probability, from the derivatives `dsums` with respect to its
/// sequence's two sums. `weights` (T,2) are the token's weights in the two sums; the second is multiplied by `chances`
/// (T).
pub fn token_gradient(
    dsums: &[[f64; 2]],
    weights: &[[f64; 2]],
    chances: &[f64],
    sequence_of_token: &[u32],
) -> Vec<f64> {
    let tokens = sequence_of_token.iter().zip(weights).zip(chances);
    tokens.map(|((&s, [w, v]), chance)| w * dsums[s as usize][0] + v * chance * dsums[s as usize][1]).collect()
}

/// Cross entropy: minus `scale` times the sequences' log-probabilities `logps`, and its derivative with respect to
/// each.
pub fn token_nll(logps: &[f64], scale: f64) -> (f64, Vec<f64>) {
    (-scale * logps.iter().sum::<f64>(), vec![-scale; logps.len()])
}

/// A loss of n pairs, as a mean over them, and its derivative with respect to each entry of `logps`.
pub fn preference(loss: PairLoss, pairs: &Pairs<'_>, settings: &PreferenceSettings) -> (f64, Vec<f64>) {
    let n = pairs.logps.len() / 2;
    let scores = pairs.scores(settings);
    let mut total = 0.0;
    let mut dlogp = vec![0.0; 2 * n];
    for i in 0..n {
        let j = n + i;
        let each = pairs.weights[i] * pairs.weights[j] / n as f64;
        total += each * pairs.loss_of(loss, i, &scores, settings);
    }
    // Every loss is a function of the scores of one pair, except the losses that sort. They too are sums over the
    // positions in the sorted order, and the derivative at a position goes to the pair that stands there.
    for (s, slope) in dlogp.iter_mut().enumerate() {
        let i = s % n;
        let each = pairs.weights[i] * pairs.weights[n + i] / n as f64;
        *slope = each * pairs.slope_of(loss, s, &scores, settings) * pairs.score_slope(s, settings);
    }
    (total, dlogp)
}

/// Computes the metrics that TRL logs of n pairs.
pub fn pair_metrics(pairs: &Pairs<'_>, settings: &PreferenceSettings) -> PairMetrics {
    let n = pairs.logps.len() / 2;
    let scores = pairs.scores(settings);
    let mean = |value: &dyn Fn(usize) -> f64| (0..n).map(value).sum::<f64>() / n as f64;
    let logp = |s: usize| if settings.by_token { pairs.logps[s] / pairs.scored[s] } else { pairs.logps[s] };
    // TRL logs DPO's ratios whatever the divergence, and AlphaPO's rewards.
    let reward = |s: usize| match settings.divergence {
        Divergence::AlphaPo(_) => settings.beta * scores[s],
        _ => settings.beta * pairs.ratio(s, settings),
    };
    PairMetrics {
        chosen_reward: mean(&|i| reward(i)),
        rejected_reward: mean(&|i| reward(n + i)),
        accuracy: mean(&|i| if reward(i) > reward(n + i) { 1.0 } else { 0.0 }),
        margin: mean(&|i| reward(i) - reward(n + i)),
        logps: [mean(&logp), mean(&|i| logp(n + i))],
    }
}

impl Pairs<'_> {
    fn ratio(&self, s: usize, settings: &PreferenceSettings) -> f64 {
        (self.logps[s] - self.reference[s]) / if settings.by_token { self.scored[s] } else { 1.0 }
    }

    fn scores(&self, settings: &PreferenceSettings) -> Vec<f64> {
        let score = |s: usize| {
            let x = self.ratio(s, settings);
            match settings.divergence {
                Divergence::ReverseKl => x,
                Divergence::ForwardKl => 1.0 - (-x).exp(),
                Divergence::JensenShannon => 2_f64.ln() + log_sigmoid(x),
                Divergence::Alpha(a) => (((a - 1.0) * x).min(80.0).exp() - 1.0) / (a - 1.0),
                Divergence::AlphaPo(a) => (1.0 - (-a * x).exp()) / a,
            }
        };
        (0..self.logps.len()).map(score).collect()
    }

    /// The derivative of a score with respect to the summed log-probability.
    fn score_slope(&self, s: usize, settings: &PreferenceSettings) -> f64 {
        let x = self.ratio(s, settings);
        let by_ratio = match settings.divergence {
            Divergence::ReverseKl => 1.0,
            Divergence::ForwardKl => (-x).exp(),
            Divergence::JensenShannon => sigmoid(-x),
            Divergence::Alpha(a) if (a - 1.0) * x > 80.0 => 0.0,
            Divergence::Alpha(a) => ((a - 1.0) * x).exp(),
            Divergence::AlphaPo(a) => (-a * x).exp(),
        };
        by_ratio / if settings.by_token { self.scored[s] } else { 1.0 }
    }

    /// Returns the match of each of `mine`: the k-th smallest of `mine` is compared with the k-th smallest of `others`.
    fn matched(mine: &[f64], others: &[f64]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..mine.len()).collect();
        order.sort_by(|&a, &b| mine[a].total_cmp(&mine[b]));
        let mut sorted = others.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut matched = vec![0.0; mine.len()];
        for (rank, i) in order.into_iter().enumerate() {
            matched[i] = sorted[rank];
        }
        matched
    }

    /// The differences that AOT's losses use, for sequence s of a pair.
    fn transported(&self, loss: PairLoss, s: usize, scores: &[f64]) -> f64 {
        let n = self.logps.len() / 2;
        let i = s % n;
        if loss == PairLoss::Aot {
            let margins = |logps: &[f64]| (0..n).map(|k| logps[k] - logps[n + k]).collect::<Vec<f64>>();
            let (mine, others) = (margins(self.logps), margins(self.reference));
            return mine[i] - Self::matched(&mine, &others)[i];
        }
        let (chosen, rejected) = scores.split_at(n);
        match s < n {
            true => chosen[i] - Self::matched(chosen, rejected)[i],
            false => Self::matched(rejected, chosen)[i] - rejected[i],
        }
    }

    /// The loss of pair i.
    fn loss_of(&self, loss: PairLoss, i: usize, scores: &[f64], settings: &PreferenceSettings) -> f64 {
        let (b, e, j) = (settings.beta, settings.label_smoothing, scores.len() / 2 + i);
        let (c, r) = (scores[i], scores[j]);
        let (by_token_c, by_token_r) = (c / self.lengths[i], r / self.lengths[j]);
        let x = b * (c - r);
        let smoothed = |x: f64| -(1.0 - e) * log_sigmoid(x) - e * log_sigmoid(-x);
        match loss {
            PairLoss::Sigmoid => -log_sigmoid(x),
            PairLoss::SigmoidNorm => -log_sigmoid(b * (by_token_c - by_token_r)),
            PairLoss::Ipo => (by_token_c - by_token_r - 1.0 / (2.0 * b)).powi(2),
            PairLoss::Hinge => (1.0 - x).max(0.0),
            PairLoss::Robust => (-(1.0 - e) * log_sigmoid(x) + e * log_sigmoid(-x)) / (1.0 - 2.0 * e),
            PairLoss::ExoPair => {
                sigmoid(x) * (log_sigmoid(x) - (-e).ln_1p()) + sigmoid(-x) * (log_sigmoid(-x) - e.ln())
            }
            PairLoss::NcaPair => -log_sigmoid(b * c) - 0.5 * log_sigmoid(-b * c) - 0.5 * log_sigmoid(-b * r),
            PairLoss::BcoPair => -log_sigmoid(b * c) - log_sigmoid(-b * r),
            PairLoss::SppoHard => (c - 0.5 / b).powi(2) + (r + 0.5 / b).powi(2),
            PairLoss::Aot | PairLoss::AotUnpaired => smoothed(b * self.transported(loss, i, scores)),
            PairLoss::ApoZero => (1.0 - sigmoid(b * c)) + sigmoid(b * r),
            PairLoss::ApoDown => sigmoid(b * c) + 1.0 - sigmoid(x),
            PairLoss::Discopop => {
                let m = sigmoid(x / settings.discopop_tau);
                -log_sigmoid(x) * (1.0 - m) + (-x).exp() * m
            }
            PairLoss::Dpop => -log_sigmoid(x - b * settings.dpop_lambda * (-c).max(0.0)),
            PairLoss::Smoothed => smoothed(x - settings.gamma),
            PairLoss::OddsRatio => -b * log_sigmoid(log_odds(c) - log_odds(r)),
        }
    }

    /// The derivative of the losses with respect to the score of sequence s.
    fn slope_of(&self, loss: PairLoss, s: usize, scores: &[f64], settings: &PreferenceSettings) -> f64 {
        let (b, e, n) = (settings.beta, settings.label_smoothing, scores.len() / 2);
        let (i, j) = (s % n, n + s % n);
        let (c, r) = (scores[i], scores[j]);
        let x = b * (c - r);
        let by_token = b * (c / self.lengths[i] - r / self.lengths[j]);
        let chosen = s < n;
        let side = if chosen { 1.0 } else { -1.0 };
        let apart = |x: f64| sigmoid(x) * sigmoid(-x);
        let smoothed = |x: f64| -b * ((1.0 - e) * sigmoid(-x) - e * sigmoid(x));
        match loss {
            PairLoss::Sigmoid => -side * b * sigmoid(-x),
            PairLoss::SigmoidNorm => -side * b * sigmoid(-by_token) / self.lengths[s],
            PairLoss::Ipo => side * 2.0 * (by_token / b - 1.0 / (2.0 * b)) / self.lengths[s],
            // At the kink the derivative is 0, as torch.relu has it.
            PairLoss::Hinge => -side * if x < 1.0 { b } else { 0.0 },
            PairLoss::Robust => -side * b * ((1.0 - e) * sigmoid(-x) + e * sigmoid(x)) / (1.0 - 2.0 * e),
            PairLoss::ExoPair => side * b * apart(x) * ((log_sigmoid(x) - (-e).ln_1p()) - (log_sigmoid(-x) - e.ln())),
            PairLoss::NcaPair if chosen => b * (0.5 * sigmoid(b * c) - sigmoid(-b * c)),
            PairLoss::NcaPair => 0.5 * b * sigmoid(b * r),
            PairLoss::BcoPair if chosen => -b * sigmoid(-b * c),
            PairLoss::BcoPair => b * sigmoid(b * r),
            PairLoss::SppoHard => 2.0 * (scores[s] - side * 0.5 / b),
            PairLoss::Aot | PairLoss::AotUnpaired => side * smoothed(b * self.transported(loss, s, scores)),
            PairLoss::ApoZero => -side * b * apart(b * scores[s]),
            PairLoss::ApoDown if chosen => b * (apart(b * c) - apart(x)),
            PairLoss::ApoDown => b * apart(x),
            PairLoss::Discopop => {
                let m = sigmoid(x / settings.discopop_tau);
                let dm = apart(x / settings.discopop_tau) / settings.discopop_tau;
                let steep = (-x).exp();
                side * b * (-sigmoid(-x) * (1.0 - m) + log_sigmoid(x) * dm - steep * m + steep * dm)
            }
            PairLoss::Dpop => {
                let pull = b * sigmoid(-(x - b * settings.dpop_lambda * (-c).max(0.0)));
                -side * pull * if chosen && c < 0.0 { 1.0 + settings.dpop_lambda } else { 1.0 }
            }
            PairLoss::Smoothed => side * smoothed(x - settings.gamma),
            PairLoss::OddsRatio => {
                let pull = b * sigmoid(-(log_odds(c) - log_odds(r)));
                -side * pull / -scores[s].exp_m1()
            }
        }
    }
}

/// `log(p / (1 - p))` of a probability's logarithm x, below 0.
fn log_odds(x: f64) -> f64 {
    x - (-x.exp_m1()).ln()
}

/// `log(1 / (1 + exp(-x)))`, written so that a large |x| overflows nowhere and loses nothing.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}
