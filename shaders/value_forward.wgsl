// A head that gives each row one number: a reward, or the value of a state.
//
//   values[r] = sum_c normed[r,c] * score[c]
//
// Grid    One workgroup per 8 rows r, 8 lanes per row, which stride over vec4s of columns.
// Reads   normed (N,H), score (1,H)
// Writes  values (N,1) =
// Twin    reference::value_forward
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    hidden4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> normed: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> score: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // The last workgroup repeats the last row.
    let r = (group.y * grid.x + group.x) * (WG / STRIDE) + lane / STRIDE;
    let start = min(r, params.rows - 1u) * params.hidden4;
    let first = lane % STRIDE;
    var products = 0.0;
    for (var c = first; c < params.hidden4; c += STRIDE) {
        products += dot(normed[start + c], score[c]);
    }
    let value = row_sum(lane, products);
    if first == 0u && r < params.rows {
        values[r] = value;
    }
}
