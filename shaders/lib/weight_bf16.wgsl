// lib/weight_bf16.wgsl: weights stored as bf16, two per u32, expanded four at a time. Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<vec2<u32>>;

fn weight(i: u32) -> vec4<f32> {
    let pair = w[i];
    let bits = vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u);
    return bitcast<vec4<f32>>(bits);
}
