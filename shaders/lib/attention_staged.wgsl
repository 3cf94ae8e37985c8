// lib/attention_staged.wgsl: what the attention kernels for GPUs share.
//
// Sequences are packed, one token per row; a pair is laid out as prompt, chosen, rejected, the prompt once. Row q sees
// row k if  span.start <= k <= q  and k is not in [hole_start, hole_end): the hole of a rejected row is its pair's
// chosen completion; and if k is one of the `window` last of the rows that are left, q included. `spans` has per row
// (start, hole_start, hole_end, position), then per tile of up to 32 rows of one sequence (its first row, their end,
// the first key they see, end of the queries that see them).
//
// A workgroup of 128 lanes takes one tile, in blocks of 64 columns: rows are queries and columns keys, or the other way
// round in attention_backward_kv_staged. Each lane owns 4 rows by 4 columns of a block and the same 4 rows by 4 or 8
// columns of the result (lib/attention_d64.wgsl, lib/attention_d128.wgsl), all in registers. Only operands are staged
// in workgroup memory, and probabilities pass through it, between the two products that everything is made of:
//
//   add_products   block[r,c] += sum_d row[r,d] * column[c,d]      64 multiply-adds of a lane per 8 vec4 it reads there
//   add_weighted   result[r,d] += sum_c tile[r,c] * value[c,d]     64 per 8; with 128 columns 128 per 12
//
// Heads wider than a workgroup's columns are cut along the grid's z axis: each part repeats the probabilities.

const LANES = 128u;
const COLUMNS = 64u;
// Rows and columns are staged 4 vec4 of a head at a time. Columns stand 5 vec4 apart, so that the 8 that a GPU reads at
// once lie on different banks; the lanes that read a row, a tile or a value meet there on one address or on neighbours.
const DEPTH4 = 4u;
const PITCH = 5u;
// Values are staged 256 vec4 at a time: 16 or 8 rows.
const VALUES = 256u / COLS4;
// Positions in `staged`. A kernel sets VALUES_AT, and TILE_AT for its tile of 32 rows by 16 vec4.
const COLUMNS_AT = 0u;
const ROWS_AT = 320u;
const TILE4 = 16u;

// A score below every real one, and a first maximum above it: exp(MASKED - FLOOR) is 0, and nothing is infinite.
const MASKED = -1e30;
const FLOOR = -1e29;
const FOUR = vec4<u32>(0u, 1u, 2u, 3u);

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

var<workgroup> staged: array<vec4<f32>, STAGED>;

// True for each of four key rows that the query row sees; its span is (start, hole_start, hole_end, position). A
// difference below zero wraps round and is larger than any other.
fn sees(query: u32, span: vec4<u32>, keys: vec4<u32>) -> vec4<bool> {
    let causal = query - keys <= vec4<u32>(query - span.x);
    return causal & in_window(query, span, keys) & (keys - span.y >= vec4<u32>(span.z - span.y));
}

// The next block of keys; a hole that has been reached is skipped. Every lane gets the same answer.
fn next_key(key: u32, hole: vec2<u32>) -> u32 {
    let next = key + COLUMNS;
    return select(next, hole.y, next >= hole.x && next < hole.y);
}

// Offset of a head of a row in `qkv`: the query heads come first, then those of the keys, then those of the values.
fn qkv_at(row: u32, head: u32) -> u32 {
    let pitch = (params.heads + 2u * params.kv_heads) * params.d4;
    return min(row, params.rows - 1u) * pitch + head * params.d4;
}

// A lane's place: the first of its 4 rows, 0 to 28, and its group of 4 columns, 0 to 15. Among 32 neighbouring lanes 4
// share their columns and 8 their rows.
struct Place {
    row: u32,
    column4: u32,
}

fn place(lane: u32) -> Place {
    return Place((lane / 2u) & 28u, (lane & 7u) | ((lane / 8u) & 8u));
}

// A lane stages vec4 `lane % 4` of one of the 32 rows, `lane / 4`, and of two of the 64 columns: `staged_column` and
// the column 2 further. Columns are staged in the order 0, 4, 8, ... 60, 1, 5, ..., so that lanes side by side read
// columns side by side.
fn staged_column(lane: u32) -> u32 {
    return (lane & 60u) + lane / 64u;
}

fn stage(lane: u32, row: vec4<f32>, column: vec4<f32>, other_column: vec4<f32>) {
    let at = COLUMNS_AT + lane / 4u * PITCH + lane % 4u;
    workgroupBarrier();
    staged[ROWS_AT + lane] = row;
    staged[at] = column;
    staged[at + 32u * PITCH] = other_column;
    workgroupBarrier();
}

// A lane stages vec4 `lane % COLS4` of two of the VALUES rows: row `lane / COLS4` and the row VALUES / 2 further.
fn stage_values(lane: u32, value: vec4<f32>, other_value: vec4<f32>) {
    workgroupBarrier();
    staged[VALUES_AT + lane] = value;
    staged[VALUES_AT + LANES + lane] = other_value;
    workgroupBarrier();
}

fn staged4(at: u32, pitch: u32) -> mat4x4<f32> {
    return mat4x4<f32>(staged[at], staged[at + pitch], staged[at + 2u * pitch], staged[at + 3u * pitch]);
}

fn put_tile(at: Place, block: mat4x4<f32>) {
    let to = TILE_AT + at.row * TILE4 + at.column4;
    staged[to] = block[0];
    staged[to + TILE4] = block[1];
    staged[to + 2u * TILE4] = block[2];
    staged[to + 3u * TILE4] = block[3];
}

// sum + row * matrix, one chain of multiply-adds per component.
fn times(sum: vec4<f32>, row: vec4<f32>, matrix: mat4x4<f32>) -> vec4<f32> {
    let xy = fma(vec4<f32>(row.y), matrix[1], fma(vec4<f32>(row.x), matrix[0], sum));
    return fma(vec4<f32>(row.w), matrix[3], fma(vec4<f32>(row.z), matrix[2], xy));
}

// One of the staged vec4 of each row and column; column i of a matrix is row i of the block. Each row is read while the
// one before it is multiplied: all at once take 12 more registers, of which a GPU has least.
fn add_product(sum: mat4x4<f32>, at: Place, d: u32) -> mat4x4<f32> {
    let columns = transpose(staged4(COLUMNS_AT + at.column4 * PITCH + d, 16u * PITCH));
    let row = ROWS_AT + at.row * DEPTH4 + d;
    var block = sum;
    let first = staged[row];
    let second = staged[row + DEPTH4];
    block[0] = times(block[0], first, columns);
    let third = staged[row + 2u * DEPTH4];
    block[1] = times(block[1], second, columns);
    let fourth = staged[row + 3u * DEPTH4];
    block[2] = times(block[2], third, columns);
    block[3] = times(block[3], fourth, columns);
    return block;
}

// Written out, here and below: a bounded loop costs registers.
fn add_products(sum: mat4x4<f32>, at: Place) -> mat4x4<f32> {
    return add_product(add_product(add_product(add_product(sum, at, 0u), at, 1u), at, 2u), at, 3u);
}

// A lane's part of the result, a row in each column of a matrix: 4 columns from 4*column4 on and, if WIDE, 4 that are
// 64 further.
struct Result {
    left: mat4x4<f32>,
    right: mat4x4<f32>,
}

fn outer(sum: mat4x4<f32>, weights: vec4<f32>, value: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(weights.x), value, sum[0]), fma(vec4<f32>(weights.y), value, sum[1]),
        fma(vec4<f32>(weights.z), value, sum[2]), fma(vec4<f32>(weights.w), value, sum[3]));
}

fn add_value(sum: Result, weights: vec4<f32>, value: u32) -> Result {
    var result = sum;
    result.left = outer(result.left, weights, staged[value]);
    if WIDE {
        result.right = outer(result.right, weights, staged[value + 16u]);
    }
    return result;
}

// Four values, with one vec4 of weights in each row of the tile.
fn add_four(sum: Result, tile: u32, value: u32) -> Result {
    let weights = transpose(staged4(tile, TILE4));
    let two = add_value(add_value(sum, weights[0], value), weights[1], value + COLS4);
    return add_value(add_value(two, weights[2], value + 2u * COLS4), weights[3], value + 3u * COLS4);
}

// The staged values, which belong to columns first, first + 1, ... of the tile.
fn add_weighted(sum: Result, at: Place, first: u32) -> Result {
    let tile = TILE_AT + at.row * TILE4 + first / 4u;
    let value = VALUES_AT + at.column4;
    var result = add_four(add_four(sum, tile, value), tile + 1u, value + 4u * COLS4);
    if !WIDE {
        result = add_four(add_four(result, tile + 2u, value + 8u * COLS4), tile + 3u, value + 12u * COLS4);
    }
    return result;
}

// A block of q.k or k.q: 32 rows of `qkv` in one head, of which the lane stages `row`, by 64 rows in another head.
fn products(lane: u32, at: Place, row: u32, row_head: u32, first_column: u32, column_head: u32) -> mat4x4<f32> {
    let from_row = qkv_at(row, row_head);
    let from_column = qkv_at(first_column + staged_column(lane), column_head);
    let from_other = qkv_at(first_column + staged_column(lane) + 2u, column_head);
    var block = mat4x4<f32>();
    for (var d = 0u; d < params.d4; d += DEPTH4) {
        // Columns beyond the last of a head count as zero.
        let mine = d + lane % 4u;
        let i = min(mine, params.d4 - 1u);
        let value = select(vec4<f32>(), qkv[from_row + i], mine < params.d4);
        stage(lane, value, qkv[from_column + i], qkv[from_other + i]);
        block = add_products(block, at);
    }
    return block;
}

// Adds n rows of a head of `qkv` from `first` on, weighted by the tile, in one part of the head's columns.
fn add_rows(sum: Result, lane: u32, at: Place, part: u32, first: u32, n: u32, head: u32) -> Result {
    let i = min(part * COLS4 + lane % COLS4, params.d4 - 1u);
    var result = sum;
    for (var c = 0u; c < n; c += VALUES) {
        let row = first + c + lane / COLS4;
        stage_values(lane, qkv[qkv_at(row, head) + i], qkv[qkv_at(row + VALUES / 2u, head) + i]);
        result = add_weighted(result, at, c);
    }
    return result;
}
