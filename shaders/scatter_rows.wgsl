// The adjoint of gather_rows: sends each row's gradient back to where it was picked.
//
//   dx[r,:] = sum of dy[i,:] over the i with rows[i] = r
//
// Grid    One invocation per row r and vec4 of columns; so that sums are in a fixed order, each row names its sources.
// Reads   dy (N,C), sources (R): up to two rows i, NONE where there is no more. The last row of a prompt has two,
//         the first tokens of chosen and of rejected.
// Writes  dx (R,C) =, zero where a row has no source
// Twin    reference::scatter_rows

struct Params {
    rows: u32,
    cols4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> sources: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;

const NONE = 0xffffffffu;

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
    let source = sources[i / params.cols4];
    let c = i % params.cols4;
    var sum = vec4<f32>();
    if source.x != NONE {
        sum += dy[source.x * params.cols4 + c];
    }
    if source.y != NONE {
        sum += dy[source.y * params.cols4 + c];
    }
    dx[i] = sum;
}
