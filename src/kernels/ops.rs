//! The one list of operations.

use super::{adamw, attention, decode, embedding, fma_peak, logprob, matmul, pointwise, preference, rmsnorm, rope};
use crate::gpu::{Kernel, Op};

/// Every operation there is.
pub fn ops() -> &'static [&'static Op] {
    static OPS: &[&Op] = &[
        &adamw::ADAMW,
        &adamw::GRAD_NORM,
        &attention::FORWARD,
        &attention::BACKWARD_DELTA,
        &attention::BACKWARD_Q,
        &attention::BACKWARD_KV,
        &decode::CACHE_APPEND,
        &decode::ATTENTION_DECODE,
        &decode::SAMPLE,
        &embedding::EMBEDDING,
        &fma_peak::FMA_PEAK,
        &logprob::FORWARD,
        &logprob::FINISH,
        &logprob::BACKWARD,
        &matmul::FORWARD,
        &matmul::BACKWARD_INPUT,
        &matmul::BACKWARD_WEIGHT,
        &matmul::LORA_BACKWARD,
        &matmul::SUM_PARTIALS,
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
    OPS
}

/// The operation of this name; the caller's fault if there is none.
pub fn op(name: &str) -> &'static Op {
    let found = ops().iter().find(|op| op.name == name);
    found.unwrap_or_else(|| unreachable!("there is no operation {name}"))
}

/// Every kernel there is: all operations in all variants and formats.
pub fn all() -> impl Iterator<Item = Kernel> {
    ops().iter().flat_map(|op| op.kernels())
}
