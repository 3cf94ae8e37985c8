// LoRA, backward with respect to u, on GPUs, for ranks up to 32. Adds in another order than the tiles.
//
//   du[m, of segment z, j] = scale * sum_n dy[m,n] * b[n,j],   n over the columns of segment z
//
// Grid    x: 32 rows m, y: 8 columns j, z: segments; one workgroup of 64 lanes per tile, as lib/thin.wgsl has it
// Reads   dy (M,ldy), b (columns of dy, r). Multiply-adds per vec4 read from memory: 10.7 by a lane; each vec4 of dy is
//         read once, each of b by all lanes of its slice.
// Writes  du (M,ldu) =
// Twin    reference::lora_backward
// With    lib/products.wgsl, lib/thin.wgsl, lib/matmul.wgsl, lib/lora_backward.wgsl

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.x * ROWS;
    let j0 = group.y * COLS4;
    let y_at = min(FOUR + m0 + lane / SLICES * 4u, vec4<u32>(params.m - 1u)) * params.ldy4;
    let ja = min(j0, params.rank4 - 1u);
    let jb = min(j0 + 1u, params.rank4 - 1u);

    var sum_a = mat4x4<f32>();
    var sum_b = mat4x4<f32>();
    let end = params.ends4[group.z];
    for (var n = params.starts4[group.z] + lane % SLICES; n < end; n += SLICES) {
        let rows = mat4x4<f32>(dy[y_at.x + n], dy[y_at.y + n], dy[y_at.z + n], dy[y_at.w + n]);
        let at = (FOUR + n * 4u) * params.rank4;
        sum_a = add_rows(sum_a, rows, mat4x4<f32>(b[at.x + ja], b[at.y + ja], b[at.z + ja], b[at.w + ja]));
        sum_b = add_rows(sum_b, rows, mat4x4<f32>(b[at.x + jb], b[at.y + jb], b[at.z + jb], b[at.w + jb]));
    }
    du_at = params.u_at4[group.z];
    store(m0 + lane / 2u, j0 + lane % 2u, joined(lane, sum_a, sum_b));
}
