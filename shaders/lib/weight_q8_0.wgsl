// lib/weight_q8_0.wgsl: blocks of 32 weights: f16 scale, 32 signed bytes. Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 3u) * 34u;
    let four = weight_bytes(block + 2u + ((i & 7u) << 2u));
    let signed = bitcast<vec4<i32>>(vec4<u32>(four << 24u, four << 16u, four << 8u, four)) >> vec4<u32>(24u);
    return vec4<f32>(signed) * weight_half(block);
}

// The four bytes from an even offset on, which may lie across two words.
fn weight_bytes(offset: u32) -> u32 {
    let word = offset >> 2u;
    let odd = (offset >> 1u) & 1u;
    // An aligned offset reads its own word twice: the last one of the buffer has no next.
    let next = w[word + odd];
    return select(w[word], (w[word] >> 16u) | (next << 16u), odd == 1u);
}

// The 16 bits at an even offset.
fn weight_half(offset: u32) -> f32 {
    return weight_f16((w[offset >> 2u] >> ((offset & 2u) << 3u)) & 0xffffu);
}

// A finite half from its bits. unpack2x16float may take subnormals for zero, and scales of K blocks often are such.
fn weight_f16(half: u32) -> f32 {
    let normal = bitcast<f32>(((half & 0x7fffu) << 13u) + 0x38000000u);
    let subnormal = f32(half & 0x3ffu) * 0x1p-24f;
    let size = select(normal, subnormal, (half & 0x7c00u) == 0u);
    return select(size, -size, half > 0x7fffu);
}
