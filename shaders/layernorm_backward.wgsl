// LayerNorm, backward with respect to its input (gain and bias are frozen).
//
//   dx[r,c] = rstd[r] * (g[r,c] - mean_c(g[r,c]) - xhat[r,c] * mean_c(g[r,c] * xhat[r,c]))
//   with g = dy * gain and xhat = (x - mean) * rstd
//
// Grid    One workgroup per 8 rows r, 8 lanes per row, as rmsnorm_forward.
// Reads   dy (R,C), x (R,C), gain (C), stats (R,2): mean and rstd
// Writes  dx (R,C) = or, with accumulate, +=
// Twin    reference::layernorm_backward
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    cols4: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = (group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE;
    let row = min(r, params.rows - 1u);
    let start = row * params.cols4;
    let first = lane % STRIDE;
    let n = f32(params.cols4 * 4u);
    let mean = stats[row].x;
    let scale = stats[row].y;

    var sum = vec4<f32>();
    var product_sum = 0.0;
    for (var c = first; c < params.cols4; c += STRIDE) {
        let g = dy[start + c] * gain[c];
        sum += g;
        product_sum += dot(g, (x[start + c] - mean) * scale);
    }
    let mean_g = row_sum(lane, sum.x + sum.y + sum.z + sum.w) / n;
    workgroupBarrier();
    let mean_product = row_sum(lane, product_sum) / n;
    if r >= params.rows {
        return;
    }

    for (var c = first; c < params.cols4; c += STRIDE) {
        let xhat = (x[start + c] - mean) * scale;
        let value = scale * (dy[start + c] * gain[c] - mean_g - xhat * mean_product);
        if params.accumulate != 0u {
            dx[start + c] += value;
        } else {
            dx[start + c] = value;
        }
    }
}
