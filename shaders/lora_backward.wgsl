// LoRA, backward to what B multiplies, for layers that are computed side by side.
//
//   du[m, at + j] = scale * sum_n dy[m,n] * b[n,j]     over the columns n of a layer
//
// Grid    x: 8 columns j, y: 256 rows m, one invocation per 8x8 tile of du; z: layers with an adapter.
// Reads   dy (M,ldy), b (ldy,r)
// Writes  du (M,ldu) =, the layer's columns
// Twin    reference::lora_backward
// With    lib/matmul.wgsl, lib/lora_backward.wgsl

// Four rows of B from the n-th four on, at a column.
fn rows_of_b(n: u32, column: u32) -> mat4x4<f32> {
    let at = n * 4u * params.rank4 + column;
    let r = params.rank4;
    return mat4x4<f32>(b[at], b[at + r], b[at + 2u * r], b[at + 3u * r]);
}

@compute @workgroup_size(1, 32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m0 = id.y * 8u;
    let ja = id.x * 2u;
    if m0 >= params.m || ja >= params.rank4 {
        return;
    }
    let jb = min(ja + 1u, params.rank4 - 1u);
    let last_m = params.m - 1u;
    let ya = min(vec4<u32>(m0, m0 + 1u, m0 + 2u, m0 + 3u), vec4<u32>(last_m)) * params.ldy4;
    let yb = min(vec4<u32>(m0 + 4u, m0 + 5u, m0 + 6u, m0 + 7u), vec4<u32>(last_m)) * params.ldy4;

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    let end = params.ends4[id.z];
    for (var n = params.starts4[id.z]; n < end; n++) {
        let rows_a = mat4x4<f32>(dy[ya.x + n], dy[ya.y + n], dy[ya.z + n], dy[ya.w + n]);
        let rows_b = mat4x4<f32>(dy[yb.x + n], dy[yb.y + n], dy[yb.z + n], dy[yb.w + n]);
        let cols_a = rows_of_b(n, ja);
        let cols_b = rows_of_b(n, jb);
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
    }
    du_at = params.u_at4[id.z];
    store4(m0, ja, aa);
    store4(m0, ja + 1u, ab);
    store4(m0 + 4u, ja, ba);
    store4(m0 + 4u, ja + 1u, bb);
}
