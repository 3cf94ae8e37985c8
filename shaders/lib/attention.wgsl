// lib/attention.wgsl: what the attention kernels share.
//
// Sequences are packed, one token per row; a pair is laid out as prompt, chosen, rejected, the prompt once. Row q sees
// row k if  span.start <= k <= q  and k is not in [hole_start, hole_end): the hole of a rejected row is its pair's
// chosen completion; and if k is one of the `window` last of the rows that are left, q included. `spans` has per row
// (start, hole_start, hole_end, position), then per tile of up to 32 rows of one sequence (its first row, their end,
// the first key they see, end of the queries that see them). A workgroup of 32 lanes holds a tile by 64 columns, 8x8
// per lane; probabilities pass through workgroup memory, all else in registers. Heads wider than 64 are cut along the
// grid's z axis: each workgroup repeats the scores and writes 64 columns of the result.

const LANES = 32u;
const ROWS = 32u;
const COLS4 = 16u;
// A score below every real one, and a first maximum above it: exp(MASKED - FLOOR) is 0, and nothing is infinite.
const MASKED = -1e30;
const FLOOR = -1e29;

struct Params {
    heads: u32,
    kv_heads: u32,
    d4: u32,
    rows: u32,
    tiles_at: u32,
    scale: f32,
    softcap: f32,
    window: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Offsets of a head in four rows of qkv: the query heads come first, then those of keys, then those of values.
fn heads4(rows: vec4<u32>, head: u32) -> vec4<u32> {
    return (rows * (params.heads + 2u * params.kv_heads) + head) * params.d4;
}

// 32 rows by 64 columns.
var<workgroup> tile: array<vec4<f32>, 512>;

fn put4(row: u32, col4: u32, block: mat4x4<f32>) {
    let at = row * COLS4 + col4;
    tile[at] = block[0];
    tile[at + COLS4] = block[1];
    tile[at + 2u * COLS4] = block[2];
    tile[at + 3u * COLS4] = block[3];
}

fn tile4(row: u32, col4: u32) -> mat4x4<f32> {
    let at = row * COLS4 + col4;
    return mat4x4<f32>(tile[at], tile[at + COLS4], tile[at + 2u * COLS4], tile[at + 3u * COLS4]);
}

// True for each of four key rows that the query row sees; its span is (start, hole_start, hole_end, position).
fn sees(query: u32, span: vec4<u32>, keys: vec4<u32>) -> vec4<bool> {
    let causal = (keys <= vec4<u32>(query)) & (keys >= vec4<u32>(span.x));
    return causal & in_window(query, span, keys) & ((keys < vec4<u32>(span.y)) | (keys >= vec4<u32>(span.z)));
}

// The next 64 keys; a hole that has been reached is skipped. Every lane gets the same answer.
fn next_key(key: u32, hole: vec2<u32>) -> u32 {
    let next = key + COLS4 * 4u;
    return select(next, hole.y, next >= hole.x && next < hole.y);
}

const FOUR = vec4<u32>(0u, 1u, 2u, 3u);
