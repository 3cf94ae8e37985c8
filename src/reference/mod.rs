//! The CPU twins: every GPU kernel once more, as plain f64 loops over slices that read like the formula.
//!
//! A twin has the file name, the function name and the argument order of its kernel, takes what the kernel reads and
//! returns what the kernel writes. `tests/gradients.rs` proves each backward pass here against central differences,
//! and the kernels are then compared with the twins. This layer sees nothing else of the crate.
//!
//! Shapes are row-major and written with these letters: `R` token rows of the packed batch, `C` columns, `H` hidden
//! size, `V` vocabulary, `T` scored tokens, `D` head dimension, `n` preference pairs; `d` in front of a name is the
//! gradient of the loss with respect to it. Log-probabilities, log-sum-exps and entropies are in nats; everything else
//! has no unit. Gradients are returned, never added to what is there.
//!
//! There is no padding. Each pair is laid out as prompt, chosen completion, rejected completion, and the prompt's rows
//! serve both sides; [`Span`] says which rows see which.

mod adamw;
mod attention;
mod decode;
mod embedding;
mod fma_peak;
mod logprob;
mod matmul;
mod pointwise;
mod preference;
mod rmsnorm;
mod rope;

pub use adamw::{AdamW, adamw, grad_norm};
pub use attention::{
    Attention, AttentionShape, Span, attention_backward_delta, attention_backward_kv, attention_backward_q,
    attention_forward,
};
pub use decode::{attention_decode, cache_append, sample};
pub use embedding::embedding;
pub use fma_peak::fma_peak;
pub use logprob::{LogProb, LogProbState, logprob_backward, logprob_finish, logprob_forward};
pub use matmul::{
    Segments, lora_backward, lora_backward_weight, lora_forward, matmul_backward_input, matmul_backward_weight,
    matmul_forward, sum_partials,
};
pub use pointwise::{SwiGlu, gather_rows, scatter_rows, swiglu_backward, swiglu_forward};
pub use preference::{LossWeights, Preference, PreferenceSettings, preference, sequence_sum};
pub use rmsnorm::{RmsNorm, rmsnorm_backward, rmsnorm_forward};
pub use rope::rope;
