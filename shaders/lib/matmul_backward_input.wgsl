// lib/matmul_backward_input.wgsl: what the variants of matmul_backward_input share: `left` is dy, `result` is dx.

struct Params {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    accumulate: u32,
    scale: f32,
    rank4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> du: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> a: array<vec4<f32>>;

fn store(row: u32, column: u32, value: vec4<f32>) {
    if row < params.m && column < params.k4 {
        let at = row * params.k4 + column;
        if params.accumulate != 0u {
            result[at] += params.scale * value;
        } else {
            result[at] = params.scale * value;
        }
    }
}

// Four rows of LoRA's A from the j-th four on, at a column.
fn lora_rows(j: u32, column: u32) -> mat4x4<f32> {
    let at = j * 4u * params.k4 + column;
    return mat4x4<f32>(a[at], a[at + params.k4], a[at + 2u * params.k4], a[at + 3u * params.k4]);
}
