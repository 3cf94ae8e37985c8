//! A head without a bias that gives each row one number: a reward, or the value of a state.

use super::matmul::{matmul_backward_input, matmul_backward_weight, matmul_forward};

/// `values[r] = Σ_c normed[r,c] score[c]`, from `normed` (N,H) and `score` (H). Returns (N).
pub fn value_forward(normed: &[f64], score: &[f64]) -> Vec<f64> {
    matmul_forward(normed, score, normed.len() / score.len(), 1, score.len())
}

/// The gradient with respect to `normed`, given `dvalues` (N). Returns (N,H).
pub fn value_backward(dvalues: &[f64], score: &[f64]) -> Vec<f64> {
    matmul_backward_input(dvalues, score, dvalues.len(), 1, score.len())
}

/// The gradient with respect to `score`, given `dvalues` (N) and `normed` (N,H). Returns (H).
pub fn value_backward_weight(dvalues: &[f64], normed: &[f64]) -> Vec<f64> {
    matmul_backward_weight(dvalues, normed, dvalues.len(), 1, normed.len() / dvalues.len())
}
