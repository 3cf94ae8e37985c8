// Activation of an MLP without a gate, backward.
//
//   dx = dy * act'(x)
//
// Grid    One invocation per vec4.
// Writes  x (items vec4): replaced in place by dx, which is needed instead of it; dy (items vec4): replaced in place by
//         y = act(x), the input of the layer whose gradient comes next
// Twin    reference::activation_backward
// With    lib/act_{silu,gelu,gelu_tanh,relu}.wgsl

struct Params {
    items: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.items {
        let value = x[i];
        x[i] = dy[i] * act_slope(value);
        dy[i] = act(value);
    }
}
