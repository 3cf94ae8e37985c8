//! Every kernel against its f64 twin at ragged sizes, natively and in the browser; the twins are proved in
//! `gradients.rs`. In the browser: `cargo test --release --target wasm32-unknown-unknown --test kernels`.

use pairtune::doctor::Check;
use pairtune::doctor::check::{self, Heads};
use pairtune::gpu::{AdapterChoice, Dtype, Gpu};
use pairtune::kernels::{self, Store, set_variant, variants};

/// One test in both worlds.
macro_rules! everywhere {
    (async fn $name:ident() $body:block) => {
        #[cfg(not(target_arch = "wasm32"))]
        #[test]
        fn $name() {
            pollster::block_on(async $body);
        }

        #[cfg(target_arch = "wasm32")]
        #[wasm_bindgen_test::wasm_bindgen_test]
        async fn $name() $body
    };
}

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// A device. There is no skipping: without an adapter the tests fail and say what to install.
async fn gpu() -> Gpu {
    let choice = AdapterChoice { name: std::env::var("PAIRTUNE_ADAPTER").ok() };
    Gpu::new(&choice).await.expect("the tests need a GPU or a software driver")
}

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

everywhere! {
    async fn embedding() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (rows, vocab, cols) in [(1, 5, 4), (37, 50, 68), (300, 1000, 128)] {
                assert_ok(check::embedding(&gpu, rows, vocab, cols, dtype).await);
            }
        }
    }
}

everywhere! {
    async fn matmul_forward() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (m, n, k) in [(1, 1, 4), (7, 9, 12), (33, 65, 68), (130, 70, 260), (1, 200, 64), (3, 35, 516)] {
                for variant in variants(&gpu) {
                    assert_ok(check::matmul_forward(&gpu, m, n, k, dtype, variant).await);
                }
            }
        }
    }
}

everywhere! {
    async fn matmul_backward_input() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (m, n, k) in [(1, 1, 4), (7, 9, 12), (33, 65, 68), (130, 70, 260), (1, 200, 64), (3, 517, 36)] {
                for variant in variants(&gpu) {
                    assert_ok(check::matmul_backward_input(&gpu, m, n, k, dtype, variant).await);
                }
            }
        }
    }
}

everywhere! {
    async fn matmul_backward_weight() {
        let gpu = gpu().await;
        for (m, n, k) in [(1, 4, 4), (5, 8, 12), (33, 12, 68), (130, 20, 260), (257, 260, 8)] {
            assert_ok(check::matmul_backward_weight(&gpu, m, n, k).await);
        }
    }
}

everywhere! {
    async fn rmsnorm_forward() {
        let gpu = gpu().await;
        // One vec4, a ragged last stride, a real width, more rows than one grid axis holds.
        for (rows, cols) in [(1, 4), (3, 260), (5, 896), (70_000, 8)] {
            assert_ok(check::rmsnorm_forward(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn rmsnorm_backward() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (3, 260), (5, 896), (70_000, 8)] {
            assert_ok(check::rmsnorm_backward(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn rope() {
        let gpu = gpu().await;
        for (rows, heads, head_dim, first_row) in [(1, 1, 4, 0), (37, 3, 20, 5), (100, 4, 64, 0), (9, 2, 128, 1)] {
            assert_ok(check::rope(&gpu, rows, heads, head_dim, first_row).await);
        }
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

everywhere! {
    async fn attention_forward() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for heads in HEADS {
                assert_ok(check::attention_forward(&gpu, pairs, heads, 0).await);
            }
        }
    }
}

everywhere! {
    async fn attention_forward_of_the_last_rows() {
        let gpu = gpu().await;
        for (tokens, first_row) in [(1, 0), (2, 1), (100, 99), (130, 64), (65, 30)] {
            assert_ok(check::attention_forward(&gpu, &[[tokens, 0, 0]], HEADS[1], first_row).await);
        }
    }
}

everywhere! {
    async fn attention_backward_delta() {
        let gpu = gpu().await;
        for (rows, heads, head_dim) in [(1, 1, 4), (37, 3, 20), (100, 4, 64)] {
            assert_ok(check::attention_backward_delta(&gpu, rows, heads, head_dim).await);
        }
    }
}

everywhere! {
    async fn attention_backward_q() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for heads in HEADS {
                assert_ok(check::attention_backward_q(&gpu, pairs, heads).await);
            }
        }
    }
}

everywhere! {
    async fn attention_backward_kv() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for heads in HEADS {
                assert_ok(check::attention_backward_kv(&gpu, pairs, heads).await);
            }
        }
    }
}

everywhere! {
    async fn add() {
        let gpu = gpu().await;
        for fours in [1, 63, 65, 5000] {
            assert_ok(check::add(&gpu, fours).await);
        }
    }
}

everywhere! {
    async fn bias() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (37, 68), (3, 260)] {
            assert_ok(check::bias(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn gather_rows() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (37, 68), (300, 260)] {
            assert_ok(check::gather_rows(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn scatter_rows() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (37, 68), (300, 260)] {
            assert_ok(check::scatter_rows(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn swiglu_forward() {
        let gpu = gpu().await;
        for fours in [1, 63, 65, 5000] {
            assert_ok(check::swiglu_forward(&gpu, fours).await);
        }
    }
}

everywhere! {
    async fn swiglu_backward() {
        let gpu = gpu().await;
        for fours in [1, 63, 65, 5000] {
            assert_ok(check::swiglu_backward(&gpu, fours).await);
        }
    }
}

everywhere! {
    async fn logprob_forward() {
        let gpu = gpu().await;
        for (rows, vocab, hidden) in [(1, 5, 4), (9, 97, 12), (37, 1001, 68), (3, 5000, 260)] {
            assert_ok(check::logprob_forward(&gpu, rows, vocab, hidden).await);
        }
    }
}

everywhere! {
    async fn logprob_finish() {
        let gpu = gpu().await;
        for (rows, vocab, hidden) in [(1, 5, 4), (9, 97, 12), (37, 1001, 68), (3, 5000, 260)] {
            assert_ok(check::logprob_finish(&gpu, rows, vocab, hidden).await);
        }
    }
}

everywhere! {
    async fn logprob_backward() {
        let gpu = gpu().await;
        for (rows, hidden) in [(3, 4), (37, 68), (300, 260)] {
            assert_ok(check::logprob_backward(&gpu, rows, hidden).await);
        }
    }
}

everywhere! {
    async fn sequence_sum() {
        let gpu = gpu().await;
        for (sequences, longest) in [(2, 1), (6, 50), (19, 1024)] {
            assert_ok(check::sequence_sum(&gpu, sequences, longest).await);
        }
    }
}

everywhere! {
    async fn preference() {
        let gpu = gpu().await;
        for kind in 0..6 {
            let mut weights = [0.0; 6];
            weights[kind] = 1.0;
            for pairs in [1, 2, 7] {
                assert_ok(check::preference(&gpu, pairs, weights).await);
            }
        }
        assert_ok(check::preference(&gpu, 5, [1.0, 0.5, 0.25, 2.0, 0.75, 0.5]).await);
    }
}

everywhere! {
    async fn grad_norm() {
        let gpu = gpu().await;
        for lengths in [&[1][..], &[1000, 70_000], &[3, 64, 4097]] {
            assert_ok(check::grad_norm(&gpu, lengths).await);
        }
    }
}

everywhere! {
    async fn adamw() {
        let gpu = gpu().await;
        for fours in [1, 65, 5000] {
            assert_ok(check::adamw(&gpu, fours, 4).await);
        }
    }
}

everywhere! {
    async fn fma_peak() {
        assert_ok(check::fma_peak(&gpu().await, 3).await);
    }
}

/// Fails with the kernel's name and numbers.
#[track_caller]
fn assert_ok(check: pairtune::Result<Check>) {
    let check = check.expect("the device works");
    assert!(check.ok, "{}: error {:.2e}, tolerance {:.2e}", check.name, check.error, check.tolerance);
}

// Which variant autotune takes must not show in the numbers: a resumed run may take another.
everywhere! {
    async fn matmul_variants_agree_to_the_last_bit() {
        let gpu = gpu().await;
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
            let read = async |tensor| gpu.read(tensor).await.expect("the device works");
            results.push((variant, read(&y).await, read(&dx).await));
        }
        for (variant, y, dx) in &results {
            let (first, y0, dx0) = &results[0];
            assert!(y == y0, "{variant:?} differs from {first:?} in y");
            assert!(dx == dx0, "{variant:?} differs from {first:?} in dx");
        }
    }
}
