// Linear layer, forward.
//
//   y[m,n] = scale * sum_k x[m,k] * w[n,k]
//
// Grid    One invocation per 8x8 tile of y. Four named mat4x4 accumulators; column i of one is row i of the tile,
//         so a 4x4x4 block is one matrix product. No workgroup memory: on software adapters barriers are dear.
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

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m0 = id.y * 8u;
    let n0 = id.x * 8u;
    if m0 >= params.m || n0 >= params.n {
        return;
    }
    let k4 = params.k4;
    let last_m = params.m - 1u;
    let last_n = params.n - 1u;
    let xa = min(vec4<u32>(m0, m0 + 1u, m0 + 2u, m0 + 3u), vec4<u32>(last_m)) * k4;
    let xb = min(vec4<u32>(m0 + 4u, m0 + 5u, m0 + 6u, m0 + 7u), vec4<u32>(last_m)) * k4;
    let wa = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(last_n)) * k4;
    let wb = min(vec4<u32>(n0 + 4u, n0 + 5u, n0 + 6u, n0 + 7u), vec4<u32>(last_n)) * k4;

    var aa = mat4x4<f32>();
    var ab = mat4x4<f32>();
    var ba = mat4x4<f32>();
    var bb = mat4x4<f32>();
    for (var k = 0u; k < k4; k++) {
        let rows_a = mat4x4<f32>(x[xa.x + k], x[xa.y + k], x[xa.z + k], x[xa.w + k]);
        let rows_b = mat4x4<f32>(x[xb.x + k], x[xb.y + k], x[xb.z + k], x[xb.w + k]);
        let cols_a = transpose(mat4x4<f32>(weight(wa.x + k), weight(wa.y + k), weight(wa.z + k), weight(wa.w + k)));
        let cols_b = transpose(mat4x4<f32>(weight(wb.x + k), weight(wb.y + k), weight(wb.z + k), weight(wb.w + k)));
        aa += cols_a * rows_a;
        ab += cols_b * rows_a;
        ba += cols_a * rows_b;
        bb += cols_b * rows_b;
    }
    let n4 = n0 / 4u;
    store4(m0, n4, aa);
    store4(m0, n4 + 1u, ab);
    store4(m0 + 4u, n4, ba);
    store4(m0 + 4u, n4 + 1u, bb);
}
