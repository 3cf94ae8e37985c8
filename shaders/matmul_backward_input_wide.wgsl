// Linear layer, backward with respect to its input, on software adapters: matmul_backward_input with tiles of 16x16.
//
//   dx[m,k] = scale * sum_n dy[m,n] * w[n,k] + sum_j du[m,j] * a[j,k]
//
// Grid    One invocation per 16x16 tile of dx; accumulators as in matmul_forward_wide.
// Reads   dy (M,ldy), columns first..first+N (zero up to the next multiple of 4), w (N,K): one block of rows;
//         where there is an adapter: du (M,r), a (r,K)
// Writes  dx (M,K) = or += (accumulate)
// Twin    reference::matmul_backward_input
// With    lib/weight_*.wgsl, lib/matmul.wgsl, lib/matmul_backward_input.wgsl, lib/wide.wgsl

@compute @workgroup_size(1, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m0 = id.y * 16u;
    let k0 = id.x * 4u;
    if m0 >= params.m || k0 >= params.k4 {
        return;
    }
    let last_m = vec4<u32>(params.m - 1u);
    let last_n = vec4<u32>(params.n - 1u);
    let k = min(FOUR + k0, vec4<u32>(params.k4 - 1u));
    let ya = min(FOUR + m0, last_m) * params.ldy4 + params.first4;
    let yb = min(FOUR + m0 + 4u, last_m) * params.ldy4 + params.first4;
    let yc = min(FOUR + m0 + 8u, last_m) * params.ldy4 + params.first4;
    let yd = min(FOUR + m0 + 12u, last_m) * params.ldy4 + params.first4;

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ac = mat4x4<f32>();
    var ad = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    var bc = mat4x4<f32>();
    var bd = mat4x4<f32>();
    var ca = mat4x4<f32>();
    var cb = mat4x4<f32>();
    var cc = mat4x4<f32>();
    var cd = mat4x4<f32>();
    var da = mat4x4<f32>();
    var db = mat4x4<f32>();
    var dc = mat4x4<f32>();
    var dd = mat4x4<f32>();
    let n4 = (params.n + 3u) / 4u;
    for (var n = 0u; n < n4; n++) {
        let at = min(FOUR + n * 4u, last_n) * params.k4;
        let cols_a = weights4(at, k.x);
        let cols_b = weights4(at, k.y);
        let cols_c = weights4(at, k.z);
        let cols_d = weights4(at, k.w);
        let rows_a = rows4(ya, n);
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ac += cols_c * rows_a;
        ad += cols_d * rows_a;
        let rows_b = rows4(yb, n);
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
        bc += cols_c * rows_b;
        bd += cols_d * rows_b;
        let rows_c = rows4(yc, n);
        ca += cols_a * rows_c;
        cb += cols_b * rows_c;
        cc += cols_c * rows_c;
        cd += cols_d * rows_c;
        let rows_d = rows4(yd, n);
        da += cols_a * rows_d;
        db += cols_b * rows_d;
        dc += cols_c * rows_d;
        dd += cols_d * rows_d;
    }
    let ua = min(FOUR + m0, last_m) * params.rank4;
    let ub = min(FOUR + m0 + 4u, last_m) * params.rank4;
    let uc = min(FOUR + m0 + 8u, last_m) * params.rank4;
    let ud = min(FOUR + m0 + 12u, last_m) * params.rank4;
    for (var j = 0u; j < params.rank4; j++) {
        let cols_a = lora_rows(j, k.x);
        let cols_b = lora_rows(j, k.y);
        let cols_c = lora_rows(j, k.z);
        let cols_d = lora_rows(j, k.w);
        let rows_a = mat4x4<f32>(du[ua.x + j], du[ua.y + j], du[ua.z + j], du[ua.w + j]);
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ac += cols_c * rows_a;
        ad += cols_d * rows_a;
        let rows_b = mat4x4<f32>(du[ub.x + j], du[ub.y + j], du[ub.z + j], du[ub.w + j]);
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
        bc += cols_c * rows_b;
        bd += cols_d * rows_b;
        let rows_c = mat4x4<f32>(du[uc.x + j], du[uc.y + j], du[uc.z + j], du[uc.w + j]);
        ca += cols_a * rows_c;
        cb += cols_b * rows_c;
        cc += cols_c * rows_c;
        cd += cols_d * rows_c;
        let rows_d = mat4x4<f32>(du[ud.x + j], du[ud.y + j], du[ud.z + j], du[ud.w + j]);
        da += cols_a * rows_d;
        db += cols_b * rows_d;
        dc += cols_c * rows_d;
        dd += cols_d * rows_d;
    }
    store_row(m0, k0, aa, ab, ac, ad);
    store_row(m0 + 4u, k0, ba, bb, bc, bd);
    store_row(m0 + 8u, k0, ca, cb, cc, cd);
    store_row(m0 + 12u, k0, da, db, dc, dd);
}
