//! One function per kernel: random inputs of the given sizes, the kernel, its twin, the largest difference.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use super::objectives::*;
pub use super::policies::*;
use crate::error::Result;
use crate::files::GgmlType;
use crate::gpu::{Dtype, Gpu, Kernel, Precision, Recorder, Tensor};
use crate::kernels::{self, Class, Epilogue, Partials, Sampling, Segments, Store};
use crate::reference;

/// How far a kernel is from its twin.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The kernel, with its variant.
    pub name: String,
    /// Largest difference over all outputs, relative to the largest value of that output.
    pub error: f64,
    /// What rounding explains at these sizes: of f32, and of operands where the variant rounds them.
    pub tolerance: f64,
    /// `error <= tolerance`.
    pub ok: bool,
}

/// Every kernel at one middling, ragged size.
pub async fn check_all(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(embedding(gpu, 37, 50, 68, dtype).await?);
        checks.push(add_positions(gpu, 37, 50, 68, dtype).await?);
        checks
            .extend(each_variant(gpu, "matmul_forward", async || matmul_forward(gpu, 37, 70, 132, dtype).await).await?);
        let backward = async || matmul_backward_input(gpu, 37, 70, 132, dtype).await;
        checks.extend(each_variant(gpu, "matmul_backward_input", backward).await?);
    }
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(quantise_q8_0(gpu, 37, 192, dtype).await?);
        checks.push(quantise_q4_0(gpu, 37, 192, dtype).await?);
        checks.push(quantise_nf4(gpu, 37, 192, dtype).await?);
    }
    for dtype in BLOCKS {
        checks.push(embedding(gpu, 37, 50, 256, dtype).await?);
        checks.push(matmul_forward(gpu, 37, 70, 256, dtype).await?);
        checks.push(matmul_backward_input(gpu, 37, 70, 256, dtype).await?);
    }
    let lora = async || lora_backward(gpu, 37, 12).await;
    checks.extend(each_variant(gpu, "lora_backward", lora).await?);
    let weight = async || matmul_backward_weight(gpu, 333, 12, 68).await;
    checks.extend(each_variant(gpu, "matmul_backward_weight", weight).await?);
    checks.push(sum_partials(gpu, 333, 68).await?);
    checks.push(scale_segments(gpu, 37, 12).await?);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(dora_norms(gpu, 72, 132, dtype).await?);
    }
    for dtype in BLOCKS {
        checks.push(dora_norms(gpu, 72, 256, dtype).await?);
    }
    checks.push(scale_columns(gpu, 37, 68).await?);
    checks.push(dora_backward_lengths(gpu, 333, 68).await?);
    checks.push(rmsnorm_forward(gpu, 37, 260).await?);
    checks.push(rmsnorm_backward(gpu, 37, 260).await?);
    checks.push(layernorm_forward(gpu, 37, 260).await?);
    checks.push(layernorm_backward(gpu, 37, 260).await?);
    for whole in [false, true] {
        checks.push(qk_norm_forward(gpu, 37, Heads::new(4, 2, 20), whole).await?);
        checks.push(qk_norm_backward(gpu, 37, Heads::new(4, 2, 20), whole).await?);
    }
    checks.push(rope(gpu, 37, 3, 20, 12).await?);
    let pairs = &[[5, 20, 31], [1, 3, 9]];
    for heads in [Heads::new(4, 2, 20), Heads { window: 9, softcap: 0.5, ..Heads::new(4, 2, 20) }] {
        checks.extend(check_attention(gpu, heads).await?);
    }
    checks.push(cache_append(gpu, 7, Heads::new(4, 2, 20)).await?);
    for sampling in SAMPLINGS {
        checks.push(sample(gpu, 2, 101, sampling).await?);
    }
    checks.push(gather_rows(gpu, 37, 68).await?);
    checks.push(scatter_rows(gpu, 37, 68).await?);
    checks.push(scaled_copy(gpu, 37, 68).await?);
    for bias in [false, true] {
        checks.push(short_conv_forward(gpu, pairs, 20, 3, bias).await?);
        checks.push(short_conv_backward(gpu, pairs, 20, 3, bias).await?);
        checks.push(short_conv_decode(gpu, &[1, 2, 9], 20, 3, bias).await?);
    }
    checks.push(short_conv_append(gpu, 7, 20).await?);
    checks.push(softcap(gpu, 37, 68).await?);
    checks.push(resize_heads(gpu, 37, 3, 14, 16).await?);
    checks.push(dropout(gpu, 37, 68, 0.25).await?);
    for act in kernels::Act::ALL {
        checks.push(glu_forward(gpu, 37, 68, act).await?);
        checks.push(glu_backward(gpu, 37, 68, act).await?);
        checks.push(activation_forward(gpu, 37, 68, act).await?);
        checks.push(activation_backward(gpu, 37, 68, act).await?);
    }
    for kind in LOGITS {
        checks.push(logprob_forward(gpu, 37, 300, 68, kind).await?);
        checks.push(logprob_finish(gpu, 37, 300, 68, kind).await?);
        checks.push(entropy_backward(gpu, 37, 300, kind).await?);
    }
    checks.push(logprob_backward(gpu, 37, 68).await?);
    checks.push(sequence_sum(gpu, 6, 50).await?);
    checks.push(token_gradient(gpu, 6, 50).await?);
    for loss in kernels::PairLoss::ALL {
        checks.push(preference(gpu, 5, loss, kernels::Divergence::ReverseKl, false).await?);
    }
    checks.push(pair_metrics(gpu, 5, false).await?);
    checks.push(token_nll(gpu, 5).await?);
    checks.extend(check_objectives(gpu).await?);
    checks.extend(check_policies(gpu).await?);
    checks.push(grad_norm(gpu, &[1000, 70_000]).await?);
    checks.push(adamw(gpu, 1001, 3).await?);
    checks.push(fma_peak(gpu, 3).await?);
    Ok(checks)
}

/// Types whose elements are stored in blocks: as the variants differ in nothing that depends on it, the one in use is
/// checked with each.
pub const BLOCKS: [Dtype; 9] =
    [Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q8_0, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K, Dtype::Nf4];

/// The kernels of attention, each variant of them.
async fn check_attention(gpu: &Gpu, heads: Heads) -> Result<Vec<Check>> {
    let pairs = &[[5, 20, 31], [1, 3, 9]];
    let mut checks =
        each_variant(gpu, "attention_forward", async || attention_forward(gpu, pairs, heads).await).await?;
    checks.push(attention_backward_delta(gpu, 37, 3, 20).await?);
    let backward_q = async || attention_backward_q(gpu, pairs, heads).await;
    checks.extend(each_variant(gpu, "attention_backward_q", backward_q).await?);
    let backward_kv = async || attention_backward_kv(gpu, pairs, heads).await;
    checks.extend(each_variant(gpu, "attention_backward_kv", backward_kv).await?);
    checks.push(attention_decode(gpu, &[1, 90, 130], heads).await?);
    Ok(checks)
}

/// The same check with each variant of an operation that the device can run.
pub async fn each_variant(gpu: &Gpu, op: &str, check: impl AsyncFn() -> Result<Check>) -> Result<Vec<Check>> {
    let op = kernels::op(op);
    let mut checks = Vec::new();
    for variant in gpu.variants(op) {
        gpu.force(op, Some(variant));
        checks.push(check().await);
    }
    gpu.force(op, None);
    checks.into_iter().collect()
}

/// Rows picked from a table stored as `dtype`, the table in two blocks.
pub async fn embedding(gpu: &Gpu, rows: u32, vocab: u32, cols: u32, dtype: Dtype) -> Result<Check> {
    let table = Weight::random(gpu, vocab, cols, dtype, 1);
    let ids: Vec<u32> = (0..rows).map(|r| (r * 7 + 3) % vocab).collect();
    let y = gpu.zeros("y", rows, cols, Dtype::F32);
    let gpu_ids = gpu.upload("ids", 1, rows, Dtype::U32, &ids);
    let mut rec = gpu.recorder();
    for (first, block) in table.blocks(gpu) {
        kernels::embedding(&mut rec, &gpu_ids, &block, first, 0.5, &y);
    }
    rec.submit();
    let want = reference::scaled_copy(&reference::embedding(&table.values, &ids, cols as usize), 0.5);
    let tolerance = if dtype.block().0 > 1 { 1e-6 } else { 0.0 };
    Compare::new(gpu, named(gpu, "embedding", dtype), tolerance).with(&y, &want).await
}

/// Rows of a table of positions stored as `dtype`, added to what is there.
pub async fn add_positions(gpu: &Gpu, rows: u32, positions: u32, cols: u32, dtype: Dtype) -> Result<Check> {
    let table = Weight::random(gpu, positions, cols, dtype, 1);
    let at: Vec<u32> = (0..rows).map(|r| (r * 7 + 3) % positions).collect();
    let spans: Vec<u32> = at.iter().flat_map(|&position| [0, 0, 0, position]).collect();
    let spans = gpu.upload("spans", rows, 4, Dtype::U32, &spans);
    let x = Matrix::random(gpu, rows, cols, 2);
    let block = table.block(gpu, 0, positions);
    run(gpu, |rec| kernels::add_positions(rec, &spans, &block, &x.tensor));
    let want = reference::add_positions(&x.values, &at, &table.values, cols as usize);
    Compare::new(gpu, named(gpu, "add_positions", dtype), 1e-6).with(&x.tensor, &want).await
}

/// y = x wᵀ with w stored as `dtype`, the weight in two blocks of rows; alone, and with everything that may be added.
pub async fn matmul_forward(gpu: &Gpu, m: u32, n: u32, k: u32, dtype: Dtype) -> Result<Check> {
    let w = Weight::random(gpu, n, k, dtype, 1);
    let x = Matrix::random(gpu, m, k, 2);
    let ld = n.next_multiple_of(4);
    let [bias, residual] = [1, m].map(|rows| Matrix::random(gpu, rows, ld, 3 + u64::from(rows)));
    let segments = segments_of(ld, RANK);
    let (u, b) = (Matrix::random(gpu, m, ranks(&segments, RANK), 5), Matrix::random(gpu, ld, RANK, 6));
    let all = Epilogue {
        bias: Some(&bias.tensor),
        lora: Some((&u.tensor, &b.tensor, &segments)),
        residual: Some(&residual.tensor),
    };
    let kernel = gpu.kernel(kernels::op("matmul_forward").with_weight(dtype));
    let mut compare = Compare::new(gpu, kernel.name(), product_tolerance(&kernel, (k + RANK) as usize));
    for (scale, epilogue) in [(0.5, Epilogue::default()), (0.25, all)] {
        let y = gpu.zeros("y", m, ld, Dtype::F32);
        run(gpu, |rec| {
            for (first, block) in w.blocks(gpu) {
                kernels::matmul_forward(rec, Class::Main, &x.tensor, &block, scale, first, epilogue, &y);
            }
        });
        let product = reference::matmul_forward(&x.values, &w.values, m as usize, n as usize, k as usize);
        let mut want: Vec<f64> = product.iter().map(|v| v * f64::from(scale)).collect();
        if epilogue.lora.is_some() {
            let added = reference::lora_forward(&u.values, &b.values, &twin_segments(&segments), m as usize);
            for (row, want) in want.chunks_exact_mut(n as usize).enumerate() {
                for (column, value) in want.iter_mut().enumerate() {
                    let at = row * ld as usize + column;
                    *value += f64::from(scale) * added[at] + bias.values[column] + residual.values[at];
                }
            }
        }
        // Columns beyond the last are of no meaning.
        compare = compare.and_columns(&y, &want, n as usize).await?;
    }
    Ok(compare.done())
}

/// dx = dy w with w stored as `dtype`, summed over two blocks of rows; set, then half of it added, with LoRA's part.
pub async fn matmul_backward_input(gpu: &Gpu, m: u32, n: u32, k: u32, dtype: Dtype) -> Result<Check> {
    let w = Weight::random(gpu, n, k, dtype, 1);
    let values = random(m * n, 2);
    let dy = Matrix::new(gpu, m, n.next_multiple_of(4), widen(&values, n as usize, |_| 0.0));
    let dx = gpu.zeros("dx", m, k, Dtype::F32);
    let (du, a) = (Matrix::random(gpu, m, RANK, 3), Matrix::random(gpu, RANK, k, 4));
    run(gpu, |rec| {
        for (scale, mut store) in [(0.5, Store::Set), (1.0, Store::Add)] {
            let mut lora = (store == Store::Add).then_some((&du.tensor, &a.tensor));
            for (first, block) in w.blocks(gpu) {
                kernels::matmul_backward_input(rec, &dy.tensor, &block, scale, store, first, lora.take(), &dx);
                store = Store::Add;
            }
        }
    });
    let (m, n, k) = (m as usize, n as usize, k as usize);
    let product = reference::matmul_backward_input(&values, &w.values, m, n, k);
    let added = reference::matmul_backward_input(&du.values, &a.values, m, RANK as usize, k);
    let want: Vec<f64> = product.iter().zip(&added).map(|(p, a)| 1.5 * p + a).collect();
    let kernel = gpu.kernel(kernels::op("matmul_backward_input").with_weight(dtype));
    Compare::new(gpu, kernel.name(), product_tolerance(&kernel, n)).with(&dx, &want).await
}

/// Weights stored as `dtype` to Q8_0, bit for bit.
pub async fn quantise_q8_0(gpu: &Gpu, rows: u32, cols: u32, dtype: Dtype) -> Result<Check> {
    let (w, got) = quantised(gpu, rows, cols, dtype, Dtype::Q8_0).await?;
    let mut want = Vec::new();
    for (scale, numbers) in reference::quantise_q8_0(&w.values) {
        want.extend(scale.to_le_bytes());
        want.extend(numbers.iter().map(|q| *q as u8));
    }
    Ok(same_bytes(named(gpu, "quantise_q8_0", dtype), &got, &want))
}

/// Weights stored as `dtype` to Q4_0: the errors of each block beside the least that there can be. Of two scales that
/// err as much either may be taken.
pub async fn quantise_q4_0(gpu: &Gpu, rows: u32, cols: u32, dtype: Dtype) -> Result<Check> {
    let (w, got) = quantised(gpu, rows, cols, dtype, Dtype::Q4_0).await?;
    let mut want = Vec::new();
    for (scale, numbers) in reference::quantise_q4_0(&w.values) {
        want.extend(scale.to_le_bytes());
        want.extend((0..16).map(|j| (numbers[j] + 8) as u8 | (((numbers[j + 16] + 8) as u8) << 4)));
    }
    let errors = |bytes: &[u8]| -> Vec<f64> {
        let off = GgmlType::Q4_0.to_f32(bytes).into_iter().zip(&w.values).map(|(q, w)| (f64::from(q) - w).powi(2));
        off.collect::<Vec<f64>>().chunks_exact(32).map(|block| block.iter().sum()).collect()
    };
    let pairs = errors(&got).into_iter().zip(errors(&want));
    let excess = pairs.map(|(got, want)| (got - want) / want.max(1e-30)).fold(0.0, f64::max);
    let tolerance = 1e-5;
    Ok(Check { name: named(gpu, "quantise_q4_0", dtype), error: excess, tolerance, ok: excess <= tolerance })
}

/// Weights stored as `dtype` to NF4, bit for bit.
pub async fn quantise_nf4(gpu: &Gpu, rows: u32, cols: u32, dtype: Dtype) -> Result<Check> {
    let (w, got) = quantised(gpu, rows, cols, dtype, Dtype::Nf4).await?;
    let mut want = Vec::new();
    for (scale, places) in reference::quantise_nf4(&w.values) {
        want.extend(scale.to_le_bytes());
        want.extend(places.as_chunks::<2>().0.iter().map(|[low, high]| low | (high << 4)));
    }
    Ok(same_bytes(named(gpu, "quantise_nf4", dtype), &got, &want))
}

/// A weight, and the bytes of its blocks; made of two parts of its rows, the second first. One block is of zeros, one
/// of numbers whose scale is next to nothing.
async fn quantised(gpu: &Gpu, rows: u32, cols: u32, dtype: Dtype, to: Dtype) -> Result<(Weight, Vec<u8>)> {
    let mut values = random(rows * cols, 1);
    let second = values.len().min(cols as usize);
    values[second..].iter_mut().take(64).for_each(|w| *w = 1e-3 * w.signum() * (0.5 + 0.5 * w.abs()));
    values[..64].fill(0.0);
    let w = Weight::stored(rows, cols, dtype, values);
    let blocks = gpu.zeros("blocks", rows, cols, to);
    let words = gpu.zeros("words", 1, (blocks.bytes() / 4) as u32, Dtype::U32);
    let half = rows / 2;
    let parts = [(half, w.block(gpu, half, rows)), (0, w.block(gpu, 0, half.max(1)))];
    run(gpu, |rec| {
        for (first, part) in &parts {
            kernels::quantise(rec, part, &blocks, *first);
        }
        rec.copy(&blocks, &words);
    });
    let words = gpu.read_indices(&words).await?;
    Ok((w, words.iter().flat_map(|word| word.to_le_bytes()).collect()))
}

/// The share of bytes that differ, of which none may.
fn same_bytes(name: String, got: &[u8], want: &[u8]) -> Check {
    assert_eq!(got.len(), want.len(), "{name}: number of bytes");
    let differ = got.iter().zip(want).filter(|(got, want)| got != want).count();
    Check { name, error: differ as f64 / want.len() as f64, tolerance: 0.0, ok: differ == 0 }
}

/// du of three layers side by side, the second without an adapter.
pub async fn lora_backward(gpu: &Gpu, m: u32, r: u32) -> Result<Check> {
    let ld = 68;
    let segments = segments_of(ld, r);
    let (dy, b) = (Matrix::random(gpu, m, ld, 1), Matrix::random(gpu, ld, r, 2));
    let du = gpu.zeros("du", m, ranks(&segments, r), Dtype::F32);
    run(gpu, |rec| kernels::lora_backward(rec, &dy.tensor, &b.tensor, 0.5, &segments, &du));
    let product = reference::lora_backward(&dy.values, &b.values, &twin_segments(&segments), m as usize);
    let want: Vec<f64> = product.iter().map(|v| 0.5 * v).collect();
    let name = gpu.kernel(kernels::op("lora_backward")).name();
    Compare::new(gpu, name, sum_tolerance(ld as usize)).with(&du, &want).await
}

/// The parts of dyᵀ x, summed on top of what is there: of one layer, and of three whose inputs lie side by side.
pub async fn matmul_backward_weight(gpu: &Gpu, m: u32, n: u32, k: u32) -> Result<Check> {
    let segments = segments_of(n, k);
    let name = gpu.kernel(kernels::op("matmul_backward_weight")).name();
    let mut compare = Compare::new(gpu, name, sum_tolerance(m as usize));
    for segments in [None, Some(&segments)] {
        let width = segments.map_or(k, |segments| ranks(segments, k));
        let (dy, x) = (Matrix::random(gpu, m, n, 1), Matrix::random(gpu, m, width, 2));
        let (at, len) = (8, n * k + 8);
        let start = Matrix::random(gpu, 1, len, 3);
        let rows_per_part = Partials::rows_per_part(m, len);
        let partials = gpu.zeros("partials", m.div_ceil(rows_per_part), len, Dtype::F32);
        let partials = Partials { tensor: partials, rows_per_part };
        run(gpu, |rec| {
            kernels::matmul_backward_weight(rec, &dy.tensor, &x.tensor, segments, &partials, at, k);
            kernels::sum_partials(rec, &partials, m, &start.tensor);
        });
        let twin = segments.map(twin_segments);
        let one = reference::Segments { ends: vec![n as usize], u_at: vec![Some(0)] };
        let twin = twin.as_ref().unwrap_or(&one);
        let product = reference::lora_backward_weight(&dy.values, &x.values, twin, m as usize, k as usize);
        let mut want = start.values.clone();
        want[at as usize..].iter_mut().zip(&product).for_each(|(want, product)| *want += product);
        compare = compare.and(&start.tensor, &want).await?;
    }
    Ok(compare.done())
}

/// Parts that are summed in order.
pub async fn sum_partials(gpu: &Gpu, rows: u32, len: u32) -> Result<Check> {
    let rows_per_part = Partials::rows_per_part(rows, len);
    let parts = rows.div_ceil(rows_per_part);
    let (tensor, grads) = (Matrix::random(gpu, parts, len + 4, 1), Matrix::random(gpu, 1, len, 2));
    let partials = Partials { tensor: tensor.tensor, rows_per_part };
    run(gpu, |rec| kernels::sum_partials(rec, &partials, rows, &grads.tensor));
    let want = reference::sum_partials(&tensor.values, &grads.values, len as usize + 4);
    Compare::new(gpu, "sum_partials", 1e-6).with(&grads.tensor, &want).await
}

/// Three segments, each times its number.
pub async fn scale_segments(gpu: &Gpu, rows: u32, width: u32) -> Result<Check> {
    let u = Matrix::random(gpu, rows, 3 * width, 1);
    run(gpu, |rec| kernels::scale_segments(rec, &u.tensor, &[0.5, 2.0, -3.0]));
    let want = reference::scale_segments(&u.values, width as usize, &[0.5, 2.0, -3.0]);
    Compare::new(gpu, "scale_segments", 1e-6).with(&u.tensor, &want).await
}

/// Lengths of the rows of three layers side by side, the second without an adapter, the weight in two blocks of rows;
/// some rows have the length that they are brought to.
pub async fn dora_norms(gpu: &Gpu, n: u32, k: u32, dtype: Dtype) -> Result<Check> {
    let (w, segments, scales) = (Weight::random(gpu, n, k, dtype, 1), segments_of(n, RANK), [0.5, 2.0]);
    let (a, b) = (Matrix::random(gpu, ranks(&segments, RANK), k, 2), Matrix::random(gpu, n, RANK, 3));
    let lengths = Matrix::new(gpu, 1, n, random(n, 4).iter().map(|v| 1.0 + v).collect());
    let norms = gpu.zeros("norms", 3, n + 4, Dtype::F32);
    run(gpu, |rec| {
        for (first, block) in w.blocks(gpu) {
            let (b, lengths) = (&b.tensor, &lengths.tensor);
            kernels::dora_norms(rec, &a.tensor, &block, first, b, lengths, &segments, &scales, 0.75, &norms);
        }
    });
    let (twin, scales) = (twin_segments(&segments), scales.map(f64::from));
    let want = reference::dora_norms(&a.values, &w.values, &b.values, &lengths.values, &twin, &scales, 0.75);
    Ok(Compare::new(gpu, named(gpu, "dora_norms", dtype), 1e-5).and_columns(&norms, &want, n as usize).await?.done())
}

/// Every column times its number, alone and with what may be added.
pub async fn scale_columns(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let [x, residual] = [1, 2].map(|seed| Matrix::random(gpu, rows, cols, seed));
    let [gain, bias] = [3, 4].map(|seed| Matrix::random(gpu, 1, cols, seed));
    let none = vec![0.0; x.values.len()];
    let mut compare = Compare::new(gpu, "scale_columns", 1e-6);
    for all in [false, true] {
        let y = gpu.zeros("y", rows, cols, Dtype::F32);
        let (added, rest) = (all.then_some(&bias.tensor), all.then_some(&residual.tensor));
        run(gpu, |rec| kernels::scale_columns(rec, &x.tensor, &gain.tensor, 0.5, added, rest, &y));
        let (bias, residual) = if all { (&bias.values, &residual.values) } else { (&none, &none) };
        compare = compare.and(&y, &reference::scale_columns(&x.values, &gain.values, 0.5, bias, residual)).await?;
    }
    Ok(compare.done())
}

/// Some elements dropped, set and then added.
pub async fn dropout(gpu: &Gpu, rows: u32, cols: u32, rate: f32) -> Result<Check> {
    let (x, y) = (Matrix::random(gpu, rows, cols, 1), gpu.zeros("y", rows, cols, Dtype::F32));
    run(gpu, |rec| {
        kernels::dropout(rec, &x.tensor, rate, 7, Store::Set, &y);
        kernels::dropout(rec, &x.tensor, rate, 8, Store::Add, &y);
    });
    let [set, added] = [7, 8].map(|seed| reference::dropout(&x.values, rate.into(), seed));
    let want: Vec<f64> = set.iter().zip(added).map(|(set, added)| set + added).collect();
    Compare::new(gpu, "dropout", 1e-6).with(&y, &want).await
}

/// The gradient of DoRA's lengths out of the parts of a batch, its other places untouched.
pub async fn dora_backward_lengths(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let rows_per_part = Partials::rows_per_part(rows, cols);
    let (parts, at) = (rows.div_ceil(rows_per_part), 8);
    let [dy, z] = [1, 2].map(|seed| Matrix::random(gpu, rows, cols, seed));
    let inverse = Matrix::random(gpu, 1, cols, 3);
    let tensor = gpu.zeros("partials", parts, cols + at, Dtype::F32);
    let (partials, sums) = (Partials { tensor, rows_per_part }, gpu.zeros("sums", 1, cols + at, Dtype::F32));
    run(gpu, |rec| {
        kernels::dora_backward_lengths(rec, &dy.tensor, &z.tensor, &inverse.tensor, &partials, at);
        kernels::sum_partials(rec, &partials, rows, &sums);
    });
    let mut want = vec![0.0; at as usize];
    want.extend(reference::dora_backward_lengths(&dy.values, &z.values, &inverse.values));
    Compare::new(gpu, "dora_backward_lengths", 1e-5).with(&sums, &want).await
}

/// Rank of LoRA's matrices in the checks of products.
const RANK: u32 = 8;

/// Three layers side by side in `columns` columns, the second without an adapter.
fn segments_of(columns: u32, rank: u32) -> Segments {
    let first = (columns / 3).next_multiple_of(4).min(columns);
    let second = (2 * columns / 3).next_multiple_of(4).min(columns);
    Segments { ends: vec![first, second, columns], u_at: vec![Some(0), None, Some(rank)] }
}

/// Columns of the inputs of all layers with an adapter.
fn ranks(segments: &Segments, rank: u32) -> u32 {
    rank * segments.u_at.iter().flatten().count() as u32
}

fn twin_segments(segments: &Segments) -> reference::Segments {
    let to = |n: &u32| *n as usize;
    reference::Segments {
        ends: segments.ends.iter().map(to).collect(),
        u_at: segments.u_at.iter().map(|at| at.as_ref().map(to)).collect(),
    }
}

/// y and rstd.
pub async fn rmsnorm_forward(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, gain) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2));
    let (y, rstd) = (gpu.zeros("y", rows, cols, Dtype::F32), gpu.zeros("rstd", 1, rows, Dtype::F32));
    let residual = Matrix::random(gpu, rows, cols, 3);
    let want = reference::rmsnorm_forward(&x.values, &gain.values, EPS.into());
    let added: Vec<f64> = want.y.iter().zip(&residual.values).map(|(y, residual)| y + residual).collect();
    let mut compare = Compare::new(gpu, "rmsnorm_forward", 1e-5);
    for (residual, want_y) in [(None, &want.y), (Some(&residual.tensor), &added)] {
        run(gpu, |rec| kernels::rmsnorm_forward(rec, &x.tensor, &gain.tensor, EPS, residual, &y, &rstd));
        compare = compare.and(&y, want_y).await?.and(&rstd, &want.rstd).await?;
    }
    Ok(compare.done())
}

/// dx, set and added to what is there.
pub async fn rmsnorm_backward(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, gain) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2));
    let (dy, dx) = (Matrix::random(gpu, rows, cols, 3), Matrix::random(gpu, rows, cols, 4));
    let (y, rstd) = (gpu.zeros("y", rows, cols, Dtype::F32), gpu.zeros("rstd", 1, rows, Dtype::F32));
    let forward = reference::rmsnorm_forward(&x.values, &gain.values, EPS.into());
    let back = reference::rmsnorm_backward(&dy.values, &x.values, &gain.values, &forward.rstd);
    let added: Vec<f64> = dx.values.iter().zip(&back).map(|(dx, back)| dx + back).collect();
    run(gpu, |rec| kernels::rmsnorm_forward(rec, &x.tensor, &gain.tensor, EPS, None, &y, &rstd));
    let mut compare = Compare::new(gpu, "rmsnorm_backward", 1e-5);
    for (store, want) in [(Store::Add, &added), (Store::Set, &back)] {
        run(gpu, |rec| {
            kernels::rmsnorm_backward(rec, &dy.tensor, &x.tensor, &gain.tensor, &rstd, store, &dx.tensor);
        });
        compare = compare.and(&dx.tensor, want).await?;
    }
    Ok(compare.done())
}

/// y and stats.
pub async fn layernorm_forward(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, gain, bias) =
        (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2), Matrix::random(gpu, 1, cols, 3));
    let (y, stats) = (gpu.zeros("y", rows, cols, Dtype::F32), gpu.zeros("stats", rows, 2, Dtype::F32));
    run(gpu, |rec| kernels::layernorm_forward(rec, &x.tensor, &gain.tensor, &bias.tensor, EPS, &y, &stats));
    let want = reference::layernorm_forward(&x.values, &gain.values, &bias.values, EPS.into());
    let compare = Compare::new(gpu, "layernorm_forward", 1e-5);
    compare.and(&y, &want.y).await?.with(&stats, want.stats.as_flattened()).await
}

/// dx, set and added to what is there.
pub async fn layernorm_backward(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let (x, gain) = (Matrix::random(gpu, rows, cols, 1), Matrix::random(gpu, 1, cols, 2));
    let (dy, dx) = (Matrix::random(gpu, rows, cols, 3), Matrix::random(gpu, rows, cols, 4));
    let (y, stats) = (gpu.zeros("y", rows, cols, Dtype::F32), gpu.zeros("stats", rows, 2, Dtype::F32));
    let forward = reference::layernorm_forward(&x.values, &gain.values, &gain.values, EPS.into());
    let back = reference::layernorm_backward(&dy.values, &x.values, &gain.values, &forward.stats);
    let added: Vec<f64> = dx.values.iter().zip(&back).map(|(dx, back)| dx + back).collect();
    run(gpu, |rec| kernels::layernorm_forward(rec, &x.tensor, &gain.tensor, &gain.tensor, EPS, &y, &stats));
    let mut compare = Compare::new(gpu, "layernorm_backward", 1e-5);
    for (store, want) in [(Store::Add, &added), (Store::Set, &back)] {
        run(gpu, |rec| {
            kernels::layernorm_backward(rec, &dy.tensor, &x.tensor, &gain.tensor, &stats, store, &dx.tensor);
        });
        compare = compare.and(&dx.tensor, want).await?;
    }
    Ok(compare.done())
}

/// Each head normed by itself or, if `whole`, all heads together; values are copied.
pub async fn qk_norm_forward(gpu: &Gpu, rows: u32, heads: Heads, whole: bool) -> Result<Check> {
    let case = QkNormCase::new(gpu, rows, heads, whole);
    let y = gpu.zeros("y", rows, case.columns, Dtype::F32);
    run(gpu, |rec| kernels::qk_norm_forward(rec, &case.x.tensor, &case.gain.tensor, case.parts, EPS, &y));
    let columns = case.columns as usize;
    let want = reference::qk_norm_forward(&case.x.values, &case.gain.values, &case.ranges, columns, EPS.into());
    Compare::new(gpu, "qk_norm_forward", 1e-5).with(&y, &want).await
}

/// dx in place of dy.
pub async fn qk_norm_backward(gpu: &Gpu, rows: u32, heads: Heads, whole: bool) -> Result<Check> {
    let case = QkNormCase::new(gpu, rows, heads, whole);
    let dy = Matrix::random(gpu, rows, case.columns, 3);
    run(gpu, |rec| kernels::qk_norm_backward(rec, &case.x.tensor, &case.gain.tensor, case.parts, EPS, &dy.tensor));
    let (x, gain, columns) = (&case.x.values, &case.gain.values, case.columns as usize);
    let want = reference::qk_norm_backward(&dy.values, x, gain, &case.ranges, columns, EPS.into());
    Compare::new(gpu, "qk_norm_backward", 1e-5).with(&dy.tensor, &want).await
}

/// Queries, keys and values whose heads are normed.
struct QkNormCase {
    x: Matrix,
    gain: Matrix,
    parts: kernels::QkParts,
    ranges: Vec<(usize, usize)>,
    columns: u32,
}

impl QkNormCase {
    fn new(gpu: &Gpu, rows: u32, Heads { heads, kv_heads, head_dim, .. }: Heads, whole: bool) -> Self {
        let (columns, normed) = ((heads + 2 * kv_heads) * head_dim, (heads + kv_heads) * head_dim);
        let parts = match whole {
            true => {
                kernels::QkParts { queries: 1, query_cols: heads * head_dim, keys: 1, key_cols: kv_heads * head_dim }
            }
            false => kernels::QkParts { queries: heads, query_cols: head_dim, keys: kv_heads, key_cols: head_dim },
        };
        let widths = [(parts.queries, parts.query_cols), (parts.keys, parts.key_cols)];
        let widths = widths.into_iter().flat_map(|(n, width)| vec![width as usize; n as usize]);
        let ranges = widths.scan(0, |end, width| {
            *end += width;
            Some((*end - width, *end))
        });
        let (x, gain) = (Matrix::random(gpu, rows, columns, 1), Matrix::random(gpu, 1, normed, 2));
        Self { x, gain, parts, ranges: ranges.collect(), columns }
    }
}

/// A rotation of the first columns of heads and, of another tensor, the rotation back; all other columns stay.
pub async fn rope(gpu: &Gpu, rows: u32, heads: u32, head_dim: u32, rotary_dim: u32) -> Result<Check> {
    let positions: Vec<u32> = (0..rows).map(|r| (r * 5) % 40).collect();
    let angles = random(40 * rotary_dim / 2, 1);
    let table: Vec<[f64; 2]> = angles.iter().map(|a| [f64::from(a.cos() as f32), f64::from(a.sin() as f32)]).collect();
    let flat: Vec<f32> = table.iter().flatten().map(|&v| v as f32).collect();
    let gpu_table = gpu.upload("table", 40, rotary_dim, Dtype::F32, &flat);
    let spans: Vec<u32> = positions.iter().flat_map(|&p| [0, 0, 0, p]).collect();
    let spans = gpu.upload("spans", rows, 4, Dtype::U32, &spans);
    let mut compare = Compare::new(gpu, "rope", 1e-5);
    let (first, turned) = (4, (heads * head_dim) as usize);
    let all = turned + 12;
    for direction in [1.0, -1.0] {
        let x = Matrix::random(gpu, rows, all as u32, 2);
        let some = kernels::Heads { first: first as u32, heads, head_dim };
        run(gpu, |rec| kernels::rope(rec, &gpu_table, &spans, some, direction, &x.tensor));
        let end = first + turned;
        let part: Vec<f64> = x.values.chunks_exact(all).flat_map(|row| &row[first..end]).copied().collect();
        let (n, width) = (heads as usize, head_dim as usize);
        let rotated = reference::rope(&part, &table, &positions, n, width, rotary_dim as usize, direction.into());
        let rows = rotated.chunks_exact(turned).zip(x.values.chunks_exact(all));
        let row = |(new, old): (&[f64], &[f64])| [&old[..first], new, &old[end..]].concat();
        let want: Vec<f64> = rows.flat_map(row).collect();
        compare = compare.and(&x.tensor, &want).await?;
    }
    Ok(compare.done())
}

/// Head counts of an attention check, and what becomes of its scores.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Columns of a head.
    pub head_dim: u32,
    /// Tokens that a row sees.
    pub window: u32,
    /// Cap of scores; 0 for none.
    pub softcap: f32,
}

impl Heads {
    /// No window and no cap.
    pub const fn new(heads: u32, kv_heads: u32, head_dim: u32) -> Self {
        Self { heads, kv_heads, head_dim, window: u32::MAX, softcap: 0.0 }
    }
}

/// Pairs given as (prompt, chosen, rejected) lengths.
pub async fn attention_forward(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads) -> Result<Check> {
    let case = AttentionCase::new(gpu, pairs, heads);
    let (out, lse) = case.forward(gpu);
    let want = case.want();
    let compare = Compare::new(gpu, named_attention(gpu, "attention_forward", heads), 2e-5);
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

/// dq; the columns of keys and values stay.
pub async fn attention_backward_q(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads) -> Result<Check> {
    let case = AttentionCase::new(gpu, pairs, heads);
    let stats = case.stats(gpu);
    let dqkv = Matrix::random(gpu, case.qkv.tensor.rows(), case.qkv.tensor.cols(), 5);
    run(gpu, |rec| {
        let (dout, qkv) = (&case.dout.tensor, &case.qkv.tensor);
        kernels::attention_backward_q(rec, dout, qkv, &stats, &case.gpu_spans, case.shape, &dqkv.tensor);
    });
    let (want, delta, [q, k, v]) = (case.want(), case.want_delta(), &case.parts);
    let shape = case.reference_shape();
    let dq = reference::attention_backward_q(&case.dout.values, q, k, v, &want.lse, &delta, &case.spans, shape);
    let [_, dk, dv] = case.split(&dqkv.values);
    let want = case.join([&dq, &dk, &dv]);
    let name = named_attention(gpu, "attention_backward_q", heads);
    Compare::new(gpu, name, 5e-5).with(&dqkv.tensor, &want).await
}

/// dk and dv; the columns of queries stay.
pub async fn attention_backward_kv(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads) -> Result<Check> {
    let case = AttentionCase::new(gpu, pairs, heads);
    let stats = case.stats(gpu);
    let dqkv = Matrix::random(gpu, case.qkv.tensor.rows(), case.qkv.tensor.cols(), 5);
    run(gpu, |rec| {
        let (dout, qkv) = (&case.dout.tensor, &case.qkv.tensor);
        kernels::attention_backward_kv(rec, dout, qkv, &stats, &case.gpu_spans, case.shape, &dqkv.tensor);
    });
    let (want, delta, [q, k, v]) = (case.want(), case.want_delta(), &case.parts);
    let shape = case.reference_shape();
    let (dk, dv) = reference::attention_backward_kv(&case.dout.values, q, k, v, &want.lse, &delta, &case.spans, shape);
    let [dq, ..] = case.split(&dqkv.values);
    let want = case.join([&dq, &dk, &dv]);
    let name = named_attention(gpu, "attention_backward_kv", heads);
    Compare::new(gpu, name, 5e-5).with(&dqkv.tensor, &want).await
}

/// Keys and values of some rows at the places of a cache that they name.
pub async fn cache_append(gpu: &Gpu, rows: u32, heads: Heads) -> Result<Check> {
    let shape = shape_of(heads);
    let (first, columns) = (heads.heads * heads.head_dim, shape.columns());
    let qkv = Matrix::random(gpu, rows, columns, 1);
    let cache = Matrix::random(gpu, 2 * rows + 3, columns - first, 2);
    let slots: Vec<u32> = (0..rows).map(|r| 2 * (rows - r)).collect();
    let gpu_slots = gpu.upload("slots", 1, rows, Dtype::U32, &slots);
    run(gpu, |rec| kernels::cache_append(rec, &qkv.tensor, &gpu_slots, shape, &cache.tensor));
    let want = reference::cache_append(&qkv.values, &slots, columns as usize, first as usize, &cache.values);
    Compare::new(gpu, "cache_append", 0.0).with(&cache.tensor, &want).await
}

/// One row for each text, of so many tokens in the cache.
pub async fn attention_decode(gpu: &Gpu, lengths: &[u32], heads: Heads) -> Result<Check> {
    let shape = shape_of(heads);
    let qkv = Matrix::random(gpu, lengths.len() as u32, shape.columns(), 1);
    let total: u32 = lengths.iter().sum();
    let cache = Matrix::random(gpu, total + 5, 2 * heads.kv_heads * heads.head_dim, 2);
    let mut first = 3;
    let mut texts = Vec::new();
    for length in lengths {
        texts.push([first, first + length - 1]);
        first += length;
    }
    let spans: Vec<u32> = texts.iter().flat_map(|&[first, last]| [first, last, 7, 7]).collect();
    let gpu_spans = gpu.upload("spans", lengths.len() as u32, 4, Dtype::U32, &spans);
    let out = gpu.zeros("out", lengths.len() as u32, heads.heads * heads.head_dim, Dtype::F32);
    run(gpu, |rec| kernels::attention_decode(rec, &qkv.tensor, &cache.tensor, &gpu_spans, shape, &out));
    let seen: Vec<[u32; 2]> =
        texts.iter().map(|&[first, last]| [first.max((last + 1).saturating_sub(shape.window)), last]).collect();
    let want = reference::attention_decode(&qkv.values, &cache.values, &seen, twin_shape(shape));
    Compare::new(gpu, named_attention(gpu, "attention_decode", heads), 2e-5).with(&out, &want).await
}

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

/// A convolution over packed pairs, given as (prompt, chosen, rejected) lengths.
pub async fn short_conv_forward(gpu: &Gpu, pairs: &[[u32; 3]], cols: u32, taps: u32, bias: bool) -> Result<Check> {
    let case = ShortConvCase::new(gpu, pairs, cols, taps, bias);
    let y = gpu.zeros("y", case.gates.tensor.rows(), cols, Dtype::F32);
    run(gpu, |rec| kernels::short_conv_forward(rec, &case.gates.tensor, &case.gpu_spans, case.conv(), &y));
    let want = reference::short_conv_forward(&case.gates.values, &case.history, case.twin());
    Compare::new(gpu, "short_conv_forward", 1e-5).with(&y, &want).await
}

/// The gradients of its three parts.
pub async fn short_conv_backward(gpu: &Gpu, pairs: &[[u32; 3]], cols: u32, taps: u32, bias: bool) -> Result<Check> {
    let case = ShortConvCase::new(gpu, pairs, cols, taps, bias);
    let rows = case.gates.tensor.rows();
    let dy = Matrix::random(gpu, rows, cols, 4);
    let dgates = gpu.zeros("dgates", rows, 3 * cols, Dtype::F32);
    let links = kernels::conv_links(&case.spans, taps as usize);
    let links = gpu.upload("links", rows, 2 * (taps - 1), Dtype::U32, &links);
    run(gpu, |rec| {
        let (gates, spans) = (&case.gates.tensor, &case.gpu_spans);
        kernels::short_conv_backward(rec, gates, spans, case.conv(), &links, &dy.tensor, &dgates);
    });
    let want = reference::short_conv_backward(&case.gates.values, &case.history, case.twin(), &dy.values);
    Compare::new(gpu, "short_conv_backward", 1e-5).with(&dgates, &want).await
}

/// What a convolution goes over at the places of a cache that rows name.
pub async fn short_conv_append(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let gates = Matrix::random(gpu, rows, 3 * cols, 1);
    let cache = Matrix::random(gpu, 2 * rows + 3, cols, 2);
    let slots: Vec<u32> = (0..rows).map(|r| 2 * (rows - r)).collect();
    let gpu_slots = gpu.upload("slots", 1, rows, Dtype::U32, &slots);
    run(gpu, |rec| kernels::short_conv_append(rec, &gates.tensor, &gpu_slots, &cache.tensor));
    let (z, width) = (reference::short_conv_append(&gates.values, cols as usize), cols as usize);
    let mut want = cache.values.clone();
    for (row, &slot) in z.chunks_exact(width).zip(&slots) {
        want[slot as usize * width..][..width].copy_from_slice(row);
    }
    Compare::new(gpu, "short_conv_append", 1e-6).with(&cache.tensor, &want).await
}

/// One row for each text, of so many tokens in the cache.
pub async fn short_conv_decode(gpu: &Gpu, lengths: &[u32], cols: u32, taps: u32, bias: bool) -> Result<Check> {
    let pairs: Vec<[u32; 3]> = lengths.iter().map(|_| [1, 0, 0]).collect();
    let case = ShortConvCase::new(gpu, &pairs, cols, taps, bias);
    let total: u32 = lengths.iter().sum();
    let cache = Matrix::random(gpu, total + 5, cols, 6);
    let mut first = 3;
    let mut texts = Vec::new();
    for length in lengths {
        texts.push([first, first + length - 1]);
        first += length;
    }
    let rows = lengths.len() as u32;
    let spans: Vec<u32> = texts.iter().flat_map(|&[first, last]| [first, last, 7, 7]).collect();
    let spans = gpu.upload("spans", rows, 4, Dtype::U32, &spans);
    let y = gpu.zeros("y", rows, cols, Dtype::F32);
    run(gpu, |rec| {
        kernels::short_conv_decode(rec, &case.gates.tensor, &cache.tensor, &spans, case.conv(), &y);
    });
    let want = reference::short_conv_decode(&case.gates.values, &cache.values, &texts, case.twin());
    Compare::new(gpu, "short_conv_decode", 1e-5).with(&y, &want).await
}

/// Inputs of a convolution over packed pairs.
struct ShortConvCase {
    gates: Matrix,
    spans: Vec<kernels::Span>,
    gpu_spans: Tensor,
    /// The rows of the tokens before each row's, the latest first.
    history: Vec<Vec<usize>>,
    weight: Matrix,
    bias: Option<Matrix>,
}

impl ShortConvCase {
    fn new(gpu: &Gpu, pairs: &[[u32; 3]], cols: u32, taps: u32, bias: bool) -> Self {
        let spans = spans_of(pairs);
        let rows = spans.len() as u32;
        let packed = kernels::pack_spans(&spans);
        let before = |(row, span): (usize, &kernels::Span)| {
            let seen = (span.start as usize..row).rev();
            seen.filter(|key| !(span.hole_start as usize..span.hole_end as usize).contains(key)).collect()
        };
        Self {
            gates: Matrix::random(gpu, rows, 3 * cols, 1),
            gpu_spans: gpu.upload("spans", packed.len() as u32, 4, Dtype::U32, packed.as_flattened()),
            history: spans.iter().enumerate().map(before).collect(),
            spans,
            weight: Matrix::random(gpu, taps, cols, 2),
            bias: bias.then(|| Matrix::random(gpu, 1, cols, 3)),
        }
    }

    fn conv(&self) -> kernels::ShortConv<'_> {
        kernels::ShortConv { weight: &self.weight.tensor, bias: self.bias.as_ref().map(|bias| &bias.tensor) }
    }

    fn twin(&self) -> reference::ShortConv<'_> {
        let bias = self.bias.as_ref().map_or(&[][..], |bias| &bias.values);
        reference::ShortConv { weight: &self.weight.values, bias, hidden: self.weight.tensor.cols() as usize }
    }
}

/// y = factor x.
pub async fn scaled_copy(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let x = Matrix::random(gpu, rows, cols, 1);
    let y = gpu.zeros("y", rows, cols, Dtype::F32);
    run(gpu, |rec| kernels::scaled_copy(rec, &x.tensor, 0.3, &y));
    let want = reference::scaled_copy(&x.values, f64::from(0.3f32));
    Compare::new(gpu, "scaled_copy", 1e-6).with(&y, &want).await
}

/// Values far below, near and far beyond the cap.
pub async fn softcap(gpu: &Gpu, rows: u32, cols: u32) -> Result<Check> {
    let mut values = random(rows * cols, 1);
    values.iter_mut().for_each(|v| *v *= 3.0);
    (values[0], values[1]) = (1e6, -1e6);
    let x = Matrix::new(gpu, rows, cols, values);
    run(gpu, |rec| kernels::softcap(rec, &x.tensor, 2.0));
    Compare::new(gpu, "softcap", 1e-5).with(&x.tensor, &reference::softcap(&x.values, 2.0)).await
}

/// Heads made wider and narrower.
pub async fn resize_heads(gpu: &Gpu, rows: u32, heads: u32, from: u32, to: u32) -> Result<Check> {
    let x = Matrix::random(gpu, rows, heads * from, 1);
    let y = gpu.zeros("y", rows, heads * to, Dtype::F32);
    run(gpu, |rec| kernels::resize_heads(rec, &x.tensor, from, to, &y));
    let want = reference::resize_heads(&x.values, from as usize, to as usize);
    Compare::new(gpu, "resize_heads", 0.0).with(&y, &want).await
}

/// y, large gates of both signs included.
pub async fn glu_forward(gpu: &Gpu, rows: u32, cols: u32, act: kernels::Act) -> Result<Check> {
    let (gate_up, [gate, up]) = gates(gpu, rows, cols);
    let y = gpu.zeros("y", rows, cols, Dtype::F32);
    run(gpu, |rec| kernels::glu_forward(rec, &gate_up.tensor, act, &y));
    let want = reference::glu_forward(&gate, &up, twin_act(act));
    Compare::new(gpu, named_form(gpu, "glu_forward", act.form()), 1e-5).with(&y, &want).await
}

/// dgate and dup in place of gate and up, y in place of dy.
pub async fn glu_backward(gpu: &Gpu, rows: u32, cols: u32, act: kernels::Act) -> Result<Check> {
    let (gate_up, [gate, up]) = gates(gpu, rows, cols);
    let dy = Matrix::random(gpu, rows, cols, 3);
    run(gpu, |rec| kernels::glu_backward(rec, &dy.tensor, &gate_up.tensor, act));
    let want = reference::glu_backward(&dy.values, &gate, &up, twin_act(act));
    let halves = want.dgate.chunks_exact(cols as usize).zip(want.dup.chunks_exact(cols as usize));
    let both: Vec<f64> = halves.flat_map(|(dgate, dup)| dgate.iter().chain(dup)).copied().collect();
    let compare = Compare::new(gpu, named_form(gpu, "glu_backward", act.form()), 1e-5);
    let y = reference::glu_forward(&gate, &up, twin_act(act));
    compare.and(&gate_up.tensor, &both).await?.with(&dy.tensor, &y).await
}

/// y, large inputs of both signs included.
pub async fn activation_forward(gpu: &Gpu, rows: u32, cols: u32, act: kernels::Act) -> Result<Check> {
    let (x, _) = gates(gpu, rows, cols);
    let y = gpu.zeros("y", rows, 2 * cols, Dtype::F32);
    run(gpu, |rec| kernels::activation_forward(rec, &x.tensor, act, &y));
    let want = reference::activation_forward(&x.values, twin_act(act));
    Compare::new(gpu, named_form(gpu, "activation_forward", act.form()), 1e-5).with(&y, &want).await
}

/// dx in place of x, y in place of dy.
pub async fn activation_backward(gpu: &Gpu, rows: u32, cols: u32, act: kernels::Act) -> Result<Check> {
    let (x, _) = gates(gpu, rows, cols);
    let dy = Matrix::random(gpu, rows, 2 * cols, 3);
    run(gpu, |rec| kernels::activation_backward(rec, &dy.tensor, &x.tensor, act));
    let (dx, y) = (
        reference::activation_backward(&dy.values, &x.values, twin_act(act)),
        reference::activation_forward(&x.values, twin_act(act)),
    );
    let compare = Compare::new(gpu, named_form(gpu, "activation_backward", act.form()), 1e-5);
    compare.and(&x.tensor, &dx).await?.with(&dy.tensor, &y).await
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
            // What the first chunk would have left there; the kernel rescales the same numbers.
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
        // Where one logit stands alone the gradient is next to nothing: the error is beside 1.
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
            // Of ORPO a mean log-probability, which is below 0.
            let reference = if by_token { 0.0 } else { 3.0 * draw[3 * n + i] - 30.0 };
            let logp = if by_token { scored * (draw[i] - 1.5) } else { 3.0 * draw[i] - 30.0 };
            let sums = [logp, draw[4 * n + i], draw[n + i], 3.0 + draw[2 * n + i], 2.0, scored * draw[5 * n + i]];
            (sums, [reference, lengths[i], scored, 0.0])
        };
        let sums = (0..n).flat_map(|i| row(i).0.into_iter().chain([0.0; 2])).collect();
        let known = (0..n).flat_map(|i| row(i).1).collect();
        let (beta, label_smoothing, discopop_tau, gamma) = (0.2_f32, 0.1_f32, 0.05_f32, 0.3_f32);
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
            },
            twin: reference::PreferenceSettings {
                beta: beta.into(),
                label_smoothing: label_smoothing.into(),
                divergence: twin_divergence,
                by_token,
                discopop_tau: discopop_tau.into(),
                gamma: gamma.into(),
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

/// What is logged of pairs, added twice with scale ½.
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

/// The peak loop computes what it says.
pub async fn fma_peak(gpu: &Gpu, rounds: u32) -> Result<Check> {
    let out = gpu.zeros("out", 1, 128, Dtype::F32);
    run(gpu, |rec| kernels::fma_peak(rec, rounds, 0.5, &out));
    let want: Vec<f64> = (0..128).map(|i| reference::fma_peak(i, rounds, 0.5)).collect();
    Compare::new(gpu, "fma_peak", 1e-5).with(&out, &want).await
}

const EPS: f32 = 1e-6;

/// Collects the largest relative difference over the outputs of one kernel.
pub(super) struct Compare<'a> {
    pub(super) gpu: &'a Gpu,
    name: String,
    tolerance: f64,
    error: f64,
}

impl<'a> Compare<'a> {
    pub(super) fn new(gpu: &'a Gpu, name: impl Into<String>, tolerance: f64) -> Self {
        Self { gpu, name: name.into(), tolerance, error: 0.0 }
    }

    pub(super) async fn and(mut self, got: &Tensor, want: &[f64]) -> Result<Self> {
        let got = self.gpu.read(got).await?;
        self.take(&got, want);
        Ok(self)
    }

    pub(super) fn take(&mut self, got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len(), "{}: number of values", self.name);
        let largest = want.iter().fold(1e-30, |max: f64, v| max.max(v.abs()));
        for (&g, &w) in got.iter().zip(want) {
            let error = (f64::from(g) - w).abs() / largest;
            // A value that is not a number is as wrong as can be, but compares as nothing.
            self.error = if error.is_nan() { f64::INFINITY } else { self.error.max(error) };
        }
    }

    /// The first `cols` columns of a matrix.
    async fn and_columns(mut self, got: &Tensor, want: &[f64], cols: usize) -> Result<Self> {
        let all = self.gpu.read(got).await?;
        let rows = all.chunks_exact(got.cols() as usize);
        let part: Vec<f32> = rows.flat_map(|row| &row[..cols]).copied().collect();
        self.take(&part, want);
        Ok(self)
    }

    pub(super) async fn with(self, got: &Tensor, want: &[f64]) -> Result<Check> {
        Ok(self.and(got, want).await?.done())
    }

    pub(super) fn done(self) -> Check {
        let ok = self.error <= self.tolerance;
        Check { name: self.name, error: self.error, tolerance: self.tolerance, ok }
    }
}

/// A matrix on the device, and the values that f32 made of it.
pub(super) struct Matrix {
    pub(super) tensor: Tensor,
    pub(super) values: Vec<f64>,
}

impl Matrix {
    pub(super) fn new(gpu: &Gpu, rows: u32, cols: u32, values: Vec<f64>) -> Self {
        let floats: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        let tensor = gpu.upload("check", rows, cols, Dtype::F32, &floats);
        Self { tensor, values: floats.iter().map(|&v| f64::from(v)).collect() }
    }

    pub(super) fn random(gpu: &Gpu, rows: u32, cols: u32, seed: u64) -> Self {
        Self::new(gpu, rows, cols, random(rows * cols, seed))
    }
}

/// A weight stored as some type, the values that are left of it, and its two blocks of rows.
struct Weight {
    rows: u32,
    cols: u32,
    dtype: Dtype,
    values: Vec<f64>,
    /// As it is stored.
    bytes: Vec<u8>,
}

impl Weight {
    fn random(_: &Gpu, rows: u32, cols: u32, dtype: Dtype, seed: u64) -> Self {
        let ggml = GgmlType::ALL.into_iter().find(|ggml| dtype == block_type(*ggml));
        if let Some(ggml) = ggml.filter(|_| dtype.block().0 > 1) {
            let bytes = random_blocks(rows * cols, ggml, seed);
            let values = ggml.to_f32(&bytes).into_iter().map(f64::from).collect();
            return Self { rows, cols, dtype, values, bytes };
        }
        if dtype == Dtype::Nf4 {
            let bytes = random_nf4(rows * cols, seed);
            let values = reference::nf4_values(&bytes).into_iter().map(f64::from).collect();
            return Self { rows, cols, dtype, values, bytes };
        }
        Self::stored(rows, cols, dtype, random(rows * cols, seed))
    }

    /// Numbers, rounded to a type that is no block.
    fn stored(rows: u32, cols: u32, dtype: Dtype, numbers: Vec<f64>) -> Self {
        let (mut values, mut bytes) = (Vec::new(), Vec::new());
        for v in numbers {
            match dtype {
                Dtype::F16 => {
                    let half = half::f16::from_f64(v);
                    (values.push(half.to_f64()), bytes.extend(half.to_le_bytes()))
                }
                Dtype::Bf16 => {
                    let half = half::bf16::from_f64(v);
                    (values.push(half.to_f64()), bytes.extend(half.to_le_bytes()))
                }
                _ => (values.push(f64::from(v as f32)), bytes.extend((v as f32).to_le_bytes())),
            };
        }
        Self { rows, cols, dtype, values, bytes }
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
        let row_bytes = self.dtype.bytes_of(self.cols.into()) as usize;
        let bytes = &self.bytes[first as usize * row_bytes..end as usize * row_bytes];
        gpu.upload("weight", end - first, self.cols, self.dtype, bytes)
    }
}

/// How the device stores a type of ggml.
fn block_type(ggml: GgmlType) -> Dtype {
    match ggml {
        GgmlType::F32 => Dtype::F32,
        GgmlType::F16 => Dtype::F16,
        GgmlType::BF16 => Dtype::Bf16,
        GgmlType::Q4_0 => Dtype::Q4_0,
        GgmlType::Q4_1 => Dtype::Q4_1,
        GgmlType::Q5_0 => Dtype::Q5_0,
        GgmlType::Q5_1 => Dtype::Q5_1,
        GgmlType::Q8_0 => Dtype::Q8_0,
        GgmlType::Q4K => Dtype::Q4K,
        GgmlType::Q5K => Dtype::Q5K,
        GgmlType::Q6K => Dtype::Q6K,
    }
}

/// Blocks of so many elements in all: random numbers under scales that leave them below about 1.
fn random_blocks(elements: u32, ggml: GgmlType, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (halves, scale): (&[usize], f32) = match ggml {
        GgmlType::Q6K => (&[208], 0.000_3),
        GgmlType::Q4K | GgmlType::Q5K => (&[0, 2], 0.001),
        GgmlType::Q4_1 | GgmlType::Q5_1 => (&[0, 2], 0.04),
        GgmlType::Q8_0 => (&[0], 0.008),
        _ => (&[0], 0.1),
    };
    let mut bytes = vec![0; elements as usize / ggml.block_elements() * ggml.block_bytes()];
    for block in bytes.chunks_exact_mut(ggml.block_bytes()) {
        block.iter_mut().for_each(|byte| *byte = rng.random());
        for &at in halves {
            let half = half::f16::from_f32(scale * rng.random_range(0.5..1.0));
            block[at..at + 2].copy_from_slice(&half.to_le_bytes());
        }
    }
    bytes
}

/// Blocks of NF4 of so many elements in all.
fn random_nf4(elements: u32, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = vec![0; elements as usize / 64 * 36];
    for block in bytes.chunks_exact_mut(36) {
        block.iter_mut().for_each(|byte| *byte = rng.random());
        block[..4].copy_from_slice(&rng.random_range(0.5f32..1.0).to_le_bytes());
    }
    bytes
}

fn shape_of(Heads { heads, kv_heads, head_dim, window, softcap }: Heads) -> kernels::AttentionShape {
    kernels::AttentionShape { window, softcap, ..kernels::AttentionShape::new(heads, kv_heads, head_dim) }
}

fn twin_act(act: kernels::Act) -> reference::Act {
    match act {
        kernels::Act::Silu => reference::Act::Silu,
        kernels::Act::Gelu => reference::Act::Gelu,
        kernels::Act::GeluTanh => reference::Act::GeluTanh,
        kernels::Act::Relu => reference::Act::Relu,
    }
}

fn twin_shape(shape: kernels::AttentionShape) -> reference::AttentionShape {
    reference::AttentionShape {
        heads: shape.heads as usize,
        kv_heads: shape.kv_heads as usize,
        head_dim: shape.head_dim as usize,
        scale: shape.scale.into(),
        softcap: shape.softcap.into(),
        first_row: 0,
    }
}

/// Pairs one after the other as prompt, chosen, rejected.
fn spans_of(pairs: &[[u32; 3]]) -> Vec<kernels::Span> {
    let mut spans = Vec::new();
    for &[prompt, chosen, rejected] in pairs {
        let start = spans.len() as u32;
        let (middle, end) = (start + prompt + chosen, start + prompt + chosen + rejected);
        for row in start..end {
            let (hole_start, hole_end) = if row < middle { (row, row) } else { (start + prompt, middle) };
            let position = row - start - (hole_end - hole_start);
            spans.push(kernels::Span { start, hole_start, hole_end, position });
        }
    }
    spans
}

/// Inputs of an attention over packed pairs.
struct AttentionCase {
    qkv: Matrix,
    /// Queries, keys, values.
    parts: [Vec<f64>; 3],
    dout: Matrix,
    spans: Vec<reference::Span>,
    gpu_spans: Tensor,
    shape: kernels::AttentionShape,
}

impl AttentionCase {
    fn new(gpu: &Gpu, pairs: &[[u32; 3]], heads: Heads) -> Self {
        let spans = spans_of(pairs);
        let rows = spans.len() as u32;
        let packed = kernels::pack_spans(&spans);
        let gpu_spans = gpu.upload("spans", packed.len() as u32, 4, Dtype::U32, packed.as_flattened());
        let shape = shape_of(heads);
        // Under a window the first row seen lies so many tokens before; if that is in the hole, before the hole.
        let first_seen = |s: &kernels::Span| {
            let row = s.start + (s.position + 1).saturating_sub(heads.window);
            if row < s.hole_start { row } else { row + s.hole_end - s.hole_start }
        };
        let cut = |s: &kernels::Span| reference::Span {
            start: first_seen(s) as usize,
            hole_start: s.hole_start as usize,
            hole_end: s.hole_end as usize,
        };
        let mut case = Self {
            qkv: Matrix::random(gpu, rows, shape.columns(), 1),
            parts: [const { Vec::new() }; 3],
            dout: Matrix::random(gpu, rows, heads.heads * heads.head_dim, 4),
            spans: spans.iter().map(cut).collect(),
            gpu_spans,
            shape,
        };
        case.parts = case.split(&case.qkv.values);
        case
    }

    fn reference_shape(&self) -> reference::AttentionShape {
        twin_shape(self.shape)
    }

    /// Columns of queries, keys and values.
    fn widths(&self) -> [usize; 3] {
        let keys = self.shape.kv_heads * self.shape.head_dim;
        [self.shape.heads * self.shape.head_dim, keys, keys].map(|width| width as usize)
    }

    /// A matrix like `qkv` as three.
    fn split(&self, values: &[f64]) -> [Vec<f64>; 3] {
        let [q, k, v] = self.widths();
        let columns = |first: usize, width: usize| {
            let rows = values.chunks_exact(q + k + v);
            rows.flat_map(|row| &row[first..first + width]).copied().collect::<Vec<f64>>()
        };
        [columns(0, q), columns(q, k), columns(q + k, v)]
    }

    /// Three matrices side by side, as in `qkv`.
    fn join(&self, parts: [&[f64]; 3]) -> Vec<f64> {
        let widths = self.widths();
        let row = |r: usize| (0..3).flat_map(move |i| &parts[i][r * widths[i]..(r + 1) * widths[i]]);
        (0..self.spans.len()).flat_map(row).copied().collect()
    }

    fn forward(&self, gpu: &Gpu) -> (Tensor, Tensor) {
        let [rows, cols] = self.dout.tensor.dims();
        let out = gpu.zeros("out", rows, cols, Dtype::F32);
        let lse = gpu.zeros("lse", rows, self.shape.heads, Dtype::F32);
        run(gpu, |rec| {
            kernels::attention_forward(rec, &self.qkv.tensor, &self.gpu_spans, self.shape, &out, &lse);
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
        let [q, k, v] = &self.parts;
        reference::attention_forward(q, k, v, &self.spans, self.reference_shape())
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

pub(super) fn run(gpu: &Gpu, record: impl FnOnce(&mut Recorder<'_>)) {
    let mut rec = gpu.recorder();
    record(&mut rec);
}

/// The name of the kernel in use for a weight of this type.
fn named(gpu: &Gpu, op: &str, dtype: Dtype) -> String {
    gpu.kernel(kernels::op(op).with_weight(dtype)).name()
}

/// The name of the kernel in use for such heads.
fn named_attention(gpu: &Gpu, op: &str, heads: Heads) -> String {
    named_form(gpu, op, if heads.softcap > 0.0 { "capped" } else { "" })
}

/// The name of the kernel in use for this form of an operation.
fn named_form(gpu: &Gpu, op: &str, form: &str) -> String {
    gpu.kernel(kernels::op(op).with_format(form)).name()
}

/// Normal-ish numbers that f32 holds exactly enough: uniform in [-1, 1).
pub(super) fn random(len: u32, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| f64::from(rng.random_range(-1.0f32..1.0))).collect()
}

/// Gates and ups side by side, and each alone.
fn gates(gpu: &Gpu, rows: u32, cols: u32) -> (Matrix, [Vec<f64>; 2]) {
    let mut values = random(rows * 2 * cols, 1);
    values.iter_mut().for_each(|v| *v *= 6.0);
    values[0] = -200.0;
    values[1] = 50.0;
    let both = Matrix::new(gpu, rows, 2 * cols, values);
    let cols = cols as usize;
    let half = |at: usize| both.values.chunks_exact(2 * cols).flat_map(|row| &row[at..at + cols]).copied().collect();
    let halves = [half(0), half(cols)];
    (both, halves)
}

/// Rounding of a sum of n products of numbers below 1, relative to the largest sum.
pub(super) fn sum_tolerance(n: usize) -> f64 {
    1e-6 * (n as f64).sqrt().max(4.0)
}

/// The same for products of operands that the kernel may round: those that are f16 differ by 2^-11 of themselves each.
fn product_tolerance(kernel: &Kernel, n: usize) -> f64 {
    match kernel.variant.precision {
        Precision::F32 => sum_tolerance(n),
        Precision::F16 => 2e-3,
    }
}

/// Rows of `cols` columns, each filled up to the next multiple of 4.
fn widen(values: &[f64], cols: usize, fill: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let wide = cols.next_multiple_of(4);
    values
        .chunks_exact(cols)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(fill(row), wide - cols)).collect::<Vec<f64>>())
        .collect()
}
