// A copy times a number.
//
//   y = factor * x
//
// Grid    One invocation per vec4.
// Reads   x (items vec4)
// Writes  y (items vec4) =
// Twin    reference::scaled_copy

struct Params {
    items: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.items {
        y[i] = params.factor * x[i];
    }
}
