// Every column times its own number, and what follows a linear layer's product.
//
//   y[m,n] = scale * gain[n] * x[m,n] + bias[n] + residual[m,n]
//
// Grid    One invocation per vec4 of y.
// Reads   x (M,L), gain (L); where there are: bias (L), residual (M,L)
// Writes  y (M,L) =
// Twin    reference::scale_columns

struct Params {
    items: u32,
    cols4: u32,
    scale: f32,
    has_bias: u32,
    has_residual: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

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
    let column = i % params.cols4;
    var value = params.scale * (gain[column] * x[i]);
    if params.has_bias != 0u {
        value += bias[column];
    }
    if params.has_residual != 0u {
        value += residual[i];
    }
    y[i] = value;
}
