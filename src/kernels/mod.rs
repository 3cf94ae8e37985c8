//! Layer 2: one function per WGSL operation. Each checks shapes and records a dispatch; none allocates.
//!
//! A function has the name of its shader in `shaders/`, of its f64 twin in `reference/` and of its test in
//! `tests/kernels.rs`. Arguments follow the shader's bindings: inputs, scalars, outputs. Knows nothing of models.

mod activation;
mod adamw;
mod attention;
mod autotune;
mod decode;
mod dora;
mod embedding;
mod fma_peak;
mod grids;
mod kto;
mod layernorm;
mod logprob;
mod matmul;
mod matmul_variants;
mod ops;
mod pointwise;
mod policy;
mod ppo;
mod preference;
mod qk_norm;
mod quantise;
mod reward;
mod rloo;
mod rmsnorm;
mod rope;
mod short_conv;
mod value;
mod weight;

pub use activation::{Act, activation_backward, activation_forward, glu_backward, glu_forward};
pub use adamw::{AdamW, adamw, grad_norm};
pub use attention::{
    AttentionShape, Span, attention_backward_delta, attention_backward_kv, attention_backward_q, attention_forward,
    pack_spans,
};
pub use autotune::{Tuning, adopt, autotune, multiplies_right, tuning_key};
pub use decode::{MAX_HEAD_DIM, Sampling, attention_decode, cache_append, sample};
pub use dora::{dora_backward_lengths, dora_norms, scale_columns};
pub use embedding::{add_positions, embedding};
pub use fma_peak::{FMAS_PER_ROUND, fma_peak};
pub use kto::{KtoSettings, kto, kto_metric};
pub use layernorm::{layernorm_backward, layernorm_forward};
pub use logprob::{Logits, entropy_backward, logprob_backward, logprob_finish, logprob_forward};
pub use matmul::{
    Class, Epilogue, Partials, Segments, Store, lora_backward, matmul_backward_input, matmul_backward_weight,
    matmul_forward, scale_segments, sum_partials,
};
pub use ops::{all, op, ops};
pub use pointwise::{dropout, gather_rows, resize_heads, scaled_copy, scatter_rows, softcap};
pub use policy::{PolicyLoss, PolicySettings, policy, policy_metric};
pub use ppo::{ppo_metric, ppo_policy, ppo_value};
pub use preference::{
    Divergence, METRICS, PairLoss, PreferenceSettings, metric, pair_metrics, preference, sequence_sum, token_gradient,
    token_nll,
};
pub use qk_norm::{QkParts, qk_norm_backward, qk_norm_forward};
pub use quantise::{QUANTISED_TOGETHER, quantise, quantise_nf4, quantise_q4_0, quantise_q8_0};
pub use reward::{reward, reward_metric};
pub use rloo::rloo;
pub use rmsnorm::{rmsnorm_backward, rmsnorm_forward};
pub use rope::{Heads, rope};
pub use short_conv::{
    MAX_TAPS, ShortConv, conv_links, short_conv_append, short_conv_backward, short_conv_decode, short_conv_forward,
};
pub use value::{value_backward, value_backward_weight, value_forward};
