//! Speed of matmul as a share of the device's own multiply-add peak, both measured in one run.

use serde::Serialize;

use crate::error::Result;
use crate::gpu::{Dtype, Gpu, VariantSet};
use crate::kernels::{self, Class, Epilogue, FMAS_PER_ROUND, Store, Tuning};

/// Speed of the device.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    /// Billions of floating-point operations a second (a multiply-add is two) on values that stay in registers.
    pub fma_peak_gflops: f64,
    /// Variants that autotune chose on this device.
    pub variants: VariantSet,
    /// Matmul at several shapes.
    pub matmul: Vec<MatmulSpeed>,
}

/// One shape of one matmul.
#[derive(Debug, Clone, Serialize)]
pub struct MatmulSpeed {
    /// Kernel, rows, columns and depth.
    pub shape: String,
    /// Billions of floating-point operations a second.
    pub gflops: f64,
    /// Share of the peak.
    pub share: f64,
}

/// Measures both, by turns, best of a few; `seconds` is the platform's clock.
pub async fn measure(gpu: &Gpu, seconds: impl Fn() -> f64) -> Result<Speed> {
    let tuning = Tuning { formats: vec![Dtype::F32], head_dim: 64 };
    let variants = kernels::autotune(gpu, &tuning, &seconds).await?;
    let shapes = [("matmul_forward", 1024, 1024, 1024), ("matmul_backward_input", 1024, 1024, 1024)];
    let out = gpu.zeros("out", 1, 1 << 16, Dtype::F32);
    let mut fma_peak_gflops = 0.0f64;
    let mut matmul = Vec::new();
    for (kernel, m, n, k) in shapes {
        let x = gpu.upload("x", m, k, Dtype::F32, &vec![0.5f32; (m * k) as usize]);
        let w = gpu.upload("w", n, k, Dtype::F32, &vec![0.25f32; (n * k) as usize]);
        let y = gpu.zeros("y", m, n, Dtype::F32);
        let mut best = 0.0f64;
        for _ in 0..8 {
            let rounds = 200;
            let peak = timed(gpu, &seconds, |rec| kernels::fma_peak(rec, rounds, 0.5, &out)).await?;
            let flops = 2.0 * f64::from(out.len()) * f64::from(rounds) * f64::from(FMAS_PER_ROUND);
            fma_peak_gflops = fma_peak_gflops.max(flops / peak / 1e9);
            let time = timed(gpu, &seconds, |rec| match kernel {
                "matmul_forward" => kernels::matmul_forward(rec, Class::Main, &x, &w, 1.0, 0, Epilogue::default(), &y),
                _ => kernels::matmul_backward_input(rec, &y, &w, 1.0, Store::Set, 0, None, &x),
            })
            .await?;
            best = best.max(2.0 * f64::from(m) * f64::from(n) * f64::from(k) / time / 1e9);
        }
        matmul.push(MatmulSpeed { shape: format!("{kernel} {m}x{n}x{k}"), gflops: best, share: 0.0 });
    }
    for speed in &mut matmul {
        speed.share = speed.gflops / fma_peak_gflops;
    }
    Ok(Speed { fma_peak_gflops, variants, matmul })
}

/// Seconds of one submission, from an idle device to an idle device.
async fn timed(
    gpu: &Gpu,
    seconds: &impl Fn() -> f64,
    record: impl FnOnce(&mut crate::gpu::Recorder<'_>),
) -> Result<f64> {
    gpu.wait().await?;
    let start = seconds();
    let mut rec = gpu.recorder();
    record(&mut rec);
    drop(rec);
    gpu.wait().await?;
    Ok(seconds() - start)
}
