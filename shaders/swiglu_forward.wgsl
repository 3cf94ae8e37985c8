// SwiGLU, forward.
//
//   y = silu(gate) * up,    silu(g) = g / (1 + exp(-g))
//
// Grid    One invocation per vec4 of y.
// Reads   gate_up (R, 2C): gate, then up
// Writes  y (R,C) =
// Twin    reference::swiglu_forward

struct Params {
    rows: u32,
    cols4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.rows * params.cols4 {
        return;
    }
    let at = i + (i / params.cols4) * params.cols4;
    let gate = gate_up[at];
    // exp of a large number would be infinite; at 80 the sigmoid has long been 0 to rounding.
    let sigmoid = 1.0 / (1.0 + exp(min(-gate, vec4<f32>(80.0))));
    y[i] = gate * sigmoid * gate_up[at + params.cols4];
}
