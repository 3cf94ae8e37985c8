// LoRA, backward with respect to u, on GPUs, for ranks above 32: operands staged in workgroup memory.
//
//   du[m, of segment z, j] = scale * sum_n dy[m,n] * b[n,j],   n over the columns of segment z
//
// Grid    x: ROWS rows m, y: COLS columns j, z: segments; one workgroup of LANES per tile
// Reads   dy (M,ldy), b (columns of dy, r). Multiply-adds per vec4 read as in matmul_forward_staged.
// Writes  du (M,ldu) =
// Twin    reference::lora_backward
// With    lib/operand_f32.wgsl, lib/tile_{64x64,64x64_tall,128x64,32x32}.wgsl, lib/products.wgsl, lib/staged.wgsl,
//         lib/chunk.wgsl, lib/right_columns.wgsl, lib/matmul.wgsl, lib/lora_backward.wgsl

// The vec4s at n of two rows of dy, zero beyond the end, and of b the vec4s of two rows at their place, at most `last`.
fn load(rows: vec2<u32>, n: u32, end: u32, at: vec2<u32>, last: u32) -> Chunk {
    let column = min(n, end - 1u);
    var chunk = Chunk();
    chunk.inside = n < end;
    chunk.left_a = dy[rows.x + column];
    chunk.right_a = b[min(at.x, last)];
    if TWO_LEFT {
        chunk.left_b = dy[rows.y + column];
    }
    if TWO_RIGHT {
        chunk.right_b = b[min(at.y, last)];
    }
    return chunk;
}

fn compute(group: vec3<u32>, lane: u32, spot: Spot) {
    let m0 = group.x * ROWS;
    let column0 = group.y * COLS4;
    let start = params.starts4[group.z];
    let end = params.ends4[group.z];
    let rows = min(vec2<u32>(m0 + lane / STEP4) + vec2<u32>(0u, APART), vec2<u32>(params.m - 1u)) * params.ldy4;
    let column = min(column0 + lane % COLS4, params.rank4 - 1u);
    let last = (end * 4u - 1u) * params.rank4 + column;
    var at = (start * 4u + vec2<u32>(lane / COLS4, (lane + LANES) / COLS4)) * params.rank4 + column;

    var sums = Sums();
    let n0 = lane % STEP4;
    var chunk = load(rows, start + n0, end, at, last);
    for (var n = start; n < end; n += STEP4) {
        workgroupBarrier();
        stage(chunk, spot);
        workgroupBarrier();
        at += 4u * STEP4 * params.rank4;
        chunk = load(rows, n + STEP4 + n0, end, at, last);
        multiply(&sums, spot);
    }
    du_at = params.u_at4[group.z];
    store_tile(m0, column0, lane, spot, &sums);
}
