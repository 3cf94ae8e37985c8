// Gated short convolution for one new row of each text, over its rows in the cache.
//
//   y[r,c] = C[r,c] * (sum_d w[taps-1-d,c] * cache[last row of the text - d, c] + bias[c])
//
// Grid    One invocation per row r and vec4 of columns.
// Reads   gates (R, 3H), of which C; cache (rows, H); spans: row r has the first and the last row of its text in the
//         cache; weight (taps, H), bias (H) if has_bias is not 0
// Writes  y (R,H) =
// Twin    reference::short_conv_decode
// With    lib/short_conv.wgsl

@group(0) @binding(2) var<storage, read> cache: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

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
    let text = spans[row].xy;
    var sum = vec4<f32>();
    for (var d = 0u; d < params.taps && text.x + d <= text.y; d++) {
        sum += weight[(params.taps - 1u - d) * params.cols4 + c] * cache[(text.y - d) * params.cols4 + c];
    }
    if params.has_bias != 0u {
        sum += bias[c];
    }
    y[i] = gates[(3u * row + 1u) * params.cols4 + c] * sum;
}
