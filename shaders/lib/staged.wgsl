// lib/staged.wgsl: a tile of a product, its sums in the lanes' registers, its operands staged in workgroup memory.
//
// lib/chunk.wgsl says what a lane stages in a round; a lib/right_*.wgsl has the right operand. A lane holds four rows
// by four columns, in TALL tiles four more rows half a tile below.
//
// Rows that lie along the sum are staged in four groups: rows 0, 4, 8 and so on, then rows 1, 5, 9 and so on. A lane's
// four rows are neighbours, one of each group, so that its four columns are stored as one vec4. In a group, rows are an
// odd number of vec4s apart, so that lanes side by side read different banks; and groups start so far apart that the
// two or four rows that such lanes write do not meet in a bank either.

const STRIDE = STEP4 + 1u;
const TALL = ROWS * COLS > 16u * LANES;
const LEFT_GROUP = ROWS / 4u * STRIDE + STEP4;

var<workgroup> left_tile: array<Operand, 4u * LEFT_GROUP>;

struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
}

fn place(row: u32, group: u32) -> u32 {
    return row % 4u * group + row / 4u * STRIDE;
}

// Positions where a lane writes and reads the two tiles.
struct Spot {
    put_left: u32,
    put_right: u32,
    left: u32,
    right: u32,
}

fn stage_left(chunk: Chunk, spot: Spot) {
    left_tile[spot.put_left] = Operand(select(vec4<f32>(), chunk.left_a, chunk.inside));
    if TWO_LEFT {
        left_tile[spot.put_left + APART / 4u * STRIDE] = Operand(select(vec4<f32>(), chunk.left_b, chunk.inside));
    }
}

fn left_row(at: u32) -> vec4<f32> {
    return vec4<f32>(left_tile[at]);
}

fn left_rows(at: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        left_row(at), left_row(at + LEFT_GROUP), left_row(at + 2u * LEFT_GROUP), left_row(at + 3u * LEFT_GROUP));
}

fn add_vec4(sums: Sums, spot: Spot, k: u32) -> Sums {
    let cols = columns(spot.right, k);
    var next = sums;
    next.a = add_rows(sums.a, left_rows(spot.left + k), cols);
    if TALL {
        next.b = add_rows(sums.b, left_rows(spot.left + k + ROWS / 8u * STRIDE), cols);
    }
    return next;
}

fn add_four(sums: Sums, spot: Spot, k: u32) -> Sums {
    let half = add_vec4(add_vec4(sums, spot, k), spot, k + 1u);
    return add_vec4(add_vec4(half, spot, k + 2u), spot, k + 3u);
}

// Adds the products of a round. Without a loop, as not every driver unrolls.
fn multiply(sums: ptr<function, Sums>, spot: Spot) {
    *sums = add_four(*sums, spot, 0u);
    if STEP4 > 4u {
        *sums = add_four(*sums, spot, 4u);
    }
}

fn store_tile(m0: u32, column0: u32, lane: u32, spot: Spot, sums: ptr<function, Sums>) {
    let row = m0 + lane / COLS4 * 4u;
    let column = column0 + lane % COLS4;
    store4(row, column, (*sums).a);
    if TALL {
        store4(row + ROWS / 2u, column, (*sums).b);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    compute(group, lane, spot_of(lane));
}
