//! Checks of log-probabilities and of sampling.

use super::cases::{Check, Compare, Matrix, named_form, random, run};
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::{self, Sampling};
use crate::reference;

/// Ways to draw tokens that a device is checked with.
pub const SAMPLINGS: [Sampling; 5] = [
    Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 1 },
    Sampling { temperature: 0.7, top_k: 0, top_p: 1.0, seed: 2 },
    Sampling { temperature: 1.5, top_k: 5, top_p: 1.0, seed: 3 },
    Sampling { temperature: 1.0, top_k: 0, top_p: 0.6, seed: u64::MAX },
    Sampling { temperature: 2.0, top_k: 40, top_p: 0.9, seed: 5 },
];

/// Tokens that are drawn many times: each is one that may be drawn, and they come as often as their probability says.
///
/// The error is the largest difference of a token's share from its probability, the tolerance six standard deviations.
pub async fn sample(gpu: &Gpu, rows: u32, vocab: u32, sampling: Sampling) -> Result<Check> {
    const DRAWS: u32 = 128;
    let mut logits = random(rows * vocab, 1);
    logits.iter_mut().for_each(|l| *l *= 8.0);
    let ld = vocab.next_multiple_of(4) + 4;
    let wide: Vec<f64> = logits
        .chunks_exact(vocab as usize)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(99.0, (ld - vocab) as usize)).collect::<Vec<_>>())
        .collect();
    let wide = Matrix::new(gpu, rows, ld, wide);
    let (tokens, ids) = (gpu.zeros("tokens", rows, DRAWS, Dtype::U32), gpu.zeros("ids", 1, rows, Dtype::U32));
    let (spans, slots) = (gpu.zeros("spans", rows, 4, Dtype::U32), gpu.zeros("slots", 1, rows, Dtype::U32));
    run(gpu, |rec| {
        for draw in 0..DRAWS {
            let logits = &wide.tensor;
            kernels::sample(rec, logits, vocab, &sampling, 0, draw, draw, &tokens, &ids, &spans, &slots);
        }
    });
    let (tokens, ids) = (gpu.read_indices(&tokens).await?, gpu.read_indices(&ids).await?);
    let (spans, slots) = (gpu.read_indices(&spans).await?, gpu.read_indices(&slots).await?);
    let moved = spans.chunks_exact(4).all(|span| span == [0, DRAWS, 0, DRAWS]) && slots.iter().all(|&s| s == DRAWS);
    let mut error: f64 = if moved { 0.0 } else { f64::INFINITY };
    for (r, tokens) in tokens.chunks_exact(DRAWS as usize).enumerate() {
        let row = &logits[r * vocab as usize..][..vocab as usize];
        let Sampling { temperature, top_k, top_p, .. } = sampling;
        let kept = reference::sample(row, temperature.into(), top_k as usize, top_p.into());
        let share = |token: usize| tokens.iter().filter(|&&t| t as usize == token).count() as f64 / f64::from(DRAWS);
        let known: f64 = kept.iter().map(|(token, _)| share(*token)).sum();
        let apart = kept.iter().map(|(token, p)| (share(*token) - p).abs()).fold(0.0, f64::max);
        let last = tokens.last() == ids.get(r);
        // A token that cannot be drawn is as wrong as can be.
        error = error.max(if known > 1.0 - 1e-9 && last { apart } else { f64::INFINITY });
    }
    let tolerance = if sampling.temperature > 0.0 { 3.0 / f64::from(DRAWS).sqrt() } else { 0.0 };
    Ok(Check { name: "sample".to_owned(), error, tolerance, ok: error <= tolerance })
}

/// Kinds of logits that a device is checked with.
pub const LOGITS: [kernels::Logits; 5] = [
    kernels::Logits::PLAIN,
    kernels::Logits { scale: 0.25, softcap: 0.0, temperature: 1.0 },
    kernels::Logits { scale: 0.25, softcap: 0.0, temperature: 0.7 },
    kernels::Logits { scale: 1.5, softcap: 20.0, temperature: 1.0 },
    kernels::Logits { scale: 1.5, softcap: 20.0, temperature: 0.7 },
];

fn twin_cap(kind: kernels::Logits) -> reference::Cap {
    reference::Cap { softcap: kind.softcap.into(), temperature: kind.temperature.into() }
}

/// Two chunks of logits of unequal width: weights, rescaled pull, state.
pub async fn logprob_forward(gpu: &Gpu, rows: u32, vocab: u32, hidden: u32, kind: kernels::Logits) -> Result<Check> {
    let case = LogProbCase::new(gpu, rows, vocab, hidden);
    let cap = twin_cap(kind);
    let mut compare = Compare::new(gpu, named_form(gpu, "logprob_forward", kind.form()), 2e-5);
    let mut state = reference::LogProbState::new(rows as usize);
    let mut pull = vec![0.0; case.pull.values.len()];
    for chunk in 0..2 {
        let (first, cols, logits) = case.run_chunk(gpu, chunk, kind);
        let values = case.columns(first, cols);
        if chunk == 1 {
            // These numbers stand for the pull that the first chunk would have left; the kernel rescales the same ones.
            pull.clone_from(&case.pull.values);
        }
        let weights = reference::logprob_forward(
            &values,
            first as usize,
            &case.labels,
            &mut state,
            &mut pull,
            hidden as usize,
            cap,
        );
        compare = compare.and(&logits, &widen(&weights, cols as usize, |_| 0.0)).await?;
    }
    let got = gpu.read(&case.state).await?;
    let columns =
        [&state.max, &state.sum, &state.sum_logits, &state.sum_p_logits, &state.label_logit, &state.sum_squares];
    for (at, want) in [0, 1, 2, 3, 5, 6].into_iter().zip(columns) {
        compare.take(&got.iter().skip(at).step_by(8).copied().collect::<Vec<f32>>(), want);
    }
    compare.with(&case.pull.tensor, &pull).await
}

/// Token statistics and the derivative of the log-probability, after two chunks.
pub async fn logprob_finish(gpu: &Gpu, rows: u32, vocab: u32, hidden: u32, kind: kernels::Logits) -> Result<Check> {
    let (scale, cap) = (f64::from(kind.product_scale()), twin_cap(kind));
    let case = LogProbCase::new(gpu, rows, vocab, hidden);
    let label_rows = Matrix::random(gpu, rows, hidden, 5);
    let stats = gpu.zeros("stats", rows, 4, Dtype::F32);
    case.run_chunk(gpu, 0, kind);
    case.run_chunk(gpu, 1, kind);
    run(gpu, |rec| {
        let (labels, pull) = (&case.gpu_labels, &case.pull.tensor);
        kernels::logprob_finish(rec, labels, &case.state, &label_rows.tensor, vocab, true, kind, &stats, pull);
    });
    let mut state = reference::LogProbState::new(rows as usize);
    let mut pull = vec![0.0; case.pull.values.len()];
    for chunk in 0..2 {
        let (first, cols) = case.chunk(chunk);
        if chunk == 1 {
            pull.clone_from(&case.pull.values);
        }
        let values = case.columns(first, cols);
        reference::logprob_forward(&values, first as usize, &case.labels, &mut state, &mut pull, hidden as usize, cap);
    }
    let label_rows = &label_rows.values;
    let want = reference::logprob_finish(&state, label_rows, &case.labels, vocab as usize, scale, cap, &mut pull);
    let want_stats: Vec<f64> =
        (0..rows as usize).flat_map(|r| [want.logp[r], want.mean_logit[r], want.entropy[r], want.correct[r]]).collect();
    let compare = Compare::new(gpu, named_form(gpu, "logprob_finish", kind.form()), 2e-5);
    compare.and(&stats, &want_stats).await?.with(&case.pull.tensor, &pull).await
}

/// Both chunks of logits once more, when the state is whole.
pub async fn entropy_backward(gpu: &Gpu, rows: u32, vocab: u32, kind: kernels::Logits) -> Result<Check> {
    let (case, cap) = (LogProbCase::new(gpu, rows, vocab, 4), twin_cap(kind));
    let dentropy = Matrix::random(gpu, 1, rows, 6);
    case.run_chunk(gpu, 0, kind);
    case.run_chunk(gpu, 1, kind);
    let mut state = reference::LogProbState::new(rows as usize);
    let values = case.columns(0, vocab);
    reference::logprob_forward(&values, 0, &case.labels, &mut state, &mut case.pull.values.clone(), 4, cap);
    let mut compare = Compare::new(gpu, named_form(gpu, "entropy_backward", kind.form()), 2e-5);
    for chunk in 0..2 {
        let (first, cols) = case.chunk(chunk);
        let values = case.columns(first, cols);
        let logits = case.upload(gpu, &values, cols);
        run(gpu, |rec| kernels::entropy_backward(rec, &logits, &case.state, &dentropy.tensor, cols, kind));
        let want = reference::entropy_backward(&values, &state, &dentropy.values, cap);
        // A row with one dominant logit has next to no gradient; the added 1 makes its error relative to 1.
        let (mut got, mut want) = (gpu.read(&logits).await?, widen(&want, cols as usize, |_| 0.0));
        got.push(1.0);
        want.push(1.0);
        compare.take(&got, &want);
    }
    Ok(compare.done())
}

/// pull scaled by each row's derivative.
pub async fn logprob_backward(gpu: &Gpu, rows: u32, hidden: u32) -> Result<Check> {
    let pull = Matrix::random(gpu, rows, hidden, 1);
    let dlogp = Matrix::random(gpu, 1, rows, 2);
    run(gpu, |rec| kernels::logprob_backward(rec, &dlogp.tensor, &pull.tensor));
    let want = reference::logprob_backward(&dlogp.values, &pull.values, hidden as usize);
    Compare::new(gpu, "logprob_backward", 1e-6).with(&pull.tensor, &want).await
}

/// Logits in two chunks, the first of a width that is no multiple of 4.
struct LogProbCase {
    rows: u32,
    vocab: u32,
    logits: Vec<f64>,
    labels: Vec<u32>,
    gpu_labels: Tensor,
    state: Tensor,
    pull: Matrix,
}

impl LogProbCase {
    fn new(gpu: &Gpu, rows: u32, vocab: u32, hidden: u32) -> Self {
        let mut logits = random(rows * vocab, 1);
        logits.iter_mut().for_each(|l| *l = f64::from((*l * 5.0) as f32));
        // Labels in both chunks; in every fourth row the label is the argmax, and a later entry equals it.
        let labels: Vec<u32> = (0..rows).map(|r| (r * 11 + 1) % vocab).collect();
        for r in (0..rows as usize).step_by(4) {
            let row = &mut logits[r * vocab as usize..(r + 1) * vocab as usize];
            row[labels[r] as usize] = 30.0;
            row[vocab as usize - 1] = 30.0;
        }
        let gpu_labels = gpu.upload("labels", 1, rows, Dtype::U32, &labels);
        let state = gpu.zeros("state", rows, 8, Dtype::F32);
        Self { rows, vocab, logits, labels, gpu_labels, state, pull: Matrix::random(gpu, rows, hidden, 4) }
    }

    fn chunk(&self, chunk: u32) -> (u32, u32) {
        let split = self.vocab * 2 / 3 + 1;
        if chunk == 0 { (0, split) } else { (split, self.vocab - split) }
    }

    fn columns(&self, first: u32, cols: u32) -> Vec<f64> {
        let rows = self.logits.chunks_exact(self.vocab as usize);
        rows.flat_map(|row| row[first as usize..(first + cols) as usize].iter().copied()).collect()
    }

    /// A chunk on the device. Stale numbers beyond it must not count.
    fn upload(&self, gpu: &Gpu, values: &[f64], cols: u32) -> Tensor {
        let values = widen(values, cols as usize, |_| 99.0);
        Matrix::new(gpu, self.rows, cols.next_multiple_of(4), values).tensor
    }

    fn run_chunk(&self, gpu: &Gpu, chunk: u32, kind: kernels::Logits) -> (u32, u32, Tensor) {
        let (first, cols) = self.chunk(chunk);
        let logits = self.upload(gpu, &self.columns(first, cols), cols);
        run(gpu, |rec| {
            let (labels, state, pull) = (&self.gpu_labels, &self.state, &self.pull.tensor);
            kernels::logprob_forward(rec, labels, &logits, first, cols, chunk == 0, true, kind, state, pull);
        });
        (first, cols, logits)
    }
}

/// Rows of `cols` columns, each filled up to the next multiple of 4.
pub(super) fn widen(values: &[f64], cols: usize, fill: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let wide = cols.next_multiple_of(4);
    values
        .chunks_exact(cols)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(fill(row), wide - cols)).collect::<Vec<f64>>())
        .collect()
}
