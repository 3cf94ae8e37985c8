//! The CPU twins of all GPU kernels, as plain f64 loops over slices that read like the formula.
//!
//! A twin has the file name, the function name and the argument order of its kernel; it takes the kernel's inputs and
//! returns the kernel's outputs. `tests/gradients.rs` checks each backward pass here against central differences, and
//! the kernels are then compared with the twins. This layer sees nothing else of the crate.
//!
//! Shapes are row-major and written with these letters: `R` token rows of the packed batch, `C` columns, `H` hidden
//! size, `V` vocabulary, `T` scored tokens, `D` head dimension, `n` preference pairs; `d` in front of a name is the
//! gradient of the loss with respect to it. Log-probabilities, log-sum-exps and entropies are in nats; everything else
//! has no unit. Gradients are returned, never added to what is there.
//!
//! There is no padding. Each pair is laid out as prompt, chosen completion, rejected completion, and the prompt's rows
//! serve both sides; [`Span`] says which rows see which.

mod activation;
mod adamw;
mod attention;
mod decode;
mod dora;
mod embedding;
mod fma_peak;
mod kto;
mod layernorm;
mod logprob;
mod matmul;
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

pub use activation::{Act, Glu, activation_backward, activation_forward, glu_backward, glu_forward};
pub use adamw::{AdamW, adamw, grad_norm};
pub use attention::{
    Attention, AttentionShape, Span, attention_backward_delta, attention_backward_kv, attention_backward_q,
    attention_forward,
};
pub use decode::{attention_decode, cache_append, sample};
pub use dora::{dora_backward_lengths, dora_norms, scale_columns};
pub use embedding::{add_positions, embedding};
pub use fma_peak::fma_peak;
pub use kto::{Kto, KtoMeans, KtoSettings, kto};
pub use layernorm::{LayerNorm, layernorm_backward, layernorm_forward};
pub use logprob::{Cap, LogProb, LogProbState, entropy_backward, logprob_backward, logprob_finish, logprob_forward};
pub use matmul::{
    Segments, lora_backward, lora_backward_weight, lora_forward, matmul_backward_input, matmul_backward_weight,
    matmul_forward, scale_segments, sum_partials,
};
pub use pointwise::{dropout, gather_rows, resize_heads, scaled_copy, scatter_rows, softcap};
pub use policy::{Policy, PolicyLoss, PolicySettings, policy};
pub use ppo::{PpoPolicy, PpoValue, ppo_policy, ppo_value};
pub use preference::{
    Divergence, PairLoss, PairMetrics, Pairs, PreferenceSettings, pair_metrics, preference, sequence_sum,
    token_gradient, token_nll,
};
pub use qk_norm::{qk_norm_backward, qk_norm_forward};
pub use quantise::{NF4, nf4_values, quantise_nf4, quantise_q4_0, quantise_q8_0};
pub use reward::{Reward, reward};
pub use rloo::{Rloo, rloo};
pub use rmsnorm::{RmsNorm, rmsnorm_backward, rmsnorm_forward};
pub use rope::rope;
pub use short_conv::{ShortConv, short_conv_append, short_conv_backward, short_conv_decode, short_conv_forward};
pub use value::{value_backward, value_backward_weight, value_forward};
