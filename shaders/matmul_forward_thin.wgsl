// Linear layer, forward, on GPUs, for few columns, as the A of adapters have, or few rows, as generation has. Adds in
// another order than the tiles: what chooses between them is to look at N and K, not at M.
//
//   y[m,n] = scale * (sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j]) + bias[n] + residual[m,n]
//
// Grid    x: 32 rows m, y: 8 columns n; one workgroup of 64 lanes per tile, as lib/thin.wgsl has it
// Reads   x (M,K), w (N,K): one block of rows of the weight, u (M,ldu) and b (columns of y, r) if rank4 is not 0, bias
//         if has_bias is not 0. Multiply-adds per vec4 read from memory: 10.7 by a lane; each vec4 of x is read once,
//         each of w by all lanes of its slice.
// Writes  y (M,ldy), columns first.. = or += (accumulate); in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/products.wgsl, lib/thin.wgsl, lib/matmul.wgsl, lib/matmul_forward.wgsl

fn weights4(at: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weight(at.x + k), weight(at.y + k), weight(at.z + k), weight(at.w + k));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.x * ROWS;
    let n0 = group.y * COLS4 * 4u;
    let x_at = min(FOUR + m0 + lane / SLICES * 4u, vec4<u32>(params.m - 1u)) * params.k4;
    let wa = min(FOUR + n0, vec4<u32>(params.n - 1u)) * params.k4;
    let wb = min(FOUR + n0 + 4u, vec4<u32>(params.n - 1u)) * params.k4;

    var sum_a = mat4x4<f32>();
    var sum_b = mat4x4<f32>();
    for (var k = lane % SLICES; k < params.k4; k += SLICES) {
        let rows = mat4x4<f32>(left[x_at.x + k], left[x_at.y + k], left[x_at.z + k], left[x_at.w + k]);
        sum_a = add_rows(sum_a, rows, transpose(weights4(wa, k)));
        sum_b = add_rows(sum_b, rows, transpose(weights4(wb, k)));
    }
    var sum = joined(lane, sum_a, sum_b);

    let row = m0 + lane / 2u;
    let column = group.y * COLS4 + lane % 2u;
    for (var s = 0u; s < SEGMENTS; s++) {
        let part = segment(s);
        if touches(part, column, 1u) {
            let at = min(row, params.m - 1u) * params.ldu4 + part.u_at4;
            for (var j = 0u; j < params.rank4; j++) {
                sum = add_row(sum, u[at + j], lora_columns(part, column, j));
            }
        }
    }
    store(row, column, sum);
}
