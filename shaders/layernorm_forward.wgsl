// LayerNorm, forward.
//
//   y[r,c] = (x[r,c] - mean[r]) * rstd[r] * gain[c] + bias[c],   rstd[r] = 1 / sqrt(mean_c((x[r,c] - mean[r])^2) + eps)
//
// Grid    One workgroup per 8 rows r, 8 lanes per row, as rmsnorm_forward.
// Reads   x (R,C), gain (C), bias (C)
// Writes  y (R,C) =, stats (R,2) =: mean and rstd, kept for layernorm_backward
// Twin    reference::layernorm_forward
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    cols4: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = (group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE;
    let start = min(r, params.rows - 1u) * params.cols4;
    let first = lane % STRIDE;
    let n = f32(params.cols4 * 4u);

    var sum = vec4<f32>();
    for (var c = first; c < params.cols4; c += STRIDE) {
        sum += x[start + c];
    }
    let mean = row_sum(lane, sum.x + sum.y + sum.z + sum.w) / n;
    var square_sum = 0.0;
    for (var c = first; c < params.cols4; c += STRIDE) {
        let v = x[start + c] - mean;
        square_sum += dot(v, v);
    }
    workgroupBarrier();
    let scale = 1.0 / sqrt(row_sum(lane, square_sum) / n + params.eps);
    if r >= params.rows {
        return;
    }

    for (var c = first; c < params.cols4; c += STRIDE) {
        y[start + c] = (x[start + c] - mean) * scale * gain[c] + bias[c];
    }
    if first == 0u {
        stats[r] = vec2<f32>(mean, scale);
    }
}
