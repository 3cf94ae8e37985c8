// Linear layer, backward with respect to its weight (here always a LoRA matrix).
//
//   dw[n,k] += scale * sum_m dy[m,n] * x[m,k]
//
// Grid    One workgroup per 8 rows n and 32 columns k of dw: 4 column tiles of 8, times 8 slices of the sum over m.
//         Each lane sums its slice of an 8x8 tile in registers; the slices meet in workgroup memory once, at the end.
// Reads   dy (M,N), x (M,K); N and K are multiples of 4
// Writes  dw (N,K) +=
// Twin    reference::matmul_backward_weight

struct Params {
    m: u32,
    n4: u32,
    k4: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dw: array<vec4<f32>>;

const TILES = 4u;
const SLICES = 8u;

// Per lane 16 vec4: row i of the tile, left then right half.
var<workgroup> sums: array<vec4<f32>, 512>;

fn keep4(at: u32, left: mat4x4<f32>, right: mat4x4<f32>) {
    sums[at] = left[0];
    sums[at + 1u] = right[0];
    sums[at + 2u] = left[1];
    sums[at + 3u] = right[1];
    sums[at + 4u] = left[2];
    sums[at + 5u] = right[2];
    sums[at + 6u] = left[3];
    sums[at + 7u] = right[3];
}

@compute @workgroup_size(4, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let na = min(group.y * 2u, params.n4 - 1u);
    let nb = min(group.y * 2u + 1u, params.n4 - 1u);
    let ka = min((group.x * TILES + local.x) * 2u, params.k4 - 1u);
    let kb = min((group.x * TILES + local.x) * 2u + 1u, params.k4 - 1u);

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    let zero = vec4<f32>();
    for (var m = local.y * 4u; m < params.m; m += SLICES * 4u) {
        // Rows beyond the last count as zero.
        let row = vec4<u32>(0u, 1u, 2u, 3u) + m;
        let real = row < vec4<u32>(params.m);
        let at = min(row, vec4<u32>(params.m - 1u));
        let ya = at * params.n4 + na;
        let yb = at * params.n4 + nb;
        let xa = at * params.k4 + ka;
        let xb = at * params.k4 + kb;
        let dy_a = transpose(mat4x4<f32>(
            select(zero, dy[ya.x], real.x), select(zero, dy[ya.y], real.y),
            select(zero, dy[ya.z], real.z), select(zero, dy[ya.w], real.w)));
        let dy_b = transpose(mat4x4<f32>(
            select(zero, dy[yb.x], real.x), select(zero, dy[yb.y], real.y),
            select(zero, dy[yb.z], real.z), select(zero, dy[yb.w], real.w)));
        let x_a = mat4x4<f32>(x[xa.x], x[xa.y], x[xa.z], x[xa.w]);
        let x_b = mat4x4<f32>(x[xb.x], x[xb.y], x[xb.z], x[xb.w]);
        aa += x_a * dy_a;
        ab += x_b * dy_a;
        ba += x_a * dy_b;
        bb += x_b * dy_b;
    }
    let tile = (local.y * TILES + local.x) * 16u;
    keep4(tile, aa, ab);
    keep4(tile + 8u, ba, bb);
    workgroupBarrier();

    // 64 vec4 of results for 32 lanes.
    let lane = local.y * TILES + local.x;
    for (var item = lane; item < TILES * 16u; item += TILES * SLICES) {
        var sum = zero;
        for (var slice = 0u; slice < SLICES; slice++) {
            sum += sums[slice * TILES * 16u + item];
        }
        let n = group.y * 8u + (item % 16u) / 2u;
        let k = (group.x * TILES + item / 16u) * 2u + item % 2u;
        if n < params.n4 * 4u && k < params.k4 {
            dw[n * params.k4 + k] += params.scale * sum;
        }
    }
}
