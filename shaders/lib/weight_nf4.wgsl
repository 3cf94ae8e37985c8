// lib/weight_nf4.wgsl: blocks of 64 weights: f32 scale, 32 bytes of two 4-bit places in bitsandbytes' code book of
// NF4 (the lower one first). Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

// Never written: compilers keep it in constant memory. Choices by the bits of a place take dozens of registers more.
var<private> weight_codes: array<f32, 16> = array<f32, 16>(
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0);

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 4u) * 9u;
    let four = w[block + 1u + ((i >> 1u) & 7u)] >> ((i & 1u) << 4u);
    let low = vec2<f32>(weight_codes[four & 15u], weight_codes[(four >> 4u) & 15u]);
    let high = vec2<f32>(weight_codes[(four >> 8u) & 15u], weight_codes[(four >> 12u) & 15u]);
    return vec4<f32>(low, high) * bitcast<f32>(w[block]);
}
