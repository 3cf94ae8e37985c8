//! `AdamW` (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization") with clipping by the global norm, as
//! `torch.optim.AdamW` and `torch.nn.utils.clip_grad_norm_` compute them.

/// Settings of one optimiser step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment, outside the root.
    pub epsilon: f64,
    /// Decoupled decay: each step takes this times the learning rate off every parameter.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Number of this step, from 1.
    pub step: u32,
}

/// The Euclidean norm of `grads`, the gradients of all trained tensors one after the other.
pub fn grad_norm(grads: &[f64]) -> f64 {
    grads.iter().map(|g| g * g).sum::<f64>().sqrt()
}

/// Updates one tensor: `param`, its moments `m` and `v`, from its gradient `grad`; all of one shape.
///
/// `norm` is the [`grad_norm`] over all tensors, before clipping. If it is not finite, nothing changes. The gradient is
/// clipped to `g = grad min(1, max_grad_norm / (norm + 1e-6))`:
///
/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`, and
/// `param = param (1 - learning_rate weight_decay) - learning_rate m̂ / (sqrt(v̂) + epsilon)` with
/// `m̂ = m / (1 - beta1^step)`, `v̂ = v / (1 - beta2^step)`.
pub fn adamw(param: &mut [f64], grad: &[f64], m: &mut [f64], v: &mut [f64], norm: f64, settings: &AdamW) {
    if !norm.is_finite() {
        return;
    }
    let &AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm, step } = settings;
    let clip = if max_grad_norm > 0.0 { (max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    let correction1 = 1.0 - beta1.powf(f64::from(step));
    let correction2 = 1.0 - beta2.powf(f64::from(step));
    for (i, grad) in grad.iter().enumerate() {
        let g = grad * clip;
        m[i] = beta1 * m[i] + (1.0 - beta1) * g;
        v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
        let m_hat = m[i] / correction1;
        let v_hat = v[i] / correction2;
        param[i] -= learning_rate * weight_decay * param[i];
        param[i] -= learning_rate * m_hat / (v_hat.sqrt() + epsilon);
    }
}
