//! Checks of what works row by row or value by value, and of short convolutions.

use super::attention::spans_of;
use super::cases::{Check, Compare, Matrix, Weight, named, named_form, random, run};
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels;
use crate::reference;

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

/// Checks that the inputs of a convolution go into the cache rows that `slots` names.
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

/// The peak loop computes what it says.
pub async fn fma_peak(gpu: &Gpu, rounds: u32) -> Result<Check> {
    let out = gpu.zeros("out", 1, 128, Dtype::F32);
    run(gpu, |rec| kernels::fma_peak(rec, rounds, 0.5, &out));
    let want: Vec<f64> = (0..128).map(|i| reference::fma_peak(i, rounds, 0.5)).collect();
    Compare::new(gpu, "fma_peak", 1e-5).with(&out, &want).await
}

fn twin_act(act: kernels::Act) -> reference::Act {
    match act {
        kernels::Act::Silu => reference::Act::Silu,
        kernels::Act::Gelu => reference::Act::Gelu,
        kernels::Act::GeluTanh => reference::Act::GeluTanh,
        kernels::Act::Relu => reference::Act::Relu,
    }
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
