//! Normalisation of each row to mean 0 and variance 1 (Ba, Kiros and Hinton 2016, "Layer Normalization"), with epsilon
//! inside the root as in `torch.nn.LayerNorm`. Gain and bias are frozen.

/// Results of [`layernorm_forward`].
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// (R,C), the normalised rows times the gain, plus the bias.
    pub y: Vec<f64>,
    /// (R), the mean of each row of `x` and one over its standard deviation; the backward pass reads them.
    pub stats: Vec<[f64; 2]>,
}

/// Scales each row of `x` (R,C) to mean 0 and variance 1, then by `gain` (C), and adds `bias` (C).
///
/// `y[r,c] = (x[r,c] - mean[r]) rstd[r] gain[c] + bias[c]` with
/// `rstd[r] = 1 / sqrt(mean_c((x[r,c] - mean[r])^2) + eps)`.
pub fn layernorm_forward(x: &[f64], gain: &[f64], bias: &[f64], eps: f64) -> LayerNorm {
    let cols = gain.len();
    let (mut y, mut stats) = (Vec::with_capacity(x.len()), Vec::new());
    for row in x.chunks_exact(cols) {
        let mean = row.iter().sum::<f64>() / cols as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / cols as f64;
        let scale = 1.0 / (variance + eps).sqrt();
        y.extend(row.iter().zip(gain).zip(bias).map(|((x, gain), bias)| (x - mean) * scale * gain + bias));
        stats.push([mean, scale]);
    }
    LayerNorm { y, stats }
}

/// The gradient with respect to `x` (R,C), given `dy` (R,C), `gain` (C) and the `stats` (R) of the forward pass.
///
/// `dx = rstd (g - mean_c(g) - h mean_c(g h))` with `g = dy gain` and `h = (x - mean) rstd`. Returns (R,C).
pub fn layernorm_backward(dy: &[f64], x: &[f64], gain: &[f64], stats: &[[f64; 2]]) -> Vec<f64> {
    let cols = gain.len();
    let mut dx = Vec::with_capacity(x.len());
    for (r, [mean, scale]) in stats.iter().enumerate() {
        let g: Vec<f64> = dy[r * cols..][..cols].iter().zip(gain).map(|(dy, gain)| dy * gain).collect();
        let h: Vec<f64> = x[r * cols..][..cols].iter().map(|x| (x - mean) * scale).collect();
        let mean_g = g.iter().sum::<f64>() / cols as f64;
        let mean_gh = g.iter().zip(&h).map(|(g, h)| g * h).sum::<f64>() / cols as f64;
        dx.extend(g.iter().zip(&h).map(|(g, h)| scale * (g - mean_g - h * mean_gh)));
    }
    dx
}
