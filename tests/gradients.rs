//! The CPU twins, proved against the definition of a derivative and against formulas written out another way.
//!
//! Everything is f64 and no GPU is needed; `tests/kernels.rs` compares the kernels with the twins proved here.

use pairtune::reference::{
    self, Act, AdamW, AttentionShape, Cap, Divergence, LogProb, LogProbState, PairLoss, PairMetrics, Pairs,
    PreferenceSettings, Span,
};

#[path = "gradients/objectives.rs"]
mod objectives;
#[path = "gradients/policies.rs"]
mod policies;

const EPS: f64 = 1e-6;

/// TRL's formulas in float64, printed with six decimals: half of the last is the tolerance.
const PRINTED: f64 = 5.1e-7;
/// Central differences at the step used lose about ten digits to rounding and truncation together.
const DERIVATIVE: f64 = 1e-8;
/// Two ways of computing the same thing in f64.
const ROUNDING: f64 = 1e-12;

// Embedding.

#[test]
fn embedding_copies_the_rows_of_the_ids() {
    let table = [0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 2.0, 2.1, 2.2];
    let got = reference::embedding(&table, &[2, 0, 2], 3);
    assert_eq!(got, [2.0, 2.1, 2.2, 0.0, 0.1, 0.2, 2.0, 2.1, 2.2]);
}

// RMSNorm.

#[test]
fn rmsnorm_forward_has_unit_mean_square() {
    // A mean square of (9 + 16) / 2 and an eps that counts: rstd = 1 / sqrt(12.5 + 3.5) = 1/4.
    let got = reference::rmsnorm_forward(&[3.0, -4.0, 0.0, 0.0], &[2.0, 0.5], 3.5);
    assert_close("y", &got.y, &[1.5, -0.5, 0.0, 0.0], ROUNDING);
    assert_close("rstd", &got.rstd, &[0.25, 1.0 / 3.5_f64.sqrt()], ROUNDING);
}

#[test]
fn rmsnorm_backward_is_the_derivative_of_forward() {
    let (x, gain, dy) = (random(3 * 7, 1), random(7, 2), random(3 * 7, 3));
    let forward = reference::rmsnorm_forward(&x, &gain, EPS);
    let dx = reference::rmsnorm_backward(&dy, &x, &gain, &forward.rstd);

    let loss_of_x = |x: &[f64]| dot(&dy, &reference::rmsnorm_forward(x, &gain, EPS).y);
    assert_close("dx", &dx, &numeric_gradient(loss_of_x, &x), DERIVATIVE);
}

// LayerNorm.

#[test]
fn layernorm_forward_has_mean_zero_and_unit_variance() {
    // Deviations of ±1 around 3 and an eps that counts: rstd = 1 / sqrt(1 + 3) = 1/2.
    let got = reference::layernorm_forward(&[2.0, 4.0], &[2.0, 0.5], &[1.0, -1.0], 3.0);
    assert_close("y", &got.y, &[0.0, -0.75], ROUNDING);
    assert_close("stats", &got.stats[0], &[3.0, 0.5], ROUNDING);
}

#[test]
fn layernorm_backward_is_the_derivative_of_forward() {
    let (x, gain, bias, dy) = (random(3 * 7, 1), random(7, 2), random(7, 4), random(3 * 7, 3));
    let forward = reference::layernorm_forward(&x, &gain, &bias, EPS);
    let dx = reference::layernorm_backward(&dy, &x, &gain, &forward.stats);
    let loss_of_x = |x: &[f64]| dot(&dy, &reference::layernorm_forward(x, &gain, &bias, EPS).y);
    assert_close("dx", &dx, &numeric_gradient(loss_of_x, &x), DERIVATIVE);
}

// RMSNorm of queries and keys.

#[test]
fn qk_norm_norms_each_part_by_itself() {
    let x = [3.0, -4.0, 1.0, 2.0, 5.0, 6.0];
    let got = reference::qk_norm_forward(&x, &[2.0, 0.5, 1.0, 1.0], &[(0, 2), (2, 4)], 6, 3.5);
    assert_close("y", &got, &[1.5, -0.5, 1.0 / 6_f64.sqrt(), 2.0 / 6_f64.sqrt(), 5.0, 6.0], ROUNDING);
}

#[test]
fn qk_norm_backward_is_the_derivative_of_forward() {
    let (x, gain, dy) = (random(3 * 8, 1), random(7, 2), random(3 * 8, 3));
    let parts = [(0, 2), (2, 4), (4, 7)];
    let dx = reference::qk_norm_backward(&dy, &x, &gain, &parts, 8, EPS);
    let loss_of_x = |x: &[f64]| dot(&dy, &reference::qk_norm_forward(x, &gain, &parts, 8, EPS));
    assert_close("dx", &dx, &numeric_gradient(loss_of_x, &x), DERIVATIVE);
}

// Matrix products.

#[test]
fn matmul_forward_multiplies_by_the_transpose() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let w = [1.0, 0.0, -1.0];
    assert_eq!(reference::matmul_forward(&x, &w, 2, 1, 3), [-2.0, -2.0]);
    assert_eq!(reference::matmul_forward(&x, &[1.0, 10.0], 3, 1, 2), [21.0, 43.0, 65.0]);
}

#[test]
fn matmul_backward_is_the_derivative_of_forward() {
    let (m, n, k) = (3, 5, 7);
    let (x, w, dy) = (random(m * k, 4), random(n * k, 5), random(m * n, 6));

    let loss_of_x = |x: &[f64]| dot(&dy, &reference::matmul_forward(x, &w, m, n, k));
    let dx = reference::matmul_backward_input(&dy, &w, m, n, k);
    assert_close("dx", &dx, &numeric_gradient(loss_of_x, &x), DERIVATIVE);

    let loss_of_w = |w: &[f64]| dot(&dy, &reference::matmul_forward(&x, w, m, n, k));
    let dw = reference::matmul_backward_weight(&dy, &x, m, n, k);
    assert_close("dw", &dw, &numeric_gradient(loss_of_w, &w), DERIVATIVE);
}

// Rotary positions.

#[test]
fn rope_turns_the_two_halves_of_a_head() {
    // Angles of 90 degrees for column pair 0 and 180 degrees for column pair 1, at position 1 only.
    let table = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]];
    let x = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(reference::rope(&x, &table, &[1], 1, 4, 4, 1.0), [-3.0, -2.0, 1.0, -4.0]);
    assert_eq!(reference::rope(&x, &table, &[0], 1, 4, 4, 1.0), x);
    let wide = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let turned = reference::rope(&wide, &table, &[1], 1, 6, 4, 1.0);
    assert_eq!(turned, [-3.0, -2.0, 1.0, -4.0, 5.0, 6.0], "columns beyond the rotary ones stay");
}

#[test]
fn rope_with_direction_minus_one_is_inverse_and_adjoint() {
    let (heads, head_dim) = (3, 6);
    let positions = [0, 1, 2, 2, 4];
    let table = rope_table(5, head_dim);
    let size = positions.len() * heads * head_dim;
    let (x, dy) = (random(size, 7), random(size, 8));
    let rope = |x: &[f64], direction| reference::rope(x, &table, &positions, heads, head_dim, head_dim, direction);

    assert_close("inverse", &rope(&rope(&x, 1.0), -1.0), &x, ROUNDING);
    assert_close("adjoint", &[dot(&rope(&x, 1.0), &dy)], &[dot(&x, &rope(&dy, -1.0))], ROUNDING);
    let loss_of_x = |x: &[f64]| dot(&dy, &rope(x, 1.0));
    assert_close("dx", &rope(&dy, -1.0), &numeric_gradient(loss_of_x, &x), DERIVATIVE);
}

#[test]
fn rope_makes_scores_depend_on_distance_only() {
    let table = rope_table(9, 6);
    let (q, k) = (random(6, 9), random(6, 10));
    let score = |q_position, k_position| {
        let q = reference::rope(&q, &table, &[q_position], 1, 6, 6, 1.0);
        let k = reference::rope(&k, &table, &[k_position], 1, 6, 6, 1.0);
        dot(&q, &k)
    };
    assert_close("score", &[score(8, 5)], &[score(4, 1)], ROUNDING);
}

/// The usual table, (positions, D/2): the angle of column pair i at position p is `p base^(-2i/D)`.
fn rope_table(positions: usize, head_dim: usize) -> Vec<[f64; 2]> {
    let angle = |p: usize, i: usize| p as f64 * 100_f64.powf(-2.0 * i as f64 / head_dim as f64);
    let entries = (0..positions).flat_map(|p| (0..head_dim / 2).map(move |i| (p, i)));
    entries.map(|(p, i)| [angle(p, i).cos(), angle(p, i).sin()]).collect()
}

// Attention.

/// One query group of two heads per key head; an odd head size; a scale that is not the usual one.
const SHAPE: AttentionShape =
    AttentionShape { heads: 4, kv_heads: 2, head_dim: 3, scale: 0.7, softcap: 0.0, first_row: 0 };
const Q_COLS: usize = SHAPE.heads * SHAPE.head_dim;
const KV_COLS: usize = SHAPE.kv_heads * SHAPE.head_dim;

/// Rows of prompt, chosen and rejected of the pairs in the attention tests; the second has no prompt.
const PAIRS: [[usize; 3]; 3] = [[3, 2, 3], [0, 2, 1], [2, 3, 1]];

#[test]
fn attention_forward_is_a_masked_softmax() {
    check_attention_forward(&pair_spans(&PAIRS), 0);
}

#[test]
fn attention_forward_with_a_sliding_window() {
    check_attention_forward(&window_spans(4), 0);
}

#[test]
fn attention_forward_of_few_queries_after_many_keys() {
    let spans = pair_spans(&PAIRS);
    check_attention_forward(&spans[12..], 12);
    check_attention_forward(&spans[5..9], 5);
}

/// Compares with softmax over a full score matrix in which everything unseen has weight zero.
#[track_caller]
fn check_attention_forward(spans: &[Span], first_row: usize) {
    let shape = AttentionShape { first_row, ..SHAPE };
    let key_rows = first_row + spans.len();
    let (q, k, v) = attention_inputs(spans.len(), key_rows);
    let got = reference::attention_forward(&q, &k, &v, spans, shape);

    let mut out = vec![0.0; q.len()];
    let mut lse = vec![0.0; spans.len() * shape.heads];
    for (i, span) in spans.iter().enumerate() {
        for h in 0..shape.heads {
            let query = &q[i * Q_COLS + h * shape.head_dim..][..shape.head_dim];
            let key_columns = |row: usize| row * KV_COLS + (h / 2) * shape.head_dim;
            let mut weights = vec![0.0; key_rows];
            for (row, weight) in weights.iter_mut().enumerate() {
                let causal = row >= span.start && row <= first_row + i;
                if causal && (row < span.hole_start || row >= span.hole_end) {
                    *weight = (shape.scale * dot(query, &k[key_columns(row)..][..shape.head_dim])).exp();
                }
            }
            let sum: f64 = weights.iter().sum();
            lse[i * shape.heads + h] = sum.ln();
            for (row, weight) in weights.iter().enumerate() {
                for c in 0..shape.head_dim {
                    out[i * Q_COLS + h * shape.head_dim + c] += weight / sum * v[key_columns(row) + c];
                }
            }
        }
    }
    assert_close("out", &got.out, &out, ROUNDING);
    assert_close("lse", &got.lse, &lse, ROUNDING);
}

#[test]
fn attention_over_a_hole_equals_the_sequence_on_its_own() {
    // Rows 0..3 are the prompt, 3..5 the chosen completion, 5..8 the rejected one.
    let (q, k, v) = attention_inputs(8, 8);
    let packed = reference::attention_forward(&q, &k, &v, &pair_spans(&PAIRS[..1]), SHAPE);

    let rejected = [0, 1, 2, 5, 6, 7];
    let [q, k, v] = [(&q, Q_COLS), (&k, KV_COLS), (&v, KV_COLS)].map(|(x, c)| reference::gather_rows(x, &rejected, c));
    let alone = reference::attention_forward(&q, &k, &v, &[Span { start: 0, hole_start: 0, hole_end: 0 }; 6], SHAPE);
    assert_close("out", &reference::gather_rows(&packed.out, &rejected, Q_COLS), &alone.out, ROUNDING);
    assert_close("lse", &reference::gather_rows(&packed.lse, &rejected, SHAPE.heads), &alone.lse, ROUNDING);
}

#[test]
fn attention_forward_survives_large_scores() {
    let (q, k, v) = attention_inputs(8, 8);
    let shape = AttentionShape { scale: 1e5, ..SHAPE };
    let got = reference::attention_forward(&q, &k, &v, &pair_spans(&PAIRS[..1]), shape);
    assert!(got.out.iter().chain(&got.lse).all(|x| x.is_finite()), "large scores must not overflow");
}

#[test]
fn attention_scores_are_capped() {
    let (q, k, v) = attention_inputs(1, 1);
    let all = [Span { start: 0, hole_start: 0, hole_end: 0 }];
    let capped = AttentionShape { softcap: 0.1, ..SHAPE };
    let lse = |shape| reference::attention_forward(&q, &k, &v, &all, shape).lse;
    // The log-sum-exp of a single key is its score.
    assert_close("score", &lse(capped), &reference::softcap(&lse(SHAPE), 0.1), ROUNDING);
}

#[test]
fn attention_backward_is_the_derivative_of_forward() {
    check_attention_backward(&pair_spans(&PAIRS), 0);
}

#[test]
fn attention_backward_with_a_sliding_window() {
    check_attention_backward(&window_spans(4), 0);
}

#[test]
fn attention_backward_of_few_queries_after_many_keys() {
    check_attention_backward(&pair_spans(&PAIRS)[5..9], 5);
}

#[track_caller]
fn check_attention_backward(spans: &[Span], first_row: usize) {
    for softcap in [0.0, 0.5] {
        check_attention_gradients(spans, AttentionShape { first_row, softcap, ..SHAPE });
    }
}

#[track_caller]
fn check_attention_gradients(spans: &[Span], shape: AttentionShape) {
    let first_row = shape.first_row;
    let (q, k, v) = attention_inputs(spans.len(), first_row + spans.len());
    let dout = random(q.len(), 14);
    let forward = reference::attention_forward(&q, &k, &v, spans, shape);
    let delta = reference::attention_backward_delta(&dout, &forward.out, shape.heads, shape.head_dim);
    let dq = reference::attention_backward_q(&dout, &q, &k, &v, &forward.lse, &delta, spans, shape);
    let (dk, dv) = reference::attention_backward_kv(&dout, &q, &k, &v, &forward.lse, &delta, spans, shape);

    let loss = |q: &[f64], k: &[f64], v: &[f64]| dot(&dout, &reference::attention_forward(q, k, v, spans, shape).out);
    assert_close("dq", &dq, &numeric_gradient(|q| loss(q, &k, &v), &q), DERIVATIVE);
    assert_close("dk", &dk, &numeric_gradient(|k| loss(&q, k, &v), &k), DERIVATIVE);
    assert_close("dv", &dv, &numeric_gradient(|v| loss(&q, &k, v), &v), DERIVATIVE);
}

#[test]
fn attention_backward_delta_sums_each_head() {
    let (dout, out) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1.0, -1.0, 2.0, 0.5, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(reference::attention_backward_delta(&dout, &out, 2, 2), [-1.0, 8.0, 6.0, 15.0]);
}

fn attention_inputs(query_rows: usize, key_rows: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    (random(query_rows * Q_COLS, 11), random(key_rows * KV_COLS, 12), random(key_rows * KV_COLS, 13))
}

/// Spans of pairs laid out one after the other as prompt, chosen, rejected.
fn pair_spans(pairs: &[[usize; 3]]) -> Vec<Span> {
    let mut spans = Vec::new();
    for [prompt, chosen, rejected] in pairs {
        let start = spans.len();
        let (chosen_start, rejected_start) = (start + prompt, start + prompt + chosen);
        let shared = Span { start, hole_start: start, hole_end: start };
        spans.extend(vec![shared; prompt + chosen]);
        spans.extend(vec![Span { start, hole_start: chosen_start, hole_end: rejected_start }; *rejected]);
    }
    spans
}

/// The spans of [`PAIRS`], narrowed to the last `window` packed rows; some then start inside their hole.
fn window_spans(window: usize) -> Vec<Span> {
    let mut spans = pair_spans(&PAIRS);
    for (row, span) in spans.iter_mut().enumerate() {
        span.start = span.start.max((row + 1).saturating_sub(window));
    }
    spans
}

// LoRA of layers side by side.

#[test]
fn lora_backward_is_the_derivative_of_forward() {
    // The second of three layers has no adapter.
    let segments = reference::Segments { ends: vec![2, 5, 6], u_at: vec![Some(3), None, Some(0)] };
    let (m, r) = (4, 3);
    let (u, b, dy) = (random(m * 2 * r, 31), random(6 * r, 32), random(m * 6, 33));
    let y = reference::lora_forward(&u, &b, &segments, m);
    assert!(y.chunks_exact(6).all(|row| row[2..5] == [0.0; 3]), "nothing is added to a layer without an adapter");
    let loss_of_u = |u: &[f64]| dot(&dy, &reference::lora_forward(u, &b, &segments, m));
    let du = reference::lora_backward(&dy, &b, &segments, m);
    assert_close("du", &du, &numeric_gradient(loss_of_u, &u), DERIVATIVE);
    let loss_of_b = |b: &[f64]| dot(&dy, &reference::lora_forward(&u, b, &segments, m));
    let db = reference::lora_backward_weight(&dy, &u, &segments, m, r);
    assert_close("db", &db, &numeric_gradient(loss_of_b, &b), DERIVATIVE);
}

// Generation.

#[test]
fn attention_of_one_row_is_the_last_row_of_the_whole() {
    let (rows, shape) = (7, SHAPE);
    let (q, k, v) = attention_inputs(rows, rows);
    let spans = vec![Span { start: 0, hole_start: 0, hole_end: 0 }; rows];
    let whole = reference::attention_forward(&q, &k, &v, &spans, shape).out;
    let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let mut qkv = q[(rows - 1) * queries..].to_vec();
    qkv.extend(vec![9.0; 2 * keys]);
    // The cache has the rows of another text before them.
    let mut cache = vec![9.0; 2 * keys];
    for row in 0..rows {
        cache.extend(&k[row * keys..(row + 1) * keys]);
        cache.extend(&v[row * keys..(row + 1) * keys]);
    }
    let got = reference::attention_decode(&qkv, &cache, &[[1, rows as u32]], shape);
    assert_close("out", &got, &whole[(rows - 1) * queries..], ROUNDING);
}

#[test]
fn tokens_that_may_be_drawn_are_those_of_transformers() {
    let logits = [1.0, 3.0, 2.0, 3.0, -1.0];
    let tokens = |temperature, top_k, top_p| -> Vec<usize> {
        reference::sample(&logits, temperature, top_k, top_p).into_iter().map(|(token, _)| token).collect()
    };
    assert_eq!(tokens(0.0, 0, 1.0), [1], "of equals the first");
    assert_eq!(tokens(1.0, 3, 1.0), [1, 3, 2], "top_k");
    // softmax: 0.40 for each of the likeliest, then 0.15.
    assert_eq!(tokens(1.0, 0, 0.7), [1, 3], "the fewest that reach top_p");
    assert_eq!(tokens(1.0, 0, 0.85), [1, 3, 2], "the one that reaches it included");
    let shares: f64 = reference::sample(&logits, 0.5, 3, 0.99).iter().map(|(_, p)| p).sum();
    assert_close("shares", &[shares], &[1.0], ROUNDING);
}

// The gated short convolution.

#[test]
fn short_conv_weighs_the_last_tokens() {
    // One column: B, C, x of three tokens, of which the third follows the first.
    let gates = [1.0, 2.0, 3.0, 1.0, 1.0, 5.0, 2.0, 0.5, 4.0];
    let conv = reference::ShortConv { weight: &[10.0, 1.0], bias: &[0.25], hidden: 1 };
    let got = reference::short_conv_forward(&gates, &[vec![], vec![0], vec![0]], conv);
    assert_eq!(got, [2.0 * 3.25, 30.0 + 5.25, 0.5 * (30.0 + 8.25)]);
    assert_eq!(reference::short_conv_decode(&gates[3..6], &[7.0, 3.0, 5.0], &[[1, 2]], conv), [35.25]);
}

#[test]
fn short_conv_backward_is_the_derivative_of_forward() {
    let history = [vec![], vec![0], vec![1, 0], vec![2, 1, 0], vec![1, 0], vec![4, 1, 0]];
    let (gates, weight, bias, dy) = (random(6 * 9, 1), random(9, 2), random(3, 3), random(6 * 3, 4));
    let conv = reference::ShortConv { weight: &weight, bias: &bias, hidden: 3 };
    let loss = |gates: &[f64]| dot(&dy, &reference::short_conv_forward(gates, &history, conv));
    let got = reference::short_conv_backward(&gates, &history, conv, &dy);
    assert_close("dgates", &got, &numeric_gradient(loss, &gates), DERIVATIVE);
}

#[test]
fn segments_are_scaled_each_by_its_number() {
    assert_eq!(reference::scale_segments(&[1.0, 2.0, 3.0, 4.0], 1, &[10.0, 0.5]), [10.0, 1.0, 30.0, 2.0]);
}

// DoRA.

#[test]
fn rows_have_the_lengths_of_the_adapted_weight() {
    // Rows (3, 4) and (0, 2); the first gets 2 * 0.5 * (2, 4) added: (5, 8). The second layer has no adapter.
    let segments = reference::Segments { ends: vec![1, 2], u_at: vec![Some(0), None] };
    let norms = |lengths: &[f64], strength| {
        reference::dora_norms(&[2.0, 4.0], &[3.0, 4.0, 0.0, 2.0], &[0.5, 9.0], lengths, &segments, &[2.0], strength)
    };
    let length = 89.0_f64.sqrt();
    assert_close("norms", &norms(&[3.0 * length, 7.0], 1.0), &[3.0, 1.0, 1.0 / length, 0.0, length, 0.0], ROUNDING);
    assert_close("half", &norms(&[3.0 * length, 7.0], 0.5)[..2], &[2.0, 1.0], ROUNDING);
}

#[test]
fn dora_backward_lengths_is_the_derivative_of_forward() {
    let (z, lengths, inverse, dy) = (random(5 * 3, 1), random(3, 2), random(3, 3), random(5 * 3, 4));
    let none = vec![0.0; z.len()];
    let loss = |lengths: &[f64]| {
        let gain: Vec<f64> = lengths.iter().zip(&inverse).map(|(length, inverse)| length * inverse).collect();
        dot(&dy, &reference::scale_columns(&z, &gain, 1.0, &none, &none))
    };
    let got = reference::dora_backward_lengths(&dy, &z, &inverse);
    assert_close("dlengths", &got, &numeric_gradient(loss, &lengths), DERIVATIVE);
}

#[test]
fn dropout_keeps_the_mean_and_the_share() {
    let ones = vec![1.0; 100_000];
    let dropped = reference::dropout(&ones, 0.2, 5);
    let kept: Vec<f64> = dropped.iter().copied().filter(|v| *v != 0.0).collect();
    assert!(kept.iter().all(|v| (v - 1.25).abs() < ROUNDING), "what is kept grows");
    let share = kept.len() as f64 / ones.len() as f64;
    assert!((share - 0.8).abs() < 0.005, "{share} are kept");
    // Neighbours, and the same place under another seed, are independent.
    let both = dropped.windows(2).filter(|pair| pair[0] != 0.0 && pair[1] != 0.0).count() as f64;
    assert!((both / ones.len() as f64 - 0.64).abs() < 0.01, "neighbours");
    let other = reference::dropout(&ones, 0.2, 6);
    let both = dropped.iter().zip(&other).filter(|(a, b)| **a != 0.0 && **b != 0.0).count() as f64;
    assert!((both / ones.len() as f64 - 0.64).abs() < 0.01, "seeds");
    assert_eq!(reference::dropout(&ones, 0.0, 5), ones, "nothing at a rate of 0");
}

#[test]
fn columns_are_scaled_before_anything_is_added() {
    let got = reference::scale_columns(&[1.0, 2.0, 3.0, 4.0], &[10.0, 0.5], 2.0, &[1.0, 2.0], &[0.0, 0.0, 5.0, 0.0]);
    assert_eq!(got, [21.0, 4.0, 66.0, 6.0]);
}

// Element-wise operations and row gathering.

const ACTS: [Act; 4] = [Act::Silu, Act::Gelu, Act::GeluTanh, Act::Relu];

#[test]
fn activations_are_those_of_torch() {
    // torch.nn.functional in float64, at -2, -0.5, 1 and 3.
    for (act, want) in [
        (Act::Silu, [-0.2384058440442, -0.1887703343991, 0.7310585786300, 2.8577223804673]),
        (Act::Gelu, [-0.0455002638964, -0.1542687693630, 0.8413447460685, 2.9959503059051]),
        (Act::GeluTanh, [-0.0454023059122, -0.1542859901749, 0.8411919906083, 2.9963626079182]),
        (Act::Relu, [0.0, 0.0, 1.0, 3.0]),
    ] {
        assert_close("y", &reference::activation_forward(&[-2.0, -0.5, 1.0, 3.0], act), &want, 1e-11);
        let far = reference::activation_forward(&[-1e4, 1e4], act);
        assert_close("far", &far, &[0.0, 1e4], ROUNDING);
    }
}

#[test]
fn activation_backward_is_the_derivative_of_forward() {
    let (x, dy) = (random(9, 17).iter().map(|x| 5.0 * x).collect::<Vec<f64>>(), random(9, 19));
    for act in ACTS {
        let loss = |x: &[f64]| dot(&dy, &reference::activation_forward(x, act));
        let dx = reference::activation_backward(&dy, &x, act);
        assert_close("dx", &dx, &numeric_gradient(loss, &x), DERIVATIVE);
    }
}

#[test]
fn glu_forward_is_the_activation_times_up() {
    let (gate, up) = (random(9, 15), random(9, 16));
    for act in ACTS {
        let want: Vec<f64> =
            reference::activation_forward(&gate, act).iter().zip(&up).map(|(gate, up)| gate * up).collect();
        assert_close("y", &reference::glu_forward(&gate, &up, act), &want, ROUNDING);
    }
}

#[test]
fn glu_backward_is_the_derivative_of_forward() {
    let gate: Vec<f64> = random(9, 17).iter().map(|g| 5.0 * g).collect();
    let (up, dy) = (random(9, 18), random(9, 19));
    for act in ACTS {
        let got = reference::glu_backward(&dy, &gate, &up, act);
        let loss_of_gate = |gate: &[f64]| dot(&dy, &reference::glu_forward(gate, &up, act));
        assert_close("dgate", &got.dgate, &numeric_gradient(loss_of_gate, &gate), DERIVATIVE);
        let loss_of_up = |up: &[f64]| dot(&dy, &reference::glu_forward(&gate, up, act));
        assert_close("dup", &got.dup, &numeric_gradient(loss_of_up, &up), DERIVATIVE);
        let far = reference::glu_backward(&[1.0, 1.0], &[-1e4, 1e4], &[2.0, 2.0], act);
        assert_close("far dgate", &far.dgate, &[0.0, 2.0], ROUNDING);
        assert_close("far dup", &far.dup, &[0.0, 1e4], ROUNDING);
    }
}

#[test]
fn copies_are_scaled_and_values_capped() {
    assert_eq!(reference::scaled_copy(&[1.0, -2.0], 0.5), [0.5, -1.0]);
    let capped = reference::softcap(&[0.0, 3.0, -1e9], 3.0);
    assert_close("capped", &capped, &[0.0, 3.0 * 1.0_f64.tanh(), -3.0], ROUNDING);
    assert_eq!(
        reference::add_positions(&[1.0, 2.0, 3.0, 4.0], &[1, 0], &[0.5, 0.25, 10.0, 20.0], 2),
        [11.0, 22.0, 3.5, 4.25]
    );
}

#[test]
fn scatter_rows_is_the_adjoint_of_gather_rows() {
    // Row 4 is gathered three times, rows 0 and 3 never.
    let (rows, total_rows, cols) = ([4, 1, 4, 2, 4], 6, 3);
    let (x, dy) = (random(total_rows * cols, 20), random(rows.len() * cols, 21));
    let y = reference::gather_rows(&x, &rows, cols);
    let dx = reference::scatter_rows(&dy, &rows, total_rows, cols);
    assert_eq!(y[3..6], x[3..6]);
    assert_eq!(dx[3..6], dy[3..6]);
    assert_close("adjoint", &[dot(&y, &dy)], &[dot(&x, &dx)], ROUNDING);

    let loss_of_x = |x: &[f64]| dot(&dy, &reference::gather_rows(x, &rows, cols));
    assert_close("dx", &dx, &numeric_gradient(loss_of_x, &x), DERIVATIVE);
}

// Log-probabilities.

const VOCAB: usize = 17;
const HIDDEN: usize = 5;
/// A label in the first and in the last column, one that is repeated, and one in between.
const LABELS: [u32; 5] = [0, 16, 7, 7, 11];

/// Scale, cap and temperature of logits.
const KINDS: [[f64; 3]; 4] = [[1.0, 0.0, 1.0], [0.25, 0.0, 1.0], [1.5, 0.8, 1.0], [1.5, 0.8, 0.6]];

#[test]
fn logprob_matches_the_direct_formulas() {
    for chunk in [1, 3, 5, 7, VOCAB] {
        for kind in KINDS {
            check_logprob(&random(LABELS.len() * HIDDEN, 22), chunk, kind);
        }
    }
}

#[test]
fn logprob_survives_large_logits() {
    let hidden_rows: Vec<f64> = random(LABELS.len() * HIDDEN, 23).iter().map(|h| 1000.0 * h).collect();
    for chunk in [1, 3, VOCAB] {
        check_logprob(&hidden_rows, chunk, KINDS[0]);
    }
}

/// Compares every result of the chunked pass with softmax written out over the whole vocabulary.
#[track_caller]
fn check_logprob(hidden_rows: &[f64], chunk: usize, kind: [f64; 3]) {
    let [scale, cap, temperature] = kind;
    let head = random(VOCAB * HIDDEN, 24);
    let (got, pull) = logprob_in_chunks(hidden_rows, &head, chunk, kind);
    let products = reference::matmul_forward(hidden_rows, &head, LABELS.len(), VOCAB, HIDDEN);
    let mut logits = reference::scaled_copy(&products, scale);
    if cap > 0.0 {
        logits = reference::scaled_copy(&reference::softcap(&logits, cap), 1.0 / temperature);
    }
    let bent = |logit: f64| (1.0 - (logit * temperature / cap).powi(2)) / temperature;
    let slope = |logit: f64| if cap > 0.0 { scale * bent(logit) } else { scale };
    for (r, row) in logits.chunks_exact(VOCAB).enumerate() {
        let label = LABELS[r] as usize;
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
        let p: Vec<f64> = row.iter().map(|x| (x - lse).exp()).collect();
        let entropy: f64 = row.iter().zip(&p).map(|(x, p)| p * (lse - x)).sum();
        let sloped: Vec<f64> = p.iter().zip(row).map(|(p, logit)| p * slope(*logit)).collect();
        let expected_row = reference::matmul_backward_input(&sloped, &head, 1, VOCAB, HIDDEN);
        let label_row = head[label * HIDDEN..].iter().map(|w| slope(row[label]) * w);
        let want_pull: Vec<f64> = label_row.zip(&expected_row).map(|(w, e)| w - e).collect();

        assert_close("logp", &got.logp[r..=r], &[row[label] - lse], ROUNDING * max.abs().max(1.0));
        assert_close("lse", &got.lse[r..=r], &[lse], ROUNDING);
        assert_close("mean_logit", &got.mean_logit[r..=r], &[row.iter().sum::<f64>() / VOCAB as f64], ROUNDING);
        assert_close("entropy", &got.entropy[r..=r], &[entropy], ROUNDING * max.abs().max(1.0));
        let collision = p.iter().map(|p| p * p).sum::<f64>().ln();
        assert_close("log_collision", &got.log_collision[r..=r], &[collision], ROUNDING * max.abs().max(1.0));
        assert_eq!(got.correct[r] == 1.0, row[label] == max, "correct of row {r}");
        assert_close("pull", &pull[r * HIDDEN..][..HIDDEN], &want_pull, ROUNDING * max.abs().max(1.0));
    }
}

#[test]
fn logprob_backward_is_the_derivative_of_forward() {
    let (hidden_rows, head) = (random(LABELS.len() * HIDDEN, 25), random(VOCAB * HIDDEN, 26));
    let dlogp = random(LABELS.len(), 27);
    for chunk in [1, 3, 7, VOCAB] {
        for kind in KINDS {
            let (_, pull) = logprob_in_chunks(&hidden_rows, &head, chunk, kind);
            let dh = reference::logprob_backward(&dlogp, &pull, HIDDEN);
            let loss = |hidden_rows: &[f64]| dot(&dlogp, &logprob_in_chunks(hidden_rows, &head, chunk, kind).0.logp);
            assert_close("dh", &dh, &numeric_gradient(loss, &hidden_rows), DERIVATIVE);
        }
    }
}

#[test]
fn entropy_backward_is_the_derivative_of_the_entropy() {
    let (hidden_rows, head) = (random(LABELS.len() * HIDDEN, 25), random(VOCAB * HIDDEN, 26));
    let dentropy = random(LABELS.len(), 27);
    for chunk in [3, VOCAB] {
        for kind in KINDS {
            let [scale, softcap, temperature] = kind;
            let (_, _, state) = logprob_with_state(&hidden_rows, &head, chunk, kind);
            let mut dh = vec![0.0; hidden_rows.len()];
            for head in head.chunks(chunk * HIDDEN) {
                let (rows, cols) = (LABELS.len(), head.len() / HIDDEN);
                let products = reference::matmul_forward(&hidden_rows, head, rows, cols, HIDDEN);
                let logits = reference::scaled_copy(&products, scale);
                let cap = Cap { softcap, temperature };
                let dlogits = reference::entropy_backward(&logits, &state, &dentropy, cap);
                let dproducts = reference::scaled_copy(&dlogits, scale);
                let added = reference::matmul_backward_input(&dproducts, head, rows, cols, HIDDEN);
                dh.iter_mut().zip(&added).for_each(|(dh, added)| *dh += added);
            }
            let loss =
                |hidden_rows: &[f64]| dot(&dentropy, &logprob_in_chunks(hidden_rows, &head, chunk, kind).0.entropy);
            assert_close("dh", &dh, &numeric_gradient(loss, &hidden_rows), DERIVATIVE);
        }
    }
}

#[test]
fn logprob_argmax_is_the_first_of_equals() {
    // Columns 1 and 3 are equal and largest: the label in column 1 is right, the one in column 3 is not.
    let row = [-3.0, -1.0, -2.0, -1.0, -5.0];
    for chunk in [1, 2, 3, 5] {
        let mut state = LogProbState::new(2);
        let mut pull = [0.0; 2];
        for first in (0..row.len()).step_by(chunk) {
            let columns = &row[first..(first + chunk).min(row.len())];
            reference::logprob_forward(
                &[columns, columns].concat(),
                first,
                &[1, 3],
                &mut state,
                &mut pull,
                1,
                Cap::NONE,
            );
        }
        assert_eq!(state.best_index, [1, 1]);
        assert_eq!((&state.best[..], &state.label_logit[..]), (&[-1.0; 2][..], &[-1.0; 2][..]));
        let got = reference::logprob_finish(&state, &[0.0; 2], &[1, 3], row.len(), 1.0, Cap::NONE, &mut pull);
        assert_eq!(got.correct, [1.0, 0.0]);
    }
}

/// The whole pass with chunks of `chunk` columns: the results, and the finished pull (R,H).
fn logprob_in_chunks(hidden_rows: &[f64], head: &[f64], chunk: usize, kind: [f64; 3]) -> (LogProb, Vec<f64>) {
    let (result, pull, _) = logprob_with_state(hidden_rows, head, chunk, kind);
    (result, pull)
}

fn logprob_with_state(
    hidden_rows: &[f64],
    head: &[f64],
    chunk: usize,
    [scale, softcap, temperature]: [f64; 3],
) -> (LogProb, Vec<f64>, LogProbState) {
    let (rows, cap) = (LABELS.len(), Cap { softcap, temperature });
    let mut state = LogProbState::new(rows);
    let mut pull = vec![0.0; rows * HIDDEN];
    for (i, head) in head.chunks(chunk * HIDDEN).enumerate() {
        let cols = head.len() / HIDDEN;
        let products = reference::matmul_forward(hidden_rows, head, rows, cols, HIDDEN);
        let logits = reference::scaled_copy(&products, scale);
        let weights = reference::logprob_forward(&logits, i * chunk, &LABELS, &mut state, &mut pull, HIDDEN, cap);
        let weights = reference::scaled_copy(&weights, scale);
        let added = reference::matmul_backward_input(&weights, head, rows, cols, HIDDEN);
        pull.iter_mut().zip(&added).for_each(|(pull, added)| *pull += added);
    }
    let label_rows = reference::embedding(head, &LABELS, HIDDEN);
    let result = reference::logprob_finish(&state, &label_rows, &LABELS, VOCAB, scale, cap, &mut pull);
    (result, pull, state)
}

// Losses of pairs.

const LOSSES: [PairLoss; 17] = [
    PairLoss::Sigmoid,
    PairLoss::SigmoidNorm,
    PairLoss::Ipo,
    PairLoss::Hinge,
    PairLoss::Robust,
    PairLoss::ExoPair,
    PairLoss::NcaPair,
    PairLoss::BcoPair,
    PairLoss::SppoHard,
    PairLoss::Aot,
    PairLoss::AotUnpaired,
    PairLoss::ApoZero,
    PairLoss::ApoDown,
    PairLoss::Discopop,
    PairLoss::Dpop,
    PairLoss::Smoothed,
    PairLoss::OddsRatio,
];

/// Three pairs whose losses were computed from TRL's formulas in plain Python, to six digits, at beta 0.1.
const LOGPS: [f64; 6] = [-12.0, -30.5, -8.25, -15.0, -28.0, -9.75];
const REFERENCE: [f64; 6] = [-13.0, -29.0, -8.0, -14.0, -27.5, -11.0];
const LENGTHS: [f64; 6] = [5.0, 10.0, 3.0, 6.0, 8.0, 4.0];
/// The second chosen sequence has no token before its completion, so that one token is not scored.
const SCORED: [f64; 6] = [5.0, 9.0, 3.0, 6.0, 7.0, 4.0];

/// Beta 0.1 and nothing else.
const PLAIN: PreferenceSettings = PreferenceSettings {
    beta: 0.1,
    label_smoothing: 0.1,
    divergence: Divergence::ReverseKl,
    by_token: false,
    discopop_tau: 0.05,
    gamma: 0.0,
    dpop_lambda: 50.0,
};

#[test]
fn preference_losses_match_trl() {
    let smoothed = |label_smoothing: f64| PreferenceSettings { label_smoothing, ..PLAIN };
    let cases = [
        (PairLoss::Sigmoid, PLAIN, 0.704498),
        (PairLoss::SigmoidNorm, PLAIN, 0.695216),
        (PairLoss::Hinge, PLAIN, 1.016667),
        (PairLoss::Ipo, PLAIN, 25.488484),
        (PairLoss::Robust, PLAIN, 0.706581),
        (PairLoss::ExoPair, smoothed(0.01), 1.636734),
        (PairLoss::NcaPair, PLAIN, 1.393115),
        (PairLoss::BcoPair, PLAIN, 1.397178),
        (PairLoss::SppoHard, PLAIN, 53.708333),
        (PairLoss::Aot, PLAIN, 0.700334),
        (PairLoss::AotUnpaired, PLAIN, 0.699970),
        (PairLoss::ApoZero, PLAIN, 1.004144),
        (PairLoss::ApoDown, PLAIN, 0.997958),
        (PairLoss::Discopop, PLAIN, 0.797220),
        (PairLoss::Dpop, PLAIN, 3.273019),
    ];
    for (loss, settings, want) in cases {
        // The values were printed with six decimals, so half of the last is the tolerance.
        let got = preference(loss, &LOGPS, &settings).0;
        assert!((got - want).abs() <= 5.1e-7, "{loss:?}: got {got}, want {want}");
    }
}

#[test]
fn preference_losses_under_other_divergences_match_trl() {
    let cases = [
        (Divergence::ForwardKl, [0.723859, 25.529842, 0.695401, 1.676811, 0.807523, 1.049336]),
        (Divergence::JensenShannon, [0.698944, 25.156621, 0.693855, 1.626790, 0.824235, 1.010045]),
        (Divergence::Alpha(0.5), [0.709660, 25.421651, 0.694923, 1.647863, 0.796073, 1.025911]),
    ];
    for (divergence, want) in cases {
        let losses = [
            (PairLoss::Sigmoid, 0.0),
            (PairLoss::Ipo, 0.0),
            (PairLoss::SigmoidNorm, 0.0),
            (PairLoss::ExoPair, 0.01),
            (PairLoss::Discopop, 0.0),
            (PairLoss::Hinge, 0.0),
        ];
        for ((loss, label_smoothing), want) in losses.into_iter().zip(want) {
            let got = preference(loss, &LOGPS, &PreferenceSettings { divergence, label_smoothing, ..PLAIN }).0;
            assert!((got - want).abs() <= 5.1e-7, "{loss:?} with {divergence:?}: got {got}, want {want}");
        }
    }
}

#[test]
fn losses_without_a_reference_match_trl() {
    let logps = [-1.2, -0.9, -1.5, -0.7];
    let pairs =
        Pairs { logps: &logps, reference: &[0.0; 4], lengths: &[1.0; 4], scored: &[1.0; 4], weights: &[1.0; 4] };
    let simpo = PreferenceSettings { beta: 2.0, label_smoothing: 0.0, by_token: true, gamma: 1.0, ..PLAIN };
    let alpha_po = PreferenceSettings { gamma: 0.3, divergence: Divergence::AlphaPo(0.25), ..simpo };
    let cases = [
        (PairLoss::OddsRatio, PreferenceSettings { by_token: true, ..PLAIN }, 0.070128),
        (PairLoss::Smoothed, simpo, 1.266716),
        (PairLoss::Smoothed, PreferenceSettings { label_smoothing: 0.1, ..simpo }, 1.176716),
        (PairLoss::Smoothed, alpha_po, 0.811015),
    ];
    for (loss, settings, want) in cases {
        let got = reference::preference(loss, &pairs, &settings).0;
        assert!((got - want).abs() <= 5.1e-7, "{loss:?}: got {got}, want {want}");
    }
}

#[test]
fn pair_metrics_match_trl() {
    let got = metrics(&LOGPS, &PLAIN);
    assert_close("chosen_reward", &[got.chosen_reward], &[-0.025], ROUNDING);
    assert_close("rejected_reward", &[got.rejected_reward], &[-0.025 / 3.0], ROUNDING);
    assert_close("margin", &[got.margin], &[-0.05 / 3.0], ROUNDING);
    assert_close("accuracy", &[got.accuracy], &[1.0 / 3.0], ROUNDING);
    let none = metrics(&REFERENCE, &PLAIN);
    assert_eq!((none.accuracy, none.margin), (0.0, 0.0), "the reference itself has no winner");
}

#[test]
fn preference_dlogp_is_the_derivative_of_loss() {
    let divergences = [
        Divergence::ReverseKl,
        Divergence::ForwardKl,
        Divergence::JensenShannon,
        Divergence::Alpha(0.5),
        Divergence::AlphaPo(0.25),
    ];
    for loss in LOSSES {
        for divergence in divergences {
            // The others have no divergence in TRL.
            let takes_it = matches!(
                loss,
                PairLoss::Sigmoid
                    | PairLoss::SigmoidNorm
                    | PairLoss::Ipo
                    | PairLoss::Hinge
                    | PairLoss::Robust
                    | PairLoss::ExoPair
                    | PairLoss::Discopop
                    | PairLoss::Smoothed
            );
            if divergence != Divergence::ReverseKl && !takes_it {
                continue;
            }
            // Beta 0.7 puts the first pair, d = 2, beyond the kink of the hinge; the others stay before it.
            for beta in [0.1, 0.7] {
                let by_token = loss == PairLoss::OddsRatio;
                let settings = PreferenceSettings { beta, divergence, by_token, gamma: 0.2, ..PLAIN };
                // The odds are of probabilities, so that no reference takes part.
                let reference = if by_token { [0.0; 6] } else { REFERENCE };
                let of = |logps: &[f64]| {
                    // Sorting separates the margins from their pairs, so TRL does not weight them.
                    let sorts = matches!(loss, PairLoss::Aot | PairLoss::AotUnpaired);
                    let weights = if sorts { [1.0; 6] } else { [0.5, 0.8, 0.3, 0.9, 1.0, 0.6] };
                    let pairs =
                        Pairs { logps, reference: &reference, lengths: &LENGTHS, scored: &SCORED, weights: &weights };
                    reference::preference(loss, &pairs, &settings)
                };
                let got = of(&LOGPS).1;
                let want = numeric_gradient(|logps| of(logps).0, &LOGPS);
                assert_close(&format!("{loss:?} {divergence:?}"), &got, &want, DERIVATIVE);
                assert!(got.iter().any(|d| *d != 0.0), "{loss:?} must pull somewhere");
            }
        }
    }
}

#[test]
fn preference_hinge_has_no_slope_at_its_kink() {
    // d = 2 in the first pair and beta 0.5: 1 - beta d is exactly 0. The other two pairs pull with beta / 3.
    let got = preference(PairLoss::Hinge, &LOGPS, &PreferenceSettings { beta: 0.5, ..PLAIN }).1;
    let pull = 0.5 / 3.0;
    assert_close("dlogp", &got, &[0.0, -pull, -pull, 0.0, pull, pull], ROUNDING);
}

#[test]
fn preference_survives_large_margins() {
    let logps = [-1e6, -10.0, -8.0, -10.0, -1e6, -11.0];
    let one = PreferenceSettings { beta: 1.0, ..PLAIN };
    for loss in
        [PairLoss::Sigmoid, PairLoss::Ipo, PairLoss::Hinge, PairLoss::Robust, PairLoss::ApoZero, PairLoss::BcoPair]
    {
        let (value, slopes) = preference(loss, &logps, &one);
        assert!(value.is_finite() && slopes.iter().all(|d| d.is_finite()), "{loss:?} gives {value}, {slopes:?}");
    }
    // The first pair is wrong by c - r = -999991, the second is right by as much, the third has d = 0.
    let (value, slopes) = preference(PairLoss::Sigmoid, &logps, &one);
    assert_close("loss", &[value], &[(999_991.0 + 2_f64.ln()) / 3.0], ROUNDING);
    assert_close("dlogp", &slopes, &[-1.0 / 3.0, 0.0, -0.5 / 3.0, 1.0 / 3.0, 0.0, 0.5 / 3.0], ROUNDING);
}

#[test]
fn token_nll_is_minus_the_scaled_sum() {
    let (loss, slopes) = reference::token_nll(&[-1.0, -2.5], 0.25);
    assert_eq!((loss, slopes), (0.875, vec![-0.25, -0.25]));
}

#[test]
fn token_gradient_gives_each_token_its_share() {
    let weights = [[1.0, 0.0], [0.5, 2.0], [1.0, 1.0]];
    let got = reference::token_gradient(&[[3.0, 7.0], [1.0, 10.0]], &weights, &[0.5, 0.25, 1.0], &[0, 0, 1]);
    assert_eq!(got, [3.0, 1.5 + 3.5, 11.0]);
}

#[test]
fn sequence_sum_adds_the_tokens_of_each_sequence() {
    let got = reference::sequence_sum(&[1.0, 2.0, 4.0, 8.0, 16.0], &[2, 0, 2, 0, 3], 5);
    assert_eq!(got, [10.0, 0.0, 5.0, 16.0, 0.0]);
}

/// The three pairs with the given policy.
fn preference(loss: PairLoss, logps: &[f64], settings: &PreferenceSettings) -> (f64, Vec<f64>) {
    reference::preference(loss, &pairs(logps), settings)
}

fn metrics(logps: &[f64], settings: &PreferenceSettings) -> PairMetrics {
    reference::pair_metrics(&pairs(logps), settings)
}

fn pairs(logps: &[f64]) -> Pairs<'_> {
    Pairs { logps, reference: &REFERENCE, lengths: &LENGTHS, scored: &SCORED, weights: &[1.0; 6] }
}

// Optimiser.

const SETTINGS: AdamW = AdamW {
    learning_rate: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
    max_grad_norm: 1.0,
    step: 1,
};

#[test]
fn grad_norm_is_the_root_of_the_sum_of_squares() {
    assert_eq!(reference::grad_norm(&[2.0, -3.0, 6.0]), 7.0);
    assert_eq!(reference::grad_norm(&[]), 0.0);
}

#[test]
fn adamw_two_steps_by_hand() {
    // The parameter starts at 1, and its gradients are 0.5 and -0.25. The numbers were computed with 40 decimal digits
    // from the formulas of the paper.
    check_adamw([0.5, 0.25], 1.0, [(0.899000002, 0.05, 0.00025), (0.8714672987058462, 0.02, 0.00031225)]);
}

#[test]
fn adamw_clips_by_the_norm_over_all_tensors() {
    // The norm belongs to all tensors, of which this is one: 4 in the first step, which clips the gradient to 1/8.
    let first = (0.8990000080000014, 0.012499996875000781, 1.562499218750297e-5);
    let second = (0.9347113681610419, -0.013750002812499297, 7.810936719531543e-5);
    check_adamw([4.0, 0.25], 1.0, [first, second]);
}

#[test]
fn adamw_without_clipping() {
    check_adamw([4.0, 0.25], 0.0, [(0.899000002, 0.05, 0.00025), (0.8714672987058462, 0.02, 0.00031225)]);
}

/// Two steps with gradients 0.5 and -0.25, after each of which parameter, m and v must be as given.
#[track_caller]
fn check_adamw(norms: [f64; 2], max_grad_norm: f64, want: [(f64, f64, f64); 2]) {
    let (mut param, mut m, mut v) = ([1.0], [0.0], [0.0]);
    for (i, (param_want, m_want, v_want)) in want.into_iter().enumerate() {
        let settings = AdamW { step: i as u32 + 1, max_grad_norm, ..SETTINGS };
        reference::adamw(&mut param, &[[0.5, -0.25][i]], &mut m, &mut v, norms[i], &settings);
        assert_close("param", &param, &[param_want], 1e-14);
        assert_close("m", &m, &[m_want], 1e-15);
        assert_close("v", &v, &[v_want], 1e-15);
    }
}

#[test]
fn adamw_with_zero_gradient_only_decays() {
    let (mut param, mut m, mut v) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
    reference::adamw(&mut param, &[0.0; 2], &mut m, &mut v, 0.0, &SETTINGS);
    assert_close("param", &param, &[0.999, -1.998], ROUNDING);
}

#[test]
fn adamw_refuses_a_norm_that_is_not_finite() {
    for norm in [f64::NAN, f64::INFINITY] {
        let (mut param, mut m, mut v) = ([1.0, 2.0], [0.1, 0.2], [0.3, 0.4]);
        reference::adamw(&mut param, &[1.0, f64::NAN], &mut m, &mut v, norm, &SETTINGS);
        assert_eq!((param, m, v), ([1.0, 2.0], [0.1, 0.2], [0.3, 0.4]));
    }
}

// Helpers.

/// The gradient of `f` at `x` by central differences.
fn numeric_gradient(f: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    let mut x = x.to_vec();
    let mut gradient = Vec::with_capacity(x.len());
    for i in 0..x.len() {
        let centre = x[i];
        // The cube root of f64's epsilon balances truncation against rounding.
        let step = f64::EPSILON.cbrt() * centre.abs().max(1.0);
        x[i] = centre + step;
        let above = f(&x);
        x[i] = centre - step;
        let below = f(&x);
        x[i] = centre;
        gradient.push((above - below) / (2.0 * step));
    }
    gradient
}

/// Fails unless each element of `got` is within `tolerance`, relative to the larger of 1 and its size, of `want`.
#[track_caller]
fn assert_close(name: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}: number of elements");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(error <= tolerance, "{name}[{i}]: got {got}, want {want}, error {error:.1e} > {tolerance:.1e}");
    }
}

/// `len` numbers from -1 to 1, the same for the same seed (splitmix64).
fn random(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "a dot product needs two vectors of one length");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
