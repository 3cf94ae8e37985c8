// Global gradient norm, in two rounds.
//
//   round 1  partials[at + g] = sum of squares of the gradients that workgroup g strides over
//   round 2  metrics[1] = sqrt(sum of the partials)
//
// Grid    Round 1: `groups` workgroups; round 2: one.
// Reads   grads (N): gradients in round 1, the partials in round 2
// Writes  out: partials = in round 1, metrics = in round 2
// Twin    reference::grad_norm
// With    lib/reduce.wgsl

struct Params {
    len: u32,
    at: u32,
    finish: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grads: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var sum = 0.0;
    for (var i = group.x * WG + lane; i < params.len; i += grid.x * WG) {
        let value = grads[i];
        sum += select(value * value, value, params.finish != 0u);
    }
    let total = workgroup_sum(lane, sum);
    if lane == 0u {
        out[params.at + group.x] = select(total, sqrt(total), params.finish != 0u);
    }
}
