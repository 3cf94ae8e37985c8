// Weights to ggml's Q8_0: blocks of 32, an f16 scale and a signed byte each.
//
//   d = f16(max |w| / 127)
//   q = the whole number nearest to w / d, the lower one of two
//
// Grid    One invocation per 64 weights: two blocks, which are 17 words.
// Reads   w (items, 64)
// Writes  blocks (.., 17) =, `items` rows from row `first` on
// Twin    reference::quantise_q8_0
// With    lib/weight_{f32,f16,bf16}.wgsl, lib/quantise.wgsl

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
    var scale = scale_bits(16u * i);
    let to = 17u * (params.first + i);
    // The first block's bytes begin in the middle of a word, the second's at one.
    var carry = scale;
    for (var four = 0u; four < 8u; four++) {
        let bytes = bytes_of(nearest(weight(16u * i + four), half_value(scale), -127.0, 127.0));
        blocks[to + four] = carry | (bytes << 16u);
        carry = bytes >> 16u;
    }
    scale = scale_bits(16u * i + 8u);
    blocks[to + 8u] = carry | (scale << 16u);
    for (var four = 8u; four < 16u; four++) {
        blocks[to + 1u + four] = bytes_of(nearest(weight(16u * i + four), half_value(scale), -127.0, 127.0));
    }
}

// The scale of the block of 32 that begins at the `at`-th four.
fn scale_bits(at: u32) -> u32 {
    var largest = vec4<f32>();
    for (var four = 0u; four < 8u; four++) {
        largest = max(largest, abs(weight(at + four)));
    }
    let two = max(largest.xy, largest.zw);
    return half_bits(max(two.x, two.y) * (1.0 / 127.0));
}
