// Linear layer, forward, on GPUs: operands staged in workgroup memory.
//
//   y[m,n] = scale * (sum_k x[m,k] * w[n,k] + sum_j u[m, at(n)+j] * b[n,j]) + bias[n] + residual[m,n]
//
// Grid    x: ROWS rows m, y: COLS columns n; one workgroup of LANES per tile. Workgroups that follow each other share
//         their rows of w, which is the larger operand.
// Reads   x (M,K), w (N,K): one block of rows of the weight, u (M,ldu) and b (columns of y, r) if rank4 is not 0, bias
//         if has_bias is not 0. Multiply-adds per vec4 read from memory: 128 (0.125 bytes each), tile 128x64 171
//         (0.094 bytes), tile 32x32 64 (0.25 bytes); per vec4 read from workgroup memory: 8 where a lane holds 4x4,
//         10.7 where it holds 8x4.
// Writes  y (M,ldy), columns first.. = or += (accumulate); in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
// With    lib/operand_{f32,f16}.wgsl, lib/weight_*.wgsl, lib/tile_{64x64,64x64_tall,128x64,32x32}.wgsl, lib/chunk.wgsl,
//         lib/matmul_forward.wgsl; lib/products.wgsl, lib/staged.wgsl, lib/right_rows.wgsl, lib/matmul.wgsl;
//         or by cooperative matrices lib/coop.wgsl, lib/coop_{16,8}.wgsl, lib/coop_right_rows.wgsl
//
// Every tile of lib/staged.wgsl adds in the same order, k by k, so that all give the same bits.

// The vec4s at k of two rows of x and two of w, from where each row begins. Beyond the sum, x counts as zero.
fn load(starts: vec4<u32>, k: u32) -> Chunk {
    let at = starts + min(k, params.k4 - 1u);
    var chunk = Chunk();
    chunk.inside = k < params.k4;
    chunk.left_a = left[at.x];
    chunk.right_a = weight(at.z);
    if TWO_LEFT {
        chunk.left_b = left[at.y];
    }
    if TWO_RIGHT {
        chunk.right_b = weight(at.w);
    }
    return chunk;
}

// The same for u and b. Rows of b of another segment count as zero.
fn load_adapter(starts: vec4<u32>, k: u32, real: vec2<bool>) -> Chunk {
    let at = starts + min(k, params.rank4 - 1u);
    var chunk = Chunk();
    chunk.inside = k < params.rank4;
    chunk.left_a = u[at.x];
    chunk.right_a = select(vec4<f32>(), b[at.z], real.x);
    if TWO_LEFT {
        chunk.left_b = u[at.y];
    }
    if TWO_RIGHT {
        chunk.right_b = select(vec4<f32>(), b[at.w], real.y);
    }
    return chunk;
}

fn compute(group: vec3<u32>, lane: u32, spot: Spot) {
    let m0 = group.x * ROWS;
    let n0 = group.y * COLS;
    let k0 = lane % STEP4;
    let staged = vec2<u32>(lane / STEP4, lane / STEP4 + APART);
    let rows = min(staged + m0, vec2<u32>(params.m - 1u));
    let cols = min(staged + n0, vec2<u32>(params.n - 1u));

    var sums = Sums();
    let starts = vec4<u32>(rows, cols) * params.k4;
    var chunk = load(starts, k0);
    for (var k = 0u; k < params.k4; k += STEP4) {
        workgroupBarrier();
        stage(chunk, spot);
        workgroupBarrier();
        chunk = load(starts, k + STEP4 + k0);
        multiply(&sums, spot);
    }
    // The layers that share the tile: each has its own part of u, and the columns of others count as zero.
    let columns = params.first4 + cols / 4u;
    let from_b = (params.first4 * 4u + cols) * params.rank4;
    for (var s = 0u; s < SEGMENTS; s++) {
        let part = segment(s);
        if touches(part, n0 / 4u, COLS4) {
            let starts_u = vec4<u32>(rows * params.ldu4 + part.u_at4, from_b);
            let real = (columns >= vec2<u32>(part.first)) & (columns < vec2<u32>(part.end));
            chunk = load_adapter(starts_u, k0, real);
            for (var k = 0u; k < params.rank4; k += STEP4) {
                workgroupBarrier();
                stage(chunk, spot);
                workgroupBarrier();
                chunk = load_adapter(starts_u, k + STEP4 + k0, real);
                multiply(&sums, spot);
            }
        }
    }
    store_tile(m0, n0 / 4u, lane, spot, &sums);
}
