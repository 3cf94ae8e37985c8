// RMSNorm, backward with respect to its input (the gain is frozen).
//
//   dx[r,c] = rstd[r] * (g[r,c] - xhat[r,c] * mean_c(g[r,c] * xhat[r,c]))
//   with g = dy * gain and xhat = x * rstd
//
// Grid    One workgroup per 8 rows r, 8 lanes per row, as rmsnorm_forward.
// Reads   dy (R,C), x (R,C), gain (C), rstd (R)
// Writes  dx (R,C) = or, with accumulate, += : the residual stream's gradient is already there
// Twin    reference::rmsnorm_backward
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
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
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
    let scale = rstd[row];

    var product_sum = 0.0;
    for (var c = first; c < params.cols4; c += STRIDE) {
        product_sum += dot(dy[start + c] * gain[c], x[start + c]);
    }
    let mean = row_sum(lane, product_sum) * scale / f32(params.cols4 * 4u);
    if r >= params.rows {
        return;
    }

    for (var c = first; c < params.cols4; c += STRIDE) {
        let xhat = x[start + c] * scale;
        let value = scale * (dy[start + c] * gain[c] - xhat * mean);
        if params.accumulate != 0u {
            dx[start + c] += value;
        } else {
            dx[start + c] = value;
        }
    }
}
