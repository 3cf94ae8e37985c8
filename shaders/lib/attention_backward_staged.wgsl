// lib/attention_backward_staged.wgsl: what the backward passes of the attention kernels for GPUs share.

@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<vec4<f32>>;

// A vec4 of a head of a row, both of which may be beyond the last.
fn store(row: u32, end: u32, head: u32, column: u32, value: vec4<f32>) {
    if row < end && column < params.d4 {
        dqkv[qkv_at(row, head) + column] = value;
    }
}

fn store4(row: u32, end: u32, head: u32, column: u32, block: mat4x4<f32>) {
    store(row, end, head, column, block[0]);
    store(row + 1u, end, head, column, block[1]);
    store(row + 2u, end, head, column, block[2]);
    store(row + 3u, end, head, column, block[3]);
}
