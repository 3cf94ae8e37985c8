// Attention, backward with respect to keys and values. The variant for GPUs.
//
//   dv[k] = sum_q p[q,k] dout[q],   dk[k] = sum_q ds[q,k] q[q],   p and ds as in attention_backward_q
//
// Grid    x: tiles of up to 32 key rows, y: kv heads (each sums over its query heads), z: parts of a head of 4*COLS4
//         columns. Multiply-adds per vec4 that a lane reads or writes: in workgroup memory 7.3 (128 columns: 8.3), in
//         global memory 102.
// Reads   dout (R, heads*D), qkv (R, (heads + 2*kv_heads)*D), stats (R, heads), spans: per row, then per tile
// Writes  the keys' and the values' columns of dqkv, which has the shape of qkv =
// Twin    reference::attention_backward_kv
// With    lib/score_{plain,capped}.wgsl, lib/attention_{d64,d128}.wgsl, lib/attention_staged.wgsl,
//         lib/attention_window.wgsl, lib/attention_backward_staged.wgsl

// Values take the place of rows and columns; the tile keeps the probabilities until ds is made of them.
const TILE_AT = 448u;
const VALUES_AT = 0u;
const STAGED = 960u;

// Per query of a block: (lse, delta), and a bit for each key of the tile that it sees, 16 keys to a number.
var<workgroup> query_stats: array<vec2<f32>, COLUMNS>;
var<workgroup> query_sees: array<u32, 2u * COLUMNS>;

const BITS = vec4<u32>(1u, 2u, 4u, 8u);

fn dout_at(row: u32, head: u32) -> u32 {
    return min(row, params.rows - 1u) * (params.heads * params.d4) + head * params.d4;
}

// dp = v . dout, the derivative with respect to the probabilities; see `products`.
fn dout_products(lane: u32, at: Place, row: u32, value_head: u32, first_query: u32, head: u32) -> mat4x4<f32> {
    let from_row = qkv_at(row, value_head);
    let from_column = dout_at(first_query + staged_column(lane), head);
    let from_other = dout_at(first_query + staged_column(lane) + 2u, head);
    var block = mat4x4<f32>();
    for (var d = 0u; d < params.d4; d += DEPTH4) {
        let mine = d + lane % 4u;
        let i = min(mine, params.d4 - 1u);
        let value = select(vec4<f32>(), qkv[from_row + i], mine < params.d4);
        stage(lane, value, dout[from_column + i], dout[from_other + i]);
        block = add_products(block, at);
    }
    return block;
}

// The same as `add_rows`, but with rows of `dout`.
fn add_dout_rows(sum: Result, lane: u32, at: Place, part: u32, first: u32, n: u32, head: u32) -> Result {
    let i = min(part * COLS4 + lane % COLS4, params.d4 - 1u);
    var result = sum;
    for (var c = 0u; c < n; c += VALUES) {
        let row = first + c + lane / COLS4;
        stage_values(lane, dout[dout_at(row, head) + i], dout[dout_at(row + VALUES / 2u, head) + i]);
        result = add_weighted(result, at, c);
    }
    return result;
}

// The bits of four keys from `key` on; queries from `end` on see none.
fn four_seen(query: u32, end: u32, span: vec4<u32>, key: u32) -> u32 {
    let bits = select(vec4<u32>(), BITS, sees(query, span, FOUR + key) & vec4<bool>(query < end));
    return bits.x | bits.y | bits.z | bits.w;
}

// Probabilities of four keys of the tile for one query of the block; 0 for keys that the query does not see.
fn probability(query: u32, key: u32, qk: vec4<f32>) -> vec4<f32> {
    let bits = query_sees[key / 16u * COLUMNS + query] >> (key % 16u);
    let seen = (vec4<u32>(bits) & BITS) != vec4<u32>();
    // A masked score may be far above lse: it is replaced before exp, not after.
    return exp(select(vec4<f32>(MASKED), score(qk) - query_stats[query].x, seen));
}

// Derivative with respect to q.k, for one key and four queries.
fn dscore(p: vec4<f32>, dp: vec4<f32>, lse: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    return params.scale * slope_by(p, lse) * p * (dp - delta);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let keys = spans[params.tiles_at + group.x];
    let kv_head = group.y;
    let per_group = params.heads / params.kv_heads;
    let key_head = params.heads + kv_head;
    let value_head = key_head + params.kv_heads;
    let at = place(lane);
    let staged_row = min(keys.x + lane / 4u, keys.y - 1u);

    var dk = Result();
    var dv = Result();
    for (var first_query = keys.x; first_query < keys.w; first_query += COLUMNS) {
        let n_queries = min(keys.w - first_query, COLUMNS);
        let query = first_query + lane % COLUMNS;
        let key = keys.x + lane / COLUMNS * 16u;
        let span = spans[min(query, params.rows - 1u)];
        // Nobody reads the last block's bits any more, nor the last head's stats below: rows were staged since.
        query_sees[lane] = four_seen(query, keys.w, span, key)
            | (four_seen(query, keys.w, span, key + 4u) << 4u)
            | (four_seen(query, keys.w, span, key + 8u) << 8u)
            | (four_seen(query, keys.w, span, key + 12u) << 12u);

        for (var head = kv_head * per_group; head < (kv_head + 1u) * per_group; head++) {
            if lane < COLUMNS {
                query_stats[lane] = stats[min(query, params.rows - 1u) * params.heads + head];
            }
            // In a block rows are keys and columns queries.
            let column = at.column4 * 4u;
            let by_query = transpose(products(lane, at, staged_row, key_head, first_query, head));
            put_tile(at, transpose(mat4x4<f32>(
                probability(column, at.row, by_query[0]), probability(column + 1u, at.row, by_query[1]),
                probability(column + 2u, at.row, by_query[2]), probability(column + 3u, at.row, by_query[3]))));
            dv = add_dout_rows(dv, lane, at, group.z, first_query, n_queries, head);

            let dp = dout_products(lane, at, staged_row, value_head, first_query, head);
            let p = staged4(TILE_AT + at.row * TILE4 + at.column4, TILE4);
            let delta = vec4<f32>(
                query_stats[column].y, query_stats[column + 1u].y,
                query_stats[column + 2u].y, query_stats[column + 3u].y);
            let lse = vec4<f32>(
                query_stats[column].x, query_stats[column + 1u].x,
                query_stats[column + 2u].x, query_stats[column + 3u].x);
            put_tile(at, mat4x4<f32>(
                dscore(p[0], dp[0], lse, delta), dscore(p[1], dp[1], lse, delta),
                dscore(p[2], dp[2], lse, delta), dscore(p[3], dp[3], lse, delta)));
            dk = add_rows(dk, lane, at, group.z, first_query, n_queries, head);
        }
    }
    let row = keys.x + at.row;
    let column = group.z * COLS4 + at.column4;
    store4(row, keys.y, key_head, column, dk.left);
    store4(row, keys.y, value_head, column, dv.left);
    if WIDE {
        store4(row, keys.y, key_head, column + 16u, dk.right);
        store4(row, keys.y, value_head, column + 16u, dv.right);
    }
}
