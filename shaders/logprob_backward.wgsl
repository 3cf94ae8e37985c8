// Log-softmax-gather, backward.
//
//   dh[r,:] = dlogp[r] * pull[r,:]
//
// Grid    One invocation per row r and vec4 of the hidden size.
// Reads   dlogp (R)
// Writes  pull (R,H) in place: it becomes dh
// Twin    reference::logprob_backward

struct Params {
    rows: u32,
    hidden4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dlogp: array<f32>;
@group(0) @binding(2) var<storage, read_write> pull: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.rows * params.hidden4 {
        pull[i] *= dlogp[i / params.hidden4];
    }
}
