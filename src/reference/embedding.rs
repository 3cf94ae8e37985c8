//! Token embedding, and learned positions. The tables are frozen, so there is no backward pass.

/// Row `ids[r]` of `table` (V,C) for each token: returns (R,C). `cols` is C.
///
/// `y[r,c] = table[ids[r],c]`, as `torch.nn.Embedding`.
pub fn embedding(table: &[f64], ids: &[u32], cols: usize) -> Vec<f64> {
    let mut y = Vec::with_capacity(ids.len() * cols);
    for &id in ids {
        y.extend_from_slice(&table[id as usize * cols..][..cols]);
    }
    y
}

/// Adds to `x` (R,C) the row of `table` (positions, C) of each row's position. Returns (R,C).
pub fn add_positions(x: &[f64], positions: &[u32], table: &[f64], cols: usize) -> Vec<f64> {
    embedding(table, positions, cols).iter().zip(x).map(|(added, x)| x + added).collect()
}
