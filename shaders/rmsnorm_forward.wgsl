// RMSNorm, forward.
//
//   y[r,c] = x[r,c] * rstd[r] * gain[c] + residual[r,c],    rstd[r] = 1 / sqrt(mean_c(x[r,c]^2) + eps)
//
// Grid    One workgroup per 8 rows r, 8 lanes per row, which stride over vec4s of columns: on software adapters the
//         barriers of a workgroup per row cost twenty times the arithmetic.
// Reads   x (R,C), gain (C), residual (R,C) if has_residual is not 0
// Writes  y (R,C) =, rstd (R) =, kept for rmsnorm_backward
// Twin    reference::rmsnorm_forward
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    cols4: u32,
    eps: f32,
    has_residual: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Workgroups beyond 65535 continue on the second axis of the grid. The last one repeats the last row.
    let r = (group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE;
    let start = min(r, params.rows - 1u) * params.cols4;
    let first = lane % STRIDE;

    var square_sum = 0.0;
    for (var c = first; c < params.cols4; c += STRIDE) {
        let v = x[start + c];
        square_sum += dot(v, v);
    }
    let mean_square = row_sum(lane, square_sum) / f32(params.cols4 * 4u);
    let scale = 1.0 / sqrt(mean_square + params.eps);
    if r >= params.rows {
        return;
    }

    for (var c = first; c < params.cols4; c += STRIDE) {
        var value = x[start + c] * scale * gain[c];
        if params.has_residual != 0u {
            value += residual[start + c];
        }
        y[start + c] = value;
    }
    if first == 0u {
        rstd[r] = scale;
    }
}
