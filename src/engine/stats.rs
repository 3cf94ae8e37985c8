//! Figures for the screen: intervals, smoothing, thinning of curves, time left, and a loss at another beta.
//!
//! Pure functions of numbers that the run already has; what is not finite is left out, never drawn.

use serde::{Deserialize, Deserializer, Serialize};

/// The 95 % Wilson interval of a share of `wins` in `n`; everything, `[0, 1]`, if there are none.
pub fn wilson_interval(wins: u64, n: u64) -> [f64; 2] {
    wilson(wins.min(n) as f64, n as f64)
}

/// The loss at another beta, from the log-ratios that the run has; exact at the current weights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WhatIf {
    /// Mean of `-log sigmoid(beta d)`.
    pub loss: f64,
    /// Share of pairs with `d > 0`; beta does not change it.
    pub accuracy: f64,
    /// Mean of `beta d`, TRL's `rewards/margins`.
    pub margin: f64,
    /// Mean of `weights`.
    pub mean_gradient_weight: f64,
    /// `sigmoid(-beta d)` of each pair: how much it still pulls, from 0 (learned) to 1 (the wrong way round).
    pub weights: Vec<f64>,
}

/// The `sigmoid` loss at `beta` of pairs `[chosen, rejected]`, each the policy's minus the reference's summed
/// log-probability in nats; `d` is their difference. Without pairs, all is 0.
pub fn what_if(beta: f64, logratios: &[[f64; 2]]) -> WhatIf {
    if logratios.is_empty() {
        return WhatIf::default();
    }
    let margins: Vec<f64> = logratios.iter().map(|[chosen, rejected]| beta * (chosen - rejected)).collect();
    let weights: Vec<f64> = margins.iter().map(|&margin| sigmoid(-margin)).collect();
    let won = logratios.iter().filter(|[chosen, rejected]| chosen > rejected).count();
    WhatIf {
        loss: mean(margins.iter().map(|&margin| softplus(-margin))),
        accuracy: won as f64 / logratios.len() as f64,
        margin: mean(margins.iter().copied()),
        mean_gradient_weight: mean(weights.iter().copied()),
        weights,
    }
}

/// The vote of a blind comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// The tuned model's answer was better.
    Tuned,
    /// The base model's answer was better.
    Base,
    /// Neither was.
    Tie,
}

/// Win rate of the tuned model, with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WinRate {
    /// Share of votes for the tuned model, ties half.
    pub rate: f64,
    /// Its 95 % Wilson interval; with ties, a little wider than need be.
    pub interval: [f64; 2],
    /// Votes for the tuned model.
    pub wins: u64,
    /// Votes for the base model.
    pub losses: u64,
    /// Votes for neither.
    pub ties: u64,
}

/// The win rate of some votes; none without votes.
pub fn win_rate_from_votes(votes: &[Vote]) -> Option<WinRate> {
    let count = |vote| votes.iter().filter(|v| **v == vote).count() as u64;
    let (wins, losses, ties) = (count(Vote::Tuned), count(Vote::Base), count(Vote::Tie));
    let (points, n) = (wins as f64 + 0.5 * ties as f64, votes.len() as f64);
    (n > 0.0).then(|| WinRate { rate: points / n, interval: wilson(points, n), wins, losses, ties })
}

/// Share of pairs `[chosen, rejected]` whose chosen answer is longer, ties half: what "always pick the longer" would
/// win. None without pairs.
pub fn longer_wins(lengths: &[[usize; 2]]) -> Option<f64> {
    let points = lengths.iter().map(|[chosen, rejected]| match chosen.cmp(rejected) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    });
    (!lengths.is_empty()).then(|| mean(points))
}

/// Share of pairs whose chosen answer has the higher log-probability per token, ties half, from log-probabilities and
/// tokens `[chosen, rejected]`: what "always pick the lower perplexity" would win. None if no pair has tokens on both
/// sides.
pub fn likelier_wins(logps: &[[f32; 2]], lengths: &[[usize; 2]]) -> Option<f64> {
    let pairs = logps.iter().zip(lengths).filter(|(_, lengths)| !lengths.contains(&0));
    let points: Vec<f64> = pairs
        .map(|(logps, lengths)| {
            let [chosen, rejected] = [0, 1].map(|side| f64::from(logps[side]) / lengths[side] as f64);
            (f64::from(u8::from(chosen > rejected)) + f64::from(u8::from(chosen >= rejected))) / 2.0
        })
        .collect();
    (!points.is_empty()).then(|| mean(points.iter().copied()))
}

/// The middle value, or the mean of the two in the middle; none if no value is finite.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = finite(values);
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    Some(if values.len() % 2 == 1 { upper } else { values[half - 1] + (upper - values[half - 1]) / 2.0 })
}

/// Most steps that [`eta_seconds`] looks back.
const ETA_STEPS: usize = 20;

/// Seconds that `left` steps will take, from the median of the last 20 steps; none before the first.
pub fn eta_seconds(step_seconds: &[f64], left: usize) -> Option<f64> {
    let recent = &step_seconds[step_seconds.len().saturating_sub(ETA_STEPS)..];
    let positive: Vec<f64> = recent.iter().copied().filter(|seconds| *seconds >= 0.0).collect();
    median(&positive).map(|seconds| seconds * left as f64)
}

/// TensorBoard's smoothing: a moving average that forgets by `weight` per value (0 for none, at most 0.999), corrected
/// for its start at 0. A constant stays what it is, and so does a value that is not finite, which is averaged nowhere.
pub fn smoothed(values: &[f64], weight: f64) -> Vec<f64> {
    let weight = if weight.is_nan() { 0.0 } else { weight.clamp(0.0, 0.999) };
    let constant = values.iter().all(|value| *value == values[0]);
    let (mut average, mut forgotten) = (0.0, 1.0);
    values
        .iter()
        .map(|&value| {
            if constant || !value.is_finite() {
                return value;
            }
            average = weight * average + (1.0 - weight) * value;
            forgotten *= weight;
            average / (1.0 - forgotten)
        })
        .collect()
}

/// At most `max_points` of the points `[x, y]`, by x, that look the same when drawn: the first, the last, and the
/// lowest and highest of equal stretches of x between them. Fewer than 2 `max_points` count as 2.
pub fn decimate(points: &[[f64; 2]], max_points: usize) -> Vec<[f64; 2]> {
    let mut points: Vec<[f64; 2]> = points.iter().copied().filter(|[x, y]| x.is_finite() && y.is_finite()).collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return points };
    if points.len() <= max_points.max(2) {
        return points;
    }
    let inner = &points[1..points.len() - 1];
    let buckets = max_points.saturating_sub(2) / 2;
    let width = (last[0] - first[0]) / buckets as f64;
    let bucket = |x: f64| (((x - first[0]) / width) as usize).min(buckets.saturating_sub(1));
    let mut kept = vec![first];
    if buckets > 0 {
        for stretch in inner.chunk_by(|a, b| bucket(a[0]) == bucket(b[0])) {
            let by_height = |a: &usize, b: &usize| stretch[*a][1].total_cmp(&stretch[*b][1]);
            let low = (0..stretch.len()).min_by(by_height).unwrap_or(0);
            let high = (0..stretch.len()).max_by(by_height).unwrap_or(0);
            kept.push(stretch[low.min(high)]);
            if low != high {
                kept.push(stretch[low.max(high)]);
            }
        }
    }
    kept.push(last);
    kept
}

/// `n` values that follow the finite ones of `values`: means of equal stretches if there are more, points on the lines
/// between them if there are fewer. Empty without values.
pub fn sparkline(values: &[f64], n: usize) -> Vec<f64> {
    let values = finite(values);
    let Some(&first) = values.first() else { return values };
    if values.len() >= n {
        let bound = |i: usize| i * values.len() / n;
        return (0..n).map(|i| mean(values[bound(i)..bound(i + 1)].iter().copied())).collect();
    }
    let last = values.len() - 1;
    let at = |i: usize| i as f64 * last as f64 / (n - 1) as f64;
    let between = |x: f64| {
        let (low, high) = (x.floor() as usize, (x.ceil() as usize).min(last));
        values[low] + (values[high] - values[low]) * x.fract()
    };
    (0..n).map(|i| if last == 0 { first } else { between(at(i)) }).collect()
}

/// The 0.975 quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

fn wilson(points: f64, n: f64) -> [f64; 2] {
    if n <= 0.0 {
        return [0.0, 1.0];
    }
    let (share, zz) = (points / n, Z * Z / n);
    let centre = (share + zz / 2.0) / (1.0 + zz);
    let half = Z * (share * (1.0 - share) / n + zz / (4.0 * n)).sqrt() / (1.0 + zz);
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// Reads a number as JSON has it, which writes one that is not finite as `null`: that is read as NaN.
pub(super) fn number_or_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(from).map(|number| number.unwrap_or(f64::NAN))
}

fn sigmoid(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

/// `log(1 + exp(x))`, which overflows nowhere.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len();
    values.sum::<f64>() / n as f64
}

fn finite(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|value| value.is_finite()).collect()
}
