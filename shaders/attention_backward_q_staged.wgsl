// Attention, backward with respect to the queries. The variant for GPUs.
//
//   dq[q] = sum_k ds[q,k] k[k],   ds = scale * p * (dout.v - delta),   p = exp(scale * q.k - lse)
//
// Grid    x: tiles of up to 32 query rows, y: heads, z: parts of a head of 4*COLS4 columns. Multiply-adds per vec4 that
//         a lane reads or writes: in workgroup memory 7.3 (128 columns: 8.0), in global memory 96.
// Reads   dout (R, heads*D), qkv (R, (heads + 2*kv_heads)*D), stats (R, heads), spans as attention_forward
// Writes  the queries' columns of dqkv, which has the shape of qkv =
// Twin    reference::attention_backward_q
// With    lib/score_{plain,capped}.wgsl, lib/attention_{d64,d128}.wgsl, lib/attention_staged.wgsl,
//         lib/attention_window.wgsl, lib/attention_backward_staged.wgsl

// The tile takes the place of rows and columns, which are no longer needed then.
const TILE_AT = 0u;
const VALUES_AT = 512u;
const STAGED = 768u;

// dp = dout . v, the derivative with respect to the probabilities; see `products`.
fn dout_products(lane: u32, at: Place, row: u32, head: u32, first_key: u32, value_head: u32) -> mat4x4<f32> {
    let from_row = row * (params.heads * params.d4) + head * params.d4;
    let from_column = qkv_at(first_key + staged_column(lane), value_head);
    let from_other = qkv_at(first_key + staged_column(lane) + 2u, value_head);
    var block = mat4x4<f32>();
    for (var d = 0u; d < params.d4; d += DEPTH4) {
        let mine = d + lane % 4u;
        let i = min(mine, params.d4 - 1u);
        let value = select(vec4<f32>(), dout[from_row + i], mine < params.d4);
        stage(lane, value, qkv[from_column + i], qkv[from_other + i]);
        block = add_products(block, at);
    }
    return block;
}

fn dscore(
    query: u32, head: u32, span: vec4<u32>, keys: vec4<u32>, qk: vec4<f32>, dp: vec4<f32>,
) -> vec4<f32> {
    let stat = stats[min(query, params.rows - 1u) * params.heads + head];
    // A masked score may be far above lse: it is replaced before exp, not after.
    let s = score(qk);
    let p = exp(select(vec4<f32>(MASKED), s - stat.x, sees(query, span, keys)));
    return params.scale * slope(s) * p * (dp - stat.y);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let queries = spans[params.tiles_at + group.x];
    // All rows of a tile have one hole, or none.
    let span = spans[queries.x];
    let head = group.y;
    let key_head = params.heads + head / (params.heads / params.kv_heads);
    let at = place(lane);
    let query = queries.x + at.row;
    let staged_row = min(queries.x + lane / 4u, queries.y - 1u);

    var result = Result();
    for (var first_key = first_seen(queries.z, span); first_key < queries.y; first_key = next_key(first_key, span.yz)) {
        let qk = products(lane, at, staged_row, head, first_key, key_head);
        let dp = dout_products(lane, at, staged_row, head, first_key, key_head + params.kv_heads);
        let keys = FOUR + first_key + at.column4 * 4u;
        let ds = mat4x4<f32>(
            dscore(query, head, span, keys, qk[0], dp[0]),
            dscore(query + 1u, head, span, keys, qk[1], dp[1]),
            dscore(query + 2u, head, span, keys, qk[2], dp[2]),
            dscore(query + 3u, head, span, keys, qk[3], dp[3]));
        workgroupBarrier();
        put_tile(at, ds);
        // Keys after the tile's last row have ds = 0.
        let n_keys = min(queries.y - first_key, COLUMNS);
        result = add_rows(result, lane, at, group.z, first_key, n_keys, key_head);
    }
    let column = group.z * COLS4 + at.column4;
    store4(query, queries.y, head, column, result.left);
    if WIDE {
        store4(query, queries.y, head, column + 16u, result.right);
    }
}
