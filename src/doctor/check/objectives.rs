//! Checks of the kernels of rewards, of values and of KTO.

use super::cases::{Check, Compare, Matrix, random, run, sum_tolerance};
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::{self, METRICS, kto_metric, metric, reward_metric};
use crate::reference;

/// All of them at one middling, ragged size.
pub async fn check_objectives(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = vec![
        value_forward(gpu, 37, 68).await?,
        value_backward(gpu, 37, 68).await?,
        value_backward_weight(gpu, 333, 68).await?,
    ];
    for centre in [0.0, 0.01] {
        checks.push(reward(gpu, 5, centre).await?);
    }
    for labels in KTO_LABELS {
        checks.push(kto(gpu, labels, true).await?);
    }
    checks.push(kto(gpu, KTO_LABELS[0], false).await?);
    Ok(checks)
}

/// One number for each row.
pub async fn value_forward(gpu: &Gpu, rows: u32, hidden: u32) -> Result<Check> {
    let (normed, score) = (Matrix::random(gpu, rows, hidden, 1), Matrix::random(gpu, 1, hidden, 2));
    let values = gpu.zeros("values", rows, 1, Dtype::F32);
    run(gpu, |rec| kernels::value_forward(rec, &normed.tensor, &score.tensor, &values));
    let want = reference::value_forward(&normed.values, &score.values);
    Compare::new(gpu, "value_forward", sum_tolerance(hidden as usize)).with(&values, &want).await
}

/// The head's weight for each row.
pub async fn value_backward(gpu: &Gpu, rows: u32, hidden: u32) -> Result<Check> {
    let (dvalues, score) = (Matrix::random(gpu, rows, 1, 1), Matrix::random(gpu, 1, hidden, 2));
    let dnormed = gpu.zeros("dnormed", rows, hidden, Dtype::F32);
    run(gpu, |rec| kernels::value_backward(rec, &dvalues.tensor, &score.tensor, &dnormed));
    let want = reference::value_backward(&dvalues.values, &score.values);
    Compare::new(gpu, "value_backward", 1e-6).with(&dnormed, &want).await
}

/// The head's gradient, on top of what is there.
pub async fn value_backward_weight(gpu: &Gpu, rows: u32, hidden: u32) -> Result<Check> {
    let (dvalues, normed) = (Matrix::random(gpu, rows, 1, 1), Matrix::random(gpu, rows, hidden, 2));
    let dscore = Matrix::random(gpu, 1, hidden, 3);
    run(gpu, |rec| kernels::value_backward_weight(rec, &dvalues.tensor, &normed.tensor, &dscore.tensor));
    let added = reference::value_backward_weight(&dvalues.values, &normed.values);
    let want: Vec<f64> = dscore.values.iter().zip(added).map(|(start, added)| start + added).collect();
    Compare::new(gpu, "value_backward_weight", sum_tolerance(rows as usize)).with(&dscore.tensor, &want).await
}

/// Rewards around 0, the first pair far apart; taken twice with share ½.
pub async fn reward(gpu: &Gpu, pairs: u32, centre: f32) -> Result<Check> {
    let mut values: Vec<f64> = random(2 * pairs, 1).iter().map(|v| 3.0 * v).collect();
    (values[0], values[pairs as usize]) = (-60.0, 60.0);
    let values = Matrix::new(gpu, 2 * pairs, 1, values);
    let margins = Matrix::random(gpu, pairs, 1, 2);
    let dvalues = gpu.zeros("dvalues", 2 * pairs, 1, Dtype::F32);
    let metrics = Metrics::twice(gpu, |rec, metrics| {
        kernels::reward(rec, &values.tensor, &margins.tensor, centre, 0.5, &dvalues, metrics);
    });
    let want = reference::reward(&values.values, &margins.values, centre.into());
    let half: Vec<f64> = want.dvalues.iter().map(|d| 0.5 * d).collect();
    let compare = Compare::new(gpu, "reward", 2e-6).and(&dvalues, &half).await?;
    let slots = [
        (metric::LOSS, want.loss),
        (reward_metric::MIN_REWARD, want.lowest),
        (reward_metric::MEAN_REWARD, want.mean),
        (reward_metric::MAX_REWARD, want.highest),
        (reward_metric::ACCURACY, want.accuracy),
        (reward_metric::MARGIN, want.margin),
    ];
    metrics.compare(compare, &slots).await
}

/// Both kinds of completions, and each alone.
pub const KTO_LABELS: [&[bool]; 4] = [&[true, false, false, true, false], &[true], &[false, false, false], &[true; 3]];

/// Completions with these labels, each with a mismatched one or without; taken twice with share ½.
pub async fn kto(gpu: &Gpu, labels: &[bool], mismatched: bool) -> Result<Check> {
    let n = labels.len();
    let sequences = if mismatched { 2 * n } else { n };
    let draw = random(5 * sequences as u32, 3);
    let rows: Vec<[f64; 5]> = draw.chunks_exact(5).map(|d| [d[0], d[1], d[2], d[3], d[4]]).collect();
    let sums = rows.iter().flat_map(|d| [20.0 * d[0] - 60.0, 9.0, 7.0 * d[1], 5.0 + d[2], 2.0, 1.0, 0.0, 0.0]);
    let known = rows.iter().enumerate().flat_map(|(s, d)| {
        let scored = 3.0 + (s % 4) as f64;
        [20.0 * d[0] - 60.0 + 4.0 * d[3], scored + 1.0, scored, f64::from(u8::from(labels[s % n]))]
    });
    let (sums, known) = (sums.collect(), known.collect());
    let (sums, known) = (Matrix::new(gpu, sequences as u32, 8, sums), Matrix::new(gpu, sequences as u32, 4, known));
    let settings = kernels::KtoSettings { beta: 0.25, desirable_weight: 1.5, undesirable_weight: 0.75, mismatched };
    let dsums = gpu.zeros("dsums", sequences as u32, 2, Dtype::F32);
    let metrics = Metrics::twice(gpu, |rec, metrics| {
        kernels::kto(rec, &sums.tensor, &known.tensor, &settings, 0.5, &dsums, metrics);
    });
    let twin = reference::KtoSettings { beta: 0.25, desirable_weight: 1.5, undesirable_weight: 0.75, mismatched };
    let want = reference::kto(sums.values.as_chunks().0, known.values.as_chunks().0, &twin);
    let half: Vec<f64> = want.dsums.as_flattened().iter().map(|d| 0.5 * d).collect();
    let compare = Compare::new(gpu, "kto", 5e-6).and(&dsums, &half).await?;
    let mut slots = vec![(metric::LOSS, want.loss), (kto_metric::KL, want.kl), (kto_metric::ENTROPY, want.entropy)];
    for (kind, at) in want.kinds.iter().zip([kto_metric::REWARDS_CHOSEN, kto_metric::REWARDS_REJECTED]) {
        if let Some(means) = kind {
            let values = [means.reward, means.logp, means.logit, 1.0];
            // A micro-batch may lack these values, so they are added without its share, and counted.
            slots.extend(values.into_iter().enumerate().map(|(i, value)| (at + i, 2.0 * value)));
        }
    }
    if let [Some(chosen), Some(rejected)] = want.kinds {
        slots.push((kto_metric::REWARDS_MARGINS, 2.0 * (chosen.reward - rejected.reward)));
        slots.push((kto_metric::MARGINS_COUNT, 2.0));
    }
    metrics.compare(compare, &slots).await
}

/// Metrics of a loss that was recorded twice.
pub(super) struct Metrics(Tensor);

impl Metrics {
    pub(super) fn twice(gpu: &Gpu, record: impl Fn(&mut crate::gpu::Recorder<'_>, &Tensor)) -> Self {
        let metrics = gpu.zeros("metrics", 1, METRICS, Dtype::F32);
        run(gpu, |rec| {
            record(rec, &metrics);
            record(rec, &metrics);
        });
        Self(metrics)
    }

    /// Each against what it should be, relative to itself; every other one is 0.
    pub(super) async fn compare(self, mut compare: Compare<'_>, slots: &[(usize, f64)]) -> Result<Check> {
        let got = compare.gpu.read(&self.0).await?;
        let mut want = vec![0.0; got.len()];
        slots.iter().for_each(|(slot, value)| want[*slot] = *value);
        for (got, want) in got.iter().zip(want) {
            // Sums of numbers of both signs may end next to nothing.
            compare.take(&[*got, 1e-2], &[want, f64::from(1e-2f32)]);
        }
        Ok(compare.done())
    }
}
