// Linear layer, backward with respect to its weight (here always a LoRA matrix), as sums over parts of the rows.
//
//   partials[part,n,k] = sum_m dy[m,n] * x[m, at(n) + k]     over the rows m of a part
//
// Grid    x and y: one workgroup per 32 columns k and 8 rows n of the gradient, z: parts. 4 column tiles of 8, times 8
//         slices of the sum over m: each lane sums its slice of an 8x8 tile in registers; the slices meet in workgroup
//         memory once, at the end.
// Reads   dy (M,N), x (M,ldx); columns come in fours
// Writes  partials (parts, stride) =, from `at` on; zero for a layer without an adapter
// Twin    reference::matmul_backward_weight
// With    lib/matmul_backward_weight.wgsl

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
    let columns_a = params.x_at4[segment_of(na)];
    let columns_b = params.x_at4[segment_of(nb)];
    let at_a = select(columns_a, 0u, columns_a == NONE);
    let at_b = select(columns_b, 0u, columns_b == NONE);
    let begin = group.z * params.rows_per_part;
    let end = min(begin + params.rows_per_part, params.m);
    for (var m = begin + local.y * 4u; m < end; m += SLICES * 4u) {
        // Rows beyond the last count as zero.
        let row = vec4<u32>(0u, 1u, 2u, 3u) + m;
        let real = row < vec4<u32>(end);
        let at = min(row, vec4<u32>(params.m - 1u));
        let ya = at * params.n4 + na;
        let yb = at * params.n4 + nb;
        let dy_a = transpose(mat4x4<f32>(
            select(zero, dy[ya.x], real.x), select(zero, dy[ya.y], real.y),
            select(zero, dy[ya.z], real.z), select(zero, dy[ya.w], real.w)));
        let dy_b = transpose(mat4x4<f32>(
            select(zero, dy[yb.x], real.x), select(zero, dy[yb.y], real.y),
            select(zero, dy[yb.z], real.z), select(zero, dy[yb.w], real.w)));
        let first = at * params.ldx4 + at_a;
        var x_a = mat4x4<f32>(x[first.x + ka], x[first.y + ka], x[first.z + ka], x[first.w + ka]);
        var x_b = mat4x4<f32>(x[first.x + kb], x[first.y + kb], x[first.z + kb], x[first.w + kb]);
        aa += x_a * dy_a;
        ab += x_b * dy_a;
        if at_a != at_b {
            // The lower four rows belong to another layer.
            let other = at * params.ldx4 + at_b;
            x_a = mat4x4<f32>(x[other.x + ka], x[other.y + ka], x[other.z + ka], x[other.w + ka]);
            x_b = mat4x4<f32>(x[other.x + kb], x[other.y + kb], x[other.z + kb], x[other.w + kb]);
        }
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
        store(group.z, n, k, select(sum, zero, params.x_at4[segment_of(n / 4u)] == NONE));
    }
}
