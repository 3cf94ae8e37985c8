// Writes the input of the short convolution into the cache of the texts that the rows belong to.
//
//   cache[slots[r]] = B * x of row r
//
// Grid    One invocation per row r and vec4 of columns.
// Reads   gates (R, 3H): B, C, x; slots (R): rows of the cache
// Writes  cache (rows, H) =, at those rows
// Twin    reference::short_conv_append
// With    lib/short_conv.wgsl

@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<vec4<f32>>;

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
    let row = i / params.cols4;
    let c = i % params.cols4;
    cache[slots[row] * params.cols4 + c] = gated(row, c);
}
