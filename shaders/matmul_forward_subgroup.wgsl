// Linear layer, forward, where a subgroup has at least 8 lanes: matmul_forward with x read once per subgroup.
//
//   y[m,n] = scale * sum_k x[m,k] * w[n,k]
//
// Grid    One workgroup of 8 lanes per 64x32 tile of y, 64x4 per lane in named mat4x4 accumulators. Eight rows of x are
//         read by eight lanes and passed around by subgroupBroadcast: on software adapters, where a load costs as much
//         as dozens of multiply-adds, this is several times faster than reading them in every lane.
// Reads   x (M,K), w (N,K): one block of rows of the weight
// Writes  y (M,ldy), columns first.. = or += (accumulate); in the last vec4, columns beyond N repeat column N-1
// Twin    reference::matmul_forward
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
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

fn store(row: u32, n4: u32, value: vec4<f32>) {
    if row < params.m && n4 * 4u < params.n {
        let at = row * params.ldy4 + params.first4 + n4;
        if params.accumulate != 0u {
            y[at] += params.scale * value;
        } else {
            y[at] = params.scale * value;
        }
    }
}

fn store4(row: u32, n4: u32, tile: mat4x4<f32>) {
    store(row, n4, tile[0]);
    store(row + 1u, n4, tile[1]);
    store(row + 2u, n4, tile[2]);
    store(row + 3u, n4, tile[3]);
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
    let n0 = (group.x * 8u + lane) * 4u;
    let k4 = params.k4;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    // Lane i reads rows i, 8 + i, .. 56 + i of x and passes them around; no lane may leave early.
    let row = m0 + lane;
    let xa = min(vec4<u32>(row, row + 8u, row + 16u, row + 24u), vec4<u32>(last_m)) * k4;
    let xb = min(vec4<u32>(row + 32u, row + 40u, row + 48u, row + 56u), vec4<u32>(last_m)) * k4;
    let wn = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(last_n)) * k4;

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
    for (var k = 0u; k < k4; k++) {
        let cols = transpose(mat4x4<f32>(weight(wn.x + k), weight(wn.y + k), weight(wn.z + k), weight(wn.w + k)));
        var v = x[xa.x + k];
        a0 += cols * low(v);
        b0 += cols * high(v);
        v = x[xa.y + k];
        a1 += cols * low(v);
        b1 += cols * high(v);
        v = x[xa.z + k];
        a2 += cols * low(v);
        b2 += cols * high(v);
        v = x[xa.w + k];
        a3 += cols * low(v);
        b3 += cols * high(v);
        v = x[xb.x + k];
        a4 += cols * low(v);
        b4 += cols * high(v);
        v = x[xb.y + k];
        a5 += cols * low(v);
        b5 += cols * high(v);
        v = x[xb.z + k];
        a6 += cols * low(v);
        b6 += cols * high(v);
        v = x[xb.w + k];
        a7 += cols * low(v);
        b7 += cols * high(v);
    }
    let n4 = n0 / 4u;
    store4(m0 + 0u, n4, a0);
    store4(m0 + 4u, n4, b0);
    store4(m0 + 8u, n4, a1);
    store4(m0 + 12u, n4, b1);
    store4(m0 + 16u, n4, a2);
    store4(m0 + 20u, n4, b2);
    store4(m0 + 24u, n4, a3);
    store4(m0 + 28u, n4, b3);
    store4(m0 + 32u, n4, a4);
    store4(m0 + 36u, n4, b4);
    store4(m0 + 40u, n4, a5);
    store4(m0 + 44u, n4, b5);
    store4(m0 + 48u, n4, a6);
    store4(m0 + 52u, n4, b6);
    store4(m0 + 56u, n4, a7);
    store4(m0 + 60u, n4, b7);
}
