//! Checks of sums over sequences, the losses of pairs, the optimiser.

use super::cases::{Check, Compare, Matrix, named_form, random, run};
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels;
use crate::reference;

/// The first token and the end of sequences of these lengths, and the sequence of each token.
fn sequences_of(lengths: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let owner = (0..lengths.len()).flat_map(|s| vec![s as u32; lengths[s] as usize]).collect();
    let mut end = 0;
    let ranges = lengths.iter().flat_map(|n| {
        end += n;
        [end - n, end]
    });
    (ranges.collect(), owner)
}

/// Sequences of 0, 1, .. tokens, `longest` at most, as they are and by the tokens' chances.
pub async fn sequence_sum(gpu: &Gpu, sequences: u32, longest: u32) -> Result<Check> {
    let lengths: Vec<u32> = (0..sequences).map(|s| s * longest / (sequences - 1).max(1)).collect();
    let (ranges, owner) = sequences_of(&lengths);
    let tokens = owner.len() as u32;
    let stats = Matrix::random(gpu, tokens.max(1), 4, 1);
    let weights = Matrix::random(gpu, tokens.max(1), 4, 2);
    let state = random(tokens.max(1) * 8, 3).into_iter().map(|value| 1.5 + value).collect();
    let state = Matrix::new(gpu, tokens.max(1), 8, state);
    let gpu_ranges = gpu.upload("ranges", sequences, 2, Dtype::U32, &ranges);
    let mut compare = Compare::new(gpu, "sequence_sum", 1e-6);
    for by_chance in [false, true] {
        let sums = gpu.zeros("sums", sequences, 8, Dtype::F32);
        run(gpu, |rec| {
            let (stats, state, weights) = (&stats.tensor, &state.tensor, &weights.tensor);
            kernels::sequence_sum(rec, stats, state, weights, &gpu_ranges, by_chance, &sums);
        });
        let chance = |logp: f64| if by_chance { logp.exp() } else { 1.0 };
        let column = |of: fn(&[f64], &[f64], &[f64], f64) -> f64| {
            let tokens = stats.values.chunks_exact(4).zip(weights.values.chunks_exact(4));
            let tokens = tokens.zip(state.values.chunks_exact(8)).take(owner.len());
            let values: Vec<f64> =
                tokens.map(|((stats, weights), state)| of(stats, weights, state, chance(stats[0]))).collect();
            reference::sequence_sum(&values, &owner, sequences as usize)
        };
        let columns = [
            column(|t, w, _, _| w[0] * t[0]),
            column(|t, w, _, chance| w[1] * t[0] * chance),
            column(|t, w, _, _| w[2] * t[1]),
            column(|t, w, _, _| w[2] * t[2]),
            column(|t, w, _, _| w[2] * t[3]),
            column(|t, _, state, _| t[0] - (state[6].ln() - 2.0 * state[1].ln())),
            vec![0.0; sequences as usize],
            vec![0.0; sequences as usize],
        ];
        let want: Vec<f64> = (0..sequences as usize).flat_map(|s| columns.each_ref().map(|c| c[s])).collect();
        compare = compare.and(&sums, &want).await?;
    }
    Ok(compare.done())
}

/// Derivatives of sequences of 0, 1, .. tokens, `longest` at most, for each token.
pub async fn token_gradient(gpu: &Gpu, sequences: u32, longest: u32) -> Result<Check> {
    let lengths: Vec<u32> = (0..sequences).map(|s| s * longest / (sequences - 1).max(1)).collect();
    let (_, owner) = sequences_of(&lengths);
    let tokens = owner.len() as u32;
    let (stats, weights) = (Matrix::random(gpu, tokens, 4, 1), Matrix::random(gpu, tokens, 4, 2));
    let dsums = Matrix::random(gpu, sequences, 2, 3);
    let sequence = gpu.upload("sequence", 1, tokens, Dtype::U32, &owner);
    let mut compare = Compare::new(gpu, "token_gradient", 1e-6);
    for by_chance in [false, true] {
        let dlogp = gpu.zeros("dlogp", 1, tokens, Dtype::F32);
        run(gpu, |rec| {
            let (dsums, stats, weights) = (&dsums.tensor, &stats.tensor, &weights.tensor);
            kernels::token_gradient(rec, dsums, stats, weights, &sequence, by_chance, &dlogp);
        });
        let chance = |stats: &[f64]| if by_chance { stats[0].exp() } else { 1.0 };
        let chances: Vec<f64> = stats.values.chunks_exact(4).map(chance).collect();
        let two = |values: &[f64], width: usize| -> Vec<[f64; 2]> {
            values.chunks_exact(width).map(|row| [row[0], row[1]]).collect()
        };
        let want = reference::token_gradient(&two(&dsums.values, 2), &two(&weights.values, 4), &chances, &owner);
        compare = compare.and(&dlogp, &want).await?;
    }
    Ok(compare.done())
}

/// Pairs for the losses: sums, what is known of them, and settings for each side.
struct PairCase {
    sums: Matrix,
    known: Matrix,
    settings: kernels::PreferenceSettings,
    twin: reference::PreferenceSettings,
}

impl PairCase {
    fn new(gpu: &Gpu, pairs: u32, divergence: kernels::Divergence, by_token: bool, weighted: bool) -> Self {
        let n = 2 * pairs as usize;
        let draw = random(7 * pairs * 2, 1);
        let lengths: Vec<f64> = (0..n).map(|i| (3 + i % 5) as f64).collect();
        let row = |i: usize| {
            let scored = lengths[i] - 1.0;
            // ORPO needs a mean log-probability, which is below 0.
            let reference = if by_token { 0.0 } else { 3.0 * draw[3 * n + i] - 30.0 };
            let logp = if by_token { scored * (draw[i] - 1.5) } else { 3.0 * draw[i] - 30.0 };
            let sums = [logp, draw[4 * n + i], draw[n + i], 3.0 + draw[2 * n + i], 2.0, scored * draw[5 * n + i]];
            (sums, [reference, lengths[i], scored, 0.0])
        };
        let sums = (0..n).flat_map(|i| row(i).0.into_iter().chain([0.0; 2])).collect();
        let known = (0..n).flat_map(|i| row(i).1).collect();
        let (beta, label_smoothing, discopop_tau, gamma, dpop_lambda) = (0.2_f32, 0.1_f32, 0.05_f32, 0.3_f32, 5.0_f32);
        let twin_divergence = match divergence {
            kernels::Divergence::ReverseKl => reference::Divergence::ReverseKl,
            kernels::Divergence::ForwardKl => reference::Divergence::ForwardKl,
            kernels::Divergence::JensenShannon => reference::Divergence::JensenShannon,
            kernels::Divergence::Alpha(alpha) => reference::Divergence::Alpha(alpha.into()),
            kernels::Divergence::AlphaPo(alpha) => reference::Divergence::AlphaPo(alpha.into()),
        };
        Self {
            sums: Matrix::new(gpu, n as u32, 8, sums),
            known: Matrix::new(gpu, n as u32, 4, known),
            settings: kernels::PreferenceSettings {
                beta,
                label_smoothing,
                divergence,
                by_token,
                weighted,
                discopop_tau,
                gamma,
                dpop_lambda,
            },
            twin: reference::PreferenceSettings {
                beta: beta.into(),
                label_smoothing: label_smoothing.into(),
                divergence: twin_divergence,
                by_token,
                discopop_tau: discopop_tau.into(),
                gamma: gamma.into(),
                dpop_lambda: dpop_lambda.into(),
            },
        }
    }

    fn column(&self, c: usize) -> Vec<f64> {
        self.sums.values.iter().skip(c).step_by(8).copied().collect()
    }

    fn known_column(&self, c: usize) -> Vec<f64> {
        self.known.values.iter().skip(c).step_by(4).copied().collect()
    }

    fn with_pairs<T>(&self, of: impl FnOnce(&reference::Pairs<'_>) -> T) -> T {
        let (logps, likelihood, scored) = (self.column(0), self.column(5), self.known_column(2));
        let weight = |(sum, tokens): (&f64, &f64)| if self.settings.weighted { (sum / tokens).exp() } else { 1.0 };
        of(&reference::Pairs {
            logps: &logps,
            reference: &self.known_column(0),
            lengths: &self.known_column(1),
            scored: &scored,
            weights: &likelihood.iter().zip(&scored).map(weight).collect::<Vec<_>>(),
        })
    }
}

/// A loss and its derivative, added twice with scale ½.
pub async fn preference(
    gpu: &Gpu,
    pairs: u32,
    loss: kernels::PairLoss,
    divergence: kernels::Divergence,
    weighted: bool,
) -> Result<Check> {
    use kernels::PairLoss as L;
    let odds = loss == L::OddsRatio;
    let case = PairCase::new(gpu, pairs, divergence, odds, weighted);
    let dsums = gpu.zeros("dsums", 2 * pairs, 2, Dtype::F32);
    let metrics = gpu.zeros("metrics", 1, kernels::METRICS, Dtype::F32);
    run(gpu, |rec| {
        for _ in 0..2 {
            let (sums, known) = (&case.sums.tensor, &case.known.tensor);
            kernels::preference(rec, loss, sums, known, &case.settings, 0.5, &dsums, &metrics);
        }
    });
    let twins = [
        (L::Sigmoid, reference::PairLoss::Sigmoid),
        (L::SigmoidNorm, reference::PairLoss::SigmoidNorm),
        (L::Ipo, reference::PairLoss::Ipo),
        (L::Hinge, reference::PairLoss::Hinge),
        (L::Robust, reference::PairLoss::Robust),
        (L::ExoPair, reference::PairLoss::ExoPair),
        (L::NcaPair, reference::PairLoss::NcaPair),
        (L::BcoPair, reference::PairLoss::BcoPair),
        (L::SppoHard, reference::PairLoss::SppoHard),
        (L::Aot, reference::PairLoss::Aot),
        (L::AotUnpaired, reference::PairLoss::AotUnpaired),
        (L::ApoZero, reference::PairLoss::ApoZero),
        (L::ApoDown, reference::PairLoss::ApoDown),
        (L::Discopop, reference::PairLoss::Discopop),
        (L::Dpop, reference::PairLoss::Dpop),
        (L::Smoothed, reference::PairLoss::Smoothed),
        (L::OddsRatio, reference::PairLoss::OddsRatio),
    ];
    let twin = twins.into_iter().find(|(of, _)| *of == loss).map_or(reference::PairLoss::Sigmoid, |(_, twin)| twin);
    let (value, slopes) = case.with_pairs(|pairs| reference::preference(twin, pairs, &case.twin));
    let mut want_metrics = vec![0.0; kernels::METRICS as usize];
    want_metrics[kernels::metric::LOSS] = value;
    if odds {
        let n = pairs as usize;
        let means: Vec<f64> = case.column(0).iter().zip(case.known_column(2)).map(|(sum, n)| sum / n).collect();
        let odds = |x: f64| x - (-x.exp_m1()).ln();
        for i in 0..n {
            let x = odds(means[i]) - odds(means[n + i]);
            want_metrics[kernels::metric::LOG_ODDS_RATIO] -= (-x).exp().ln_1p() / n as f64;
            want_metrics[kernels::metric::LOG_ODDS_CHOSEN] += x / n as f64;
        }
    }
    let want: Vec<f64> = slopes.into_iter().flat_map(|slope| [slope, 0.0]).collect();
    let compare = Compare::new(gpu, named_form(gpu, "preference", loss.form()), 1e-5);
    compare.and(&dsums, &want).await?.with(&metrics, &want_metrics).await
}

/// Checks the logged metrics of pairs, added twice with scale ½.
pub async fn pair_metrics(gpu: &Gpu, pairs: u32, by_token: bool) -> Result<Check> {
    let case = PairCase::new(gpu, pairs, kernels::Divergence::AlphaPo(0.25), by_token, false);
    let metrics = gpu.zeros("metrics", 1, kernels::METRICS, Dtype::F32);
    run(gpu, |rec| {
        for _ in 0..2 {
            let (sums, known) = (&case.sums.tensor, &case.known.tensor);
            kernels::pair_metrics(rec, sums, known, &case.settings, 0.5, &metrics);
        }
    });
    let got = case.with_pairs(|pairs| reference::pair_metrics(pairs, &case.twin));
    let (n, scored) = (pairs as usize, case.known_column(2));
    let [logits, entropy, correct] = [2, 3, 4].map(|c| case.column(c));
    let by_tokens = |values: &[f64], range: std::ops::Range<usize>| {
        values[range.clone()].iter().sum::<f64>() / scored[range].iter().sum::<f64>()
    };
    let mut want = vec![0.0; 2];
    want.extend([got.chosen_reward, got.rejected_reward, got.accuracy, got.margin, got.logps[0], got.logps[1]]);
    want.extend([by_tokens(&logits, 0..n), by_tokens(&logits, n..2 * n)]);
    want.extend([by_tokens(&entropy, 0..2 * n), by_tokens(&correct, 0..n)]);
    want.resize(kernels::METRICS as usize, 0.0);
    Compare::new(gpu, "pair_metrics", 1e-5).with(&metrics, &want).await
}

/// Cross entropy of some of the sequences, added twice.
pub async fn token_nll(gpu: &Gpu, sequences: u32) -> Result<Check> {
    let sums = Matrix::random(gpu, sequences + 1, 8, 1);
    let dsums = gpu.zeros("dsums", sequences + 1, 2, Dtype::F32);
    let metrics = gpu.zeros("metrics", 1, kernels::METRICS, Dtype::F32);
    run(gpu, |rec| {
        for _ in 0..2 {
            kernels::token_nll(rec, &sums.tensor, sequences, 0.25, 0.125, &dsums, &metrics);
        }
    });
    let column =
        |c: usize| -> Vec<f64> { sums.values.iter().skip(c).step_by(8).take(sequences as usize).copied().collect() };
    let (loss, slopes) = reference::token_nll(&column(1), 0.5);
    let want: Vec<f64> = slopes.into_iter().chain([0.0]).flat_map(|slope| [0.0, slope]).collect();
    let mut want_metrics = vec![0.0; kernels::METRICS as usize];
    want_metrics[kernels::metric::LOSS] = loss;
    want_metrics[kernels::metric::NLL] = 0.5 * loss;
    want_metrics[kernels::metric::NLL_ENTROPY] = 0.25 * column(3).iter().sum::<f64>();
    want_metrics[kernels::metric::NLL_ACCURACY] = 0.25 * column(4).iter().sum::<f64>();
    let compare = Compare::new(gpu, "token_nll", 1e-6);
    compare.and(&dsums, &want).await?.with(&metrics, &want_metrics).await
}

/// The norm over several blocks.
pub async fn grad_norm(gpu: &Gpu, lengths: &[u32]) -> Result<Check> {
    let blocks: Vec<Matrix> = lengths.iter().enumerate().map(|(i, &n)| Matrix::random(gpu, 1, n, i as u64)).collect();
    let tensors: Vec<&Tensor> = blocks.iter().map(|b| &b.tensor).collect();
    let partials = gpu.zeros("partials", 64, lengths.len() as u32, Dtype::F32);
    let metrics = gpu.zeros("metrics", 1, kernels::METRICS, Dtype::F32);
    run(gpu, |rec| kernels::grad_norm(rec, &tensors, &partials, &metrics));
    let all: Vec<f64> = blocks.iter().flat_map(|b| b.values.iter().copied()).collect();
    let mut want = vec![0.0; kernels::METRICS as usize];
    want[kernels::metric::GRAD_NORM] = reference::grad_norm(&all);
    Compare::new(gpu, "grad_norm", 1e-5).with(&metrics, &want).await
}

/// `steps` clipped steps with weight decay over `fours` vec4s.
pub async fn adamw(gpu: &Gpu, fours: u32, steps: u32) -> Result<Check> {
    let len = 4 * fours;
    let param = Matrix::random(gpu, 1, len, 1);
    let (m, v) = (gpu.zeros("m", 1, len, Dtype::F32), gpu.zeros("v", 1, len, Dtype::F32));
    let metrics = gpu.zeros("metrics", 1, kernels::METRICS, Dtype::F32);
    let partials = gpu.zeros("partials", 1, 64, Dtype::F32);
    let (mut want, mut want_m, mut want_v) = (param.values.clone(), vec![0.0; len as usize], vec![0.0; len as usize]);
    for step in 1..=steps {
        let grad = Matrix::random(gpu, 1, len, 10 + u64::from(step));
        let settings = kernels::AdamW {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            max_grad_norm: 1.0,
            step,
        };
        run(gpu, |rec| {
            kernels::grad_norm(rec, &[&grad.tensor], &partials, &metrics);
            kernels::adamw(rec, &grad.tensor, &metrics, &settings, &param.tensor, &m, &v);
        });
        let norm = reference::grad_norm(&grad.values);
        let twin = reference::AdamW {
            learning_rate: settings.learning_rate,
            beta1: settings.beta1,
            beta2: settings.beta2,
            epsilon: settings.epsilon,
            weight_decay: settings.weight_decay,
            max_grad_norm: settings.max_grad_norm,
            step,
        };
        reference::adamw(&mut want, &grad.values, &mut want_m, &mut want_v, norm, &twin);
    }
    let compare = Compare::new(gpu, "adamw", 1e-5);
    compare.and(&param.tensor, &want).await?.and(&m, &want_m).await?.with(&v, &want_v).await
}
