// lib/weight_q4_1.wgsl: blocks of 32 weights: f16 scale and minimum, 16 bytes of two 4-bit numbers (j and j + 16).
// Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 3u) * 5u;
    let four = w[block + 1u + (i & 3u)] >> (i & 4u);
    let head = w[block];
    return weight_unpack(four & 0x0f0f0f0fu) * weight_f16(head & 0xffffu) + weight_f16(head >> 16u);
}

// A finite half from its bits. unpack2x16float may take subnormals for zero, and scales of K blocks often are such.
fn weight_f16(half: u32) -> f32 {
    let normal = bitcast<f32>(((half & 0x7fffu) << 13u) + 0x38000000u);
    let subnormal = f32(half & 0x3ffu) * 0x1p-24f;
    let size = select(normal, subnormal, (half & 0x7c00u) == 0u);
    return select(size, -size, half > 0x7fffu);
}

// Each byte of a word as a number.
fn weight_unpack(bytes: u32) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(bytes, bytes >> 8u, bytes >> 16u, bytes >> 24u) & vec4<u32>(0xffu));
}
