// lib/lora_backward.wgsl: what the variants of lora_backward share.

struct Params {
    m: u32,
    ldy4: u32,
    ldu4: u32,
    rank4: u32,
    scale: f32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
    starts4: vec4<u32>,
    ends4: vec4<u32>,
    u_at4: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> du: array<vec4<f32>>;

// First column of a layer in du, in vec4s; main sets it.
var<private> du_at: u32;

fn store(row: u32, column: u32, value: vec4<f32>) {
    if row < params.m && column < params.rank4 {
        du[row * params.ldu4 + du_at + column] = params.scale * value;
    }
}
