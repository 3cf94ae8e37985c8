// Linear layer, forward, for the row of one text that is generated, where a subgroup has at least 8 lanes.
//
//   y[m,n] = scale * sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j] + bias[n] + residual[m,n]
//
// Grid    x and y: 32 columns n of y per workgroup of 8 lanes, z: rows m. A lane holds four columns. Eight vec4s of x
//         are read by eight lanes and passed around by subgroupBroadcast, so that nearly every load is of the weight.
// Reads   x (M,K), w (N,K): one block of rows of the weight; where there are: u (M,ldu), b (ldy,r), bias (ldy),
//         residual (M,ldy)
// Writes  y (M,ldy), columns first.. =; in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/products.wgsl, lib/matmul_forward.wgsl

// Adds the products with the k-th vec4 of x, which is zero beyond the last.
fn add(sum: vec4<f32>, rows: vec4<u32>, k: u32, x: vec4<f32>) -> vec4<f32> {
    let at = rows + min(k, params.k4 - 1u);
    return add_row(sum, x, transpose(mat4x4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w))));
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = (group.y * grid.x + group.x) * 8u + lane;
    let n0 = column * 4u;
    let row = group.z;
    let k4 = params.k4;
    let rows = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(params.n - 1u)) * k4;

    // No lane may leave early.
    var sum = vec4<f32>();
    for (var k = 0u; k < k4; k += 8u) {
        let x = select(vec4<f32>(), left[row * k4 + min(k + lane, k4 - 1u)], k + lane < k4);
        sum = add(sum, rows, k, subgroupBroadcast(x, 0u));
        sum = add(sum, rows, k + 1u, subgroupBroadcast(x, 1u));
        sum = add(sum, rows, k + 2u, subgroupBroadcast(x, 2u));
        sum = add(sum, rows, k + 3u, subgroupBroadcast(x, 3u));
        sum = add(sum, rows, k + 4u, subgroupBroadcast(x, 4u));
        sum = add(sum, rows, k + 5u, subgroupBroadcast(x, 5u));
        sum = add(sum, rows, k + 6u, subgroupBroadcast(x, 6u));
        sum = add(sum, rows, k + 7u, subgroupBroadcast(x, 7u));
    }
    for (var s = 0u; s < SEGMENTS; s++) {
        let part = segment(s);
        if touches(part, column, 1u) {
            let at = row * params.ldu4 + part.u_at4;
            for (var j = 0u; j < params.rank4; j++) {
                sum = add_row(sum, u[at + j], lora_columns(part, column, j));
            }
        }
    }
    store(row, column, sum);
}
