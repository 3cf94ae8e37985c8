// DoRA: the length of each row of an adapted weight, and what brings it to the length that is trained.
//
//   c[n] = |w[n,:] + scale[s] * sum_j b[n,j] a[at(s)+j,:]|,  for row n of the layer s
//   norms[0,n] = 1 + strength * (lengths[n] / c[n] - 1),  norms[1,n] = 1 / c[n],  norms[2,n] = c[n]
//   of a layer without an adapter: 1, 0, 0; norms[0,n] is 1 where length and c are equal but for their last places
//
// Grid    One workgroup per 8 rows n, 8 lanes per row, which stride over vec4s of columns.
// Reads   a (ranks,K), w (N,K): one block of rows of the weight, b (L,r), lengths (L)
// Writes  norms (3,stride) =, the block's columns
// Twin    reference::dora_norms
// With    lib/weight_*.wgsl, lib/reduce.wgsl

struct Params {
    n: u32,
    k4: u32,
    first: u32,
    stride: u32,
    rank: u32,
    strength: f32,
    pad0: u32,
    pad1: u32,
    ends: vec4<u32>,
    a_at: vec4<u32>,
    scales: vec4<f32>,
}

const NONE = 0xffffffffu;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read> lengths: array<f32>;
@group(0) @binding(5) var<storage, read_write> norms: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE;
    let n = min(row, params.n - 1u);
    let column = params.first + n;
    var s = 0u;
    while s < 3u && column >= params.ends[s] {
        s++;
    }
    let adapted = params.a_at[s] != NONE;
    let rank = select(0u, params.rank, adapted);
    let lane_first = lane % STRIDE;

    var square_sum = 0.0;
    for (var k = lane_first; k < params.k4; k += STRIDE) {
        var added = vec4<f32>();
        for (var j = 0u; j < rank; j++) {
            added += b[column * params.rank + j] * a[(params.a_at[s] + j) * params.k4 + k];
        }
        let v = weight(n * params.k4 + k) + params.scales[s] * added;
        square_sum += dot(v, v);
    }
    let norm = sqrt(row_sum(lane, square_sum));
    if row >= params.n || lane_first != 0u {
        return;
    }
    let length = lengths[column];
    // A fresh adapter must change nothing, whoever measured its lengths and however inexact division is.
    let changed = adapted && norm > 0.0 && abs(length - norm) > 1e-6 * norm;
    norms[column] = 1.0 + select(0.0, params.strength * (length / norm - 1.0), changed);
    norms[params.stride + column] = select(0.0, 1.0 / norm, adapted && norm > 0.0);
    norms[2u * params.stride + column] = select(0.0, norm, adapted);
}
