// RMSNorm of parts of the queries and of the keys, backward with respect to them (the gain is frozen).
//
//   dx[r,c] = rstd * (g[r,c] - xhat[r,c] * mean(g * xhat)),   g = dy * gain, xhat = x * rstd, each part by itself
//
// Grid    8 lanes per row r and part, 8 parts per workgroup, as qk_norm_forward.
// Reads   x (R, columns), gain (columns of queries and keys)
// Writes  dy (R, columns) in place: it becomes dx; the values' columns stay
// Twin    reference::qk_norm_backward
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    cols4: u32,
    queries: u32,
    query4: u32,
    keys: u32,
    key4: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dy: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Segments of a row: the queries' parts, the keys' parts, and all values as one.
    let per_row = params.queries + params.keys + 1u;
    let i = min((group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE, params.rows * per_row - 1u);
    let part = i % per_row;
    let is_query = part < params.queries;
    let is_key = !is_query && part < params.queries + params.keys;
    let keys_at = params.queries * params.query4;
    let values_at = keys_at + params.keys * params.key4;
    let at = select(
        select(values_at, keys_at + (part - params.queries) * params.key4, is_key), part * params.query4, is_query);
    let n4 = select(select(params.cols4 - values_at, params.key4, is_key), params.query4, is_query);
    let start = i / per_row * params.cols4 + at;
    let first = lane % STRIDE;

    let normed = is_query || is_key;
    var square_sum = 0.0;
    var product_sum = 0.0;
    for (var c = first; normed && c < n4; c += STRIDE) {
        let v = x[start + c];
        square_sum += dot(v, v);
        product_sum += dot(dy[start + c] * gain[at + c], v);
    }
    let n = f32(n4 * 4u);
    let scale = 1.0 / sqrt(row_sum(lane, square_sum) / n + params.eps);
    workgroupBarrier();
    let mean = row_sum(lane, product_sum) * scale / n;
    // Lanes beyond the last part repeat it, and would read what others have written.
    let is_mine = (group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE < params.rows * per_row;
    for (var c = first; is_mine && normed && c < n4; c += STRIDE) {
        dy[start + c] = scale * (dy[start + c] * gain[at + c] - x[start + c] * scale * mean);
    }
}
