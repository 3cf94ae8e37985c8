// Attention, backward, first part: what both other parts subtract.
//
//   stats[r,h] = (lse[r,h], delta[r,h]),   delta = sum_d dout[r,h,d] * out[r,h,d]
//
// Grid    One invocation per row r and head h.
// Reads   dout, out (R, heads*D), lse (R, heads)
// Writes  stats (R, heads) pairs =
// Twin    reference::attention_backward_delta

struct Params {
    items: u32,
    d4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> out: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.items {
        return;
    }
    var delta = 0.0;
    for (var d = 0u; d < params.d4; d++) {
        delta += dot(dout[i * params.d4 + d], out[i * params.d4 + d]);
    }
    stats[i] = vec2<f32>(lse[i], delta);
}
