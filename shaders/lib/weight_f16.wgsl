// lib/weight_f16.wgsl: weights stored as f16, two per u32, expanded four at a time. Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<vec2<u32>>;

fn weight(i: u32) -> vec4<f32> {
    let pair = w[i];
    return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
