//! Parts of checks: random inputs, the comparison with a twin, its tolerance.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::error::Result;
use crate::files::GgmlType;
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels;
use crate::reference;

/// Difference between a kernel and its twin.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The kernel, with its variant.
    pub name: String,
    /// Largest difference over all outputs, relative to the largest value of that output.
    pub error: f64,
    /// Largest error that rounding explains at these sizes: of f32, and of operands if the variant rounds them.
    pub tolerance: f64,
    /// `error <= tolerance`.
    pub ok: bool,
}

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
    pub(super) async fn and_columns(mut self, got: &Tensor, want: &[f64], cols: usize) -> Result<Self> {
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
pub(super) struct Weight {
    rows: u32,
    cols: u32,
    dtype: Dtype,
    pub(super) values: Vec<f64>,
    /// Bytes as they are stored.
    bytes: Vec<u8>,
}

impl Weight {
    pub(super) fn random(_: &Gpu, rows: u32, cols: u32, dtype: Dtype, seed: u64) -> Self {
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
    pub(super) fn stored(rows: u32, cols: u32, dtype: Dtype, numbers: Vec<f64>) -> Self {
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

    pub(super) fn blocks(&self, gpu: &Gpu) -> Vec<(u32, Tensor)> {
        let split = (self.rows / 2).next_multiple_of(4).min(self.rows);
        [(0, split), (split, self.rows)]
            .into_iter()
            .filter(|(a, b)| a < b)
            .map(|(a, b)| (a, self.block(gpu, a, b)))
            .collect()
    }

    pub(super) fn block(&self, gpu: &Gpu, first: u32, end: u32) -> Tensor {
        let row_bytes = self.dtype.bytes_of(self.cols.into()) as usize;
        let bytes = &self.bytes[first as usize * row_bytes..end as usize * row_bytes];
        gpu.upload("weight", end - first, self.cols, self.dtype, bytes)
    }
}

/// The device's type for a type of ggml.
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

pub(super) fn run(gpu: &Gpu, record: impl FnOnce(&mut Recorder<'_>)) {
    let mut rec = gpu.recorder();
    record(&mut rec);
}

/// The name of the kernel in use for a weight of this type.
pub(super) fn named(gpu: &Gpu, op: &str, dtype: Dtype) -> String {
    gpu.kernel(kernels::op(op).with_weight(dtype)).name()
}

/// The name of the kernel in use for this form of an operation.
pub(super) fn named_form(gpu: &Gpu, op: &str, form: &str) -> String {
    gpu.kernel(kernels::op(op).with_format(form)).name()
}

/// Normal-ish numbers that f32 holds exactly enough: uniform in [-1, 1).
pub(super) fn random(len: u32, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| f64::from(rng.random_range(-1.0f32..1.0))).collect()
}

/// Rounding of a sum of n products of numbers below 1, relative to the largest sum.
pub(super) fn sum_tolerance(n: usize) -> f64 {
    1e-6 * (n as f64).sqrt().max(4.0)
}
