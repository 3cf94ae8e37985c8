//! Generation, one row for each text.

use super::attention::{AttentionShape, Span, attention_forward};

/// Writes the keys and values of each row of `qkv` (R, columns), which are its columns from `first` on, to row
/// `slots[r]` of `cache`, and returns the cache.
pub fn cache_append(qkv: &[f64], slots: &[u32], columns: usize, first: usize, cache: &[f64]) -> Vec<f64> {
    let mut cache = cache.to_vec();
    let width = columns - first;
    for (row, &slot) in qkv.chunks_exact(columns).zip(slots) {
        cache[slot as usize * width..][..width].copy_from_slice(&row[first..]);
    }
    cache
}

/// Attention of the queries of `qkv` (R, (heads + 2 `kv_heads`) D), each over the rows `texts[r]` (first, last) of
/// `cache` (rows, 2 `kv_heads` D). Returns (R, heads D).
pub fn attention_decode(qkv: &[f64], cache: &[f64], texts: &[[u32; 2]], shape: AttentionShape) -> Vec<f64> {
    let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let mut out = Vec::new();
    for (row, &[first, last]) in qkv.chunks_exact(queries + 2 * keys).zip(texts) {
        let rows = || cache.chunks_exact(2 * keys).skip(first as usize).take((last - first + 1) as usize);
        let k: Vec<f64> = rows().flat_map(|row| &row[..keys]).copied().collect();
        let v: Vec<f64> = rows().flat_map(|row| &row[keys..]).copied().collect();
        let shape = AttentionShape { first_row: (last - first) as usize, ..shape };
        let all = Span { start: 0, hole_start: 0, hole_end: 0 };
        out.extend(attention_forward(&row[..queries], &k, &v, &[all], shape).out);
    }
    out
}

/// The tokens of one text that may be drawn, with their probabilities: the `top_k` likeliest of
/// `softmax(logits / temperature)` (0: all), then the likeliest of these that together reach `top_p`, as in
/// `transformers`. Temperature 0 leaves only the likeliest token, the first if several are equal.
pub fn sample(logits: &[f64], temperature: f64, top_k: usize, top_p: f64) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // The stable sort keeps the first of equal tokens first.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    if temperature <= 0.0 {
        return vec![(order[0], 1.0)];
    }
    if top_k > 0 {
        order.truncate(top_k);
    }
    let weight = |i: usize| ((logits[i] - logits[order[0]]) / temperature).exp();
    let all: f64 = order.iter().map(|&i| weight(i)).sum();
    let mut kept: Vec<(usize, f64)> = Vec::new();
    let mut sum = 0.0;
    for &i in &order {
        if sum >= top_p * all {
            break;
        }
        sum += weight(i);
        kept.push((i, weight(i)));
    }
    kept.into_iter().map(|(i, w)| (i, w / sum)).collect()
}
