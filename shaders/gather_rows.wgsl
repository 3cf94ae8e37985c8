// Picks the rows that predict a completion token.
//
//   y[i,:] = x[rows[i],:]
//
// Grid    One invocation per row i and vec4 of columns.
// Reads   x (R,C), rows (N)
// Writes  y (N,C) =
// Twin    reference::gather_rows

struct Params {
    rows: u32,
    cols4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.rows * params.cols4 {
        y[i] = x[rows[i / params.cols4] * params.cols4 + i % params.cols4];
    }
}
