// Activation of an MLP without a gate, forward.
//
//   y = act(x)
//
// Grid    One invocation per vec4.
// Reads   x (items vec4)
// Writes  y (items vec4) =
// Twin    reference::activation_forward
// With    lib/act_{silu,gelu,gelu_tanh,relu}.wgsl

struct Params {
    items: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.items {
        y[i] = act(x[i]);
    }
}
