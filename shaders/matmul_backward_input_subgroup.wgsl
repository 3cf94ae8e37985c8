// Linear layer, backward with respect to its input, where a subgroup has at least 8 lanes.
//
//   dx[m,k] = scale * sum_n dy[m,n] * w[n,k] + sum_j du[m,j] * a[j,k]
//
// Grid    x: 64 rows m, y: 32 columns k; one workgroup of 8 lanes per tile, dy passed around as x is in
//         matmul_forward_subgroup. Workgroups that follow each other share their columns of w, which are far apart in
//         memory: they stay in the cache, where with rows second the loop waits for memory.
// Reads   dy (M,ldy), columns first..first+N (zero up to the next multiple of 4), w (N,K): one block of rows;
//         where there is an adapter: du (M,r), a (r,K)
// Writes  dx (M,K) = or += (accumulate)
// Twin    reference::matmul_backward_input
// With    lib/weight_*.wgsl, lib/matmul.wgsl, lib/matmul_backward_input.wgsl, lib/subgroup.wgsl

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.x * 64u;
    let k = group.y * 8u + lane;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    let column = min(k, params.k4 - 1u);
    let first = vec4<u32>(params.first4);
    let row = m0 + lane;
    let ya = min(vec4<u32>(row, row + 8u, row + 16u, row + 24u), vec4<u32>(last_m)) * params.ldy4 + first;
    let yb = min(vec4<u32>(row + 32u, row + 40u, row + 48u, row + 56u), vec4<u32>(last_m)) * params.ldy4 + first;

    var a0 = mat4x4<f32>();
    var b0 = mat4x4<f32>();
    var a1 = mat4x4<f32>();
    var b1 = mat4x4<f32>();
    var a2 = mat4x4<f32>();
    var b2 = mat4x4<f32>();
    var a3 = mat4x4<f32>();
    var b3 = mat4x4<f32>();
    var a4 = mat4x4<f32>();
    var b4 = mat4x4<f32>();
    var a5 = mat4x4<f32>();
    var b5 = mat4x4<f32>();
    var a6 = mat4x4<f32>();
    var b6 = mat4x4<f32>();
    var a7 = mat4x4<f32>();
    var b7 = mat4x4<f32>();
    let n4 = (params.n + 3u) / 4u;
    for (var n = 0u; n < n4; n++) {
        let at = min(vec4<u32>(0u, 1u, 2u, 3u) + n * 4u, vec4<u32>(last_n)) * params.k4 + vec4<u32>(column);
        let cols = mat4x4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w));
        var v = left[ya.x + n];
        a0 += cols * low(v);
        b0 += cols * high(v);
        v = left[ya.y + n];
        a1 += cols * low(v);
        b1 += cols * high(v);
        v = left[ya.z + n];
        a2 += cols * low(v);
        b2 += cols * high(v);
        v = left[ya.w + n];
        a3 += cols * low(v);
        b3 += cols * high(v);
        v = left[yb.x + n];
        a4 += cols * low(v);
        b4 += cols * high(v);
        v = left[yb.y + n];
        a5 += cols * low(v);
        b5 += cols * high(v);
        v = left[yb.z + n];
        a6 += cols * low(v);
        b6 += cols * high(v);
        v = left[yb.w + n];
        a7 += cols * low(v);
        b7 += cols * high(v);
    }
    let rows_a = vec4<u32>(row, row + 8u, row + 16u, row + 24u);
    let rows_b = vec4<u32>(row + 32u, row + 40u, row + 48u, row + 56u);
    let ua = min(rows_a, vec4<u32>(last_m)) * params.rank4;
    let ub = min(rows_b, vec4<u32>(last_m)) * params.rank4;
    for (var j = 0u; j < params.rank4; j++) {
        let cols = lora_rows(j, column);
        var v = du[ua.x + j];
        a0 += cols * low(v);
        b0 += cols * high(v);
        v = du[ua.y + j];
        a1 += cols * low(v);
        b1 += cols * high(v);
        v = du[ua.z + j];
        a2 += cols * low(v);
        b2 += cols * high(v);
        v = du[ua.w + j];
        a3 += cols * low(v);
        b3 += cols * high(v);
        v = du[ub.x + j];
        a4 += cols * low(v);
        b4 += cols * high(v);
        v = du[ub.y + j];
        a5 += cols * low(v);
        b5 += cols * high(v);
        v = du[ub.z + j];
        a6 += cols * low(v);
        b6 += cols * high(v);
        v = du[ub.w + j];
        a7 += cols * low(v);
        b7 += cols * high(v);
    }
    store4(m0, k, a0);
    store4(m0 + 4u, k, b0);
    store4(m0 + 8u, k, a1);
    store4(m0 + 12u, k, b1);
    store4(m0 + 16u, k, a2);
    store4(m0 + 20u, k, b2);
    store4(m0 + 24u, k, a3);
    store4(m0 + 28u, k, b3);
    store4(m0 + 32u, k, a4);
    store4(m0 + 36u, k, b4);
    store4(m0 + 40u, k, a5);
    store4(m0 + 44u, k, b5);
    store4(m0 + 48u, k, a6);
    store4(m0 + 52u, k, b6);
    store4(m0 + 56u, k, a7);
    store4(m0 + 60u, k, b7);
}
