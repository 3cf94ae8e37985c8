// lib/weight_f32.wgsl: weights stored as f32, four at a time. Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;

fn weight(i: u32) -> vec4<f32> {
    return w[i];
}
