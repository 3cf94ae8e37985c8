// Linear layer, forward, on software adapters: matmul_forward with tiles of 16x16.
//
//   y[m,n] = scale * (sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j]) + bias[n] + residual[m,n]
//
// Grid    One invocation per 16x16 tile of y, in sixteen named mat4x4 accumulators: more than a GPU has registers for,
//         but where a load costs as much as dozens of multiply-adds, half as many loads for each of them pay.
// Reads   x (M,K), w (N,K): one block of rows of the weight; where there are: u (M,ldu), b (ldy,r), bias (ldy),
//         residual (M,ldy)
// Writes  y (M,ldy), columns first.. =; in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/matmul.wgsl, lib/matmul_forward.wgsl, lib/wide.wgsl

@compute @workgroup_size(1, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m0 = id.y * 16u;
    let n0 = id.x * 16u;
    if m0 >= params.m || n0 >= params.n {
        return;
    }
    let k4 = params.k4;
    let last_m = vec4<u32>(params.m - 1u);
    let last_n = vec4<u32>(params.n - 1u);
    let xa = min(FOUR + m0, last_m) * k4;
    let xb = min(FOUR + m0 + 4u, last_m) * k4;
    let xc = min(FOUR + m0 + 8u, last_m) * k4;
    let xd = min(FOUR + m0 + 12u, last_m) * k4;
    let wa = min(FOUR + n0, last_n) * k4;
    let wb = min(FOUR + n0 + 4u, last_n) * k4;
    let wc = min(FOUR + n0 + 8u, last_n) * k4;
    let wd = min(FOUR + n0 + 12u, last_n) * k4;

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
    for (var k = 0u; k < k4; k++) {
        let cols_a = transpose(weights4(wa, k));
        let cols_b = transpose(weights4(wb, k));
        let cols_c = transpose(weights4(wc, k));
        let cols_d = transpose(weights4(wd, k));
        let rows_a = rows4(xa, k);
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ac += cols_c * rows_a;
        ad += cols_d * rows_a;
        let rows_b = rows4(xb, k);
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
        bc += cols_c * rows_b;
        bd += cols_d * rows_b;
        let rows_c = rows4(xc, k);
        ca += cols_a * rows_c;
        cb += cols_b * rows_c;
        cc += cols_c * rows_c;
        cd += cols_d * rows_c;
        let rows_d = rows4(xd, k);
        da += cols_a * rows_d;
        db += cols_b * rows_d;
        dc += cols_c * rows_d;
        dd += cols_d * rows_d;
    }
    let n4 = n0 / 4u;
    for (var s = 0u; s < SEGMENTS; s++) {
        let part = segment(s);
        if touches(part, n4, 4u) {
            let ua = min(FOUR + m0, last_m) * params.ldu4 + part.u_at4;
            let ub = min(FOUR + m0 + 4u, last_m) * params.ldu4 + part.u_at4;
            let uc = min(FOUR + m0 + 8u, last_m) * params.ldu4 + part.u_at4;
            let ud = min(FOUR + m0 + 12u, last_m) * params.ldu4 + part.u_at4;
            for (var j = 0u; j < params.rank4; j++) {
                let cols_a = lora_columns(part, n4, j);
                let cols_b = lora_columns(part, n4 + 1u, j);
                let cols_c = lora_columns(part, n4 + 2u, j);
                let cols_d = lora_columns(part, n4 + 3u, j);
                let rows_a = mat4x4<f32>(u[ua.x + j], u[ua.y + j], u[ua.z + j], u[ua.w + j]);
                aa += cols_a * rows_a;
                ab += cols_b * rows_a;
                ac += cols_c * rows_a;
                ad += cols_d * rows_a;
                let rows_b = mat4x4<f32>(u[ub.x + j], u[ub.y + j], u[ub.z + j], u[ub.w + j]);
                ba += cols_a * rows_b;
                bb += cols_b * rows_b;
                bc += cols_c * rows_b;
                bd += cols_d * rows_b;
                let rows_c = mat4x4<f32>(u[uc.x + j], u[uc.y + j], u[uc.z + j], u[uc.w + j]);
                ca += cols_a * rows_c;
                cb += cols_b * rows_c;
                cc += cols_c * rows_c;
                cd += cols_d * rows_c;
                let rows_d = mat4x4<f32>(u[ud.x + j], u[ud.y + j], u[ud.z + j], u[ud.w + j]);
                da += cols_a * rows_d;
                db += cols_b * rows_d;
                dc += cols_c * rows_d;
                dd += cols_d * rows_d;
            }
        }
    }
    store_row(m0, n4, aa, ab, ac, ad);
    store_row(m0 + 4u, n4, ba, bb, bc, bd);
    store_row(m0 + 8u, n4, ca, cb, cc, cd);
    store_row(m0 + 12u, n4, da, db, dc, dd);
}
