//! Root-mean-square normalisation of parts of the queries and keys: of each head by itself (Qwen 3, Gemma 3), or of all
//! heads together (`OLMo` 2). The gain is frozen.

use super::rmsnorm::{rmsnorm_backward, rmsnorm_forward};

/// Normalises parts of each row of `x` (R, columns): part i has the columns `parts[i].0..parts[i].1`, and `gain` has an
/// entry for each column of a part. Other columns stay. Returns (R, columns).
pub fn qk_norm_forward(x: &[f64], gain: &[f64], parts: &[(usize, usize)], columns: usize, eps: f64) -> Vec<f64> {
    let mut y = x.to_vec();
    for row in y.chunks_exact_mut(columns) {
        for &(first, end) in parts {
            let normed = rmsnorm_forward(&row[first..end], &gain[first..end], eps).y;
            row[first..end].copy_from_slice(&normed);
        }
    }
    y
}

/// The gradient of [`qk_norm_forward`] with respect to `x`, given `dy`, both (R, columns). Returns (R, columns).
pub fn qk_norm_backward(
    dy: &[f64],
    x: &[f64],
    gain: &[f64],
    parts: &[(usize, usize)],
    columns: usize,
    eps: f64,
) -> Vec<f64> {
    let mut dx = dy.to_vec();
    for (row, x) in dx.chunks_exact_mut(columns).zip(x.chunks_exact(columns)) {
        for &(first, end) in parts {
            let (x, gain) = (&x[first..end], &gain[first..end]);
            let rstd = rmsnorm_forward(x, gain, eps).rstd;
            let part = rmsnorm_backward(&row[first..end], x, gain, &rstd);
            row[first..end].copy_from_slice(&part);
        }
    }
    dx
}
