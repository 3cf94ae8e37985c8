// SwiGLU, backward.
//
//   dgate = dy * up * s * (1 + gate * (1 - s)),  dup = dy * gate * s,    s = sigmoid(gate)
//
// Grid    One invocation per vec4.
// Reads   dy
// Writes  gate, up: replaced in place by dgate and dup, which have the same shape and are needed instead of them
// Twin    reference::swiglu_backward

struct Params {
    len4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gate: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> up: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.len4 {
        return;
    }
    let g = gate[i];
    let sigmoid = 1.0 / (1.0 + exp(min(-g, vec4<f32>(80.0))));
    let dup = dy[i] * g * sigmoid;
    gate[i] = dy[i] * up[i] * sigmoid * (1.0 + g * (1.0 - sigmoid));
    up[i] = dup;
}
