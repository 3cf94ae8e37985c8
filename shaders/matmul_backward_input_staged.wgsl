// Linear layer, backward with respect to its input, on GPUs: operands staged in workgroup memory.
//
//   dx[m,k] = scale * sum_n dy[m,n] * w[n,k] + sum_j du[m,j] * a[j,k]
//
// Grid    x: ROWS rows m, y: COLS columns k; one workgroup of LANES per tile, as in matmul_forward_staged
// Reads   dy (M,ldy), columns first..first+N (zero up to the next multiple of 4), w (N,K): one block of rows,
//         du (M,ldu) and a (4 rank4, K) if rank4 is not 0. Multiply-adds per vec4 as in matmul_forward_staged.
// Writes  dx (M,K) = or += (accumulate)
// Twin    reference::matmul_backward_input
// With    lib/operand_{f32,f16}.wgsl, lib/weight_*.wgsl, lib/tile_{64x64,64x64_tall,128x64,32x32}.wgsl, lib/chunk.wgsl,
//         lib/matmul_backward_input.wgsl; lib/products.wgsl, lib/staged.wgsl, lib/right_columns.wgsl, lib/matmul.wgsl;
//         or by cooperative matrices lib/coop.wgsl, lib/coop_{16,8}.wgsl, lib/coop_right_columns.wgsl

// The vec4s at n of two rows of dy, and of w the vec4s of two rows at their place; beyond the last row, that one.
fn load(rows: vec2<u32>, n: u32, at: vec2<u32>, last: u32) -> Chunk {
    let n4 = (params.n + 3u) / 4u;
    let column = min(n, n4 - 1u);
    var chunk = Chunk();
    chunk.inside = n < n4;
    chunk.left_a = left[rows.x + column];
    chunk.right_a = weight(min(at.x, last));
    if TWO_LEFT {
        chunk.left_b = left[rows.y + column];
    }
    if TWO_RIGHT {
        chunk.right_b = weight(min(at.y, last));
    }
    return chunk;
}

// The same for du and a.
fn load_adapter(rows: vec2<u32>, j: u32, at: vec2<u32>, last: u32) -> Chunk {
    let column = min(j, params.rank4 - 1u);
    var chunk = Chunk();
    chunk.inside = j < params.rank4;
    chunk.left_a = du[rows.x + column];
    chunk.right_a = a[min(at.x, last)];
    if TWO_LEFT {
        chunk.left_b = du[rows.y + column];
    }
    if TWO_RIGHT {
        chunk.right_b = a[min(at.y, last)];
    }
    return chunk;
}

fn compute(group: vec3<u32>, lane: u32, spot: Spot) {
    let m0 = group.x * ROWS;
    let column0 = group.y * COLS4;
    let n0 = lane % STEP4;
    let rows = min(vec2<u32>(m0 + lane / STEP4) + vec2<u32>(0u, APART), vec2<u32>(params.m - 1u));
    // In the first round this lane stages two rows of w at one column; per round they move on by `round` vec4s.
    let column = min(column0 + lane % COLS4, params.k4 - 1u);
    let at = vec2<u32>(lane / COLS4, (lane + LANES) / COLS4) * params.k4 + column;
    let round = 4u * STEP4 * params.k4;

    var sums = Sums();
    let starts = rows * params.ldy4 + params.first4;
    let last = (params.n - 1u) * params.k4 + column;
    var chunk = load(starts, n0, at, last);
    var next = at;
    for (var n = 0u; n * 4u < params.n; n += STEP4) {
        workgroupBarrier();
        stage(chunk, spot);
        workgroupBarrier();
        next += round;
        chunk = load(starts, n + STEP4 + n0, next, last);
        multiply(&sums, spot);
    }

    if params.rank4 != 0u {
        let from_du = rows * params.rank4;
        let last_a = (params.rank4 * 4u - 1u) * params.k4 + column;
        chunk = load_adapter(from_du, n0, at, last_a);
        next = at;
        for (var j = 0u; j < params.rank4; j += STEP4) {
            workgroupBarrier();
            stage(chunk, spot);
            workgroupBarrier();
            next += round;
            chunk = load_adapter(from_du, j + STEP4 + n0, next, last_a);
            multiply(&sums, spot);
        }
    }
    store_tile(m0, column0, lane, spot, &sums);
}
