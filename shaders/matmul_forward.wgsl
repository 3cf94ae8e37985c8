// Linear layer, forward.
//
//   y[m,n] = scale * (sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j]) + bias[n] + residual[m,n]
//
// Grid    One invocation per 8x8 tile of y. Four named mat4x4 accumulators; column i of one is row i of the tile,
//         so a 4x4x4 block is one matrix product. No workgroup memory: on software adapters barriers are dear.
// Reads   x (M,K), w (N,K): one block of rows of the weight; where there are: u (M,ldu), b (ldy,r), bias (ldy),
//         residual (M,ldy)
// Writes  y (M,ldy), columns first.. =; in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/matmul.wgsl, lib/matmul_forward.wgsl

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m0 = id.y * 8u;
    let n0 = id.x * 8u;
    if m0 >= params.m || n0 >= params.n {
        return;
    }
    let k4 = params.k4;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    let xa = min(vec4<u32>(m0, m0 + 1u, m0 + 2u, m0 + 3u), vec4<u32>(last_m)) * k4;
    let xb = min(vec4<u32>(m0 + 4u, m0 + 5u, m0 + 6u, m0 + 7u), vec4<u32>(last_m)) * k4;
    let wa = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(last_n)) * k4;
    let wb = min(vec4<u32>(n0 + 4u, n0 + 5u, n0 + 6u, n0 + 7u), vec4<u32>(last_n)) * k4;

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    for (var k = 0u; k < k4; k++) {
        let rows_a = mat4x4<f32>(left[xa.x + k], left[xa.y + k], left[xa.z + k], left[xa.w + k]);
        let rows_b = mat4x4<f32>(left[xb.x + k], left[xb.y + k], left[xb.z + k], left[xb.w + k]);
        let cols_a = transpose(mat4x4<f32>(weight(wa.x + k), weight(wa.y + k), weight(wa.z + k), weight(wa.w + k)));
        let cols_b = transpose(mat4x4<f32>(weight(wb.x + k), weight(wb.y + k), weight(wb.z + k), weight(wb.w + k)));
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
    }
    let n4 = n0 / 4u;
    for (var s = 0u; s < SEGMENTS; s++) {
        let part = segment(s);
        if touches(part, n4, 2u) {
            let ua = min(vec4<u32>(m0, m0 + 1u, m0 + 2u, m0 + 3u), vec4<u32>(last_m)) * params.ldu4 + part.u_at4;
            let ub = min(vec4<u32>(m0 + 4u, m0 + 5u, m0 + 6u, m0 + 7u), vec4<u32>(last_m)) * params.ldu4 + part.u_at4;
            for (var j = 0u; j < params.rank4; j++) {
                let rows_a = mat4x4<f32>(u[ua.x + j], u[ua.y + j], u[ua.z + j], u[ua.w + j]);
                let rows_b = mat4x4<f32>(u[ub.x + j], u[ub.y + j], u[ub.z + j], u[ub.w + j]);
                let cols_a = lora_columns(part, n4, j);
                let cols_b = lora_columns(part, n4 + 1u, j);
                aa += cols_a * rows_a;
                ab += cols_b * rows_a;
                ba += cols_a * rows_b;
                bb += cols_b * rows_b;
            }
        }
    }
    store4(m0, n4, aa);
    store4(m0, n4 + 1u, ab);
    store4(m0 + 4u, n4, ba);
    store4(m0 + 4u, n4 + 1u, bb);
}
