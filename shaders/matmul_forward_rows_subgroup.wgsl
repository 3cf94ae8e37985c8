// Linear layer, forward, for the few rows of texts that are generated together, where a subgroup has at least 8 lanes.
//
//   y[m,n] = scale * sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j] + bias[n] + residual[m,n]
//
// Grid    One workgroup of 8 lanes per 16x32 tile of y, 16x4 per lane in named mat4x4 accumulators. Sixteen rows of x
//         are read by eight lanes and passed around by subgroupBroadcast, as in matmul_forward_subgroup: 43
//         multiply-adds per vec4 read.
// Reads   x (M,K), w (N,K): one block of rows of the weight; where there are: u (M,ldu), b (ldy,r), bias (ldy),
//         residual (M,ldy)
// Writes  y (M,ldy), columns first.. =; in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/products.wgsl, lib/matmul.wgsl, lib/matmul_forward.wgsl,
//         lib/subgroup.wgsl

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * 16u;
    let n0 = (group.x * 8u + lane) * 4u;
    let k4 = params.k4;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    // Lane i reads rows i and 8 + i of x and passes them around; no lane may leave early.
    let rows = min(vec2<u32>(m0 + lane, m0 + lane + 8u), vec2<u32>(last_m));
    let x = rows * k4;
    let wn = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(last_n)) * k4;

    var a0 = mat4x4<f32>();
    var b0 = mat4x4<f32>();
    var a1 = mat4x4<f32>();
    var b1 = mat4x4<f32>();
    for (var k = 0u; k < k4; k++) {
        let cols = transpose(mat4x4<f32>(weight(wn.x + k), weight(wn.y + k), weight(wn.z + k), weight(wn.w + k)));
        var v = left[x.x + k];
        a0 = add_rows(a0, low(v), cols);
        b0 = add_rows(b0, high(v), cols);
        v = left[x.y + k];
        a1 = add_rows(a1, low(v), cols);
        b1 = add_rows(b1, high(v), cols);
    }
    let n4 = n0 / 4u;
    for (var s = 0u; s < SEGMENTS; s++) {
        // All lanes take the same segments, since all of them pass rows around.
        let part = segment(s);
        if touches(part, group.x * 8u, 8u) {
            let at = rows * params.ldu4 + part.u_at4;
            for (var j = 0u; j < params.rank4; j++) {
                let cols = lora_columns(part, n4, j);
                var v = u[at.x + j];
                a0 = add_rows(a0, low(v), cols);
                b0 = add_rows(b0, high(v), cols);
                v = u[at.y + j];
                a1 = add_rows(a1, low(v), cols);
                b1 = add_rows(b1, high(v), cols);
            }
        }
    }
    store4(m0, n4, a0);
    store4(m0 + 4u, n4, b0);
    store4(m0 + 8u, n4, a1);
    store4(m0 + 12u, n4, b1);
}
