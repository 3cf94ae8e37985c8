// Linear layer, forward, on software adapters: matmul_forward with tiles of 16x16.
//
//   y[m,n] = scale * sum_k x[m,k] * w[n,k]
//
// Grid    One invocation per 16x16 tile of y, in sixteen named mat4x4 accumulators: more than a GPU has registers for,
//         but where a load costs as much as dozens of multiply-adds, half as many loads for each of them pay.
// Reads   x (M,K), w (N,K): one block of rows of the weight
// Writes  y (M,ldy), columns first.. = or += (accumulate); in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_{f32,f16,bf16}.wgsl, lib/matmul.wgsl, lib/wide.wgsl

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
    let place = Place((params.n + 3u) / 4u, params.ldy4, params.first4);
    store_row(m0, n4, place, aa, ab, ac, ad);
    store_row(m0 + 4u, n4, place, ba, bb, bc, bd);
    store_row(m0 + 8u, n4, place, ca, cb, cc, cd);
    store_row(m0 + 12u, n4, place, da, db, dc, dd);
}
