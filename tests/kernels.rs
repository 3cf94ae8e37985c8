//! Every kernel against its f64 twin at ragged sizes, natively and in the browser; the twins are proved in
//! `gradients.rs`. In the browser: `cargo test --release --target wasm32-unknown-unknown --test kernels`.

use pairtune::doctor::Check;
use pairtune::doctor::check::{self, Heads, each_variant};
use pairtune::gpu::{AdapterChoice, Dtype, Gpu};
use pairtune::kernels::{Act, Divergence, PairLoss};
#[cfg(not(target_arch = "wasm32"))]
use pairtune::{gpu::Variant, kernels};

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
    async fn add_positions() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (rows, positions, cols) in [(1, 5, 4), (37, 50, 68), (300, 1000, 128)] {
                assert_ok(check::add_positions(&gpu, rows, positions, cols, dtype).await);
            }
        }
    }
}

everywhere! {
    async fn matmul_forward() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (m, n, k) in [(1, 1, 4), (7, 9, 12), (33, 65, 68), (130, 70, 260), (1, 200, 64), (3, 35, 516)] {
                let check = async || check::matmul_forward(&gpu, m, n, k, dtype).await;
                assert_all_ok(each_variant(&gpu, "matmul_forward", check).await);
            }
        }
    }
}

/// Autotune runs this check before it takes a variant with cooperative matrices.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn a_variant_that_multiplies_wrongly_is_found_out() {
    static WRONG: Variant = Variant {
        name: "forgetful",
        ..Variant::only(
            &[
                include_str!("../shaders/lib/matmul_forward.wgsl"),
                "@compute @workgroup_size(1) fn main(@builtin(workgroup_id) at: vec3<u32>) { \
                 store(at.x, at.y, 0.0 * (weight(0u) + left[0] + u[0] + b[0])); }",
            ],
            |shape| shape,
        )
    };
    pollster::block_on(async {
        let gpu = gpu().await;
        let asks = async |op, variant| kernels::multiplies_right(&gpu, op, variant).await.expect("the device works");
        for name in ["matmul_forward", "matmul_backward_input"] {
            let op = kernels::op(name);
            for variant in gpu.variants(op) {
                assert!(asks(op, variant).await, "{name}.{} is right", variant.name);
            }
        }
        assert!(!asks(kernels::op("matmul_forward"), &WRONG).await, "zeros are wrong");
    });
}

everywhere! {
    async fn matmul_backward_input() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (m, n, k) in [(1, 1, 4), (7, 9, 12), (33, 65, 68), (130, 70, 260), (1, 200, 64), (3, 517, 36)] {
                let check = async || check::matmul_backward_input(&gpu, m, n, k, dtype).await;
                assert_all_ok(each_variant(&gpu, "matmul_backward_input", check).await);
            }
        }
    }
}

everywhere! {
    async fn weights_in_blocks() {
        let gpu = gpu().await;
        for dtype in check::BLOCKS {
            for (m, n, k) in [(1, 4, 256), (9, 70, 512)] {
                assert_ok(check::embedding(&gpu, m, n, k, dtype).await);
                assert_ok(check::matmul_forward(&gpu, m, n, k, dtype).await);
                assert_ok(check::matmul_backward_input(&gpu, m, n, k, dtype).await);
            }
        }
    }
}

everywhere! {
    async fn quantise_q8_0() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (rows, cols) in [(1, 64), (37, 192), (300, 576)] {
                assert_ok(check::quantise_q8_0(&gpu, rows, cols, dtype).await);
            }
        }
    }
}

everywhere! {
    async fn quantise_q4_0() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (rows, cols) in [(1, 64), (37, 192), (300, 576)] {
                assert_ok(check::quantise_q4_0(&gpu, rows, cols, dtype).await);
            }
        }
    }
}

everywhere! {
    async fn quantise_nf4() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (rows, cols) in [(1, 64), (37, 192), (300, 576)] {
                assert_ok(check::quantise_nf4(&gpu, rows, cols, dtype).await);
            }
        }
    }
}

/// A variant reads weights in the same way whatever their type: one type stands for all. The test runs natively alone,
/// since a browser takes minutes to compile the variants.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_variant_reads_blocks() {
    pollster::block_on(async {
        let gpu = gpu().await;
        let forward = async || check::matmul_forward(&gpu, 37, 70, 288, Dtype::Q8_0).await;
        assert_all_ok(each_variant(&gpu, "matmul_forward", forward).await);
        let backward = async || check::matmul_backward_input(&gpu, 37, 70, 288, Dtype::Q8_0).await;
        assert_all_ok(each_variant(&gpu, "matmul_backward_input", backward).await);
    });
}

everywhere! {
    async fn lora_backward() {
        let gpu = gpu().await;
        for (m, r) in [(1, 4), (33, 8), (130, 64), (257, 20)] {
            let check = async || check::lora_backward(&gpu, m, r).await;
            assert_all_ok(each_variant(&gpu, "lora_backward", check).await);
        }
    }
}

everywhere! {
    async fn matmul_backward_weight() {
        let gpu = gpu().await;
        // Fewer rows than a part has, several parts, and more rows than the largest number of parts has of the least.
        for (m, n, k) in [(1, 12, 4), (33, 12, 68), (130, 20, 260), (300, 260, 8), (2500, 68, 16)] {
            let check = async || check::matmul_backward_weight(&gpu, m, n, k).await;
            assert_all_ok(each_variant(&gpu, "matmul_backward_weight", check).await);
        }
    }
}

everywhere! {
    async fn sum_partials() {
        let gpu = gpu().await;
        for (rows, len) in [(1, 4), (300, 260), (5000, 1028)] {
            assert_ok(check::sum_partials(&gpu, rows, len).await);
        }
    }
}

everywhere! {
    async fn scale_segments() {
        let gpu = gpu().await;
        for (rows, width) in [(1, 4), (37, 12), (300, 64)] {
            assert_ok(check::scale_segments(&gpu, rows, width).await);
        }
    }
}

everywhere! {
    async fn dora_norms() {
        let gpu = gpu().await;
        for dtype in DTYPES {
            for (n, k) in [(12, 4), (72, 132), (600, 260)] {
                assert_ok(check::dora_norms(&gpu, n, k, dtype).await);
            }
        }
        for dtype in check::BLOCKS {
            assert_ok(check::dora_norms(&gpu, 72, 256, dtype).await);
        }
    }
}

everywhere! {
    async fn dropout() {
        let gpu = gpu().await;
        for (rows, cols, rate) in [(1, 4, 0.0), (37, 68, 0.25), (3000, 1024, 0.9)] {
            assert_ok(check::dropout(&gpu, rows, cols, rate).await);
        }
    }
}

everywhere! {
    async fn scale_columns() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (37, 68), (3000, 1024)] {
            assert_ok(check::scale_columns(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn dora_backward_lengths() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (333, 68), (5000, 1028)] {
            assert_ok(check::dora_backward_lengths(&gpu, rows, cols).await);
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
    async fn layernorm_forward() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (3, 260), (5, 896), (70_000, 8)] {
            assert_ok(check::layernorm_forward(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn layernorm_backward() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (3, 260), (5, 896), (70_000, 8)] {
            assert_ok(check::layernorm_backward(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn qk_norm_forward() {
        let gpu = gpu().await;
        for heads in [Heads::new(1, 1, 4), Heads::new(4, 2, 20), Heads::new(6, 2, 128)] {
            for rows in [1, 37, 300] {
                for whole in [false, true] {
                    assert_ok(check::qk_norm_forward(&gpu, rows, heads, whole).await);
                }
            }
        }
    }
}

everywhere! {
    async fn qk_norm_backward() {
        let gpu = gpu().await;
        for heads in [Heads::new(1, 1, 4), Heads::new(4, 2, 20), Heads::new(6, 2, 128)] {
            for rows in [1, 37, 300] {
                for whole in [false, true] {
                    assert_ok(check::qk_norm_backward(&gpu, rows, heads, whole).await);
                }
            }
        }
    }
}

everywhere! {
    async fn rope() {
        let gpu = gpu().await;
        for (rows, heads, head_dim, rotary_dim) in [(1, 1, 4, 4), (37, 3, 20, 6), (100, 4, 64, 64), (9, 2, 128, 32)] {
            assert_ok(check::rope(&gpu, rows, heads, head_dim, rotary_dim).await);
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

/// Multi-head, grouped-query, multi-query; heads narrower and wider than a tile of columns; caps and windows.
const HEADS: [Heads; 8] = [
    Heads::new(1, 1, 4),
    Heads::new(4, 2, 20),
    Heads::new(3, 1, 64),
    Heads::new(2, 2, 132),
    Heads::new(2, 1, 256),
    Heads { softcap: 0.5, ..Heads::new(2, 1, 64) },
    Heads { window: 7, ..Heads::new(4, 2, 20) },
    Heads { window: 40, softcap: 2.0, ..Heads::new(2, 2, 132) },
];

everywhere! {
    async fn attention_forward() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for heads in HEADS {
                let check = async || check::attention_forward(&gpu, pairs, heads).await;
                assert_all_ok(each_variant(&gpu, "attention_forward", check).await);
            }
        }
    }
}

everywhere! {
    async fn cache_append() {
        let gpu = gpu().await;
        for rows in [1, 16, 70] {
            for heads in HEADS {
                assert_ok(check::cache_append(&gpu, rows, heads).await);
            }
        }
    }
}

everywhere! {
    async fn attention_decode() {
        let gpu = gpu().await;
        for heads in HEADS {
            for lengths in [&[1][..], &[63, 64, 65], &[1, 300, 2, 129]] {
                assert_ok(check::attention_decode(&gpu, lengths, heads).await);
            }
        }
    }
}

everywhere! {
    async fn short_conv_forward() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for (cols, taps, bias) in [(4, 2, false), (20, 3, true), (68, 4, true)] {
                assert_ok(check::short_conv_forward(&gpu, pairs, cols, taps, bias).await);
            }
        }
    }
}

everywhere! {
    async fn short_conv_backward() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for (cols, taps, bias) in [(4, 2, false), (20, 3, true), (68, 4, true)] {
                assert_ok(check::short_conv_backward(&gpu, pairs, cols, taps, bias).await);
            }
        }
    }
}

everywhere! {
    async fn short_conv_append() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (16, 20), (70, 68)] {
            assert_ok(check::short_conv_append(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn short_conv_decode() {
        let gpu = gpu().await;
        for lengths in [&[1][..], &[1, 2, 3], &[4, 30, 2]] {
            for (cols, taps, bias) in [(4, 2, false), (20, 3, true), (68, 4, true)] {
                assert_ok(check::short_conv_decode(&gpu, lengths, cols, taps, bias).await);
            }
        }
    }
}

everywhere! {
    async fn sample() {
        let gpu = gpu().await;
        for sampling in check::SAMPLINGS {
            for (rows, vocab) in [(1, 1), (3, 261)] {
                assert_ok(check::sample(&gpu, rows, vocab, sampling).await);
            }
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
                let check = async || check::attention_backward_q(&gpu, pairs, heads).await;
                assert_all_ok(each_variant(&gpu, "attention_backward_q", check).await);
            }
        }
    }
}

everywhere! {
    async fn attention_backward_kv() {
        let gpu = gpu().await;
        for pairs in PAIRS {
            for heads in HEADS {
                let check = async || check::attention_backward_kv(&gpu, pairs, heads).await;
                assert_all_ok(each_variant(&gpu, "attention_backward_kv", check).await);
            }
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
    async fn scaled_copy() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (37, 68)] {
            assert_ok(check::scaled_copy(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn resize_heads() {
        let gpu = gpu().await;
        for (rows, heads, from, to) in [(1, 1, 2, 4), (37, 8, 14, 16), (37, 8, 16, 14)] {
            assert_ok(check::resize_heads(&gpu, rows, heads, from, to).await);
        }
    }
}

everywhere! {
    async fn softcap() {
        let gpu = gpu().await;
        for (rows, cols) in [(1, 4), (37, 68)] {
            assert_ok(check::softcap(&gpu, rows, cols).await);
        }
    }
}

everywhere! {
    async fn glu_forward() {
        let gpu = gpu().await;
        for act in Act::ALL {
            for (rows, cols) in [(1, 4), (37, 68), (3, 5000)] {
                assert_ok(check::glu_forward(&gpu, rows, cols, act).await);
            }
        }
    }
}

everywhere! {
    async fn glu_backward() {
        let gpu = gpu().await;
        for act in Act::ALL {
            for (rows, cols) in [(1, 4), (37, 68), (3, 5000)] {
                assert_ok(check::glu_backward(&gpu, rows, cols, act).await);
            }
        }
    }
}

everywhere! {
    async fn activation_forward() {
        let gpu = gpu().await;
        for act in Act::ALL {
            for (rows, cols) in [(1, 4), (37, 68), (3, 5000)] {
                assert_ok(check::activation_forward(&gpu, rows, cols, act).await);
            }
        }
    }
}

everywhere! {
    async fn activation_backward() {
        let gpu = gpu().await;
        for act in Act::ALL {
            for (rows, cols) in [(1, 4), (37, 68), (3, 5000)] {
                assert_ok(check::activation_backward(&gpu, rows, cols, act).await);
            }
        }
    }
}

everywhere! {
    async fn logprob_forward() {
        let gpu = gpu().await;
        for kind in check::LOGITS {
            for (rows, vocab, hidden) in [(1, 5, 4), (9, 97, 12), (37, 1001, 68), (3, 5000, 260)] {
                assert_ok(check::logprob_forward(&gpu, rows, vocab, hidden, kind).await);
            }
        }
    }
}

everywhere! {
    async fn logprob_finish() {
        let gpu = gpu().await;
        for kind in check::LOGITS {
            for (rows, vocab, hidden) in [(1, 5, 4), (9, 97, 12), (37, 1001, 68), (3, 5000, 260)] {
                assert_ok(check::logprob_finish(&gpu, rows, vocab, hidden, kind).await);
            }
        }
    }
}

everywhere! {
    async fn entropy_backward() {
        let gpu = gpu().await;
        for kind in check::LOGITS {
            for (rows, vocab) in [(1, 5), (9, 97), (37, 1001), (3, 5000)] {
                assert_ok(check::entropy_backward(&gpu, rows, vocab, kind).await);
            }
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
    async fn token_gradient() {
        let gpu = gpu().await;
        for (sequences, longest) in [(2, 1), (6, 50), (19, 1024)] {
            assert_ok(check::token_gradient(&gpu, sequences, longest).await);
        }
    }
}

everywhere! {
    async fn preference() {
        let gpu = gpu().await;
        for loss in PairLoss::ALL {
            for pairs in [1, 2, 7] {
                assert_ok(check::preference(&gpu, pairs, loss, Divergence::ReverseKl, pairs == 2).await);
            }
        }
        let alphas = [Divergence::Alpha(0.5), Divergence::AlphaPo(0.25)];
        let divergences = [Divergence::ForwardKl, Divergence::JensenShannon].into_iter().chain(alphas);
        for divergence in divergences {
            for loss in [PairLoss::Sigmoid, PairLoss::SigmoidNorm, PairLoss::Ipo] {
                assert_ok(check::preference(&gpu, 5, loss, divergence, false).await);
            }
        }
    }
}

everywhere! {
    async fn pair_metrics() {
        let gpu = gpu().await;
        for (pairs, by_token) in [(1, false), (2, true), (7, false)] {
            assert_ok(check::pair_metrics(&gpu, pairs, by_token).await);
        }
    }
}

everywhere! {
    async fn token_nll() {
        let gpu = gpu().await;
        for sequences in [1, 2, 7] {
            assert_ok(check::token_nll(&gpu, sequences).await);
        }
    }
}

everywhere! {
    async fn value_forward() {
        let gpu = gpu().await;
        for (rows, hidden) in [(1, 4), (37, 68), (333, 900)] {
            assert_ok(check::value_forward(&gpu, rows, hidden).await);
        }
    }
}

everywhere! {
    async fn value_backward() {
        let gpu = gpu().await;
        for (rows, hidden) in [(1, 4), (37, 68), (333, 900)] {
            assert_ok(check::value_backward(&gpu, rows, hidden).await);
        }
    }
}

everywhere! {
    async fn value_backward_weight() {
        let gpu = gpu().await;
        for (rows, hidden) in [(1, 4), (37, 68), (2000, 900)] {
            assert_ok(check::value_backward_weight(&gpu, rows, hidden).await);
        }
    }
}

everywhere! {
    async fn reward() {
        let gpu = gpu().await;
        for centre in [0.0, 0.01] {
            for pairs in [1, 2, 7] {
                assert_ok(check::reward(&gpu, pairs, centre).await);
            }
        }
    }
}

everywhere! {
    async fn kto() {
        let gpu = gpu().await;
        for labels in check::KTO_LABELS {
            for mismatched in [false, true] {
                assert_ok(check::kto(&gpu, labels, mismatched).await);
            }
        }
    }
}

everywhere! {
    async fn policy() {
        let gpu = gpu().await;
        for settings in check::policies() {
            for lengths in check::LENGTHS {
                assert_ok(check::policy(&gpu, lengths, &settings).await);
            }
        }
    }
}

everywhere! {
    async fn rloo() {
        let gpu = gpu().await;
        for lengths in check::LENGTHS {
            for far in [0.0, 200.0] {
                assert_ok(check::rloo(&gpu, lengths, far).await);
            }
        }
    }
}

everywhere! {
    async fn ppo_policy() {
        let gpu = gpu().await;
        for tokens in [1, 64, 333, 5000] {
            assert_ok(check::ppo_policy(&gpu, tokens).await);
        }
    }
}

everywhere! {
    async fn ppo_value() {
        let gpu = gpu().await;
        for positions in [1, 64, 333, 5000] {
            assert_ok(check::ppo_value(&gpu, positions).await);
        }
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

/// Fails at the first of several.
#[track_caller]
fn assert_all_ok(checks: pairtune::Result<Vec<Check>>) {
    let checks = checks.expect("the device works");
    assert!(!checks.is_empty(), "something was checked");
    for check in checks {
        assert_ok(Ok(check));
    }
}
