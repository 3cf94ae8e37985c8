//! Root-mean-square normalisation of each row (Zhang and Sennrich 2019, "Root Mean Square Layer Normalization"),
//! with epsilon inside the root as in Hugging Face's `LlamaRMSNorm`. The gain is frozen.

/// Results of [`rmsnorm_forward`].
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm {
    /// (R,C), the normalised rows times the gain.
    pub y: Vec<f64>,
    /// (R), one over the root mean square of each row of `x`; the backward pass reads it.
    pub rstd: Vec<f64>,
}

/// Scales each row of `x` (R,C) to unit mean square, then by `gain` (C).
///
/// `y[r,c] = x[r,c] rstd[r] gain[c]` with `rstd[r] = 1 / sqrt(mean_c(x[r,c]^2) + eps)`.
pub fn rmsnorm_forward(x: &[f64], gain: &[f64], eps: f64) -> RmsNorm {
    let cols = gain.len();
    let mut y = Vec::with_capacity(x.len());
    let mut rstd = Vec::with_capacity(x.len() / cols);
    for row in x.chunks_exact(cols) {
        let square_sum: f64 = row.iter().map(|x| x * x).sum();
        let scale = 1.0 / (square_sum / cols as f64 + eps).sqrt();
        y.extend(row.iter().zip(gain).map(|(x, gain)| x * scale * gain));
        rstd.push(scale);
    }
    RmsNorm { y, rstd }
}

/// The gradient with respect to `x` (R,C), given `dy` (R,C), `gain` (C) and the `rstd` (R) of the forward pass.
///
/// `dx[r,c] = rstd[r] (dy[r,c] gain[c] - x[r,c] rstd[r]^2 mean_j(dy[r,j] gain[j] x[r,j]))`; the second term is the
/// effect of `x` on `rstd`. Returns (R,C).
pub fn rmsnorm_backward(dy: &[f64], x: &[f64], gain: &[f64], rstd: &[f64]) -> Vec<f64> {
    let cols = gain.len();
    let mut dx = Vec::with_capacity(x.len());
    for (r, scale) in rstd.iter().enumerate() {
        let dy = &dy[r * cols..][..cols];
        let x = &x[r * cols..][..cols];
        let dscaled: Vec<f64> = dy.iter().zip(gain).map(|(dy, gain)| dy * gain).collect();
        let mean = dscaled.iter().zip(x).map(|(d, x)| d * x).sum::<f64>() / cols as f64;
        dx.extend(dscaled.iter().zip(x).map(|(d, x)| scale * (d - x * scale * scale * mean)));
    }
    dx
}
