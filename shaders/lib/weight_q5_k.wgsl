// lib/weight_q5_k.wgsl: blocks of 256 weights: as q4_k, with 32 bytes between, of which bit g holds the fifth bits of
// group g. Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 6u) * 44u;
    let group = (i >> 3u) & 7u;
    let four = (w[block + 12u + ((group >> 1u) << 3u) + (i & 7u)] >> ((group & 1u) << 2u)) & 0x0f0f0f0fu;
    let fifth = ((w[block + 4u + (i & 7u)] >> group) & 0x01010101u) << 4u;
    let shift = (group & 3u) << 3u;
    let a = w[block + 1u] >> shift;
    let b = w[block + 2u] >> shift;
    let c = w[block + 3u] >> shift;
    let scale = select((c & 15u) | ((a >> 2u) & 48u), a & 63u, group < 4u);
    let minimum = select(((c >> 4u) & 15u) | ((b >> 2u) & 48u), b & 63u, group < 4u);
    let head = w[block];
    let factor = weight_f16(head & 0xffffu) * f32(scale);
    return weight_unpack(four | fifth) * factor - weight_f16(head >> 16u) * f32(minimum);
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
