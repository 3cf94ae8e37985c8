//! Every kernel against its f64 twin at ragged sizes; the twins are proved in `gradients.rs`.

mod common;

use common::gpu;
use pairtune::doctor::Check;
use pairtune::doctor::check::{self, Heads};
use pairtune::gpu::Dtype;
use pairtune::kernels::{self, Store, set_variant, variants};
use pollster::block_on;

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

#[test]
fn embedding() {
    let gpu = gpu();
    for dtype in DTYPES {
        for (rows, vocab, cols) in [(1, 5, 4), (37, 50, 68), (300, 1000, 128)] {
            assert_ok(block_on(check::embedding(&gpu, rows, vocab, cols, dtype)));
        }
    }
}

#[test]
fn matmul_forward() {
    let gpu = gpu();
    for dtype in DTYPES {
        for (m, n, k) in [(1, 1, 4), (7, 9, 12), (33, 65, 68), (130, 70, 260), (1, 200, 64), (3, 35, 516)] {
            for variant in variants(&gpu) {
                assert_ok(block_on(check::matmul_forward(&gpu, m, n, k, dtype, variant)));
            }
        }
    }
}

#[test]
fn matmul_backward_input() {
    let gpu = gpu();
    for dtype in DTYPES {
        for (m, n, k) in [(1, 1, 4), (7, 9, 12), (33, 65, 68), (130, 70, 260), (1, 200, 64), (3, 517, 36)] {
            for variant in variants(&gpu) {
                assert_ok(block_on(check::matmul_backward_input(&gpu, m, n, k, dtype, variant)));
            }
        }
    }
}

#[test]
fn matmul_backward_weight() {
    let gpu = gpu();
    for (m, n, k) in [(1, 4, 4), (5, 8, 12), (33, 12, 68), (130, 20, 260), (257, 260, 8)] {
        assert_ok(block_on(check::matmul_backward_weight(&gpu, m, n, k)));
    }
}

#[test]
fn rmsnorm_forward() {
    let gpu = gpu();
    // One vec4, a ragged last stride, a real width, more rows than one grid axis holds.
    for (rows, cols) in [(1, 4), (3, 260), (5, 896), (70_000, 8)] {
        assert_ok(block_on(check::rmsnorm_forward(&gpu, rows, cols)));
    }
}

#[test]
fn rmsnorm_backward() {
    let gpu = gpu();
    for (rows, cols) in [(1, 4), (3, 260), (5, 896), (70_000, 8)] {
        assert_ok(block_on(check::rmsnorm_backward(&gpu, rows, cols)));
    }
}

#[test]
fn rope() {
    let gpu = gpu();
    for (rows, heads, head_dim, first_row) in [(1, 1, 4, 0), (37, 3, 20, 5), (100, 4, 64, 0), (9, 2, 128, 1)] {
        assert_ok(block_on(check::rope(&gpu, rows, heads, head_dim, first_row)));
    }
}

/// Lone tokens, empty prompts, holes shorter and longer than a tile, several pairs in one tile, tiles across pairs.
const PAIRS: [&[[u32; 3]]; 5] = [
    &[[1, 1, 1]],
    &[[0, 3, 2], [2, 1, 4], [7, 30, 11]],
    &[[40, 90, 70]],
    &[[33, 31, 65], [1, 64, 32], [10, 5, 0]],
    &[[3, 200, 5], [100, 2, 2]],
];

/// Multi-head, grouped-query, multi-query; heads narrower and wider than a tile of columns.
const HEADS: [Heads; 4] = [
    Heads { heads: 1, kv_heads: 1, head_dim: 4 },
    Heads { heads: 4, kv_heads: 2, head_dim: 20 },
    Heads { heads: 3, kv_heads: 1, head_dim: 64 },
    Heads { heads: 2, kv_heads: 2, head_dim: 132 },
];

#[test]
fn attention_forward() {
    let gpu = gpu();
    for pairs in PAIRS {
        for heads in HEADS {
            assert_ok(block_on(check::attention_forward(&gpu, pairs, heads, 0)));
        }
    }
}

#[test]
fn attention_forward_of_the_last_rows() {
    let gpu = gpu();
    for (tokens, first_row) in [(1, 0), (2, 1), (100, 99), (130, 64), (65, 30)] {
        assert_ok(block_on(check::attention_forward(&gpu, &[[tokens, 0, 0]], HEADS[1], first_row)));
    }
}

#[test]
fn attention_backward_delta() {
    let gpu = gpu();
    for (rows, heads, head_dim) in [(1, 1, 4), (37, 3, 20), (100, 4, 64)] {
        assert_ok(block_on(check::attention_backward_delta(&gpu, rows, heads, head_dim)));
    }
}

#[test]
fn attention_backward_q() {
    let gpu = gpu();
    for pairs in PAIRS {
        for heads in HEADS {
            assert_ok(block_on(check::attention_backward_q(&gpu, pairs, heads)));
        }
    }
}

#[test]
fn attention_backward_kv() {
    let gpu = gpu();
    for pairs in PAIRS {
        for heads in HEADS {
            assert_ok(block_on(check::attention_backward_kv(&gpu, pairs, heads)));
        }
    }
}

#[test]
fn add() {
    let gpu = gpu();
    for fours in [1, 63, 65, 5000] {
        assert_ok(block_on(check::add(&gpu, fours)));
    }
}

#[test]
fn bias() {
    let gpu = gpu();
    for (rows, cols) in [(1, 4), (37, 68), (3, 260)] {
        assert_ok(block_on(check::bias(&gpu, rows, cols)));
    }
}

#[test]
fn gather_rows() {
    let gpu = gpu();
    for (rows, cols) in [(1, 4), (37, 68), (300, 260)] {
        assert_ok(block_on(check::gather_rows(&gpu, rows, cols)));
    }
}

#[test]
fn scatter_rows() {
    let gpu = gpu();
    for (rows, cols) in [(1, 4), (37, 68), (300, 260)] {
        assert_ok(block_on(check::scatter_rows(&gpu, rows, cols)));
    }
}

#[test]
fn swiglu_forward() {
    let gpu = gpu();
    for fours in [1, 63, 65, 5000] {
        assert_ok(block_on(check::swiglu_forward(&gpu, fours)));
    }
}

#[test]
fn swiglu_backward() {
    let gpu = gpu();
    for fours in [1, 63, 65, 5000] {
        assert_ok(block_on(check::swiglu_backward(&gpu, fours)));
    }
}

#[test]
fn logprob_forward() {
    let gpu = gpu();
    for (rows, vocab, hidden) in [(1, 5, 4), (9, 97, 12), (37, 1001, 68), (3, 5000, 260)] {
        assert_ok(block_on(check::logprob_forward(&gpu, rows, vocab, hidden)));
    }
}

#[test]
fn logprob_finish() {
    let gpu = gpu();
    for (rows, vocab, hidden) in [(1, 5, 4), (9, 97, 12), (37, 1001, 68), (3, 5000, 260)] {
        assert_ok(block_on(check::logprob_finish(&gpu, rows, vocab, hidden)));
    }
}

#[test]
fn logprob_backward() {
    let gpu = gpu();
    for (rows, hidden) in [(3, 4), (37, 68), (300, 260)] {
        assert_ok(block_on(check::logprob_backward(&gpu, rows, hidden)));
    }
}

#[test]
fn sequence_sum() {
    let gpu = gpu();
    for (sequences, longest) in [(2, 1), (6, 50), (19, 1024)] {
        assert_ok(block_on(check::sequence_sum(&gpu, sequences, longest)));
    }
}

#[test]
fn preference() {
    let gpu = gpu();
    for kind in 0..6 {
        let mut weights = [0.0; 6];
        weights[kind] = 1.0;
        for pairs in [1, 2, 7] {
            assert_ok(block_on(check::preference(&gpu, pairs, weights)));
        }
    }
    assert_ok(block_on(check::preference(&gpu, 5, [1.0, 0.5, 0.25, 2.0, 0.75, 0.5])));
}

#[test]
fn grad_norm() {
    let gpu = gpu();
    for lengths in [&[1][..], &[1000, 70_000], &[3, 64, 4097]] {
        assert_ok(block_on(check::grad_norm(&gpu, lengths)));
    }
}

#[test]
fn adamw() {
    let gpu = gpu();
    for fours in [1, 65, 5000] {
        assert_ok(block_on(check::adamw(&gpu, fours, 4)));
    }
}

#[test]
fn fma_peak() {
    assert_ok(block_on(check::fma_peak(&gpu(), 3)));
}

/// Fails with the kernel's name and numbers.
#[track_caller]
fn assert_ok(check: pairtune::Result<Check>) {
    let check = check.expect("the device works");
    assert!(check.ok, "{}: error {:.2e}, tolerance {:.2e}", check.name, check.error, check.tolerance);
}

/// Which variant autotune takes must not show in the numbers: a resumed run may take another.
#[test]
fn matmul_variants_agree_to_the_last_bit() {
    let gpu = gpu();
    let wave = |len: u32, step: f32| -> Vec<f32> { (0..len).map(|i| (i as f32 * step).sin()).collect() };
    let (m, n, k) = (70, 132, 260);
    let x = gpu.upload("x", m, k, Dtype::F32, &wave(m * k, 0.7));
    let w = gpu.upload("w", n, k, Dtype::F32, &wave(n * k, 1.3));
    let (y, dx) = (gpu.zeros("y", m, n, Dtype::F32), gpu.zeros("dx", m, k, Dtype::F32));
    let mut results = Vec::new();
    for variant in variants(&gpu) {
        set_variant(&gpu, variant);
        let mut rec = gpu.recorder();
        kernels::matmul_forward(&mut rec, &x, &w, 0.5, Store::Set, 0, &y);
        kernels::matmul_backward_input(&mut rec, &y, &w, 0.5, Store::Set, 0, &dx);
        rec.submit();
        let read = |tensor| block_on(gpu.read(tensor)).expect("the device works");
        results.push((variant, read(&y), read(&dx)));
    }
    for (variant, y, dx) in &results {
        assert!(*y == results[0].1 && *dx == results[0].2, "{variant:?} differs from {:?}", results[0].0);
    }
}
