// SwiGLU, forward.
//
//   y = silu(gate) * up,    silu(g) = g / (1 + exp(-g))
//
// Grid    One invocation per vec4.
// Reads   gate, up
// Writes  y =
// Twin    reference::swiglu_forward

struct Params {
    len4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

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
    // exp of a large number would be infinite; at 80 the sigmoid has long been 0 to rounding.
    let sigmoid = 1.0 / (1.0 + exp(min(-gate[i], vec4<f32>(80.0))));
    y[i] = gate[i] * sigmoid * up[i];
}
