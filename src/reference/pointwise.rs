//! Element-wise operations, and the gathering of whole rows.

/// Row `rows[i]` of `x` (R,C) as row i of the result (N,C), for the N entries of `rows`. `cols` is C.
pub fn gather_rows(x: &[f64], rows: &[u32], cols: usize) -> Vec<f64> {
    let mut y = Vec::with_capacity(rows.len() * cols);
    for &row in rows {
        y.extend_from_slice(&x[row as usize * cols..][..cols]);
    }
    y
}

/// The gradient of [`gather_rows`]: adds row i of `dy` (N,C) to row `rows[i]` of a zero matrix (`total_rows`,C).
///
/// A row that was gathered more than once gets the sum; a row that was not gathered gets zero.
pub fn scatter_rows(dy: &[f64], rows: &[u32], total_rows: usize, cols: usize) -> Vec<f64> {
    let mut dx = vec![0.0; total_rows * cols];
    for (i, &row) in rows.iter().enumerate() {
        for c in 0..cols {
            dx[row as usize * cols + c] += dy[i * cols + c];
        }
    }
    dx
}

/// `y = factor x`.
pub fn scaled_copy(x: &[f64], factor: f64) -> Vec<f64> {
    x.iter().map(|x| factor * x).collect()
}

/// `y = cap tanh(x / cap)`.
pub fn softcap(x: &[f64], cap: f64) -> Vec<f64> {
    x.iter().map(|x| cap * (x / cap).tanh()).collect()
}
