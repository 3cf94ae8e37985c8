//! Layer 2: one function per WGSL operation. Each checks shapes and records a dispatch; none allocates.
//!
//! A function has the name of its shader in `shaders/`, of its f64 twin in `reference/` and of its test in
//! `tests/kernels.rs`. Arguments follow the shader's bindings: inputs, scalars, outputs. Knows nothing of models.

mod adamw;
mod attention;
mod autotune;
mod decode;
mod embedding;
mod fma_peak;
mod grids;
mod logprob;
mod matmul;
mod ops;
mod pointwise;
mod preference;
mod rmsnorm;
mod rope;
mod weight;

pub use adamw::{AdamW, adamw, grad_norm};
pub use attention::{
    AttentionShape, Span, attention_backward_delta, attention_backward_kv, attention_backward_q, attention_forward,
    pack_spans,
};
pub use autotune::{Tuning, adopt, autotune, tuning_key};
pub use decode::{MAX_HEAD_DIM, Sampling, attention_decode, cache_append, sample};
pub use embedding::embedding;
pub use fma_peak::{FMAS_PER_ROUND, fma_peak};
pub use logprob::{logprob_backward, logprob_finish, logprob_forward};
pub use matmul::{
    Class, Epilogue, Partials, Segments, Store, lora_backward, matmul_backward_input, matmul_backward_weight,
    matmul_forward, sum_partials,
};
pub use ops::{all, op, ops};
pub use pointwise::{gather_rows, scatter_rows, swiglu_backward, swiglu_forward};
pub use preference::{LossWeights, METRICS, PreferenceSettings, metric, preference, sequence_sum};
pub use rmsnorm::{rmsnorm_backward, rmsnorm_forward};
pub use rope::rope;
