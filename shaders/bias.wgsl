// Bias of a linear layer.
//
//   x[r,c] += b[c]
//
// Grid    One invocation per row r and vec4 of columns.
// Reads   b (C)
// Writes  x (R,C) +=
// Twin    reference::bias

struct Params {
    rows: u32,
    cols4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.rows * params.cols4 {
        x[i] += b[i % params.cols4];
    }
}
