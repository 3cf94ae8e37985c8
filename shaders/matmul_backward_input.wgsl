// Linear layer, backward with respect to its input.
//
//   dx[m,k] = scale * sum_n dy[m,n] * w[n,k] + sum_j du[m,j] * a[j,k]
//
// Grid    One invocation per 8x8 tile of dx; accumulators as in matmul_forward.
// Reads   dy (M,ldy), columns first..first+N (zero up to the next multiple of 4), w (N,K): one block of rows;
//         where there is an adapter: du (M,r), a (r,K)
// Writes  dx (M,K) = or += (accumulate)
// Twin    reference::matmul_backward_input
// With    lib/weight_*.wgsl, lib/matmul.wgsl, lib/matmul_backward_input.wgsl

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m0 = id.y * 8u;
    let ka = id.x * 2u;
    if m0 >= params.m || ka >= params.k4 {
        return;
    }
    let kb = min(ka + 1u, params.k4 - 1u);
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    let first = vec4<u32>(params.first4);
    let ya = min(vec4<u32>(m0, m0 + 1u, m0 + 2u, m0 + 3u), vec4<u32>(last_m)) * params.ldy4 + first;
    let yb = min(vec4<u32>(m0 + 4u, m0 + 5u, m0 + 6u, m0 + 7u), vec4<u32>(last_m)) * params.ldy4 + first;

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    let n4 = (params.n + 3u) / 4u;
    for (var n = 0u; n < n4; n++) {
        let rows_a = mat4x4<f32>(left[ya.x + n], left[ya.y + n], left[ya.z + n], left[ya.w + n]);
        let rows_b = mat4x4<f32>(left[yb.x + n], left[yb.y + n], left[yb.z + n], left[yb.w + n]);
        let at = min(vec4<u32>(0u, 1u, 2u, 3u) + n * 4u, vec4<u32>(last_n)) * params.k4;
        let cols_a = mat4x4<f32>(weight(at.x + ka), weight(at.y + ka), weight(at.z + ka), weight(at.w + ka));
        let cols_b = mat4x4<f32>(weight(at.x + kb), weight(at.y + kb), weight(at.z + kb), weight(at.w + kb));
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
    }
    let ua = min(vec4<u32>(m0, m0 + 1u, m0 + 2u, m0 + 3u), vec4<u32>(last_m)) * params.rank4;
    let ub = min(vec4<u32>(m0 + 4u, m0 + 5u, m0 + 6u, m0 + 7u), vec4<u32>(last_m)) * params.rank4;
    for (var j = 0u; j < params.rank4; j++) {
        let rows_a = mat4x4<f32>(du[ua.x + j], du[ua.y + j], du[ua.z + j], du[ua.w + j]);
        let rows_b = mat4x4<f32>(du[ub.x + j], du[ub.y + j], du[ub.z + j], du[ub.w + j]);
        let cols_a = lora_rows(j, ka);
        let cols_b = lora_rows(j, kb);
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
    }
    store4(m0, ka, aa);
    store4(m0, ka + 1u, ab);
    store4(m0 + 4u, ka, ba);
    store4(m0 + 4u, ka + 1u, bb);
}
