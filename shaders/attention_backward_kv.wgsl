// Attention, backward with respect to keys and values.
//
//   dv[k] = sum_q p[q,k] dout[q],   dk[k] = sum_q ds[q,k] q[q],   p and ds as in attention_backward_q
//
// Grid    x: tiles of up to 32 key rows, y: kv heads (each sums over its query heads), z: 64-column parts of a head
// Reads   dout (R, heads*D), qkv (R, (heads + 2*kv_heads)*D), stats (R, heads), spans: per row, then per tile
// Writes  dqkv, the columns of keys and values =
// Twin    reference::attention_backward_kv
// With    lib/score_{plain,capped}.wgsl, lib/attention.wgsl, lib/attention_window.wgsl

@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<vec4<f32>>;

// Probability of four keys for one query, 0 where it does not see them.
fn probability(query: u32, head: u32, key_rows: vec4<u32>, scores: vec4<f32>) -> vec4<f32> {
    let at = min(query, params.rows - 1u);
    let seen = sees(query, spans[at], key_rows) & vec4<bool>(query < params.rows);
    return exp(select(vec4<f32>(MASKED), score(scores) - stats[at * params.heads + head].x, seen));
}

// The same for four queries; column i of `scores` is key i, so both turns are transposed.
fn probability4(query: vec4<u32>, head: u32, key_rows: vec4<u32>, scores: mat4x4<f32>) -> mat4x4<f32> {
    let by_query = transpose(scores);
    return transpose(mat4x4<f32>(
        probability(query.x, head, key_rows, by_query[0]), probability(query.y, head, key_rows, by_query[1]),
        probability(query.z, head, key_rows, by_query[2]), probability(query.w, head, key_rows, by_query[3])));
}

fn dscore(p: vec4<f32>, dp: vec4<f32>, lse: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    return params.scale * slope_by(p, lse) * p * (dp - delta);
}

fn dscore4(p: mat4x4<f32>, dp: mat4x4<f32>, lse: vec4<f32>, delta: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        dscore(p[0], dp[0], lse, delta), dscore(p[1], dp[1], lse, delta),
        dscore(p[2], dp[2], lse, delta), dscore(p[3], dp[3], lse, delta));
}

fn store(row: u32, end: u32, kv_head: u32, col: u32, dk_value: vec4<f32>, dv_value: vec4<f32>) {
    if row < end && col < params.d4 {
        let at = (row * (params.heads + 2u * params.kv_heads) + params.heads + kv_head) * params.d4 + col;
        dqkv[at] = dk_value;
        dqkv[at + params.kv_heads * params.d4] = dv_value;
    }
}

fn store4(row: u32, end: u32, kv_head: u32, col: u32, dk_block: mat4x4<f32>, dv_block: mat4x4<f32>) {
    store(row, end, kv_head, col, dk_block[0], dv_block[0]);
    store(row + 1u, end, kv_head, col, dk_block[1], dv_block[1]);
    store(row + 2u, end, kv_head, col, dk_block[2], dv_block[2]);
    store(row + 3u, end, kv_head, col, dk_block[3], dv_block[3]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let keys = spans[params.tiles_at + group.x];
    let first = keys.x;
    let kv_head = group.y;
    let per_group = params.heads / params.kv_heads;
    let d4 = params.d4;

    // Rows of the tile are keys, columns queries.
    let row = (lane / 8u) * 8u;
    let col4 = (lane % 8u) * 2u;
    let keys_a = FOUR + first + row;
    let keys_b = keys_a + 4u;
    let ka = heads4(min(keys_a, vec4<u32>(keys.y - 1u)), params.heads + kv_head);
    let kb = heads4(min(keys_b, vec4<u32>(keys.y - 1u)), params.heads + kv_head);
    let va = ka + params.kv_heads * d4;
    let vb = kb + params.kv_heads * d4;
    let out_a = group.z * COLS4 + col4;
    let ca = min(out_a, d4 - 1u);
    let cb = min(out_a + 1u, d4 - 1u);

    var kaa = mat4x4<f32>();
    var kab = mat4x4<f32>();
    var kba = mat4x4<f32>();
    var kbb = mat4x4<f32>();
    var vaa = mat4x4<f32>();
    var vab = mat4x4<f32>();
    var vba = mat4x4<f32>();
    var vbb = mat4x4<f32>();
    for (var head = kv_head * per_group; head < (kv_head + 1u) * per_group; head++) {
        for (var first_query = keys.x; first_query < keys.w; first_query += COLS4 * 4u) {
            let query_a = FOUR + first_query + col4 * 4u;
            let query_b = query_a + 4u;
            let rows_a = min(query_a, vec4<u32>(params.rows - 1u));
            let rows_b = min(query_b, vec4<u32>(params.rows - 1u));
            let at_a = rows_a * params.heads + head;
            let at_b = rows_b * params.heads + head;
            let qa = heads4(rows_a, head);
            let qb = heads4(rows_b, head);
            let oa = at_a * d4;
            let ob = at_b * d4;
            var paa = mat4x4<f32>();
            var pab = mat4x4<f32>();
            var pba = mat4x4<f32>();
            var pbb = mat4x4<f32>();
            for (var d = 0u; d < d4; d++) {
                let k_a = mat4x4<f32>(qkv[ka.x + d], qkv[ka.y + d], qkv[ka.z + d], qkv[ka.w + d]);
                let k_b = mat4x4<f32>(qkv[kb.x + d], qkv[kb.y + d], qkv[kb.z + d], qkv[kb.w + d]);
                let q_a = transpose(mat4x4<f32>(qkv[qa.x + d], qkv[qa.y + d], qkv[qa.z + d], qkv[qa.w + d]));
                let q_b = transpose(mat4x4<f32>(qkv[qb.x + d], qkv[qb.y + d], qkv[qb.z + d], qkv[qb.w + d]));
                paa += q_a * k_a;
                pab += q_b * k_a;
                pba += q_a * k_b;
                pbb += q_b * k_b;
            }
            paa = probability4(query_a, head, keys_a, paa);
            pab = probability4(query_b, head, keys_a, pab);
            pba = probability4(query_a, head, keys_b, pba);
            pbb = probability4(query_b, head, keys_b, pbb);
            put4(row, col4, paa);
            put4(row, col4 + 1u, pab);
            put4(row + 4u, col4, pba);
            put4(row + 4u, col4 + 1u, pbb);
            workgroupBarrier();
            for (var c = 0u; c < COLS4; c++) {
                let query = min(FOUR + first_query + c * 4u, vec4<u32>(params.rows - 1u));
                let at = (query * params.heads + head) * d4;
                let o_a = mat4x4<f32>(dout[at.x + ca], dout[at.y + ca], dout[at.z + ca], dout[at.w + ca]);
                let o_b = mat4x4<f32>(dout[at.x + cb], dout[at.y + cb], dout[at.z + cb], dout[at.w + cb]);
                let p_a = tile4(row, c);
                let p_b = tile4(row + 4u, c);
                vaa += o_a * p_a;
                vab += o_b * p_a;
                vba += o_a * p_b;
                vbb += o_b * p_b;
            }
            workgroupBarrier();

            // dp = dout . v
            var daa = mat4x4<f32>();
            var dab = mat4x4<f32>();
            var dba = mat4x4<f32>();
            var dbb = mat4x4<f32>();
            for (var d = 0u; d < d4; d++) {
                let v_a = mat4x4<f32>(qkv[va.x + d], qkv[va.y + d], qkv[va.z + d], qkv[va.w + d]);
                let v_b = mat4x4<f32>(qkv[vb.x + d], qkv[vb.y + d], qkv[vb.z + d], qkv[vb.w + d]);
                let o_a = transpose(mat4x4<f32>(dout[oa.x + d], dout[oa.y + d], dout[oa.z + d], dout[oa.w + d]));
                let o_b = transpose(mat4x4<f32>(dout[ob.x + d], dout[ob.y + d], dout[ob.z + d], dout[ob.w + d]));
                daa += o_a * v_a;
                dab += o_b * v_a;
                dba += o_a * v_b;
                dbb += o_b * v_b;
            }
            let delta_a = vec4<f32>(stats[at_a.x].y, stats[at_a.y].y, stats[at_a.z].y, stats[at_a.w].y);
            let delta_b = vec4<f32>(stats[at_b.x].y, stats[at_b.y].y, stats[at_b.z].y, stats[at_b.w].y);
            let lse_a = vec4<f32>(stats[at_a.x].x, stats[at_a.y].x, stats[at_a.z].x, stats[at_a.w].x);
            let lse_b = vec4<f32>(stats[at_b.x].x, stats[at_b.y].x, stats[at_b.z].x, stats[at_b.w].x);
            put4(row, col4, dscore4(paa, daa, lse_a, delta_a));
            put4(row, col4 + 1u, dscore4(pab, dab, lse_b, delta_b));
            put4(row + 4u, col4, dscore4(pba, dba, lse_a, delta_a));
            put4(row + 4u, col4 + 1u, dscore4(pbb, dbb, lse_b, delta_b));
            workgroupBarrier();
            for (var c = 0u; c < COLS4; c++) {
                let query = min(FOUR + first_query + c * 4u, vec4<u32>(params.rows - 1u));
                let at = heads4(query, head);
                let q_a = mat4x4<f32>(qkv[at.x + ca], qkv[at.y + ca], qkv[at.z + ca], qkv[at.w + ca]);
                let q_b = mat4x4<f32>(qkv[at.x + cb], qkv[at.y + cb], qkv[at.z + cb], qkv[at.w + cb]);
                let ds_a = tile4(row, c);
                let ds_b = tile4(row + 4u, c);
                kaa += q_a * ds_a;
                kab += q_b * ds_a;
                kba += q_a * ds_b;
                kbb += q_b * ds_b;
            }
            workgroupBarrier();
        }
    }
    store4(first + row, keys.y, kv_head, out_a, kaa, vaa);
    store4(first + row, keys.y, kv_head, out_a + 1u, kab, vab);
    store4(first + row + 4u, keys.y, kv_head, out_a, kba, vba);
    store4(first + row + 4u, keys.y, kv_head, out_a + 1u, kbb, vbb);
}
