// lib/matmul.wgsl: what forward and backward to the input share. `left` is x or dy, `result` is y or dx.

struct Params {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    accumulate: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;

// Where a tile goes: columns of the result in vec4, vec4s from row to row, and before the first column.
struct Place {
    columns: u32,
    stride: u32,
    first: u32,
}

fn store(row: u32, column: u32, place: Place, value: vec4<f32>) {
    if row < params.m && column < place.columns {
        let at = row * place.stride + place.first + column;
        if params.accumulate != 0u {
            result[at] += params.scale * value;
        } else {
            result[at] = params.scale * value;
        }
    }
}

fn store4(row: u32, column: u32, place: Place, tile: mat4x4<f32>) {
    store(row, column, place, tile[0]);
    store(row + 1u, column, place, tile[1]);
    store(row + 2u, column, place, tile[2]);
    store(row + 3u, column, place, tile[3]);
}
