// lib/weight_q6_k.wgsl: blocks of 256 weights: 128 bytes of two lower 4 bits, 64 bytes of four upper 2 bits, 16 signed
// bytes of scales for 16 weights each, f16 scale of scales; numbers from -32 to 31. Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 6u) * 210u;
    // Half of the block, quarter of the half, and byte of the quarter.
    let half = (i >> 5u) & 1u;
    let quarter = (i >> 3u) & 3u;
    let byte = (i & 7u) << 2u;
    let lower = weight_bytes(block + (half << 6u) + ((quarter & 1u) << 5u) + byte) >> ((quarter >> 1u) << 2u);
    let upper = weight_bytes(block + 128u + (half << 5u) + byte) >> (quarter << 1u);
    let six = (lower & 0x0f0f0f0fu) | ((upper & 0x03030303u) << 4u);
    let at = block + 192u + ((i >> 2u) & 15u);
    let scale = bitcast<i32>(w[at >> 2u] << (24u - ((at & 3u) << 3u))) >> 24u;
    return (weight_unpack(six) - 32.0) * (weight_half(block + 208u) * f32(scale));
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

// Each byte of a word as a number.
fn weight_unpack(bytes: u32) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(bytes, bytes >> 8u, bytes >> 16u, bytes >> 24u) & vec4<u32>(0xffu));
}
