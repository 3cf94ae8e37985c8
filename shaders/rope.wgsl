// Rotary position embedding, in place; half-split, as Hugging Face's rotate_half.
//
//   x1' = x1 cos - x2 sin,  x2' = x2 cos + x1 sin     with x1, x2 the halves of a head's first 2*half_dim columns
//
// Grid    One invocation per row r, head and pair of the two halves.
// Reads   table (positions, half_dim) of (cos, sin), spans: row r has the position as its fourth entry
// Writes  x (R, columns), heads*head_dim columns from `first` on in place; direction +1 forward, -1 backward
// Twin    reference::rope

struct Params {
    rows: u32,
    columns: u32,
    first: u32,
    heads: u32,
    head_dim: u32,
    half_dim: u32,
    direction: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    let per_row = params.heads * params.half_dim;
    if i >= params.rows * per_row {
        return;
    }
    let r = i / per_row;
    let head = (i % per_row) / params.half_dim;
    let j = i % params.half_dim;
    let turn = table[spans[r].w * params.half_dim + j];
    let cosine = turn.x;
    let sine = turn.y * params.direction;
    let at = r * params.columns + params.first + head * params.head_dim + j;
    let x1 = x[at];
    let x2 = x[at + params.half_dim];
    x[at] = x1 * cosine - x2 * sine;
    x[at + params.half_dim] = x2 * cosine + x1 * sine;
}
