// lib/matmul.wgsl: four rows by four columns of a result; column i of the matrix is row i of the tile.

const FOUR = vec4<u32>(0u, 1u, 2u, 3u);

fn store4(row: u32, column4: u32, tile: mat4x4<f32>) {
    store(row, column4, tile[0]);
    store(row + 1u, column4, tile[1]);
    store(row + 2u, column4, tile[2]);
    store(row + 3u, column4, tile[3]);
}
