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

/// Copies heads of `from` columns to heads of `to` columns: adds zeros at their ends, or leaves columns out.
pub fn resize_heads(x: &[f64], from: usize, to: usize) -> Vec<f64> {
    let head = |head: &[f64]| (0..to).map(|c| head.get(c).copied().unwrap_or(0.0)).collect::<Vec<f64>>();
    x.chunks_exact(from).flat_map(head).collect()
}

/// `y = cap tanh(x / cap)`.
pub fn softcap(x: &[f64], cap: f64) -> Vec<f64> {
    x.iter().map(|x| cap * (x / cap).tanh()).collect()
}

/// Dropout (Srivastava et al. 2014): each element is zero with probability `rate`, or else divided by `1 - rate`.
///
/// `seed` and the index of an element decide if it is kept: two steps of PCG (Jarzynski and Olano 2020).
pub fn dropout(x: &[f64], rate: f64, seed: u32) -> Vec<f64> {
    let chance = |i: usize| f64::from(pcg(pcg(i as u32) ^ seed) >> 8) / f64::from(1u32 << 24);
    x.iter().enumerate().map(|(i, x)| if chance(i) >= rate { x / (1.0 - rate) } else { 0.0 }).collect()
}

fn pcg(v: u32) -> u32 {
    let state = v.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}
