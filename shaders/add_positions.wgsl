// Learned positions, added to the embedding, as GPT-2 has them.
//
//   x[r,:] += w[position of r,:]
//
// Grid    One invocation per row r and vec4 of columns.
// Reads   spans: row r has the position as its fourth entry; w (positions, C)
// Writes  x (R,C) +=
// Twin    reference::add_positions
// With    lib/weight_{f32,f16,bf16}.wgsl

struct Params {
    rows: u32,
    cols4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.rows * params.cols4 {
        x[i] += weight(spans[i / params.cols4].w * params.cols4 + i % params.cols4);
    }
}
