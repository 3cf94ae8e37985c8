// lib/weight_nf4.wgsl: blocks of 64 weights: f32 scale, 32 bytes of two 4-bit places in bitsandbytes' code book of
// NF4 (the lower one first). Declares binding 2.

@group(0) @binding(2) var<storage, read> w: array<u32>;

fn weight(i: u32) -> vec4<f32> {
    let block = (i >> 4u) * 9u;
    let four = w[block + 1u + ((i >> 1u) & 7u)] >> ((i & 1u) << 4u);
    return weight_code(vec4<u32>(four, four >> 4u, four >> 8u, four >> 12u)) * bitcast<f32>(w[block]);
}

// The entries of the code book at four places, of which the lowest four bits count. A table that is indexed would lie
// in memory in some compilers.
fn weight_code(place: vec4<u32>) -> vec4<f32> {
    let odd = (place & vec4<u32>(1u)) != vec4<u32>(0u);
    let second = (place & vec4<u32>(2u)) != vec4<u32>(0u);
    let third = (place & vec4<u32>(4u)) != vec4<u32>(0u);
    let upper = (place & vec4<u32>(8u)) != vec4<u32>(0u);
    let a = select(vec4<f32>(-1.0), vec4<f32>(-0.6961928009986877), odd);
    let b = select(vec4<f32>(-0.5250730514526367), vec4<f32>(-0.39491748809814453), odd);
    let c = select(vec4<f32>(-0.28444138169288635), vec4<f32>(-0.18477343022823334), odd);
    let d = select(vec4<f32>(-0.09105003625154495), vec4<f32>(0.0), odd);
    let e = select(vec4<f32>(0.07958029955625534), vec4<f32>(0.16093020141124725), odd);
    let f = select(vec4<f32>(0.24611230194568634), vec4<f32>(0.33791524171829224), odd);
    let g = select(vec4<f32>(0.44070982933044434), vec4<f32>(0.5626170039176941), odd);
    let h = select(vec4<f32>(0.7229568362236023), vec4<f32>(1.0), odd);
    let low = select(select(a, b, second), select(c, d, second), third);
    let high = select(select(e, f, second), select(g, h, second), third);
    return select(low, high, upper);
}
