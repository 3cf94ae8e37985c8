//! Causal grouped-query attention over packed rows. The log-sum-exp is kept so that the backward pass can compute the
//! probabilities again (Dao et al. 2022, `FlashAttention`; Ainslie et al. 2023, "GQA").
//!
//! Forward, over the keys k that row q sees: `s[q,k] = scale q·k`, or under a cap `c tanh(scale q·k / c)`, `p[q,k] =
//! exp(s[q,k] - lse[q])` and `out[q] = Σ_k p[q,k] v[k]`. Backward, with `delta[q] = dout[q]·out[q]` and `ds[q,k] =
//! p[q,k] (dout[q]·v[k] - delta[q])`, times the cap's slope `1 - (s[q,k] / c)^2`: `dq[q] = scale Σ_k ds[q,k] k[k]`,
//! `dk[k] = scale Σ_q ds[q,k] q[q]` and `dv[k] = Σ_q p[q,k] dout[q]`.

/// The key rows that one query row sees: those from `start` to itself, except `hole_start..hole_end`.
///
/// `start` is the first row of the pair, or later under a sliding window. The hole is empty for rows of the prompt and
/// of the chosen completion; for rows of the rejected completion it is the chosen completion. A row is never in its own
/// hole, so it sees at least itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First key row seen.
    pub start: usize,
    /// First key row of the hole.
    pub hole_start: usize,
    /// One past the last key row of the hole; equal to `hole_start` if there is none.
    pub hole_end: usize,
}

/// Sizes of an attention call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`; query head h reads key head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Columns of one head, D.
    pub head_dim: usize,
    /// Factor on `q·k`, usually `1 / sqrt(D)`.
    pub scale: f64,
    /// Cap c of scores, `s = c tanh(scale q·k / c)` (Gemma 2); 0 for none.
    pub softcap: f64,
    /// Key row of the first query row: 0 in training, the length of the cache in generation.
    pub first_row: usize,
}

/// Results of [`attention_forward`], for Q query rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// (Q, heads D), the attended values.
    pub out: Vec<f64>,
    /// (Q, heads), the log of the sum of `exp(s[q,k])` over the keys seen, in nats.
    pub lse: Vec<f64>,
}

/// Attends from `q` (Q, heads D) to `k` and `v` (R, `kv_heads` D); `spans` (Q).
pub fn attention_forward(q: &[f64], k: &[f64], v: &[f64], spans: &[Span], shape: AttentionShape) -> Attention {
    let mut out = vec![0.0; q.len()];
    let mut lse = Vec::with_capacity(spans.len() * shape.heads);
    for (row, span) in spans.iter().enumerate() {
        for head in 0..shape.heads {
            let query = query_columns(row, head, shape);
            let scores: Vec<(usize, f64)> = keys(span, row, shape)
                .map(|key_row| (key_row, score(&q[query..], &k[key_columns(key_row, head, shape)..], shape)))
                .collect();
            let max = scores.iter().fold(f64::MIN, |max, &(_, score)| max.max(score));
            let log_sum = max + scores.iter().map(|(_, score)| (score - max).exp()).sum::<f64>().ln();
            for (key_row, score) in scores {
                let key = key_columns(key_row, head, shape);
                let p = (score - log_sum).exp();
                for c in 0..shape.head_dim {
                    out[query + c] += p * v[key + c];
                }
            }
            lse.push(log_sum);
        }
    }
    Attention { out, lse }
}

/// The part of the score gradient that all keys of a row share: `dout` times `out` (both (Q, heads D)), summed over
/// each head. Returns (Q, heads).
pub fn attention_backward_delta(dout: &[f64], out: &[f64], heads: usize, head_dim: usize) -> Vec<f64> {
    let rows = dout.len() / (heads * head_dim);
    let mut delta = vec![0.0; rows * heads];
    for (i, delta) in delta.iter_mut().enumerate() {
        for c in 0..head_dim {
            *delta += dout[i * head_dim + c] * out[i * head_dim + c];
        }
    }
    delta
}

/// The gradient with respect to `q`: `dq[q] = scale Σ_k ds[q,k] k[k]`.
///
/// `dout` and `q` (Q, heads D), `k` and `v` (R, `kv_heads` D), `lse` and `delta` (Q, heads), `spans` (Q). Returns
/// (Q, heads D).
pub fn attention_backward_q(
    dout: &[f64],
    q: &[f64],
    k: &[f64],
    v: &[f64],
    lse: &[f64],
    delta: &[f64],
    spans: &[Span],
    shape: AttentionShape,
) -> Vec<f64> {
    let mut dq = vec![0.0; q.len()];
    for (row, span) in spans.iter().enumerate() {
        for head in 0..shape.heads {
            let query = query_columns(row, head, shape);
            for key_row in keys(span, row, shape) {
                let key = key_columns(key_row, head, shape);
                let s = score(&q[query..], &k[key..], shape);
                let p = (s - lse[row * shape.heads + head]).exp();
                let ds =
                    slope(s, shape) * p * (dot(&dout[query..], &v[key..], shape) - delta[row * shape.heads + head]);
                for c in 0..shape.head_dim {
                    dq[query + c] += shape.scale * ds * k[key + c];
                }
            }
        }
    }
    dq
}

/// The gradients with respect to `k` and `v`: `dk[k] = scale Σ_q ds[q,k] q[q]`, `dv[k] = Σ_q p[q,k] dout[q]`, the sums
/// running over the query rows that see the key and over the query heads that share its head.
///
/// Arguments as in [`attention_backward_q`]. Returns `(dk, dv)`, each (R, `kv_heads` D).
pub fn attention_backward_kv(
    dout: &[f64],
    q: &[f64],
    k: &[f64],
    v: &[f64],
    lse: &[f64],
    delta: &[f64],
    spans: &[Span],
    shape: AttentionShape,
) -> (Vec<f64>, Vec<f64>) {
    let mut dk = vec![0.0; k.len()];
    let mut dv = vec![0.0; v.len()];
    for (row, span) in spans.iter().enumerate() {
        for head in 0..shape.heads {
            let query = query_columns(row, head, shape);
            for key_row in keys(span, row, shape) {
                let key = key_columns(key_row, head, shape);
                let s = score(&q[query..], &k[key..], shape);
                let p = (s - lse[row * shape.heads + head]).exp();
                let ds =
                    slope(s, shape) * p * (dot(&dout[query..], &v[key..], shape) - delta[row * shape.heads + head]);
                for c in 0..shape.head_dim {
                    dk[key + c] += shape.scale * ds * q[query + c];
                    dv[key + c] += p * dout[query + c];
                }
            }
        }
    }
    (dk, dv)
}

/// The score of a query and a key.
fn score(q: &[f64], k: &[f64], shape: AttentionShape) -> f64 {
    let s = shape.scale * dot(q, k, shape);
    if shape.softcap > 0.0 { shape.softcap * (s / shape.softcap).tanh() } else { s }
}

/// The derivative of a score with respect to `scale q·k`.
fn slope(score: f64, shape: AttentionShape) -> f64 {
    if shape.softcap > 0.0 { 1.0 - (score / shape.softcap).powi(2) } else { 1.0 }
}

/// The key rows that query row `row` sees.
fn keys(span: &Span, row: usize, shape: AttentionShape) -> impl Iterator<Item = usize> {
    let hole = span.hole_start..span.hole_end;
    (span.start..=shape.first_row + row).filter(move |key_row| !hole.contains(key_row))
}

/// Index of the first column of a query head.
fn query_columns(row: usize, head: usize, shape: AttentionShape) -> usize {
    (row * shape.heads + head) * shape.head_dim
}

/// Index of the first column of the key head that query head `head` reads.
fn key_columns(key_row: usize, head: usize, shape: AttentionShape) -> usize {
    let group = shape.heads / shape.kv_heads;
    (key_row * shape.kv_heads + head / group) * shape.head_dim
}

/// The dot product of the first D columns of `a` and `b`.
fn dot(a: &[f64], b: &[f64], shape: AttentionShape) -> f64 {
    (0..shape.head_dim).map(|c| a[c] * b[c]).sum()
}
