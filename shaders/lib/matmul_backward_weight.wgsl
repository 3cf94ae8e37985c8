// lib/matmul_backward_weight.wgsl: what the variants of matmul_backward_weight share.

struct Params {
    m: u32,
    n4: u32,
    k4: u32,
    ldx4: u32,
    rows_per_part: u32,
    stride4: u32,
    at4: u32,
    pad: u32,
    ends: vec4<u32>,
    x_at4: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

const NONE = 0xffffffffu;

// The layer of the n-th four rows of the gradient, or of the last.
fn segment_of(n4: u32) -> u32 {
    let column = min(n4, params.n4 - 1u) * 4u;
    let past = select(vec3<u32>(), vec3<u32>(1u), vec3<u32>(column) >= params.ends.xyz);
    return past.x + past.y + past.z;
}

fn store(part: u32, n: u32, k: u32, value: vec4<f32>) {
    if n < params.n4 * 4u && k < params.k4 {
        partials[part * params.stride4 + params.at4 + n * params.k4 + k] = value;
    }
}
