//! One function per kernel: random inputs of the given sizes, the kernel, its twin, the largest difference.

mod all;
mod attention;
mod cases;
mod logprob;
mod loss;
mod matmul;
mod norms;
mod objectives;
mod pointwise;
mod policies;

pub use all::{check_all, each_variant};
pub use attention::{
    Heads, attention_backward_delta, attention_backward_kv, attention_backward_q, attention_decode, attention_forward,
    cache_append, rope,
};
pub use cases::Check;
pub use logprob::{LOGITS, SAMPLINGS, entropy_backward, logprob_backward, logprob_finish, logprob_forward, sample};
pub use loss::{adamw, grad_norm, pair_metrics, preference, sequence_sum, token_gradient, token_nll};
pub use matmul::{
    BLOCKS, dora_backward_lengths, dora_norms, dropout, lora_backward, matmul_backward_input, matmul_backward_weight,
    matmul_forward, quantise_nf4, quantise_q4_0, quantise_q8_0, scale_columns, scale_segments, sum_partials,
};
pub use norms::{
    layernorm_backward, layernorm_forward, qk_norm_backward, qk_norm_forward, rmsnorm_backward, rmsnorm_forward,
};
pub use objectives::*;
pub use pointwise::{
    activation_backward, activation_forward, add_positions, embedding, fma_peak, gather_rows, glu_backward,
    glu_forward, resize_heads, scaled_copy, scatter_rows, short_conv_append, short_conv_backward, short_conv_decode,
    short_conv_forward, softcap,
};
pub use policies::*;
