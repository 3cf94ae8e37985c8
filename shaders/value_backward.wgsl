// A head that gives each row one number, backward with respect to the rows.
//
//   dnormed[r,c] = dvalues[r] * score[c]
//
// Grid    One invocation per row r and vec4 of the hidden size.
// Reads   dvalues (N,1), score (1,H)
// Writes  dnormed (N,H) =
// Twin    reference::value_backward

struct Params {
    rows: u32,
    hidden4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dvalues: array<f32>;
@group(0) @binding(2) var<storage, read> score: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dnormed: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.rows * params.hidden4 {
        dnormed[i] = dvalues[i / params.hidden4] * score[i % params.hidden4];
    }
}
