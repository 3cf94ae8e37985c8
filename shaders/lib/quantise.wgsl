// lib/quantise.wgsl: what kernels share that store weights as whole numbers times an f16 scale. Whatever is decided by
// rounding is decided by exact products, so that devices and the twin agree.

// The bits of a number from 0 up to f16's largest, rounded to f16, to even where there are two.
fn half_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let normal = (bits - 0x38000000u + 0xfffu + ((bits >> 13u) & 1u)) >> 13u;
    return min(select(normal, u32(round(x * 0x1p24f)), x < 0x1p-14f), 0x7bffu);
}

// The value of an f16 without sign from its bits. unpack2x16float is not used, since it may take subnormals for zero.
fn half_value(bits: u32) -> f32 {
    return select(bitcast<f32>((bits << 13u) + 0x38000000u), f32(bits) * 0x1p-24f, bits < 0x400u);
}

// The whole numbers from `low` to `high` that times `scale` are nearest to `x`, the lower one of two; 0 if the scale is
// 0.
fn nearest(x: vec4<f32>, scale: f32, low: f32, high: f32) -> vec4<f32> {
    if scale == 0.0 {
        return vec4<f32>();
    }
    var q = round(x / scale);
    // The quotient may be off in its last bits; half a step times an f16 scale is exact.
    q += select(vec4<f32>(), vec4<f32>(1.0), x > (q + 0.5) * scale);
    q -= select(vec4<f32>(), vec4<f32>(1.0), x <= (q - 0.5) * scale);
    return clamp(q, vec4<f32>(low), vec4<f32>(high));
}

// The lowest bytes of four whole numbers, side by side.
fn bytes_of(q: vec4<f32>) -> u32 {
    let b = vec4<u32>(vec4<i32>(q)) & vec4<u32>(0xffu);
    return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}
