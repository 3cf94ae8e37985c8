// Weights to NF4, as bitsandbytes has it: blocks of 64, an f32 scale and a place in a code book of 16 entries each.
//
//   scale = max |w|
//   place = the number of middles between neighbours in the code book, times the scale, that w is above
//
// Grid    One invocation per block, which is 9 words.
// Reads   w (items, 64)
// Writes  blocks (.., 9) =, `items` rows from row `first` on
// Twin    reference::quantise_nf4
// With    lib/weight_{f32,f16,bf16}.wgsl

struct Params {
    items: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> blocks: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.items {
        return;
    }
    var largest = vec4<f32>();
    for (var four = 0u; four < 16u; four++) {
        largest = max(largest, abs(weight(16u * i + four)));
    }
    let two = max(largest.xy, largest.zw);
    let scale = max(two.x, two.y);
    let to = 9u * (params.first + i);
    blocks[to] = bitcast<u32>(scale);
    for (var word = 0u; word < 8u; word++) {
        let four = 16u * i + 2u * word;
        blocks[to + 1u + word] = places(weight(four), scale) | (places(weight(four + 1u), scale) << 16u);
    }
}

// The places of four weights, four bits each.
fn places(x: vec4<f32>, scale: f32) -> u32 {
    let p = above(x, -0.8480964004993439 * scale) + above(x, -0.6106329262256622 * scale)
        + above(x, -0.4599952697753906 * scale) + above(x, -0.33967943489551544 * scale)
        + above(x, -0.23460740596055984 * scale) + above(x, -0.13791173323988914 * scale)
        + above(x, -0.045525018125772476 * scale) + above(x, 0.03979014977812767 * scale)
        + above(x, 0.1202552504837513 * scale) + above(x, 0.2035212516784668 * scale)
        + above(x, 0.2920137718319893 * scale) + above(x, 0.3893125355243683 * scale)
        + above(x, 0.5016634166240692 * scale) + above(x, 0.6427869200706482 * scale)
        + above(x, 0.8614784181118011 * scale);
    return p.x | (p.y << 4u) | (p.z << 8u) | (p.w << 12u);
}

fn above(x: vec4<f32>, middle: f32) -> vec4<u32> {
    return select(vec4<u32>(), vec4<u32>(1u), x > vec4<f32>(middle));
}
