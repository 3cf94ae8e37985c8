//! Every kernel at one middling size, for `pairtune doctor`; each variant of an operation.

use super::attention::{
    Heads, attention_backward_delta, attention_backward_kv, attention_backward_q, attention_decode, attention_forward,
    cache_append, rope,
};
use super::cases::Check;
use super::logprob::{LOGITS, SAMPLINGS, entropy_backward, logprob_backward, logprob_finish, logprob_forward, sample};
use super::loss::{adamw, grad_norm, pair_metrics, preference, sequence_sum, token_gradient, token_nll};
use super::matmul::{
    BLOCKS, dora_backward_lengths, dora_norms, dropout, lora_backward, matmul_backward_input, matmul_backward_weight,
    matmul_forward, quantise_nf4, quantise_q4_0, quantise_q8_0, scale_columns, scale_segments, sum_partials,
};
use super::norms::{
    layernorm_backward, layernorm_forward, qk_norm_backward, qk_norm_forward, rmsnorm_backward, rmsnorm_forward,
};
use super::objectives::check_objectives;
use super::pointwise::{
    activation_backward, activation_forward, add_positions, embedding, fma_peak, gather_rows, glu_backward,
    glu_forward, resize_heads, scaled_copy, scatter_rows, short_conv_append, short_conv_backward, short_conv_decode,
    short_conv_forward, softcap,
};
use super::policies::check_policies;
use crate::error::Result;
use crate::gpu::{Dtype, Gpu};
use crate::kernels;

/// Every kernel at one middling, ragged size.
pub async fn check_all(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(embedding(gpu, 37, 50, 68, dtype).await?);
        checks.push(add_positions(gpu, 37, 50, 68, dtype).await?);
        checks
            .extend(each_variant(gpu, "matmul_forward", async || matmul_forward(gpu, 37, 70, 132, dtype).await).await?);
        let backward = async || matmul_backward_input(gpu, 37, 70, 132, dtype).await;
        checks.extend(each_variant(gpu, "matmul_backward_input", backward).await?);
    }
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(quantise_q8_0(gpu, 37, 192, dtype).await?);
        checks.push(quantise_q4_0(gpu, 37, 192, dtype).await?);
        checks.push(quantise_nf4(gpu, 37, 192, dtype).await?);
    }
    for dtype in BLOCKS {
        checks.push(embedding(gpu, 37, 50, 256, dtype).await?);
        checks.push(matmul_forward(gpu, 37, 70, 256, dtype).await?);
        checks.push(matmul_backward_input(gpu, 37, 70, 256, dtype).await?);
    }
    let lora = async || lora_backward(gpu, 37, 12).await;
    checks.extend(each_variant(gpu, "lora_backward", lora).await?);
    let weight = async || matmul_backward_weight(gpu, 333, 12, 68).await;
    checks.extend(each_variant(gpu, "matmul_backward_weight", weight).await?);
    checks.push(sum_partials(gpu, 333, 68).await?);
    checks.push(scale_segments(gpu, 37, 12).await?);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        checks.push(dora_norms(gpu, 72, 132, dtype).await?);
    }
    for dtype in BLOCKS {
        checks.push(dora_norms(gpu, 72, 256, dtype).await?);
    }
    checks.push(scale_columns(gpu, 37, 68).await?);
    checks.push(dora_backward_lengths(gpu, 333, 68).await?);
    checks.push(rmsnorm_forward(gpu, 37, 260).await?);
    checks.push(rmsnorm_backward(gpu, 37, 260).await?);
    checks.push(layernorm_forward(gpu, 37, 260).await?);
    checks.push(layernorm_backward(gpu, 37, 260).await?);
    for whole in [false, true] {
        checks.push(qk_norm_forward(gpu, 37, Heads::new(4, 2, 20), whole).await?);
        checks.push(qk_norm_backward(gpu, 37, Heads::new(4, 2, 20), whole).await?);
    }
    checks.push(rope(gpu, 37, 3, 20, 12).await?);
    for heads in [Heads::new(4, 2, 20), Heads { window: 9, softcap: 0.5, ..Heads::new(4, 2, 20) }] {
        checks.extend(check_attention(gpu, heads).await?);
    }
    checks.push(cache_append(gpu, 7, Heads::new(4, 2, 20)).await?);
    for sampling in SAMPLINGS {
        checks.push(sample(gpu, 2, 101, sampling).await?);
    }
    checks.extend(rows_and_activations(gpu).await?);
    checks.extend(scores_and_steps(gpu).await?);
    Ok(checks)
}

/// Checks the operations between the matrices of a layer.
async fn rows_and_activations(gpu: &Gpu) -> Result<Vec<Check>> {
    let pairs = &[[5, 20, 31], [1, 3, 9]];
    let mut checks = Vec::new();
    checks.push(gather_rows(gpu, 37, 68).await?);
    checks.push(scatter_rows(gpu, 37, 68).await?);
    checks.push(scaled_copy(gpu, 37, 68).await?);
    for bias in [false, true] {
        checks.push(short_conv_forward(gpu, pairs, 20, 3, bias).await?);
        checks.push(short_conv_backward(gpu, pairs, 20, 3, bias).await?);
        checks.push(short_conv_decode(gpu, &[1, 2, 9], 20, 3, bias).await?);
    }
    checks.push(short_conv_append(gpu, 7, 20).await?);
    checks.push(softcap(gpu, 37, 68).await?);
    checks.push(resize_heads(gpu, 37, 3, 14, 16).await?);
    checks.push(dropout(gpu, 37, 68, 0.25).await?);
    for act in kernels::Act::ALL {
        checks.push(glu_forward(gpu, 37, 68, act).await?);
        checks.push(glu_backward(gpu, 37, 68, act).await?);
        checks.push(activation_forward(gpu, 37, 68, act).await?);
        checks.push(activation_backward(gpu, 37, 68, act).await?);
    }
    Ok(checks)
}

/// Checks log-probabilities, losses, and the optimiser's steps.
async fn scores_and_steps(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for kind in LOGITS {
        checks.push(logprob_forward(gpu, 37, 300, 68, kind).await?);
        checks.push(logprob_finish(gpu, 37, 300, 68, kind).await?);
        checks.push(entropy_backward(gpu, 37, 300, kind).await?);
    }
    checks.push(logprob_backward(gpu, 37, 68).await?);
    checks.push(sequence_sum(gpu, 6, 50).await?);
    checks.push(token_gradient(gpu, 6, 50).await?);
    for loss in kernels::PairLoss::ALL {
        checks.push(preference(gpu, 5, loss, kernels::Divergence::ReverseKl, false).await?);
    }
    checks.push(pair_metrics(gpu, 5, false).await?);
    checks.push(token_nll(gpu, 5).await?);
    checks.extend(check_objectives(gpu).await?);
    checks.extend(check_policies(gpu).await?);
    checks.push(grad_norm(gpu, &[1000, 70_000]).await?);
    checks.push(adamw(gpu, 1001, 3).await?);
    checks.push(fma_peak(gpu, 3).await?);
    Ok(checks)
}

/// The kernels of attention, each variant of them.
async fn check_attention(gpu: &Gpu, heads: Heads) -> Result<Vec<Check>> {
    let pairs = &[[5, 20, 31], [1, 3, 9]];
    let mut checks =
        each_variant(gpu, "attention_forward", async || attention_forward(gpu, pairs, heads).await).await?;
    checks.push(attention_backward_delta(gpu, 37, 3, 20).await?);
    let backward_q = async || attention_backward_q(gpu, pairs, heads).await;
    checks.extend(each_variant(gpu, "attention_backward_q", backward_q).await?);
    let backward_kv = async || attention_backward_kv(gpu, pairs, heads).await;
    checks.extend(each_variant(gpu, "attention_backward_kv", backward_kv).await?);
    checks.push(attention_decode(gpu, &[1, 90, 130], heads).await?);
    Ok(checks)
}

/// The same check with each variant of an operation that the device can run.
pub async fn each_variant(gpu: &Gpu, op: &str, check: impl AsyncFn() -> Result<Check>) -> Result<Vec<Check>> {
    let op = kernels::op(op);
    let mut checks = Vec::new();
    for variant in gpu.variants(op) {
        gpu.force(op, Some(variant));
        checks.push(check().await);
    }
    gpu.force(op, None);
    checks.into_iter().collect()
}
