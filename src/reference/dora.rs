//! DoRA, weight-decomposed low-rank adaptation (Liu et al. 2024): each row of an adapted weight has a length that is
//! trained. The length before scaling is a constant for the gradient, as in PEFT.

use super::matmul::Segments;

/// The lengths of the rows of `w + scale b a`, and the factors that bring them to `lengths`.
///
/// `c[n] = |w[n,:] + scales[s] Σ_j b[n,j] a[at(s) + j,:]|` for row n of layer s. `a` (ranks,K), `w` (L,K), `b` (L,r),
/// `lengths` (L), a number of `scales` for each layer with an adapter. Returns (3,L): `1 + strength (lengths / c - 1)`,
/// `1 / c` and `c`; 1, 0, 0 for a layer without an adapter.
pub fn dora_norms(
    a: &[f64],
    w: &[f64],
    b: &[f64],
    lengths: &[f64],
    segments: &Segments,
    scales: &[f64],
    strength: f64,
) -> Vec<f64> {
    let l = lengths.len();
    let (k, r) = (w.len() / l, b.len() / l);
    let mut norms = [vec![1.0; l], vec![0.0; 2 * l]].concat();
    for n in 0..l {
        let Some(at) = segments.u_of(n) else { continue };
        let row = (0..k).map(|i| {
            let added: f64 = (0..r).map(|j| b[n * r + j] * a[(at + j) * k + i]).sum();
            w[n * k + i] + scales[at / r] * added
        });
        let norm = row.map(|v| v * v).sum::<f64>().sqrt();
        norms[n] = 1.0 + strength * (lengths[n] / norm - 1.0);
        (norms[l + n], norms[2 * l + n]) = (1.0 / norm, norm);
    }
    norms
}

/// `y[m,n] = scale gain[n] x[m,n] + bias[n] + residual[m,n]`: `x` and `residual` (M,L), `gain` and `bias` (L).
pub fn scale_columns(x: &[f64], gain: &[f64], scale: f64, bias: &[f64], residual: &[f64]) -> Vec<f64> {
    let l = gain.len();
    x.iter().enumerate().map(|(i, x)| scale * gain[i % l] * x + bias[i % l] + residual[i]).collect()
}

/// The gradient of `lengths / c · z` with respect to `lengths` (L), given the gradient `dy` (M,L) of the product: the
/// sum over the rows of `dy z / c`. `inverse` (L) is `1 / c`.
pub fn dora_backward_lengths(dy: &[f64], z: &[f64], inverse: &[f64]) -> Vec<f64> {
    let l = inverse.len();
    let mut dlengths = vec![0.0; l];
    for (i, (dy, z)) in dy.iter().zip(z).enumerate() {
        dlengths[i % l] += inverse[i % l] * dy * z;
    }
    dlengths
}
