// lib/weight_nf4.wgsl: blocks of 64 weights: f32 scale, 32 bytes of two 4-bit places in bitsandbytes' code book of
// NF4 (the lower one first). Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 4u) * 9u;
    let four = w[block + 1u + ((i >> 1u) & 7u)] >> ((i & 1u) << 4u);
    return weight_code(vec4<u32>(four, four >> 4u, four >> 8u, four >> 12u)) * bitcast<f32>(w[block]);
}

// The entries of the code book at four places, of which the lowest four bits count. A table that is indexed would lie
// in memory in some compilers, and a tree of choices would take dozens of registers.
fn weight_code(place: vec4<u32>) -> vec4<f32> {
    let n = place & vec4<u32>(7u);
    var low = vec4<f32>(-1.0);
    var high = vec4<f32>(0.07958029955625534);
    low = select(low, vec4<f32>(-0.6961928009986877), n >= vec4<u32>(1u));
    high = select(high, vec4<f32>(0.16093020141124725), n >= vec4<u32>(1u));
    low = select(low, vec4<f32>(-0.5250730514526367), n >= vec4<u32>(2u));
    high = select(high, vec4<f32>(0.24611230194568634), n >= vec4<u32>(2u));
    low = select(low, vec4<f32>(-0.39491748809814453), n >= vec4<u32>(3u));
    high = select(high, vec4<f32>(0.33791524171829224), n >= vec4<u32>(3u));
    low = select(low, vec4<f32>(-0.28444138169288635), n >= vec4<u32>(4u));
    high = select(high, vec4<f32>(0.44070982933044434), n >= vec4<u32>(4u));
    low = select(low, vec4<f32>(-0.18477343022823334), n >= vec4<u32>(5u));
    high = select(high, vec4<f32>(0.5626170039176941), n >= vec4<u32>(5u));
    low = select(low, vec4<f32>(-0.09105003625154495), n >= vec4<u32>(6u));
    high = select(high, vec4<f32>(0.7229568362236023), n >= vec4<u32>(6u));
    low = select(low, vec4<f32>(0.0), n >= vec4<u32>(7u));
    high = select(high, vec4<f32>(1.0), n >= vec4<u32>(7u));
    return select(low, high, (place & vec4<u32>(8u)) != vec4<u32>(0u));
}
