// Gated linear unit, backward.
//
//   dgate = dy * up * act'(gate),  dup = dy * act(gate)
//
// Grid    One invocation per vec4 of dy.
// Writes  gate_up (R, 2C), gate, then up: replaced in place by dgate and dup, which are needed instead of them;
//         dy (R,C): replaced in place by y = act(gate) * up, the input of the layer whose gradient comes next
// Twin    reference::glu_backward
// With    lib/act_{silu,gelu,gelu_tanh,relu}.wgsl

struct Params {
    rows: u32,
    cols4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gate_up: array<vec4<f32>>;

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
    let up = gate_up[at + params.cols4];
    let d = dy[i];
    let a = act(gate);
    gate_up[at] = d * up * act_slope(gate);
    gate_up[at + params.cols4] = d * a;
    dy[i] = a * up;
}
