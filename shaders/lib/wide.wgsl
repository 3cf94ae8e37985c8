// lib/wide.wgsl: a tile of 16x16 per lane.

// Four rows of the left operand, from where each begins, at the k-th vec4.
fn rows4(at: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(left[at.x + k], left[at.y + k], left[at.z + k], left[at.w + k]);
}

// Four rows of the weight in the same way. Callers that need columns write `transpose` beside the product: a compiler
// that sees both adds in another order than one that does not, and all variants must give the same bits.
fn weights4(at: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weight(at.x + k), weight(at.y + k), weight(at.z + k), weight(at.w + k));
}

// Four tiles of 4x4, side by side.
fn store_row(row: u32, column: u32, a: mat4x4<f32>, b: mat4x4<f32>, c: mat4x4<f32>, d: mat4x4<f32>) {
    store4(row, column, a);
    store4(row, column + 1u, b);
    store4(row, column + 2u, c);
    store4(row, column + 3u, d);
}
