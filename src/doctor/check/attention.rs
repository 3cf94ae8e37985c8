//! Checks of rotary positions and attention.

use super::cases::{Check, Compare, Matrix, named_form, random, run, sum_tolerance};
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels;
use crate::reference;

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

fn shape_of(Heads { heads, kv_heads, head_dim, window, softcap }: Heads) -> kernels::AttentionShape {
    kernels::AttentionShape { window, softcap, ..kernels::AttentionShape::new(heads, kv_heads, head_dim) }
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
pub(super) fn spans_of(pairs: &[[u32; 3]]) -> Vec<kernels::Span> {
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

/// The name of the kernel in use for such heads.
fn named_attention(gpu: &Gpu, op: &str, heads: Heads) -> String {
    named_form(gpu, op, if heads.softcap > 0.0 { "capped" } else { "" })
}
