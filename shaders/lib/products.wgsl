// lib/products.wgsl: products added to sums by fma, in the order in which they are written.
//
// Dot products and products of matrices are avoided: if an addition follows one, drivers make five instructions of what
// are four multiply-adds here.

// One row of a tile and four of its columns: sum + x.x cols[0] + x.y cols[1] + x.z cols[2] + x.w cols[3].
fn add_row(sum: vec4<f32>, x: vec4<f32>, cols: mat4x4<f32>) -> vec4<f32> {
    let half = fma(vec4<f32>(x.y), cols[1], fma(vec4<f32>(x.x), cols[0], sum));
    return fma(vec4<f32>(x.w), cols[3], fma(vec4<f32>(x.z), cols[2], half));
}

// Four rows; column i of the matrices is row i of the tile.
fn add_rows(sum: mat4x4<f32>, rows: mat4x4<f32>, cols: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        add_row(sum[0], rows[0], cols), add_row(sum[1], rows[1], cols),
        add_row(sum[2], rows[2], cols), add_row(sum[3], rows[3], cols));
}

// Row i of the tile gets y[i] x.
fn add_outer(sum: mat4x4<f32>, y: vec4<f32>, x: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(y.x), x, sum[0]), fma(vec4<f32>(y.y), x, sum[1]),
        fma(vec4<f32>(y.z), x, sum[2]), fma(vec4<f32>(y.w), x, sum[3]));
}
