// Attention, backward with respect to the queries.
//
//   dq[q] = sum_k ds[q,k] k[k],   ds = scale * p * (dout.v - delta),   p = exp(scale * q.k - lse)
//
// Grid    x: tiles of up to 32 query rows, y: heads, z: 64-column parts of a head
// Reads   dout (R, heads*D), qkv (R, (heads + 2*kv_heads)*D), stats (R, heads), spans as attention_forward
// Writes  dqkv, the columns of the queries =
// Twin    reference::attention_backward_q
// With    lib/score_{plain,capped}.wgsl, lib/attention.wgsl, lib/attention_window.wgsl

@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<vec4<f32>>;

fn dscore(query: u32, head: u32, keys: vec4<u32>, scores: vec4<f32>, dp: vec4<f32>) -> vec4<f32> {
    let stat = stats[query * params.heads + head];
    // A masked score may be far above lse: it is replaced before exp, not after.
    let s = score(scores);
    let p = exp(select(vec4<f32>(MASKED), s - stat.x, sees(query, spans[query], keys)));
    return params.scale * slope(s) * p * (dp - stat.y);
}

fn dscore4(
    query: vec4<u32>, head: u32, keys: vec4<u32>, scores: mat4x4<f32>, dp: mat4x4<f32>,
) -> mat4x4<f32> {
    return mat4x4<f32>(
        dscore(query.x, head, keys, scores[0], dp[0]), dscore(query.y, head, keys, scores[1], dp[1]),
        dscore(query.z, head, keys, scores[2], dp[2]), dscore(query.w, head, keys, scores[3], dp[3]));
}

fn store(row: u32, end: u32, head: u32, col: u32, value: vec4<f32>) {
    if row < end && col < params.d4 {
        dqkv[(row * (params.heads + 2u * params.kv_heads) + head) * params.d4 + col] = value;
    }
}

fn store4(row: u32, end: u32, head: u32, col: u32, block: mat4x4<f32>) {
    store(row, end, head, col, block[0]);
    store(row + 1u, end, head, col, block[1]);
    store(row + 2u, end, head, col, block[2]);
    store(row + 3u, end, head, col, block[3]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let queries = spans[params.tiles_at + group.x];
    let first = queries.x;
    let head = group.y;
    let kv_head = head / (params.heads / params.kv_heads);
    let d4 = params.d4;
    let span = spans[first];
    let hole = span.yz;

    let row = (lane / 8u) * 8u;
    let col4 = (lane % 8u) * 2u;
    let query_a = min(FOUR + first + row, vec4<u32>(queries.y - 1u));
    let query_b = min(FOUR + first + row + 4u, vec4<u32>(queries.y - 1u));
    let qa = heads4(query_a, head);
    let qb = heads4(query_b, head);
    let oa = (query_a * params.heads + head) * d4;
    let ob = (query_b * params.heads + head) * d4;
    let key_head = params.heads + kv_head;
    // Offset from a key to its value.
    let to_value = params.kv_heads * d4;
    let out_a = group.z * COLS4 + col4;
    let ca = min(out_a, d4 - 1u);
    let cb = min(out_a + 1u, d4 - 1u);

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    for (var first_key = first_seen(queries.z, span); first_key < queries.y; first_key = next_key(first_key, hole)) {
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
        // dp = dout . v, the derivative with respect to the probabilities.
        var paa = mat4x4<f32>();
        var pab = mat4x4<f32>();
        var pba = mat4x4<f32>();
        var pbb = mat4x4<f32>();
        let va = ka + to_value;
        let vb = kb + to_value;
        for (var d = 0u; d < d4; d++) {
            let o_a = mat4x4<f32>(dout[oa.x + d], dout[oa.y + d], dout[oa.z + d], dout[oa.w + d]);
            let o_b = mat4x4<f32>(dout[ob.x + d], dout[ob.y + d], dout[ob.z + d], dout[ob.w + d]);
            let v_a = transpose(mat4x4<f32>(qkv[va.x + d], qkv[va.y + d], qkv[va.z + d], qkv[va.w + d]));
            let v_b = transpose(mat4x4<f32>(qkv[vb.x + d], qkv[vb.y + d], qkv[vb.z + d], qkv[vb.w + d]));
            paa += v_a * o_a;
            pab += v_b * o_a;
            pba += v_a * o_b;
            pbb += v_b * o_b;
        }
        put4(row, col4, dscore4(query_a, head, keys_a, saa, paa));
        put4(row, col4 + 1u, dscore4(query_a, head, keys_b, sab, pab));
        put4(row + 4u, col4, dscore4(query_b, head, keys_a, sba, pba));
        put4(row + 4u, col4 + 1u, dscore4(query_b, head, keys_b, sbb, pbb));
        workgroupBarrier();

        for (var c = 0u; c < COLS4; c++) {
            let at = heads4(min(FOUR + first_key + c * 4u, vec4<u32>(params.rows - 1u)), key_head);
            let k_a = mat4x4<f32>(qkv[at.x + ca], qkv[at.y + ca], qkv[at.z + ca], qkv[at.w + ca]);
            let k_b = mat4x4<f32>(qkv[at.x + cb], qkv[at.y + cb], qkv[at.z + cb], qkv[at.w + cb]);
            let ds_a = tile4(row, c);
            let ds_b = tile4(row + 4u, c);
            aa += k_a * ds_a;
            ab += k_b * ds_a;
            ba += k_a * ds_b;
            bb += k_b * ds_b;
        }
        workgroupBarrier();
    }
    store4(first + row, queries.y, head, out_a, aa);
    store4(first + row, queries.y, head, out_a + 1u, ab);
    store4(first + row + 4u, queries.y, head, out_a, ba);
    store4(first + row + 4u, queries.y, head, out_a + 1u, bb);
}
