// lib/short_conv.wgsl: what the kernels of the short convolution share. A row of `gates` has three parts of H columns:
// B, C and what they gate, x; the convolution is over z = B * x.

struct Params {
    rows: u32,
    cols4: u32,
    taps: u32,
    has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gates: array<vec4<f32>>;

fn gated(row: u32, c: u32) -> vec4<f32> {
    let at = row * 3u * params.cols4 + c;
    return gates[at] * gates[at + 2u * params.cols4];
}
