// Linear layer, backward with respect to its input, where a subgroup has at least 8 lanes.
//
//   dx[m,k] = scale * sum_n dy[m,n] * w[n,k]
//
// Grid    One workgroup of 8 lanes per 64x32 tile of dx; dy is passed around as x is in matmul_forward_subgroup.
// Reads   dy (M,ldy), columns first..first+N (zero up to the next multiple of 4), w (N,K): one block of rows
// Writes  dx (M,K) = or += (accumulate)
// Twin    reference::matmul_backward_input
// With    lib/weight_{f32,f16,bf16}.wgsl

struct Params {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    accumulate: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;

fn store(row: u32, k: u32, value: vec4<f32>) {
    if row < params.m && k < params.k4 {
        let at = row * params.k4 + k;
        if params.accumulate != 0u {
            dx[at] += params.scale * value;
        } else {
            dx[at] = params.scale * value;
        }
    }
}

fn store4(row: u32, k: u32, tile: mat4x4<f32>) {
    store(row, k, tile[0]);
    store(row + 1u, k, tile[1]);
    store(row + 2u, k, tile[2]);
    store(row + 3u, k, tile[3]);
}

// Rows 0..4 and 4..8 of the eight that the lanes hold.
fn low(v: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

fn high(v: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * 64u;
    let k = group.x * 8u + lane;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    let column = min(k, params.k4 - 1u);
    let first = vec4<u32>(params.first4);
    let row = m0 + lane;
    let ya = min(vec4<u32>(row, row + 8u, row + 16u, row + 24u), vec4<u32>(last_m)) * params.ldy4 + first;
    let yb = min(vec4<u32>(row + 32u, row + 40u, row + 48u, row + 56u), vec4<u32>(last_m)) * params.ldy4 + first;

    var a0 = mat4x4<f32>();
    var b0 = mat4x4<f32>();
    var a1 = mat4x4<f32>();
    var b1 = mat4x4<f32>();
    var a2 = mat4x4<f32>();
    var b2 = mat4x4<f32>();
    var a3 = mat4x4<f32>();
    var b3 = mat4x4<f32>();
    var a4 = mat4x4<f32>();
    var b4 = mat4x4<f32>();
    var a5 = mat4x4<f32>();
    var b5 = mat4x4<f32>();
    var a6 = mat4x4<f32>();
    var b6 = mat4x4<f32>();
    var a7 = mat4x4<f32>();
    var b7 = mat4x4<f32>();
    let n4 = (params.n + 3u) / 4u;
    for (var n = 0u; n < n4; n++) {
        let at = min(vec4<u32>(0u, 1u, 2u, 3u) + n * 4u, vec4<u32>(last_n)) * params.k4 + vec4<u32>(column);
        let cols = mat4x4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w));
        var v = dy[ya.x + n];
        a0 += cols * low(v);
        b0 += cols * high(v);
        v = dy[ya.y + n];
        a1 += cols * low(v);
        b1 += cols * high(v);
        v = dy[ya.z + n];
        a2 += cols * low(v);
        b2 += cols * high(v);
        v = dy[ya.w + n];
        a3 += cols * low(v);
        b3 += cols * high(v);
        v = dy[yb.x + n];
        a4 += cols * low(v);
        b4 += cols * high(v);
        v = dy[yb.y + n];
        a5 += cols * low(v);
        b5 += cols * high(v);
        v = dy[yb.z + n];
        a6 += cols * low(v);
        b6 += cols * high(v);
        v = dy[yb.w + n];
        a7 += cols * low(v);
        b7 += cols * high(v);
    }
    store4(m0 + 0u, k, a0);
    store4(m0 + 4u, k, b0);
    store4(m0 + 8u, k, a1);
    store4(m0 + 12u, k, b1);
    store4(m0 + 16u, k, a2);
    store4(m0 + 20u, k, b2);
    store4(m0 + 24u, k, a3);
    store4(m0 + 28u, k, b3);
    store4(m0 + 32u, k, a4);
    store4(m0 + 36u, k, b4);
    store4(m0 + 40u, k, a5);
    store4(m0 + 44u, k, b5);
    store4(m0 + 48u, k, a6);
    store4(m0 + 52u, k, b6);
    store4(m0 + 56u, k, a7);
    store4(m0 + 60u, k, b7);
}
