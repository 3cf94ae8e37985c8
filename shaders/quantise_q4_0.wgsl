// Weights to ggml's Q4_0: blocks of 32, an f16 scale and a number from -8 to 7 each, by the scale that errs least.
//
//   m = the weight furthest from 0, the first of several
//   d = that of f16(-m k / 256), k = 28 .. 42, with the least sum of (q d - w)^2, the first of several
//   q = the whole number from -8 to 7 nearest to w / d, the lower one of two for d > 0, else the upper one
//
// Grid    One invocation per 64 weights: two blocks, which are 9 words.
// Reads   w (items, 64)
// Writes  blocks (.., 9) =, `items` rows from row `first` on
// Twin    reference::quantise_q4_0
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
    let to = 9u * (params.first + i);
    // The first block's bytes begin in the middle of a word, the second's at one.
    var scale = scale_bits(16u * i);
    var carry = scale;
    for (var four = 0u; four < 4u; four++) {
        let bytes = numbers(16u * i + four, scale);
        blocks[to + four] = carry | (bytes << 16u);
        carry = bytes >> 16u;
    }
    scale = scale_bits(16u * i + 8u);
    blocks[to + 4u] = carry | (scale << 16u);
    for (var four = 0u; four < 4u; four++) {
        blocks[to + 5u + four] = numbers(16u * i + 8u + four, scale);
    }
}

// The four bytes of a block's weights at one four and at the one 16 weights on.
fn numbers(four: u32, scale: u32) -> u32 {
    let low = bytes_of(quotient(weight(four), scale) + 8.0);
    return low | (bytes_of(quotient(weight(four + 4u), scale) + 8.0) << 4u);
}

// The numbers of four weights under a scale with its sign.
fn quotient(x: vec4<f32>, scale: u32) -> vec4<f32> {
    return nearest(select(x, -x, scale > 0x7fffu), half_value(scale & 0x7fffu), -8.0, 7.0);
}

// The scale of the block of 32 that begins at the `at`-th four.
fn scale_bits(at: u32) -> u32 {
    var furthest = 0.0;
    for (var four = 0u; four < 8u; four++) {
        let x = weight(at + four);
        for (var j = 0u; j < 4u; j++) {
            furthest = select(furthest, x[j], abs(x[j]) > abs(furthest));
        }
    }
    let sign = select(0u, 0x8000u, furthest > 0.0);
    var best = sign;
    var least = 0.0;
    for (var k = 28u; k <= 42u; k++) {
        let scale = half_bits(abs(furthest) * (f32(k) * 0x1p-8f)) | sign;
        let unit = select(1.0, -1.0, furthest > 0.0) * half_value(scale & 0x7fffu);
        var error = vec4<f32>();
        for (var four = at; four < at + 8u; four++) {
            let x = weight(four);
            let off = quotient(x, scale) * unit - x;
            error += off * off;
        }
        let sum = error.x + error.y + error.z + error.w;
        if k == 28u || sum < least {
            best = scale;
            least = sum;
        }
    }
    return best;
}
