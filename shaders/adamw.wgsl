// AdamW with decoupled weight decay (Loshchilov & Hutter 2019; torch.optim.AdamW) after clipping by the global norm
// (torch.nn.utils.clip_grad_norm_).
//
//   g = grad * min(1, max_norm / (norm + 1e-6))
//   p = p (1 - lr wd);  m = m + (1-b1) (g - m);  v = b2 v + (1-b2) g^2
//   p = p - lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + eps)
//
// Grid    One invocation per vec4 of parameters.
// Reads   grad (N), metrics: loss at 0, norm at 1; if one of them is not finite nothing is changed
// Writes  param, m, v (N) in place
// Twin    reference::adamw

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

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> metrics: array<f32>;
@group(0) @binding(3) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> v: array<vec4<f32>>;

// Tests the bits, since a compiler may assume that no float is infinite or not a number.
fn finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.len4 || !finite(metrics[0]) || !finite(metrics[1]) {
        return;
    }
    var g = grad[i];
    if params.max_norm > 0.0 {
        g *= min(1.0, params.max_norm / (metrics[1] + 1e-6));
    }
    let new_m = m[i] + params.one_minus_beta1 * (g - m[i]);
    let new_v = params.beta2 * v[i] + params.one_minus_beta2 * g * g;
    m[i] = new_m;
    v[i] = new_v;
    let denominator = sqrt(new_v) * params.inv_sqrt_correction2 + params.epsilon;
    param[i] = param[i] * params.decay - params.step_size * new_m / denominator;
}
