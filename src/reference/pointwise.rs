//! Element-wise operations, and the gathering of whole rows.

/// `y = silu(gate) up` with `silu(g) = g sigmoid(g)` (Shazeer 2020, "GLU Variants Improve Transformer"); all of one
/// shape.
pub fn swiglu_forward(gate: &[f64], up: &[f64]) -> Vec<f64> {
    assert_eq!(gate.len(), up.len(), "gate and up need one shape");
    gate.iter().zip(up).map(|(g, up)| g * sigmoid(*g) * up).collect()
}

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

/// What [`swiglu_backward`] writes.
#[derive(Debug, Clone, PartialEq)]
pub struct SwiGlu {
    /// The gradient with respect to `gate`.
    pub dgate: Vec<f64>,
    /// The gradient with respect to `up`.
    pub dup: Vec<f64>,
}

/// The gradients of [`swiglu_forward`], given `dy`; all of one shape.
///
/// `dup = dy silu(gate)` and `dgate = dy up silu'(gate)` with `silu'(g) = sigmoid(g) (1 + g sigmoid(-g))`.
pub fn swiglu_backward(dy: &[f64], gate: &[f64], up: &[f64]) -> SwiGlu {
    assert_eq!(gate.len(), dy.len(), "gate and dy need one shape");
    assert_eq!(up.len(), dy.len(), "up and dy need one shape");
    let mut dgate = Vec::with_capacity(dy.len());
    let mut dup = Vec::with_capacity(dy.len());
    for ((dy, &g), up) in dy.iter().zip(gate).zip(up) {
        dgate.push(dy * up * sigmoid(g) * (1.0 + g * sigmoid(-g)));
        dup.push(dy * g * sigmoid(g));
    }
    SwiGlu { dgate, dup }
}

/// `1 / (1 + exp(-x))`, written so that a large |x| overflows nowhere.
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}
