// Gradients of DoRA's lengths, as sums over parts of the rows.
//
//   partials[p, at + n] = inverse[n] * sum_m dy[m,n] z[m,n],  over the rows m of part p
//
// Grid    One invocation per vec4 of columns of a part; parts on the second axis.
// Reads   dy (M,L), z (M,L): the product before it was scaled, inverse (L): 1 / the norms
// Writes  partials (parts, stride), the places from `at` on, =
// Twin    reference::dora_backward_lengths

struct Params {
    m: u32,
    cols4: u32,
    rows_per_part: u32,
    stride4: u32,
    at4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> inverse: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = group.x * 64u + lane;
    if column >= params.cols4 {
        return;
    }
    let first = group.y * params.rows_per_part;
    var sum = vec4<f32>();
    for (var row = first; row < min(first + params.rows_per_part, params.m); row++) {
        sum += dy[row * params.cols4 + column] * z[row * params.cols4 + column];
    }
    partials[group.y * params.stride4 + params.at4 + column] = inverse[column] * sum;
}
