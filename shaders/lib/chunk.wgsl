// lib/chunk.wgsl: what a lane stages of a tile's operands in one round: at most two vec4s of each.
//
// A lib/tile_*.wgsl says how many ROWS, COLS and LANES. All lanes together stage STEP4 vec4s along the sum.

const STEP4 = min(DEPTH4, 2u * LANES / ROWS);
const COLS4 = COLS / 4u;
const TWO_LEFT = ROWS * STEP4 > LANES;
const TWO_RIGHT = COLS * STEP4 > LANES;
// Rows from the first to the second vec4 that a lane stages, where rows lie along the sum.
const APART = LANES / STEP4;

// Read a round ahead, so that memory answers while the lane multiplies; looked at no sooner than it is staged, as
// looking waits for the answer. Not `inside` the sum, the left operand counts as zero.
struct Chunk {
    inside: bool,
    left_a: vec4<f32>,
    left_b: vec4<f32>,
    right_a: vec4<f32>,
    right_b: vec4<f32>,
}
