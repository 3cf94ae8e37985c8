// Gated linear unit, forward (Shazeer 2020).
//
//   y = act(gate) * up
//
// Grid    One invocation per vec4 of y.
// Reads   gate_up (R, 2C): gate, then up
// Writes  y (R,C) =
// Twin    reference::glu_forward
// With    lib/act_{silu,gelu,gelu_tanh,relu}.wgsl

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
    y[i] = act(gate_up[at]) * gate_up[at + params.cols4];
}
