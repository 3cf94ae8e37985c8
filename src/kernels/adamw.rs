//! Global gradient norm, clipping and AdamW. Records `shaders/{grad_norm,adamw}.wgsl`; the CPU twin is
//! `reference::adamw`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, by_item, wgsl};
use super::preference::metric;
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Scalars of one AdamW step; names of transformers' `TrainingArguments`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Number of this step, from 1.
    pub step: u32,
}

/// Workgroups per block of gradients, each of which writes one partial sum.
const GROUPS: u32 = 64;

/// Writes the L2 norm over all blocks of gradients to `metrics[GRAD_NORM]`; `partials` holds 64 entries per block.
pub fn grad_norm(rec: &mut Recorder<'_>, blocks: &[&Tensor], partials: &Tensor, metrics: &Tensor) {
    let len = GROUPS * blocks.len() as u32;
    assert!(partials.len() >= len, "partials needs {len} entries");
    for (i, grads) in blocks.iter().enumerate() {
        let params = NormParams { len: grads.len(), at: GROUPS * i as u32, finish: 0 };
        rec.dispatch(&GRAD_NORM, &params, &[grads, partials], [GROUPS, 1, 1]);
    }
    let params = NormParams { len, at: metric::GRAD_NORM as u32, finish: 1 };
    rec.dispatch(&GRAD_NORM, &params, &[partials, metrics], [1, 1, 1]);
}

/// One AdamW step on a block of parameters, all of one length. The device reads loss and norm from `metrics`; if one of
/// them is not finite, nothing changes.
pub fn adamw(
    rec: &mut Recorder<'_>,
    grad: &Tensor,
    metrics: &Tensor,
    settings: &AdamW,
    param: &Tensor,
    m: &Tensor,
    v: &Tensor,
) {
    let len = param.len();
    assert_eq!([grad.len(), m.len(), v.len()], [len; 3], "grad, m and v need the length of param");
    assert_eq!(len % 4, 0, "parameters come in fours");
    let step = f64::from(settings.step);
    let correction1 = 1.0 - settings.beta1.powf(step);
    let correction2 = 1.0 - settings.beta2.powf(step);
    let params = Params {
        len4: len / 4,
        max_norm: settings.max_grad_norm as f32,
        decay: (1.0 - settings.learning_rate * settings.weight_decay) as f32,
        one_minus_beta1: (1.0 - settings.beta1) as f32,
        beta2: settings.beta2 as f32,
        one_minus_beta2: (1.0 - settings.beta2) as f32,
        step_size: (settings.learning_rate / correction1) as f32,
        inv_sqrt_correction2: (1.0 / correction2.sqrt()) as f32,
        epsilon: settings.epsilon as f32,
    };
    rec.dispatch(&ADAMW, &params, &[grad, metrics, param, m, v], [len / 4, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NormParams {
    len: u32,
    at: u32,
    finish: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len4: u32,
    max_norm: f32,
    decay: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    inv_sqrt_correction2: f32,
    epsilon: f32,
}

pub(super) static GRAD_NORM: Op = Op {
    name: "grad_norm",
    params_bytes: size_of::<NormParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/reduce", "grad_norm"), as_is)],
};

pub(super) static ADAMW: Op = Op {
    name: "adamw",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("adamw"), by_item)],
};
