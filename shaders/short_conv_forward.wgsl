// Gated short convolution over the last tokens of a sequence (LFM2), forward.
//
//   y[r,c] = C[r,c] * (sum_d w[taps-1-d,c] * z[row of the token d before r, c] + bias[c]),   z = B * x
//
// Grid    One invocation per row r and vec4 of columns.
// Reads   gates (R, 3H): B, C, x; spans: row r has (start, hole_start, hole_end, position); weight (taps, H), bias (H)
//         if has_bias is not 0
// Writes  y (R,H) =
// Twin    reference::short_conv_forward
// With    lib/short_conv.wgsl, lib/short_conv_spans.wgsl

@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

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
    y[i] = gates[(3u * row + 1u) * params.cols4 + c] * convolved(row, c);
}
