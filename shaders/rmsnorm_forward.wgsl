// RMSNorm, forward.
//
//   y[r,c] = x[r,c] * rstd[r] * gain[c],    rstd[r] = 1 / sqrt(mean_c(x[r,c]^2) + eps)
//
// Grid    One workgroup per row r; lanes stride over vec4s of columns.
// Reads   x (R,C), gain (C)
// Writes  y (R,C) =, rstd (R) =, kept for rmsnorm_backward
// Twin    reference::rmsnorm_forward
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    cols4: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Rows beyond 65535 continue on the second axis of the grid.
    let r = group.y * grid.x + group.x;
    if r >= params.rows {
        return;
    }
    let start = r * params.cols4;

    var square_sum = 0.0;
    for (var c = lane; c < params.cols4; c += WG) {
        square_sum += dot(x[start + c], x[start + c]);
    }
    let mean_square = workgroup_sum(lane, square_sum) / f32(params.cols4 * 4u);
    let scale = 1.0 / sqrt(mean_square + params.eps);

    for (var c = lane; c < params.cols4; c += WG) {
        y[start + c] = x[start + c] * scale * gain[c];
    }
    if lane == 0u {
        rstd[r] = scale;
    }
}
