//! One function per kernel: random inputs of the given sizes, the kernel, its twin, the largest difference.

use bytemuck::Pod;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{self, Store, Variant};
use crate::reference;

/// How far a kernel is from its twin.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The kernel, with its variant.
    pub name: String,
    /// Largest difference over all outputs, relative to the largest value of that output.
    pub error: f64,
    /// What rounding in f32 explains at these sizes.
    pub tolerance: f64,
    /// `error <= tolerance`.
    pub ok: bool,
}

/// Every kernel at one middling, ragged size.
pub async fn check_all(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(embedding(gpu, 37, 50, 68, dtype).await?);
        for variant in kernels::variants(gpu) {
            checks.push(matmul_forward(gpu, 37, 70, 132, dtype, variant).await?);
            checks.push(matmul_backward_input(gpu, 37, 70, 132, dtype, variant).await?);
        }
    }
    checks.push(matmul_backward_weight(gpu, 133, 12, 68).await?);
    checks.push(rmsnorm_forward(gpu, 37, 260).await?);
    checks.push(rmsnorm_backward(gpu, 37, 260).await?);
    checks.push(rope(gpu, 37, 3, 20, 2).await?);
    let shape = Heads { heads: 4, kv_heads: 2, head_dim: 20 };
    checks.push(attention_forward(gpu, &[[5, 20, 31], [1, 3, 9]], shape, 0).await?);
    checks.push(attention_backward_delta(gpu, 37, 3, 20).await?);
    checks.push(attention_backward_q(gpu, &[[5, 20, 31], [1, 3, 9]], shape).await?);
    checks.push(attention_backward_kv(gpu, &[[5, 20, 31], [1, 3, 9]], shape).await?);
    checks.push(add(gpu, 1001).await?);
    checks.push(bias(gpu, 37, 68).await?);
    checks.push(gather_rows(gpu, 37, 68).await?);
    checks.push(scatter_rows(gpu, 37, 68).await?);
    checks.push(swiglu_forward(gpu, 1001).await?);
    checks.push(swiglu_backward(gpu, 1001).await?);
    checks.push(logprob_forward(gpu, 37, 300, 68).await?);
    checks.push(logprob_finish(gpu, 37, 300, 68).await?);
    checks.push(logprob_backward(gpu, 37, 68).await?);
    checks.push(sequence_sum(gpu, 6, 50).await?);
    checks.push(preference(gpu, 5, [1.0, 0.5, 0.25, 2.0, 0.75, 0.5]).await?);
    checks.push(grad_norm(gpu, &[1000, 70_000]).await?);
    checks.push(adamw(gpu, 1001, 3).await?);
    checks.push(fma_peak(gpu, 3).await?);
    Ok(checks)
}

/// Rows picked from a table stored as `dtype`, the table in two blocks.
pub async fn embedding(gpu: &Gpu, rows: u32, vocab: u32, cols: u32, dtype: Dtype) -> Result<Check> {
    let table = Weight::random(gpu, vocab, cols, dtype, 1);
    let ids: Vec<u32> = (0..rows).map(|r| (r * 7 + 3) % vocab).collect();
    let y = gpu.zeros("y", rows, cols, Dtype::F32);
    let gpu_ids = gpu.upload("ids", 1, rows, Dtype::U32, &ids);
    let mut rec = gpu.recorder();
    for (first, block) in table.blocks(gpu) {
        kernels::embedding(&mut rec, &gpu_ids, &block, first, &y);
    }
    rec.submit();
    let want = reference::embedding(&table.values, &ids, cols as usize);
    Compare::new(gpu, named("embedding", dtype), 0.0).with(&y, &want).await
}

/// y = x wᵀ with w stored as `dtype`, the weight in two blocks of rows; set, then half of it added.
pub async fn matmul_forward(gpu: &Gpu, m: u32, n: u32, k: u32, dtype: Dtype, variant: Variant) -> Result<Check> {
    let in_use = kernels::variant(gpu);
    kernels::set_variant(gpu, variant);
    let w = Weight::random(gpu, n, k, dtype, 1);
    let x = Matrix::random(gpu, m, k, 2);
    let y = gpu.zeros("y", m, n.next_multiple_of(4), Dtype::F32);
    let mut rec = gpu.recorder();
    for (scale, store) in [(1.0, Store::Set), (0.5, Store::Add)] {
        for (first, block) in w.blocks(gpu) {
            kernels::matmul_forward(&mut rec, &x.tensor, &block, scale, store, first, &y);
        }
    }
    rec.submit();
    let (m, n, k) = (m as usize, n as usize, k as usize);
    let mut want = reference::matmul_forward(&x.values, &w.values, m, n, k);
    want.iter_mut().for_each(|v| *v *= 1.5);
    // The last vec4 repeats the last column.
    let want = widen(&want, n, |row| *row.last().unwrap_or(&0.0));
    kernels::set_variant(gpu, in_use);
    Compare::new(gpu, named(matmul_name("matmul_forward", variant), dtype), sum_tolerance(k)).with(&y, &want).await
}

/// dx = dy w with w stored as `dtype`, summed over two blocks of rows; set, then half of it added.
pub async fn matmul_backward_input(gpu: &Gpu, m: u32, n: u32, k: u32, dtype: Dtype, variant: Variant) -> Result<Check> {
    let in_use = kernels::variant(gpu);
    kernels::set_variant(gpu, variant);
    let w = Weight::random(gpu, n, k, dtype, 1);
    let values = random(m * n, 2);
    let dy = Matrix::new(gpu, m, n.next_multiple_of(4), widen(&values, n as usize, |_| 0.0));
    let dx = gpu.zeros("dx", m, k, Dtype::F32);
    let mut rec = gpu.recorder();
    for (scale, store) in [(1.0, Store::Set), (0.5, Store::Add)] {
        for (i, (first, block)) in w.blocks(gpu).into_iter().enumerate() {
            let store = if i == 0 { store } else { Store::Add };
            kernels::matmul_backward_input(&mut rec, &dy.tensor, &block, scale, store, first, &dx);
        }
    }
    rec.submit();
    let (m, n, k) = (m as usize, n as usize, k as usize);
    let mut want = reference::matmul_backward_input(&values, &w.values, m, n, k);
    want.iter_mut().for_each(|v| *v *= 1.5);
    kernels::set_variant(gpu, in_use);
    Compare::new(gpu, named(matmul_name("matmul_backward_input", variant), dtype), sum_tolerance(n))
        .with(&dx, &want)
        .await
}

/// dw += scale dyᵀ x, on top of what is there.
pub async fn matmul_backward_weight(gpu: &Gpu, m: u32, n: u32, k: u32) -> Result<Check> {
    let (dy, x, start) = (Matrix::random(gpu, m, n, 1), Matrix::random(gpu, m, k, 2), Matrix::random(gpu, n, k, 3));
    run(gpu, |rec| kernels::matmul_backward_weight(rec, &dy.tensor, &x.tensor, 2.0, &start.tensor));
    let product = reference::matmul_backward_weight(&dy.values, &x.values, m as usize, n as usize, k as usize);
    let want: Vec<f64> = start.values.iter().zip(&product).map(|(s, p)| s + 2.0 * p).collect();
    Compare::new(gpu, "matmul_backward_weight", sum_tolerance(m as usize)).with(&start.tensor, &want).await
}

/// y and rstd.
pub async fn rmsnorm_forward(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, gain) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2));
    let (y, rstd) = (gpu.zeros("y", rows, cols, Dtype::F32), gpu.zeros("rstd", 1, rows, Dtype::F32));
    run(gpu, |rec| kernels::rmsnorm_forward(rec, &x.tensor, &gain.tensor, EPS, &y, &rstd));
    let want = reference::rmsnorm_forward(&x.values, &gain.values, EPS.into());
    let compare = Compare::new(gpu, "rmsnorm_forward", 1e-5);
    compare.and(&y, &want.y).await?.with(&rstd, &want.rstd).await
}

/// dx, added to what is there.
pub async fn rmsnorm_backward(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, gain) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2));
    let (dy, dx) = (Matrix::random(gpu, rows, cols, 3), Matrix::random(gpu, rows, cols, 4));
    let (y, rstd) = (gpu.zeros("y", rows, cols, Dtype::F32), gpu.zeros("rstd", 1, rows, Dtype::F32));
    run(gpu, |rec| {
        kernels::rmsnorm_forward(rec, &x.tensor, &gain.tensor, EPS, &y, &rstd);
        kernels::rmsnorm_backward(rec, &dy.tensor, &x.tensor, &gain.tensor, &rstd, &dx.tensor);
    });
    let forward = reference::rmsnorm_forward(&x.values, &gain.values, EPS.into());
    let back = reference::rmsnorm_backward(&dy.values, &x.values, &gain.values, &forward.rstd);
    let want = reference::add(&dx.values, &back);
    Compare::new(gpu, "rmsnorm_backward", 1e-5).with(&dx.tensor, &want).await
}

/// A rotation and, of another tensor, the rotation back.
pub async fn rope(gpu: &Gpu, rows: u32, heads: u32, head_dim: u32, first_row: u32) -> Result<Check> {
    let half = (head_dim / 2) as usize;
    let positions: Vec<u32> = (0..rows).map(|r| (r * 5) % 40).collect();
    let angles = random(40 * head_dim / 2, 1);
    let table: Vec<[f64; 2]> = angles.iter().map(|a| [f64::from(a.cos() as f32), f64::from(a.sin() as f32)]).collect();
    let flat: Vec<f32> = table.iter().flatten().map(|&v| v as f32).collect();
    let gpu_table = gpu.upload("table", 40, head_dim, Dtype::F32, &flat);
    let before = std::iter::repeat_n(99, first_row as usize);
    let spans: Vec<u32> = before.chain(positions.iter().copied()).flat_map(|p| [0, 0, 0, p]).collect();
    let spans = gpu.upload("spans", first_row + rows, 4, Dtype::U32, &spans);
    let mut compare = Compare::new(gpu, "rope", 1e-5);
    for direction in [1.0, -1.0] {
        let x = Matrix::random(gpu, rows, heads * head_dim, 2);
        run(gpu, |rec| kernels::rope(rec, &gpu_table, &spans, first_row, direction, &x.tensor));
        let (heads, dim) = (heads as usize, half * 2);
        let want = reference::rope(&x.values, &table, &positions, heads, dim, direction.into());
        compare = compare.and(&x.tensor, &want).await?;
    }
    Ok(compare.done())
}

/// Head counts of an attention check.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Columns of a head.
    pub head_dim: u32,
}

/// Pairs given as (prompt, chosen, rejected) lengths; with `first_row > 0` only the queries from there on.
pub async fn attention_forward(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads, first_row: u32) -> Result<Check> {
    let case = AttentionCase::new(gpu, pairs, heads, first_row);
    let (out, lse) = case.forward(gpu);
    let want = case.want();
    let compare = Compare::new(gpu, "attention_forward", 2e-5);
    compare.and(&out, &want.out).await?.with(&lse, &want.lse).await
}

/// Row sums of dout * out, beside the log-sum-exp.
pub async fn attention_backward_delta(gpu: &Gpu, rows: u32, heads: u32, head_dim: u32) -> Result<Check> {
    let cols = heads * head_dim;
    let (dout, out) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, rows, cols, 2));
    let lse = Matrix::random(gpu, rows, heads, 3);
    let stats = gpu.zeros("stats", rows, 2 * heads, Dtype::F32);
    run(gpu, |rec| {
        kernels::attention_backward_delta(rec, &dout.tensor, &out.tensor, &lse.tensor, head_dim, &stats);
    });
    let delta = reference::attention_backward_delta(&dout.values, &out.values, heads as usize, head_dim as usize);
    let want: Vec<f64> = lse.values.iter().zip(&delta).flat_map(|(&l, &d)| [l, d]).collect();
    Compare::new(gpu, "attention_backward_delta", sum_tolerance(head_dim as usize)).with(&stats, &want).await
}

/// dq of whole sequences.
pub async fn attention_backward_q(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads) -> Result<Check> {
    let case = AttentionCase::new(gpu, pairs, heads, 0);
    let stats = case.stats(gpu);
    let dq = gpu.zeros("dq", case.q.tensor.rows(), case.q.tensor.cols(), Dtype::F32);
    run(gpu, |rec| {
        let (dout, q, k, v) = (&case.dout.tensor, &case.q.tensor, &case.k.tensor, &case.v.tensor);
        kernels::attention_backward_q(rec, dout, q, k, v, &stats, &case.gpu_spans, case.shape, &dq);
    });
    let (want, delta, shape) = (case.want(), case.want_delta(), case.reference_shape());
    let want = reference::attention_backward_q(
        &case.dout.values,
        &case.q.values,
        &case.k.values,
        &case.v.values,
        &want.lse,
        &delta,
        &case.spans,
        shape,
    );
    Compare::new(gpu, "attention_backward_q", 5e-5).with(&dq, &want).await
}

/// dk and dv of whole sequences.
pub async fn attention_backward_kv(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads) -> Result<Check> {
    let case = AttentionCase::new(gpu, pairs, heads, 0);
    let stats = case.stats(gpu);
    let [rows, cols] = case.k.tensor.dims();
    let (dk, dv) = (gpu.zeros("dk", rows, cols, Dtype::F32), gpu.zeros("dv", rows, cols, Dtype::F32));
    run(gpu, |rec| {
        let (dout, q, k, v) = (&case.dout.tensor, &case.q.tensor, &case.k.tensor, &case.v.tensor);
        kernels::attention_backward_kv(rec, dout, q, k, v, &stats, &case.gpu_spans, case.shape, &dk, &dv);
    });
    let (want, delta, shape) = (case.want(), case.want_delta(), case.reference_shape());
    let (want_dk, want_dv) = reference::attention_backward_kv(
        &case.dout.values,
        &case.q.values,
        &case.k.values,
        &case.v.values,
        &want.lse,
        &delta,
        &case.spans,
        shape,
    );
    let compare = Compare::new(gpu, "attention_backward_kv", 5e-5);
    compare.and(&dk, &want_dk).await?.with(&dv, &want_dv).await
}

/// y = a + b over `fours` vec4s.
pub async fn add(gpu: &Gpu, fours: u32) -> Result<Check> {
    let (a, b) = (Matrix::random(gpu, 1, 4 * fours, 1), Matrix::random(gpu, 1, 4 * fours, 2));
    let y = gpu.zeros("y", 1, 4 * fours, Dtype::F32);
    run(gpu, |rec| kernels::add(rec, &a.tensor, &b.tensor, &y));
    Compare::new(gpu, "add", 1e-6).with(&y, &reference::add(&a.values, &b.values)).await
}

/// x += b, row by row.
pub async fn bias(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, b) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2));
    run(gpu, |rec| kernels::bias(rec, &b.tensor, &x.tensor));
    Compare::new(gpu, "bias", 1e-6).with(&x.tensor, &reference::bias(&x.values, &b.values)).await
}

/// Some rows more than once, some not at all.
pub async fn gather_rows(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let x = Matrix::random(gpu, rows, cols, 1);
    let picks: Vec<u32> = (0..rows + 3).map(|i| (i * i) % rows).collect();
    let gpu_picks = gpu.upload("rows", 1, picks.len() as u32, Dtype::U32, &picks);
    let y = gpu.zeros("y", picks.len() as u32, cols, Dtype::F32);
    run(gpu, |rec| kernels::gather_rows(rec, &x.tensor, &gpu_picks, &y));
    Compare::new(gpu, "gather_rows", 0.0).with(&y, &reference::gather_rows(&x.values, &picks, cols as usize)).await
}

/// Rows with no, one and two sources.
pub async fn scatter_rows(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    // Every third row is a target; every ninth is one twice, as the last row of a prompt is.
    let targets: Vec<u32> =
        (0..rows).filter(|r| r % 3 == 0).flat_map(|r| vec![r; 1 + usize::from(r % 9 == 0)]).collect();
    let mut sources = vec![u32::MAX; 2 * rows as usize];
    for (i, &target) in targets.iter().enumerate() {
        let at = 2 * target as usize;
        let slot = at + usize::from(sources[at] != u32::MAX);
        sources[slot] = i as u32;
    }
    let dy = Matrix::random(gpu, targets.len() as u32, cols, 1);
    let dx = Matrix::random(gpu, rows, cols, 2);
    let gpu_sources = gpu.upload("sources", rows, 2, Dtype::U32, &sources);
    run(gpu, |rec| kernels::scatter_rows(rec, &dy.tensor, &gpu_sources, &dx.tensor));
    let want = reference::scatter_rows(&dy.values, &targets, rows as usize, cols as usize);
    Compare::new(gpu, "scatter_rows", 1e-6).with(&dx.tensor, &want).await
}

/// y over `fours` vec4s, large gates of both signs included.
pub async fn swiglu_forward(gpu: &Gpu, fours: u32) -> Result<Check> {
    let (gate, up) = (gates(gpu, fours), Matrix::random(gpu, 1, 4 * fours, 2));
    let y = gpu.zeros("y", 1, 4 * fours, Dtype::F32);
    run(gpu, |rec| kernels::swiglu_forward(rec, &gate.tensor, &up.tensor, &y));
    Compare::new(gpu, "swiglu_forward", 1e-5).with(&y, &reference::swiglu_forward(&gate.values, &up.values)).await
}

/// dgate and dup in place of gate and up.
pub async fn swiglu_backward(gpu: &Gpu, fours: u32) -> Result<Check> {
    let (gate, up) = (gates(gpu, fours), Matrix::random(gpu, 1, 4 * fours, 2));
    let dy = Matrix::random(gpu, 1, 4 * fours, 3);
    run(gpu, |rec| kernels::swiglu_backward(rec, &dy.tensor, &gate.tensor, &up.tensor));
    let want = reference::swiglu_backward(&dy.values, &gate.values, &up.values);
    let compare = Compare::new(gpu, "swiglu_backward", 1e-5);
    compare.and(&gate.tensor, &want.dgate).await?.with(&up.tensor, &want.dup).await
}

/// Two chunks of logits of unequal width: weights, rescaled pull, state.
pub async fn logprob_forward(gpu: &Gpu, rows: u32, vocab: u32, hidden: u32) -> Result<Check> {
    let case = LogProbCase::new(gpu, rows, vocab, hidden);
    let mut compare = Compare::new(gpu, "logprob_forward", 2e-5);
    let mut state = reference::LogProbState::new(rows as usize);
    let mut pull = vec![0.0; case.pull.values.len()];
    for chunk in 0..2 {
        let (first, cols, logits) = case.run_chunk(gpu, chunk);
        let values = case.columns(first, cols);
        if chunk == 1 {
            // What the first chunk would have left there; the kernel rescales the same numbers.
            pull.clone_from(&case.pull.values);
        }
        let weights =
            reference::logprob_forward(&values, first as usize, &case.labels, &mut state, &mut pull, hidden as usize);
        compare = compare.and(&logits, &widen(&weights, cols as usize, |_| 0.0)).await?;
    }
    compare.with(&case.pull.tensor, &pull).await
}

/// Token statistics and the derivative of the log-probability, after two chunks.
pub async fn logprob_finish(gpu: &Gpu, rows: u32, vocab: u32, hidden: u32) -> Result<Check> {
    let case = LogProbCase::new(gpu, rows, vocab, hidden);
    let label_rows = Matrix::random(gpu, rows, hidden, 5);
    let stats = gpu.zeros("stats", rows, 4, Dtype::F32);
    case.run_chunk(gpu, 0);
    case.run_chunk(gpu, 1);
    run(gpu, |rec| {
        let (labels, pull) = (&case.gpu_labels, &case.pull.tensor);
        kernels::logprob_finish(rec, labels, &case.state, &label_rows.tensor, vocab, true, &stats, pull);
    });
    let mut state = reference::LogProbState::new(rows as usize);
    let mut pull = vec![0.0; case.pull.values.len()];
    for chunk in 0..2 {
        let (first, cols) = case.chunk(chunk);
        if chunk == 1 {
            pull.clone_from(&case.pull.values);
        }
        let values = case.columns(first, cols);
        reference::logprob_forward(&values, first as usize, &case.labels, &mut state, &mut pull, hidden as usize);
    }
    let want = reference::logprob_finish(&state, &label_rows.values, &case.labels, vocab as usize, &mut pull);
    let want_stats: Vec<f64> =
        (0..rows as usize).flat_map(|r| [want.logp[r], want.mean_logit[r], want.entropy[r], want.correct[r]]).collect();
    let compare = Compare::new(gpu, "logprob_finish", 2e-5);
    compare.and(&stats, &want_stats).await?.with(&case.pull.tensor, &pull).await
}

/// pull scaled by its sequence's derivative.
pub async fn logprob_backward(gpu: &Gpu, rows: u32, hidden: u32) -> Result<Check> {
    let pull = Matrix::random(gpu, rows, hidden, 1);
    let dlogp = Matrix::random(gpu, 1, 3, 2);
    let sequence: Vec<u32> = (0..rows).map(|r| (r * 3) / rows).collect();
    let gpu_sequence = gpu.upload("sequence", 1, rows, Dtype::U32, &sequence);
    run(gpu, |rec| kernels::logprob_backward(rec, &dlogp.tensor, &gpu_sequence, &pull.tensor));
    let per_token: Vec<f64> = sequence.iter().map(|&s| dlogp.values[s as usize]).collect();
    let want = reference::logprob_backward(&per_token, &pull.values, hidden as usize);
    Compare::new(gpu, "logprob_backward", 1e-6).with(&pull.tensor, &want).await
}

/// Sequences of 0, 1, .. tokens, `longest` at most.
pub async fn sequence_sum(gpu: &Gpu, sequences: u32, longest: u32) -> Result<Check> {
    let lengths: Vec<u32> = (0..sequences).map(|s| s * longest / (sequences - 1).max(1)).collect();
    let owner: Vec<u32> = (0..sequences).flat_map(|s| vec![s; lengths[s as usize] as usize]).collect();
    let mut end = 0;
    let ranges: Vec<u32> = lengths
        .iter()
        .flat_map(|n| {
            end += n;
            [end - n, end]
        })
        .collect();
    let stats = Matrix::random(gpu, end.max(1), 4, 1);
    let gpu_ranges = gpu.upload("ranges", sequences, 2, Dtype::U32, &ranges);
    let sums = gpu.zeros("sums", sequences, 4, Dtype::F32);
    run(gpu, |rec| kernels::sequence_sum(rec, &stats.tensor, &gpu_ranges, &sums));
    let columns: Vec<Vec<f64>> = (0..4)
        .map(|c| {
            let column: Vec<f64> = stats.values.iter().skip(c).step_by(4).take(end as usize).copied().collect();
            reference::sequence_sum(&column, &owner, sequences as usize)
        })
        .collect();
    let want: Vec<f64> = (0..sequences as usize).flat_map(|s| [0, 1, 2, 3].map(|c| columns[c][s])).collect();
    Compare::new(gpu, "sequence_sum", 1e-6).with(&sums, &want).await
}

/// Loss, derivative and metrics for weights of (sigmoid, ipo, hinge, robust, apo_zero, sft), added twice with share ½.
pub async fn preference(gpu: &Gpu, pairs: u32, weights: [f32; 6]) -> Result<Check> {
    let n = 2 * pairs as usize;
    let draw = random(6 * pairs * 2, 1);
    let lengths: Vec<u32> = (0..n as u32).map(|i| 3 + i % 5).collect();
    let scored: Vec<u32> = lengths.iter().map(|l| l - 1).collect();
    let sums: Vec<f64> =
        (0..n).flat_map(|i| [20.0 * draw[i] - 60.0, draw[n + i], 3.0 + draw[2 * n + i], 2.0]).collect();
    let known: Vec<f64> = (0..n)
        .flat_map(|i| [20.0 * draw[3 * n + i] - 60.0, f64::from(lengths[i]), f64::from(scored[i]), 0.0])
        .collect();
    let (sums, known) = (Matrix::new(gpu, n as u32, 4, sums), Matrix::new(gpu, n as u32, 4, known));
    let [sigmoid, ipo, hinge, robust, apo_zero, sft] = weights;
    let settings = kernels::PreferenceSettings {
        beta: 0.2,
        label_smoothing: 0.1,
        weights: kernels::LossWeights { sigmoid, ipo, hinge, robust, apo_zero, sft },
    };
    let dlogp = gpu.zeros("dlogp", 1, n as u32, Dtype::F32);
    let metrics = gpu.zeros("metrics", 1, kernels::METRICS, Dtype::F32);
    run(gpu, |rec| {
        for _ in 0..2 {
            kernels::preference(rec, &sums.tensor, &known.tensor, &settings, 0.5, &dlogp, &metrics);
        }
    });
    let [w0, w1, w2, w3, w4, w5] = weights.map(f64::from);
    let twin = reference::PreferenceSettings {
        beta: f64::from(0.2f32),
        label_smoothing: f64::from(0.1f32),
        weights: reference::LossWeights { sigmoid: w0, ipo: w1, hinge: w2, robust: w3, apo_zero: w4, sft: w5 },
    };
    let column = |matrix: &Matrix, c: usize| matrix.values.iter().skip(c).step_by(4).copied().collect::<Vec<f64>>();
    let (logps, reference_logps) = (column(&sums, 0), column(&known, 0));
    let want = reference::preference(&logps, &reference_logps, &lengths, &scored, &twin);
    let half: Vec<f64> = want.dlogp.iter().map(|d| 0.5 * d).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(pairs);
    let (logits, entropy, correct) = (column(&sums, 1), column(&sums, 2), column(&sums, 3));
    let tokens = |range: std::ops::Range<usize>| scored[range].iter().sum::<u32>() as f64;
    let p = pairs as usize;
    let mut want_metrics = vec![
        want.loss,
        want.chosen_reward,
        want.rejected_reward,
        want.accuracy,
        want.margin,
        mean(&logps[..p]),
        mean(&logps[p..]),
        logits[..p].iter().sum::<f64>() / tokens(0..p),
        logits[p..].iter().sum::<f64>() / tokens(p..n),
        entropy.iter().sum::<f64>() / tokens(0..n),
        correct[..p].iter().sum::<f64>() / tokens(0..p),
    ];
    want_metrics.resize(kernels::METRICS as usize, 0.0);
    let compare = Compare::new(gpu, "preference", 2e-6);
    compare.and(&dlogp, &half).await?.with(&metrics, &want_metrics).await
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

/// The peak loop computes what it says.
pub async fn fma_peak(gpu: &Gpu, rounds: u32) -> Result<Check> {
    let out = gpu.zeros("out", 1, 128, Dtype::F32);
    run(gpu, |rec| kernels::fma_peak(rec, rounds, 0.5, &out));
    let want: Vec<f64> = (0..128).map(|i| reference::fma_peak(i, rounds, 0.5)).collect();
    Compare::new(gpu, "fma_peak", 1e-5).with(&out, &want).await
}

const EPS: f32 = 1e-6;

/// Collects the largest relative difference over the outputs of one kernel.
struct Compare<'a> {
    gpu: &'a Gpu,
    name: String,
    tolerance: f64,
    error: f64,
}

impl<'a> Compare<'a> {
    fn new(gpu: &'a Gpu, name: impl Into<String>, tolerance: f64) -> Self {
        Self { gpu, name: name.into(), tolerance, error: 0.0 }
    }

    async fn and(mut self, got: &Tensor, want: &[f64]) -> Result<Self> {
        let got = self.gpu.read(got).await?;
        assert_eq!(got.len(), want.len(), "{}: number of values", self.name);
        let largest = want.iter().fold(1e-30, |max: f64, v| max.max(v.abs()));
        for (&g, &w) in got.iter().zip(want) {
            let error = (f64::from(g) - w).abs() / largest;
            // A value that is not a number is as wrong as can be, but compares as nothing.
            self.error = if error.is_nan() { f64::INFINITY } else { self.error.max(error) };
        }
        Ok(self)
    }

    async fn with(self, got: &Tensor, want: &[f64]) -> Result<Check> {
        Ok(self.and(got, want).await?.done())
    }

    fn done(self) -> Check {
        let ok = self.error <= self.tolerance;
        Check { name: self.name, error: self.error, tolerance: self.tolerance, ok }
    }
}

/// A matrix on the device, and the values that f32 made of it.
struct Matrix {
    tensor: Tensor,
    values: Vec<f64>,
}

impl Matrix {
    fn new(gpu: &Gpu, rows: u32, cols: u32, values: Vec<f64>) -> Self {
        let floats: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        let tensor = gpu.upload("check", rows, cols, Dtype::F32, &floats);
        Self { tensor, values: floats.iter().map(|&v| f64::from(v)).collect() }
    }

    fn random(gpu: &Gpu, rows: u32, cols: u32, seed: u64) -> Self {
        Self::new(gpu, rows, cols, random(rows * cols, seed))
    }
}

/// A weight stored as some type, the values that are left of it, and its two blocks of rows.
struct Weight {
    rows: u32,
    cols: u32,
    dtype: Dtype,
    values: Vec<f64>,
}

impl Weight {
    fn random(_: &Gpu, rows: u32, cols: u32, dtype: Dtype, seed: u64) -> Self {
        let values = random(rows * cols, seed)
            .iter()
            .map(|&v| match dtype {
                Dtype::F16 => half::f16::from_f64(v).to_f64(),
                Dtype::Bf16 => half::bf16::from_f64(v).to_f64(),
                Dtype::F32 | Dtype::U32 => f64::from(v as f32),
            })
            .collect();
        Self { rows, cols, dtype, values }
    }

    fn blocks(&self, gpu: &Gpu) -> Vec<(u32, Tensor)> {
        let split = (self.rows / 2).next_multiple_of(4).min(self.rows);
        [(0, split), (split, self.rows)]
            .into_iter()
            .filter(|(a, b)| a < b)
            .map(|(a, b)| (a, self.block(gpu, a, b)))
            .collect()
    }

    fn block(&self, gpu: &Gpu, first: u32, end: u32) -> Tensor {
        let values = &self.values[(first * self.cols) as usize..(end * self.cols) as usize];
        fn put<T: Pod>(gpu: &Gpu, shape: [u32; 2], dtype: Dtype, data: Vec<T>) -> Tensor {
            gpu.upload("weight", shape[0], shape[1], dtype, &data)
        }
        let shape = [end - first, self.cols];
        match self.dtype {
            Dtype::F16 => put(gpu, shape, self.dtype, values.iter().map(|&v| half::f16::from_f64(v)).collect()),
            Dtype::Bf16 => put(gpu, shape, self.dtype, values.iter().map(|&v| half::bf16::from_f64(v)).collect()),
            Dtype::F32 | Dtype::U32 => put(gpu, shape, self.dtype, values.iter().map(|&v| v as f32).collect()),
        }
    }
}

/// Inputs of an attention over packed pairs.
struct AttentionCase {
    q: Matrix,
    k: Matrix,
    v: Matrix,
    dout: Matrix,
    spans: Vec<reference::Span>,
    gpu_spans: Tensor,
    shape: kernels::AttentionShape,
}

impl AttentionCase {
    fn new(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads, first_row: u32) -> Self {
        let mut spans = Vec::new();
        for &[prompt, chosen, rejected] in pairs {
            let start = spans.len() as u32;
            let (middle, end) = (start + prompt + chosen, start + prompt + chosen + rejected);
            for row in start..end {
                let (hole_start, hole_end) = if row < middle { (row, row) } else { (start + prompt, middle) };
                spans.push(kernels::Span { start, hole_start, hole_end, position: 0 });
            }
        }
        let rows = spans.len() as u32;
        let queries = rows - first_row;
        let packed = kernels::pack_spans(&spans, first_row as usize);
        let gpu_spans = gpu.upload("spans", packed.len() as u32, 4, Dtype::U32, packed.as_flattened());
        let Heads { heads, kv_heads, head_dim } = heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let cut = |s: &kernels::Span| reference::Span {
            start: s.start as usize,
            hole_start: s.hole_start as usize,
            hole_end: s.hole_end as usize,
        };
        Self {
            q: Matrix::random(gpu, queries, heads * head_dim, 1),
            k: Matrix::random(gpu, rows, kv_heads * head_dim, 2),
            v: Matrix::random(gpu, rows, kv_heads * head_dim, 3),
            dout: Matrix::random(gpu, queries, heads * head_dim, 4),
            spans: spans[first_row as usize..].iter().map(cut).collect(),
            gpu_spans,
            shape: kernels::AttentionShape { heads, kv_heads, head_dim, scale, first_row },
        }
    }

    fn reference_shape(&self) -> reference::AttentionShape {
        let s = self.shape;
        reference::AttentionShape {
            heads: s.heads as usize,
            kv_heads: s.kv_heads as usize,
            head_dim: s.head_dim as usize,
            scale: s.scale.into(),
            first_row: s.first_row as usize,
        }
    }

    fn forward(&self, gpu: &Gpu) -> (Tensor, Tensor) {
        let [rows, cols] = self.q.tensor.dims();
        let out = gpu.zeros("out", rows, cols, Dtype::F32);
        let lse = gpu.zeros("lse", rows, self.shape.heads, Dtype::F32);
        run(gpu, |rec| {
            let (q, k, v) = (&self.q.tensor, &self.k.tensor, &self.v.tensor);
            kernels::attention_forward(rec, q, k, v, &self.gpu_spans, self.shape, &out, &lse);
        });
        (out, lse)
    }

    fn stats(&self, gpu: &Gpu) -> Tensor {
        let (out, lse) = self.forward(gpu);
        let stats = gpu.zeros("stats", out.rows(), 2 * self.shape.heads, Dtype::F32);
        run(gpu, |rec| {
            kernels::attention_backward_delta(rec, &self.dout.tensor, &out, &lse, self.shape.head_dim, &stats);
        });
        stats
    }

    fn want(&self) -> reference::Attention {
        reference::attention_forward(
            &self.q.values,
            &self.k.values,
            &self.v.values,
            &self.spans,
            self.reference_shape(),
        )
    }

    fn want_delta(&self) -> Vec<f64> {
        let shape = self.reference_shape();
        reference::attention_backward_delta(&self.dout.values, &self.want().out, shape.heads, shape.head_dim)
    }
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

    fn run_chunk(&self, gpu: &Gpu, chunk: u32) -> (u32, u32, Tensor) {
        let (first, cols) = self.chunk(chunk);
        // Stale numbers beyond the chunk must not count.
        let values = widen(&self.columns(first, cols), cols as usize, |_| 99.0);
        let logits = Matrix::new(gpu, self.rows, cols.next_multiple_of(4), values).tensor;
        run(gpu, |rec| {
            let (labels, state, pull) = (&self.gpu_labels, &self.state, &self.pull.tensor);
            kernels::logprob_forward(rec, labels, &logits, first, cols, chunk == 0, true, state, pull);
        });
        (first, cols, logits)
    }
}

fn run(gpu: &Gpu, record: impl FnOnce(&mut Recorder<'_>)) {
    let mut rec = gpu.recorder();
    record(&mut rec);
}

fn matmul_name(name: &'static str, variant: Variant) -> &'static str {
    match (name, variant) {
        ("matmul_forward", Variant::Subgroup) => "matmul_forward_subgroup",
        ("matmul_backward_input", Variant::Subgroup) => "matmul_backward_input_subgroup",
        ("matmul_forward", Variant::Wide) => "matmul_forward_wide",
        ("matmul_backward_input", Variant::Wide) => "matmul_backward_input_wide",
        _ => name,
    }
}

fn named(name: &str, dtype: Dtype) -> String {
    format!("{name}_{}", format!("{dtype:?}").to_lowercase())
}

/// Normal-ish numbers that f32 holds exactly enough: uniform in [-1, 1).
fn random(len: u32, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| f64::from(rng.random_range(-1.0f32..1.0))).collect()
}

fn gates(gpu: &Gpu, fours: u32) -> Matrix {
    let mut values = random(4 * fours, 1);
    values.iter_mut().for_each(|v| *v *= 6.0);
    values[0] = -200.0;
    values[1] = 50.0;
    Matrix::new(gpu, 1, 4 * fours, values)
}

/// Rounding of a sum of n products of numbers below 1, relative to the largest sum.
fn sum_tolerance(n: usize) -> f64 {
    1e-6 * (n as f64).sqrt().max(4.0)
}

/// Rows of `cols` columns, each filled up to the next multiple of 4.
fn widen(values: &[f64], cols: usize, fill: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let wide = cols.next_multiple_of(4);
    values
        .chunks_exact(cols)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(fill(row), wide - cols)).collect::<Vec<f64>>())
        .collect()
}
