// lib/thin.wgsl: a tile of 32 rows by 8 columns, for products with few columns and long sums. Goes without barriers
// until the end, and reads the large operand straight from memory, for no other lane wants it.
//
// 64 lanes: lane 8g + s adds every eighth vec4 of the sum, from the s-th on, for rows 4g..4g+3 and all columns, so that
// lanes side by side read vec4s side by side. The eight parts meet in workgroup memory, in their order.

const LANES = 64u;
const SLICES = 8u;
const ROWS = 32u;
const COLS4 = 2u;
// One more than the lanes, so that they meet in different banks.
const STRIDE = 65u;

var<workgroup> parts: array<vec4<f32>, 8u * STRIDE>;

fn keep(lane: u32, row: u32, half_a: vec4<f32>, half_b: vec4<f32>) {
    parts[2u * row * STRIDE + lane] = half_a;
    parts[(2u * row + 1u) * STRIDE + lane] = half_b;
}

// The sum of the parts of one vec4 of the tile, of which every lane gets one: row lane / 2, column4 lane % 2.
fn joined(lane: u32, sum_a: mat4x4<f32>, sum_b: mat4x4<f32>) -> vec4<f32> {
    keep(lane, 0u, sum_a[0], sum_b[0]);
    keep(lane, 1u, sum_a[1], sum_b[1]);
    keep(lane, 2u, sum_a[2], sum_b[2]);
    keep(lane, 3u, sum_a[3], sum_b[3]);
    workgroupBarrier();
    let first = lane % 8u * STRIDE + lane / 8u * SLICES;
    var sum = parts[first];
    for (var slice = 1u; slice < SLICES; slice++) {
        sum += parts[first + slice];
    }
    return sum;
}
