//! Checks of products: forward and backward, weights of every type, LoRA, DoRA, quantising.

use super::cases::{Check, Compare, Matrix, Weight, named, random, run, sum_tolerance};
use super::logprob::widen;
use crate::error::Result;
use crate::files::GgmlType;
use crate::gpu::{Dtype, Gpu, Kernel, Precision};
use crate::kernels::{self, Class, Epilogue, Partials, Segments, Store};
use crate::reference;

/// Types whose elements are stored in blocks: as the variants differ in nothing that depends on it, the one in use is
/// checked with each.
pub const BLOCKS: [Dtype; 9] =
    [Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q8_0, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K, Dtype::Nf4];

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

/// Checks weights stored as `dtype` that are quantised to Q4_0: compares the error of each block with the least
/// possible one. If two scales err as much, either may be taken.
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

/// The same for products of operands that the kernel may round: those that are f16 differ by 2^-11 of themselves each.
fn product_tolerance(kernel: &Kernel, n: usize) -> f64 {
    match kernel.variant.precision {
        Precision::F32 => sum_tolerance(n),
        Precision::F16 => 2e-3,
    }
}
