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
