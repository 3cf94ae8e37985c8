// Columns of a matrix times a number of their segment: inputs of LoRA's B whose layers have scales of their own.
//
//   u[r,c] *= scales[segment of c],   segments being of equal width
//
// Grid    One invocation per row r and vec4 of columns.
// Writes  u (R, segments*width) in place
// Twin    reference::scale_segments

struct Params {
    rows: u32,
    cols4: u32,
    width4: u32,
    pad: u32,
    scales: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> u: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.rows * params.cols4 {
        return;
    }
    let c = i % params.cols4;
    u[i] *= params.scales[c / params.width4];
}
