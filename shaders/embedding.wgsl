// Embedding gather, also used for the rows of the head that belong to labels.
//
//   y[r,:] = scale * w[ids[r] - first,:]   for ids within this block of the table
//
// Grid    One invocation per row r and vec4 of columns.
// Reads   ids (R), w (V,C): one block of rows of the table
// Writes  y (R,C) =, only rows whose id lies in the block
// Twin    reference::embedding
// With    lib/weight_*.wgsl

struct Params {
    rows: u32,
    cols4: u32,
    first: u32,
    block: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

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
    let id = ids[i / params.cols4];
    if id < params.first || id >= params.first + params.block {
        return;
    }
    y[i] = params.scale * weight((id - params.first) * params.cols4 + i % params.cols4);
}
