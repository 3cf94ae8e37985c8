//! Token embedding. The table is frozen, so there is no backward pass.

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
