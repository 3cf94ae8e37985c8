//! Layer 2: one function per WGSL operation. Each checks shapes and records a dispatch; none allocates.
//!
//! A function has the name of its shader in `shaders/`, of its f64 twin in `reference/` and of its test in
//! `tests/kernels.rs`. Arguments follow the shader's bindings: inputs, scalars, outputs. Knows nothing of models.

mod adamw;
mod attention;
mod embedding;
mod fma_peak;
mod logprob;
mod matmul;
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
pub use embedding::embedding;
pub use fma_peak::{FMAS_PER_ROUND, fma_peak};
pub use logprob::{logprob_backward, logprob_finish, logprob_forward};
pub use matmul::{
    Store, Variant, autotune, matmul_backward_input, matmul_backward_weight, matmul_forward, set_variant, variant,
    variants,
};
pub use pointwise::{add, bias, gather_rows, scatter_rows, swiglu_backward, swiglu_forward};
pub use preference::{LossWeights, METRICS, PreferenceSettings, metric, preference, sequence_sum};
pub use rmsnorm::{rmsnorm_backward, rmsnorm_forward};
pub use rope::rope;

use crate::gpu::Kernel;

/// Every kernel there is, variants included, for tests and `pairtune doctor`.
pub fn all() -> Vec<&'static Kernel> {
    let mut kernels = vec![
        &adamw::ADAMW,
        &adamw::GRAD_NORM,
        &attention::FORWARD,
        &attention::BACKWARD_DELTA,
        &attention::BACKWARD_Q,
        &attention::BACKWARD_KV,
        &fma_peak::FMA_PEAK,
        &logprob::FORWARD,
        &logprob::FINISH,
        &logprob::BACKWARD,
        &matmul::BACKWARD_WEIGHT,
        &pointwise::ADD,
        &pointwise::BIAS,
        &pointwise::GATHER_ROWS,
        &pointwise::SCATTER_ROWS,
        &pointwise::SWIGLU_FORWARD,
        &pointwise::SWIGLU_BACKWARD,
        &preference::PREFERENCE,
        &preference::SEQUENCE_SUM,
        &rmsnorm::FORWARD,
        &rmsnorm::BACKWARD,
        &rope::ROPE,
    ];
    for family in [
        &embedding::EMBEDDING,
        &matmul::FORWARD,
        &matmul::FORWARD_SUBGROUP,
        &matmul::FORWARD_WIDE,
        &matmul::BACKWARD_INPUT,
        &matmul::BACKWARD_INPUT_SUBGROUP,
        &matmul::BACKWARD_INPUT_WIDE,
    ] {
        kernels.extend(family);
    }
    kernels
}
