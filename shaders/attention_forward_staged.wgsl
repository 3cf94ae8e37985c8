// Causal grouped-query attention, forward; flash-attention style (Dao et al. 2022): no row of probabilities is kept.
// The variant for GPUs.
//
//   out[q,h] = sum_k p[q,k] v[k],   p = softmax over the keys that q sees of scale * q.k,   lse[q,h] = log sum exp
//
// Grid    x: tiles of up to 32 query rows, y: heads, z: parts of a head of 4*COLS4 columns. Multiply-adds per vec4 that
//         a lane reads or writes: in workgroup memory 6.9 (128 columns: 8.0), in global memory 102.
// Reads   qkv (R, (heads + 2*kv_heads)*D), spans: per row, then per tile
// Writes  out (R, heads*D) =, lse (R, heads) =, kept for the backward pass
// Twin    reference::attention_forward
// With    lib/score_{plain,capped}.wgsl, lib/attention_{d64,d128}.wgsl, lib/attention_staged.wgsl,
//         lib/attention_window.wgsl

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

// The tile takes the place of rows and columns, which are no longer needed then.
const TILE_AT = 0u;
const VALUES_AT = 512u;
const STAGED = 768u;

fn masked(query: u32, span: vec4<u32>, keys: vec4<u32>, scores: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(MASKED), score(scores), sees(query, span, keys));
}

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn sum_of(v: vec4<f32>) -> f32 {
    return v.x + v.y + v.z + v.w;
}

fn scaled(block: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(block[0] * by.x, block[1] * by.y, block[2] * by.z, block[3] * by.w);
}

fn store(row: u32, end: u32, head: u32, column: u32, value: vec4<f32>) {
    if row < end && column < params.d4 {
        out[(row * params.heads + head) * params.d4 + column] = value;
    }
}

fn store4(row: u32, end: u32, head: u32, column: u32, block: mat4x4<f32>) {
    store(row, end, head, column, block[0]);
    store(row + 1u, end, head, column, block[1]);
    store(row + 2u, end, head, column, block[2]);
    store(row + 3u, end, head, column, block[3]);
}

fn store_lse(row: u32, end: u32, head: u32, value: f32) {
    if row < end {
        lse[row * params.heads + head] = value;
    }
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
    // Per row of the lane: the running maximum of all keys, and the running sum of the lane's own keys.
    var largest = vec4<f32>(FLOOR);
    var sum = vec4<f32>();
    for (var first_key = first_seen(queries.z, span); first_key < queries.y; first_key = next_key(first_key, span.yz)) {
        let qk = products(lane, at, staged_row, head, first_key, key_head);
        let keys = FOUR + first_key + at.column4 * 4u;
        let scores = mat4x4<f32>(
            masked(query, span, keys, qk[0]), masked(query + 1u, span, keys, qk[1]),
            masked(query + 2u, span, keys, qk[2]), masked(query + 3u, span, keys, qk[3]));

        // The 16 lanes of a row tell each other their maximum; weights are relative to that of all keys so far.
        let told = VALUES_AT + at.row * 4u;
        staged[told + at.column4] = vec4<f32>(
            largest_of(scores[0]), largest_of(scores[1]), largest_of(scores[2]), largest_of(scores[3]));
        workgroupBarrier();
        var top = largest;
        for (var c = 0u; c < 16u; c++) {
            top = max(top, staged[told + c]);
        }
        let factor = exp(largest - top);
        let weights = mat4x4<f32>(
            exp(scores[0] - top.x), exp(scores[1] - top.y), exp(scores[2] - top.z), exp(scores[3] - top.w));
        put_tile(at, weights);
        largest = top;
        sum = sum * factor + vec4<f32>(sum_of(weights[0]), sum_of(weights[1]), sum_of(weights[2]), sum_of(weights[3]));

        // out = out * factor + weights . v; keys after the tile's last row have no weight.
        result.left = scaled(result.left, factor);
        if WIDE {
            result.right = scaled(result.right, factor);
        }
        let n_keys = min(queries.y - first_key, COLUMNS);
        result = add_rows(result, lane, at, group.z, first_key, n_keys, key_head + params.kv_heads);
    }

    // And at last their sum.
    let told = VALUES_AT + at.row * 4u;
    workgroupBarrier();
    staged[told + at.column4] = sum;
    workgroupBarrier();
    var total = vec4<f32>();
    for (var c = 0u; c < 16u; c++) {
        total += staged[told + c];
    }
    if group.z == 0u && at.column4 == 0u {
        let value = largest + log(total);
        store_lse(query, queries.y, head, value.x);
        store_lse(query + 1u, queries.y, head, value.y);
        store_lse(query + 2u, queries.y, head, value.z);
        store_lse(query + 3u, queries.y, head, value.w);
    }
    let column = group.z * COLS4 + at.column4;
    store4(query, queries.y, head, column, scaled(result.left, 1.0 / total));
    if WIDE {
        store4(query, queries.y, head, column + 16u, scaled(result.right, 1.0 / total));
    }
}
