// Causal grouped-query attention, forward; flash-attention style (Dao et al. 2022): no row of probabilities is kept.
//
//   out[q,h] = sum_k p[q,k] v[k],   p = softmax over the keys that q sees of scale * q.k,   lse[q,h] = log sum exp
//
// Grid    x: tiles of up to 32 query rows, y: heads, z: 64-column parts of a head
// Reads   qkv (R, (heads + 2*kv_heads)*D), spans: per row, then per tile
// Writes  out (R, heads*D) =, lse (R, heads) =, kept for the backward pass
// Twin    reference::attention_forward
// With    lib/score_{plain,capped}.wgsl, lib/attention.wgsl, lib/attention_window.wgsl

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

var<workgroup> rescale: array<f32, ROWS>;
var<workgroup> row_sum: array<f32, ROWS>;

fn masked(query: u32, keys: vec4<u32>, scores: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(MASKED), score(scores), sees(query, spans[query], keys));
}

fn masked4(query: vec4<u32>, keys: vec4<u32>, scores: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        masked(query.x, keys, scores[0]), masked(query.y, keys, scores[1]),
        masked(query.z, keys, scores[2]), masked(query.w, keys, scores[3]));
}

fn store(row: u32, end: u32, local_row: u32, head: u32, col: u32, value: vec4<f32>) {
    if row < end && col < params.d4 {
        out[(row * params.heads + head) * params.d4 + col] = value / row_sum[local_row];
    }
}

fn store4(row: u32, end: u32, local_row: u32, head: u32, col: u32, block: mat4x4<f32>) {
    store(row, end, local_row, head, col, block[0]);
    store(row + 1u, end, local_row + 1u, head, col, block[1]);
    store(row + 2u, end, local_row + 2u, head, col, block[2]);
    store(row + 3u, end, local_row + 3u, head, col, block[3]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let queries = spans[params.tiles_at + group.x];
    let first = queries.x;
    let head = group.y;
    let kv_head = head / (params.heads / params.kv_heads);
    let d4 = params.d4;
    // All rows of a tile have one hole, or none.
    let span = spans[first];
    let hole = span.yz;
    let end_key = queries.y;

    // This lane's 8 rows and 8 columns of a tile.
    let row = (lane / 8u) * 8u;
    let col4 = (lane % 8u) * 2u;
    let last_query = queries.y - 1u;
    let query_a = min(FOUR + first + row, vec4<u32>(last_query));
    let query_b = min(FOUR + first + row + 4u, vec4<u32>(last_query));
    let qa = heads4(query_a, head);
    let qb = heads4(query_b, head);
    let key_head = params.heads + kv_head;
    let value_head = key_head + params.kv_heads;
    // Its 8 columns of the result.
    let out_a = group.z * COLS4 + col4;
    let va = min(out_a, d4 - 1u);
    let vb = min(out_a + 1u, d4 - 1u);

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    // Running maximum and sum of row `lane` of the tile.
    var largest = FLOOR;
    var sum = 0.0;

    for (var first_key = first_seen(queries.z, span); first_key < end_key; first_key = next_key(first_key, hole)) {
        // Scores of 8 rows by 8 keys.
        let keys_a = FOUR + first_key + col4 * 4u;
        let keys_b = keys_a + 4u;
        let ka = heads4(min(keys_a, vec4<u32>(params.rows - 1u)), key_head);
        let kb = heads4(min(keys_b, vec4<u32>(params.rows - 1u)), key_head);
        var saa = mat4x4<f32>();
        var sab = mat4x4<f32>();
        var sba = mat4x4<f32>();
        var sbb = mat4x4<f32>();
        for (var d = 0u; d < d4; d++) {
            let q_a = mat4x4<f32>(qkv[qa.x + d], qkv[qa.y + d], qkv[qa.z + d], qkv[qa.w + d]);
            let q_b = mat4x4<f32>(qkv[qb.x + d], qkv[qb.y + d], qkv[qb.z + d], qkv[qb.w + d]);
            let k_a = transpose(mat4x4<f32>(qkv[ka.x + d], qkv[ka.y + d], qkv[ka.z + d], qkv[ka.w + d]));
            let k_b = transpose(mat4x4<f32>(qkv[kb.x + d], qkv[kb.y + d], qkv[kb.z + d], qkv[kb.w + d]));
            saa += k_a * q_a;
            sab += k_b * q_a;
            sba += k_a * q_b;
            sbb += k_b * q_b;
        }
        put4(row, col4, masked4(query_a, keys_a, saa));
        put4(row, col4 + 1u, masked4(query_a, keys_b, sab));
        put4(row + 4u, col4, masked4(query_b, keys_a, sba));
        put4(row + 4u, col4 + 1u, masked4(query_b, keys_b, sbb));
        workgroupBarrier();

        // Each lane turns one row of scores into weights relative to the running maximum.
        var new_largest = vec4<f32>(largest);
        for (var c = 0u; c < COLS4; c++) {
            new_largest = max(new_largest, tile[lane * COLS4 + c]);
        }
        let top = max(max(new_largest.x, new_largest.y), max(new_largest.z, new_largest.w));
        let factor = exp(largest - top);
        var new_sum = vec4<f32>();
        for (var c = 0u; c < COLS4; c++) {
            let weight = exp(tile[lane * COLS4 + c] - top);
            new_sum += weight;
            tile[lane * COLS4 + c] = weight;
        }
        sum = sum * factor + new_sum.x + new_sum.y + new_sum.z + new_sum.w;
        largest = top;
        rescale[lane] = factor;
        workgroupBarrier();

        // out = out * factor + weights . v
        let fa = vec4<f32>(rescale[row], rescale[row + 1u], rescale[row + 2u], rescale[row + 3u]);
        let fb = vec4<f32>(rescale[row + 4u], rescale[row + 5u], rescale[row + 6u], rescale[row + 7u]);
        aa = mat4x4<f32>(aa[0] * fa.x, aa[1] * fa.y, aa[2] * fa.z, aa[3] * fa.w);
        ab = mat4x4<f32>(ab[0] * fa.x, ab[1] * fa.y, ab[2] * fa.z, ab[3] * fa.w);
        ba = mat4x4<f32>(ba[0] * fb.x, ba[1] * fb.y, ba[2] * fb.z, ba[3] * fb.w);
        bb = mat4x4<f32>(bb[0] * fb.x, bb[1] * fb.y, bb[2] * fb.z, bb[3] * fb.w);
        for (var c = 0u; c < COLS4; c++) {
            let at = heads4(min(FOUR + first_key + c * 4u, vec4<u32>(params.rows - 1u)), value_head);
            let v_a = mat4x4<f32>(qkv[at.x + va], qkv[at.y + va], qkv[at.z + va], qkv[at.w + va]);
            let v_b = mat4x4<f32>(qkv[at.x + vb], qkv[at.y + vb], qkv[at.z + vb], qkv[at.w + vb]);
            let p_a = tile4(row, c);
            let p_b = tile4(row + 4u, c);
            aa += v_a * p_a;
            ab += v_b * p_a;
            ba += v_a * p_b;
            bb += v_b * p_b;
        }
        workgroupBarrier();
    }

    row_sum[lane] = sum;
    workgroupBarrier();
    if group.z == 0u && first + lane < queries.y {
        lse[(first + lane) * params.heads + head] = largest + log(sum);
    }
    store4(first + row, queries.y, row, head, out_a, aa);
    store4(first + row, queries.y, row, head, out_a + 1u, ab);
    store4(first + row + 4u, queries.y, row + 4u, head, out_a, ba);
    store4(first + row + 4u, queries.y, row + 4u, head, out_a + 1u, bb);
}
