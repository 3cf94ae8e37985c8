// Gated short convolution, backward with respect to its gates (weight and bias are frozen).
//
//   dC = dy * convolution,   dz[j] = sum over d, and rows r of the token d after j's, of w[taps-1-d] * dy[r] * C[r]
//   dB = dz * x,   dx = dz * B
//
// Grid    One invocation per row j and vec4 of columns.
// Reads   gates (R, 3H), spans, weight, bias as short_conv_forward; links (R, 2*(taps-1)): for each distance the rows
//         of the tokens that far after row j's, of which there may be two, one in each answer, or none; dy (R,H)
// Writes  dgates (R, 3H) =
// Twin    reference::short_conv_backward
// With    lib/short_conv.wgsl, lib/short_conv_spans.wgsl

@group(0) @binding(5) var<storage, read> links: array<u32>;
@group(0) @binding(6) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> dgates: array<vec4<f32>>;

const NONE = 0xffffffffu;

fn pulled(row: u32, c: u32) -> vec4<f32> {
    return dy[row * params.cols4 + c] * gates[(3u * row + 1u) * params.cols4 + c];
}

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
    var dz = weight[(params.taps - 1u) * params.cols4 + c] * pulled(row, c);
    let n = 2u * (params.taps - 1u);
    for (var s = 0u; s < n; s++) {
        let after = links[row * n + s];
        if after != NONE {
            dz += weight[(params.taps - 2u - s / 2u) * params.cols4 + c] * pulled(after, c);
        }
    }
    let at = 3u * row * params.cols4 + c;
    dgates[at] = dz * gates[at + 2u * params.cols4];
    dgates[at + params.cols4] = dy[i] * convolved(row, c);
    dgates[at + 2u * params.cols4] = dz * gates[at];
}
