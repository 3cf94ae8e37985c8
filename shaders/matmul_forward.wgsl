// Linear layer, forward.
//
//   y[m,n] = scale * sum_k x[m,k] * w[n,k]
//
// Grid    One invocation per 8x8 tile of y. Four named mat4x4 accumulators; column i of one is row i of the tile,
//         so a 4x4x4 block is one matrix product. No workgroup memory: on software adapters barriers are dear.
// Reads   x (M,K), w (N,K): one block of rows of the weight
// Writes  y (M,ldy), columns first.. = or += (accumulate); in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_{f32,f16,bf16}.wgsl, lib/matmul.wgsl

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
    let place = Place((params.n + 3u) / 4u, params.ldy4, params.first4);
    store4(m0, n4, place, aa);
    store4(m0, n4 + 1u, place, ab);
    store4(m0 + 4u, n4, place, ba);
    store4(m0 + 4u, n4 + 1u, place, bb);
}
