// lib/coop.wgsl: a tile of a product whose sums are cooperative matrices: a subgroup's lanes hold them together, and
// the GPU's matrix units multiply them. Operands are staged in workgroup memory as f16.
//
// lib/chunk.wgsl says what a lane stages in a round; a lib/coop_{16,8}.wgsl how large a matrix is; a
// lib/coop_right_*.wgsl has the right operand. A subgroup computes a quarter: two by two matrices. The driver chooses
// how many subgroups a workgroup has. If there are fewer than quarters, they go over the sum again for the next
// quarters. If there are more, the rest repeat the last quarter, since matrices need all subgroups of a workgroup.
//
// Rows are staged as they lie, an even number of vec4s apart: a matrix is read from places that 16 bytes divide.

const SIZE4 = SIZE / 4u;
const LEFT_PITCH = STEP4 + 2u;
const ACROSS = COLS / (2u * SIZE);
const QUARTERS = ROWS / (2u * SIZE) * ACROSS;
const BLOCK4 = SIZE * SIZE4;

var<workgroup> left_tile: array<Operand, ROWS * LEFT_PITCH>;
// A matrix of each quarter on its way to memory.
var<workgroup> blocks: array<vec4<f32>, QUARTERS * BLOCK4>;

// Row by row.
alias Sums = array<Sum, 4>;

// Positions where a lane writes the two tiles, and the quarter that its subgroup computes, one of `begin..end`, the
// quarters at work.
struct Spot {
    put_left: u32,
    put_right: u32,
    quarter: u32,
    begin: u32,
    end: u32,
}

fn stage(chunk: Chunk, spot: Spot) {
    left_tile[spot.put_left] = Operand(select(vec4<f32>(), chunk.left_a, chunk.inside));
    if TWO_LEFT {
        left_tile[spot.put_left + APART * LEFT_PITCH] = Operand(select(vec4<f32>(), chunk.left_b, chunk.inside));
    }
    stage_right(chunk, spot);
}

// Adds the products of a round.
fn multiply(sums: ptr<function, Sums>, spot: Spot) {
    let row = spot.quarter / ACROSS * 2u * SIZE;
    let column = spot.quarter % ACROSS * 2u * SIZE;
    for (var k4 = 0u; k4 < STEP4; k4 += SIZE4) {
        let above = coopLoadT<Left>(&left_tile[row * LEFT_PITCH + k4], LEFT_PITCH);
        let below = coopLoadT<Left>(&left_tile[(row + SIZE) * LEFT_PITCH + k4], LEFT_PITCH);
        let first = right_block(column, k4);
        let second = right_block(column + SIZE, k4);
        (*sums)[0] = coopMultiplyAdd(above, first, (*sums)[0]);
        (*sums)[1] = coopMultiplyAdd(above, second, (*sums)[1]);
        (*sums)[2] = coopMultiplyAdd(below, first, (*sums)[2]);
        (*sums)[3] = coopMultiplyAdd(below, second, (*sums)[3]);
    }
}

// One matrix of each quarter at work, that at `row` and `column` in it.
fn store_block(m0: u32, column0: u32, lane: u32, spot: Spot, sum: Sum, row: u32, column: u32) {
    workgroupBarrier();
    coopStoreT(sum, &blocks[spot.quarter * BLOCK4], SIZE4);
    workgroupBarrier();
    for (var item = spot.begin * BLOCK4 + lane; item < spot.end * BLOCK4; item += LANES) {
        let quarter = item / BLOCK4;
        let at = item % BLOCK4;
        store(
            m0 + quarter / ACROSS * 2u * SIZE + row + at / SIZE4,
            column0 + (quarter % ACROSS * 2u * SIZE + column) / 4u + at % SIZE4,
            blocks[item]);
    }
}

fn store_tile(m0: u32, column0: u32, lane: u32, spot: Spot, sums: ptr<function, Sums>) {
    store_block(m0, column0, lane, spot, (*sums)[0], 0u, 0u);
    store_block(m0, column0, lane, spot, (*sums)[1], 0u, SIZE);
    store_block(m0, column0, lane, spot, (*sums)[2], SIZE, 0u);
    store_block(m0, column0, lane, spot, (*sums)[3], SIZE, SIZE);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    for (var begin = 0u; begin < QUARTERS; begin += subgroups) {
        let left = lane / STEP4 * LEFT_PITCH + lane % STEP4;
        let end = min(begin + subgroups, QUARTERS);
        compute(group, lane, Spot(left, right_spot(lane), min(begin + subgroup, end - 1u), begin, end));
    }
}
