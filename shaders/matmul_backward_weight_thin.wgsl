// Linear layer, backward with respect to its weight, on GPUs, for ranks up to 32: sums over parts of the rows.
//
//   partials[part,n,k] = sum_m dy[m,n] * x[m, at(n) + k]     over the rows m of a part
//
// Grid    x: COLS columns k, y: ROWS rows n, z: parts; one workgroup of 128 lanes per tile. 16 lanes hold a tile, 8x8
//         each, and eight such slices go through the rows m in turn; they meet in workgroup memory at the end, in their
//         order. Few lanes want the same vec4, and those ask for it at once: it is not staged.
// Reads   dy (M,N), x (M,ldx). Multiply-adds per vec4 read from memory: 16 by a lane; of tile 64x16 each vec4 of dy
//         goes to two lanes, each of x to eight.
// Writes  partials (parts, stride) =, from `at` on; zero for a layer without an adapter
// Twin    reference::matmul_backward_weight
// With    lib/products.wgsl, lib/thin_{64x16,16x64}.wgsl, lib/matmul_backward_weight.wgsl

const ACROSS = COLS / 8u;
const SLICES = 8u;
const LANES = 16u * SLICES;

var<workgroup> parts: array<vec4<f32>, 4u * LANES>;

// Adds up the slices of one 4x4 block of every lane of a tile, and stores it.
fn finish(block: mat4x4<f32>, lane: u32, part: u32, n4: u32, k4: u32) {
    workgroupBarrier();
    parts[lane] = block[0];
    parts[LANES + lane] = block[1];
    parts[2u * LANES + lane] = block[2];
    parts[3u * LANES + lane] = block[3];
    workgroupBarrier();
    // 64 vec4, of which lane 16 i + t finishes row i of the block that lane t holds.
    if lane < 64u {
        let first = lane / 16u * LANES + lane % 16u;
        var sum = parts[first];
        for (var slice = 1u; slice < SLICES; slice++) {
            sum += parts[first + slice * 16u];
        }
        store(part, n4 * 4u + lane / 16u, k4, sum);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = lane % 16u;
    let n = vec2<u32>(group.y * ROWS / 4u + tile / ACROSS) + vec2<u32>(0u, ROWS / 8u);
    let k = vec2<u32>(group.x * COLS / 4u + tile % ACROSS) + vec2<u32>(0u, COLS / 8u);
    let column = min(n, vec2<u32>(params.n4 - 1u));
    let own = vec2<u32>(segment_of(n.x), segment_of(n.y));
    let first = group.z * params.rows_per_part + lane / 16u;
    let end = min((group.z + 1u) * params.rows_per_part, params.m);
    let last_segment = segment_of((group.y + 1u) * ROWS / 4u - 1u);

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    for (var segment = segment_of(group.y * ROWS / 4u); segment <= last_segment; segment++) {
        if params.x_at4[segment] != NONE {
            let real = own == vec2<u32>(segment);
            var y_at = column + first * params.n4;
            var x_at = min(k, vec2<u32>(params.k4 - 1u)) + params.x_at4[segment] + first * params.ldx4;
            for (var m = first; m < end; m += SLICES) {
                let dy_a = select(vec4<f32>(), dy[y_at.x], real.x);
                let dy_b = select(vec4<f32>(), dy[y_at.y], real.y);
                let x_a = x[x_at.x];
                let x_b = x[x_at.y];
                y_at += SLICES * params.n4;
                x_at += SLICES * params.ldx4;
                aa = add_outer(aa, dy_a, x_a);
                ab = add_outer(ab, dy_a, x_b);
                ba = add_outer(ba, dy_b, x_a);
                bb = add_outer(bb, dy_b, x_b);
            }
        }
    }
    finish(aa, lane, group.z, n.x, k.x);
    finish(ab, lane, group.z, n.x, k.y);
    finish(ba, lane, group.z, n.y, k.x);
    finish(bb, lane, group.z, n.y, k.y);
}
