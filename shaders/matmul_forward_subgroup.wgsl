// Linear layer, forward, where a subgroup has at least 8 lanes: matmul_forward with x read once per subgroup.
//
//   y[m,n] = scale * (sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j]) + bias[n] + residual[m,n]
//
// Grid    One workgroup of 8 lanes per 64x32 tile of y, 64x4 per lane in named mat4x4 accumulators. Eight rows of x are
//         read by eight lanes and passed around by subgroupBroadcast: on software adapters, where a load costs as much
//         as dozens of multiply-adds, this is several times faster than reading them in every lane.
// Reads   x (M,K), w (N,K): one block of rows of the weight; where there are: u (M,ldu), b (ldy,r), bias (ldy),
//         residual (M,ldy)
// Writes  y (M,ldy), columns first.. =; in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/matmul.wgsl, lib/matmul_forward.wgsl, lib/subgroup.wgsl

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * 64u;
    let n0 = (group.x * 8u + lane) * 4u;
    let k4 = params.k4;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    // Lane i reads rows i, 8 + i, .. 56 + i of x and passes them around; no lane may leave early.
    let row = m0 + lane;
    let xa = min(vec4<u32>(row, row + 8u, row + 16u, row + 24u), vec4<u32>(last_m)) * k4;
    let xb = min(vec4<u32>(row + 32u, row + 40u, row + 48u, row + 56u), vec4<u32>(last_m)) * k4;
    let wn = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(last_n)) * k4;

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
    for (var k = 0u; k < k4; k++) {
        let cols = transpose(mat4x4<f32>(weight(wn.x + k), weight(wn.y + k), weight(wn.z + k), weight(wn.w + k)));
        var v = left[xa.x + k];
        a0 += cols * low(v);
        b0 += cols * high(v);
        v = left[xa.y + k];
        a1 += cols * low(v);
        b1 += cols * high(v);
        v = left[xa.z + k];
        a2 += cols * low(v);
        b2 += cols * high(v);
        v = left[xa.w + k];
        a3 += cols * low(v);
        b3 += cols * high(v);
        v = left[xb.x + k];
        a4 += cols * low(v);
        b4 += cols * high(v);
        v = left[xb.y + k];
        a5 += cols * low(v);
        b5 += cols * high(v);
        v = left[xb.z + k];
        a6 += cols * low(v);
        b6 += cols * high(v);
        v = left[xb.w + k];
        a7 += cols * low(v);
        b7 += cols * high(v);
    }
    let n4 = n0 / 4u;
    for (var s = 0u; s < SEGMENTS; s++) {
        // All lanes take the same segments, since all of them pass rows around.
        let part = segment(s);
        if touches(part, group.x * 8u, 8u) {
            let rows_a = vec4<u32>(row, row + 8u, row + 16u, row + 24u);
            let rows_b = vec4<u32>(row + 32u, row + 40u, row + 48u, row + 56u);
            let ua = min(rows_a, vec4<u32>(last_m)) * params.ldu4 + part.u_at4;
            let ub = min(rows_b, vec4<u32>(last_m)) * params.ldu4 + part.u_at4;
            for (var j = 0u; j < params.rank4; j++) {
                let cols = lora_columns(part, n4, j);
                var v = u[ua.x + j];
                a0 += cols * low(v);
                b0 += cols * high(v);
                v = u[ua.y + j];
                a1 += cols * low(v);
                b1 += cols * high(v);
                v = u[ua.z + j];
                a2 += cols * low(v);
                b2 += cols * high(v);
                v = u[ua.w + j];
                a3 += cols * low(v);
                b3 += cols * high(v);
                v = u[ub.x + j];
                a4 += cols * low(v);
                b4 += cols * high(v);
                v = u[ub.y + j];
                a5 += cols * low(v);
                b5 += cols * high(v);
                v = u[ub.z + j];
                a6 += cols * low(v);
                b6 += cols * high(v);
                v = u[ub.w + j];
                a7 += cols * low(v);
                b7 += cols * high(v);
            }
        }
    }
    store4(m0, n4, a0);
    store4(m0 + 4u, n4, b0);
    store4(m0 + 8u, n4, a1);
    store4(m0 + 12u, n4, b1);
    store4(m0 + 16u, n4, a2);
    store4(m0 + 20u, n4, b2);
    store4(m0 + 24u, n4, a3);
    store4(m0 + 28u, n4, b3);
    store4(m0 + 32u, n4, a4);
    store4(m0 + 36u, n4, b4);
    store4(m0 + 40u, n4, a5);
    store4(m0 + 44u, n4, b5);
    store4(m0 + 48u, n4, a6);
    store4(m0 + 52u, n4, b6);
    store4(m0 + 56u, n4, a7);
    store4(m0 + 60u, n4, b7);
}
