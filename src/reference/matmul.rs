//! The three matrix products of a linear layer whose weight is stored (out, in), as in `torch.nn.Linear`.

/// `y = x wᵀ`: `x` (M,K) times the transpose of `w` (N,K). Returns (M,N).
pub fn matmul_forward(x: &[f64], w: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            for l in 0..k {
                y[i * n + j] += x[i * k + l] * w[j * k + l];
            }
        }
    }
    y
}

/// `dx = dy w`: `dy` (M,N) times `w` (N,K). Returns (M,K).
pub fn matmul_backward_input(dy: &[f64], w: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    let mut dx = vec![0.0; m * k];
    for i in 0..m {
        for j in 0..n {
            for l in 0..k {
                dx[i * k + l] += dy[i * n + j] * w[j * k + l];
            }
        }
    }
    dx
}

/// `dw = dyᵀ x`: the transpose of `dy` (M,N) times `x` (M,K), a sum over the M rows. Returns (N,K).
pub fn matmul_backward_weight(dy: &[f64], x: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    let mut dw = vec![0.0; n * k];
    for i in 0..m {
        for j in 0..n {
            for l in 0..k {
                dw[j * k + l] += dy[i * n + j] * x[i * k + l];
            }
        }
    }
    dw
}

/// Layers side by side: the end of each one's columns, and the first column of its LoRA input, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// Ends, ascending; the last is the number of columns.
    pub ends: Vec<usize>,
    /// First columns of `u`.
    pub u_at: Vec<Option<usize>>,
}

impl Segments {
    /// Number of columns, L.
    fn columns(&self) -> usize {
        self.ends[self.ends.len() - 1]
    }

    /// The first column of `u` of the layer that a column belongs to.
    pub(super) fn u_of(&self, column: usize) -> Option<usize> {
        self.ends.iter().zip(&self.u_at).find(|(end, _)| column < **end).and_then(|(_, at)| *at)
    }

    /// Columns of `u`, with r for each layer that has some.
    fn ranks(&self, r: usize) -> usize {
        r * self.u_at.iter().flatten().count()
    }
}

/// LoRA's addition to layers side by side: `y[m,n] = Σ_j u[m, at(n) + j] b[n,j]`, 0 for a layer without an adapter.
///
/// `u` (M, ranks), `b` (L, r). Returns (M, L).
pub fn lora_forward(u: &[f64], b: &[f64], segments: &Segments, m: usize) -> Vec<f64> {
    let l = segments.columns();
    let r = b.len() / l;
    let ranks = segments.ranks(r);
    let mut y = vec![0.0; m * l];
    for i in 0..m {
        for n in 0..l {
            let Some(at) = segments.u_of(n) else { continue };
            y[i * l + n] = (0..r).map(|j| u[i * ranks + at + j] * b[n * r + j]).sum();
        }
    }
    y
}

/// The gradient of [`lora_forward`] with respect to `u`, given `dy` (M, L). Returns (M, ranks).
pub fn lora_backward(dy: &[f64], b: &[f64], segments: &Segments, m: usize) -> Vec<f64> {
    let l = segments.columns();
    let r = b.len() / l;
    let ranks = segments.ranks(r);
    let mut du = vec![0.0; m * ranks];
    for i in 0..m {
        for n in 0..l {
            let Some(at) = segments.u_of(n) else { continue };
            for j in 0..r {
                du[i * ranks + at + j] += dy[i * l + n] * b[n * r + j];
            }
        }
    }
    du
}

/// The gradient of [`lora_forward`] with respect to `b`, given `dy` (M, L) and `u` (M, ranks). Returns (L, r).
pub fn lora_backward_weight(dy: &[f64], u: &[f64], segments: &Segments, m: usize, r: usize) -> Vec<f64> {
    let (l, ranks) = (segments.columns(), segments.ranks(r));
    let mut db = vec![0.0; l * r];
    for i in 0..m {
        for n in 0..l {
            let Some(at) = segments.u_of(n) else { continue };
            for j in 0..r {
                db[n * r + j] += dy[i * l + n] * u[i * ranks + at + j];
            }
        }
    }
    db
}

/// Adds each row of `partials` (parts, stride) to `grads`; columns beyond the length of `grads` are left out.
pub fn sum_partials(partials: &[f64], grads: &[f64], stride: usize) -> Vec<f64> {
    let mut sum = grads.to_vec();
    for part in partials.chunks_exact(stride) {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// Multiplies the columns of segment s of `u` (R, segments width) by `scales[s]`: inputs of LoRA's B whose layers have
/// different scales.
pub fn scale_segments(u: &[f64], width: usize, scales: &[f64]) -> Vec<f64> {
    u.iter().enumerate().map(|(i, u)| u * scales[i / width % scales.len()]).collect()
}
