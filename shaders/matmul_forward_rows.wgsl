// Linear layer, forward, for the few rows of texts that are generated together: the weight is read once for ROWS rows,
// and little else matters.
//
//   y[m,n] = scale * (sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j]) + bias[n] + residual[m,n]
//
// Grid    x and y: 32 columns n of y per workgroup, z: ROWS rows m. Eight lanes share four columns and stride over the
//         vec4s of k, so that neighbours read neighbours; their sums meet in workgroup memory once. 4*ROWS
//         multiply-adds per vec4 of the weight.
// Reads   x (M,K), w (N,K): one block of rows of the weight; where there are: u (M,ldu), b (ldy,r), bias (ldy),
//         residual (M,ldy)
// Writes  y (M,ldy), columns first.. =; in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/weight_*.wgsl, lib/matmul_forward.wgsl, lib/rows_{1,4,16}.wgsl

const SHARES = 8u;
const GROUPS = 8u;
const LANES = SHARES * GROUPS;

var<workgroup> sums: array<vec4<f32>, LANES * ROWS>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.y * grid.x + group.x) * GROUPS;
    let n0 = (first + lane / SHARES) * 4u;
    let m0 = group.z * ROWS;
    let last_m = params.m - 1u;
    let wn = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(params.n - 1u)) * params.k4;

    var sum: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        sum[r] = vec4<f32>();
    }
    for (var k = lane % SHARES; k < params.k4; k += SHARES) {
        let columns = transpose(mat4x4<f32>(weight(wn.x + k), weight(wn.y + k), weight(wn.z + k), weight(wn.w + k)));
        for (var r = 0u; r < ROWS; r++) {
            let v = left[min(m0 + r, last_m) * params.k4 + k];
            sum[r] = fma(columns[0], vec4<f32>(v.x), sum[r]);
            sum[r] = fma(columns[1], vec4<f32>(v.y), sum[r]);
            sum[r] = fma(columns[2], vec4<f32>(v.z), sum[r]);
            sum[r] = fma(columns[3], vec4<f32>(v.w), sum[r]);
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        sums[r * LANES + lane] = sum[r];
    }
    workgroupBarrier();
    for (var item = lane; item < GROUPS * ROWS; item += LANES) {
        var total = vec4<f32>();
        for (var i = 0u; i < SHARES; i++) {
            total += sums[item * SHARES + i];
        }
        let row = m0 + item / GROUPS;
        let column = first + item % GROUPS;
        for (var s = 0u; s < SEGMENTS; s++) {
            let part = segment(s);
            if touches(part, column, 1u) {
                let at = min(row, last_m) * params.ldu4 + part.u_at4;
                for (var j = 0u; j < params.rank4; j++) {
                    total += lora_columns(part, column, j) * u[at + j];
                }
            }
        }
        store(row, column, total);
    }
}
