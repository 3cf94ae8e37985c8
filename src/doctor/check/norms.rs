//! Checks of norms.

use super::attention::Heads;
use super::cases::{Check, Compare, Matrix, run};
use crate::error::Result;
use crate::gpu::{Dtype, Gpu};
use crate::kernels::{self, Store};
use crate::reference;

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

const EPS: f32 = 1e-6;
