// lib/matmul_forward.wgsl: what the variants of matmul_forward share: `left` is x, `result` is y.

struct Params {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    scale: f32,
    has_bias: u32,
    has_residual: u32,
    rank4: u32,
    ldu4: u32,
    pad0: u32,
    pad1: u32,
    ends: vec4<u32>,
    u_at4: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> u: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> residual: array<vec4<f32>>;

// One vec4 of the result; `column` counts vec4s of this block's columns.
fn store(row: u32, column: u32, sum: vec4<f32>) {
    if row < params.m && column < (params.n + 3u) / 4u {
        let at = row * params.ldy4 + params.first4 + column;
        var value = params.scale * sum;
        if params.has_bias != 0u {
            value += bias[params.first4 + column];
        }
        if params.has_residual != 0u {
            value += residual[at];
        }
        result[at] = value;
    }
}

// One of the layers that are computed side by side: its columns, in vec4 of y, and where its LoRA inputs begin.
struct Segment {
    first: u32,
    end: u32,
    u_at4: u32,
}

const SEGMENTS = 4u;
const NONE = 0xffffffffu;

fn segment(s: u32) -> Segment {
    let first = select(params.ends[max(s, 1u) - 1u], 0u, s == 0u);
    return Segment(first / 4u, params.ends[s] / 4u, params.u_at4[s]);
}

// True if the layer has an adapter and some of `count` vec4 of columns from `column` on.
fn touches(part: Segment, column: u32, count: u32) -> bool {
    let first = params.first4 + column;
    return params.rank4 != 0u && part.u_at4 != NONE && part.first < first + count && part.end > first;
}

// Four columns of LoRA's B as the columns of a weight are, at the j-th vec4 of ranks; zero outside of the layer.
fn lora_columns(part: Segment, column: u32, j: u32) -> mat4x4<f32> {
    let at = params.first4 + column;
    if at < part.first || at >= part.end {
        return mat4x4<f32>();
    }
    let row = at * 4u * params.rank4 + j;
    let r = params.rank4;
    return transpose(mat4x4<f32>(b[row], b[row + r], b[row + 2u * r], b[row + 3u * r]));
}
