//! The one list of operations.

use super::{
    activation, adamw, attention, decode, dora, embedding, fma_peak, kto, layernorm, logprob, matmul, pointwise,
    policy, ppo, preference, qk_norm, quantise, reward, rloo, rmsnorm, rope, short_conv, value,
};
use crate::gpu::{Kernel, Op};

/// All operations.
pub fn ops() -> &'static [&'static Op] {
    static OPS: &[&Op] = &[
        &activation::ACTIVATION_FORWARD,
        &activation::ACTIVATION_BACKWARD,
        &activation::GLU_FORWARD,
        &activation::GLU_BACKWARD,
        &adamw::ADAMW,
        &adamw::GRAD_NORM,
        &attention::FORWARD,
        &attention::BACKWARD_DELTA,
        &attention::BACKWARD_Q,
        &attention::BACKWARD_KV,
        &decode::CACHE_APPEND,
        &decode::ATTENTION_DECODE,
        &decode::SAMPLE,
        &dora::NORMS,
        &dora::COLUMNS,
        &dora::LENGTHS,
        &embedding::ADD_POSITIONS,
        &embedding::EMBEDDING,
        &fma_peak::FMA_PEAK,
        &kto::KTO,
        &layernorm::FORWARD,
        &layernorm::BACKWARD,
        &logprob::FORWARD,
        &logprob::FINISH,
        &logprob::BACKWARD,
        &logprob::ENTROPY,
        &matmul::FORWARD,
        &matmul::BACKWARD_INPUT,
        &matmul::BACKWARD_WEIGHT,
        &matmul::LORA_BACKWARD,
        &matmul::SCALE_SEGMENTS,
        &matmul::SUM_PARTIALS,
        &pointwise::DROPOUT,
        &pointwise::GATHER_ROWS,
        &pointwise::RESIZE_HEADS,
        &pointwise::SCATTER_ROWS,
        &pointwise::SCALED_COPY,
        &pointwise::SOFTCAP,
        &policy::POLICY,
        &ppo::POLICY,
        &ppo::VALUE,
        &preference::PREFERENCE,
        &preference::PAIR_METRICS,
        &preference::SEQUENCE_SUM,
        &preference::TOKEN_GRADIENT,
        &preference::TOKEN_NLL,
        &qk_norm::FORWARD,
        &qk_norm::BACKWARD,
        &quantise::QUANTISE_Q8_0,
        &quantise::QUANTISE_Q4_0,
        &quantise::QUANTISE_NF4,
        &reward::REWARD,
        &rloo::RLOO,
        &rmsnorm::FORWARD,
        &rmsnorm::BACKWARD,
        &rope::ROPE,
        &short_conv::FORWARD,
        &short_conv::BACKWARD,
        &short_conv::APPEND,
        &short_conv::DECODE,
        &value::FORWARD,
        &value::BACKWARD,
        &value::BACKWARD_WEIGHT,
    ];
    OPS
}

/// The operation of this name; a missing one is the caller's fault.
pub fn op(name: &str) -> &'static Op {
    let found = ops().iter().find(|op| op.name == name);
    found.unwrap_or_else(|| unreachable!("there is no operation {name}"))
}

/// All kernels: all operations in all variants and formats.
pub fn all() -> impl Iterator<Item = Kernel> {
    ops().iter().flat_map(|op| op.kernels())
}
