// Linear layer, backward with respect to its weight, on GPUs, for ranks above 32: sums over parts of the rows.
//
//   partials[part,n,k] = sum_m dy[m,n] * x[m, at(n) + k]     over the rows m of a part
//
// Grid    x: COLS columns k, y: ROWS rows n, z: parts; one workgroup of LANES per tile, 4x4 per lane; 16 rows m of
//         both operands are staged at a time
// Reads   dy (M,N), x (M,ldx). Multiply-adds per vec4 read from memory: 128, tile 32x32 64; from workgroup memory: 8.
// Writes  partials (parts, stride) =, from `at` on; zero for a layer without an adapter
// Twin    reference::matmul_backward_weight
// With    lib/tile_{64x64,32x32}.wgsl, lib/products.wgsl, lib/matmul_backward_weight.wgsl

const DEPTH = 16u;
const ROWS4 = ROWS / 4u;
const COLS4 = COLS / 4u;
// Rows m from the first to the second vec4 that a lane stages of an operand.
const LEFT_APART = LANES / ROWS4;
const RIGHT_APART = LANES / COLS4;
const TWO = LEFT_APART < DEPTH;

var<workgroup> left_tile: array<vec4<f32>, DEPTH * ROWS4>;
var<workgroup> right_tile: array<vec4<f32>, DEPTH * COLS4>;

// The values that a lane stages in one round. They are read a round ahead, so that memory answers while the lane
// multiplies, and are not used before they are staged, since a use waits for the answer. The left operand counts as
// zero if it is not `real`.
struct Chunk {
    real: vec2<bool>,
    left_a: vec4<f32>,
    left_b: vec4<f32>,
    right_a: vec4<f32>,
    right_b: vec4<f32>,
}

// The vec4s of two rows of dy from row m on, at n4, and of two rows of x, at x_at. Rows from `end` on are not real.
fn load(m: u32, n4: u32, x_at: u32, lane: u32, end: u32) -> Chunk {
    let last = vec2<u32>(params.m - 1u);
    let left_m = m + lane / ROWS4 + vec2<u32>(0u, LEFT_APART);
    let right_m = m + lane / COLS4 + vec2<u32>(0u, RIGHT_APART);
    let left_at = min(left_m, last) * params.n4 + n4;
    let right_at = min(right_m, last) * params.ldx4 + x_at;
    var chunk = Chunk();
    chunk.real = left_m < vec2<u32>(end);
    chunk.left_a = dy[left_at.x];
    chunk.right_a = x[right_at.x];
    if TWO {
        chunk.left_b = dy[left_at.y];
        chunk.right_b = x[right_at.y];
    }
    return chunk;
}

fn stage(chunk: Chunk, lane: u32, own: bool) {
    left_tile[lane] = select(vec4<f32>(), chunk.left_a, own && chunk.real.x);
    right_tile[lane] = chunk.right_a;
    if TWO {
        left_tile[lane + LANES] = select(vec4<f32>(), chunk.left_b, own && chunk.real.y);
        right_tile[lane + LANES] = chunk.right_b;
    }
}

fn multiply(start: mat4x4<f32>, row4: u32, column4: u32) -> mat4x4<f32> {
    var sums = start;
    for (var m = 0u; m < DEPTH; m += 4u) {
        let y_at = m * ROWS4 + row4;
        let x_at = m * COLS4 + column4;
        sums = add_outer(sums, left_tile[y_at], right_tile[x_at]);
        sums = add_outer(sums, left_tile[y_at + ROWS4], right_tile[x_at + COLS4]);
        sums = add_outer(sums, left_tile[y_at + 2u * ROWS4], right_tile[x_at + 2u * COLS4]);
        sums = add_outer(sums, left_tile[y_at + 3u * ROWS4], right_tile[x_at + 3u * COLS4]);
    }
    return sums;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n4 = min(group.y * ROWS4 + lane % ROWS4, params.n4 - 1u);
    let k4 = min(group.x * COLS4 + lane % COLS4, params.k4 - 1u);
    let first = group.z * params.rows_per_part;
    let end = min(first + params.rows_per_part, params.m);
    let own = segment_of(n4);
    let last_segment = segment_of((group.y + 1u) * ROWS4 - 1u);
    let row4 = lane / COLS4;
    let column4 = lane % COLS4;

    var sums = mat4x4<f32>();
    for (var segment = segment_of(group.y * ROWS4); segment <= last_segment; segment++) {
        if params.x_at4[segment] != NONE {
            let x_at = params.x_at4[segment] + k4;
            var chunk = load(first, n4, x_at, lane, end);
            for (var m = first; m < end; m += DEPTH) {
                workgroupBarrier();
                // Rows of another layer count as zero.
                stage(chunk, lane, own == segment);
                workgroupBarrier();
                chunk = load(m + DEPTH, n4, x_at, lane, end);
                sums = multiply(sums, row4, column4);
            }
        }
    }
    let n = group.y * ROWS + row4 * 4u;
    let k = group.x * COLS4 + column4;
    store(group.z, n, k, sums[0]);
    store(group.z, n + 1u, k, sums[1]);
    store(group.z, n + 2u, k, sums[2]);
    store(group.z, n + 3u, k, sums[3]);
}
