// Heads with columns of zeros at their ends, or without these: attention reads its columns in fours.
//
//   y[r, head, c] = x[r, head, c] where the head of x has a column c, else 0
//
// Grid    One invocation per element of y.
// Reads   x (R, heads*from)
// Writes  y (R, heads*to) =
// Twin    reference::resize_heads

struct Params {
    items: u32,
    from_cols: u32,
    to_cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    let head = i / params.to_cols;
    let column = i % params.to_cols;
    var value = 0.0;
    if column < params.from_cols {
        value = x[head * params.from_cols + column];
    }
    y[i] = value;
}
