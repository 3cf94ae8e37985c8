// A head that gives each row one number, backward with respect to its weight.
//
//   dscore[c] += sum_r dvalues[r] * normed[r,c],   in an order that only the number of rows decides
//
// Grid    One workgroup per 8 vec4s of columns; 8 lanes for each of them, which stride over rows.
// Reads   dvalues (N,1), normed (N,H)
// Writes  dscore (1,H) +=
// Twin    reference::value_backward_weight

struct Params {
    rows: u32,
    hidden4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dvalues: array<f32>;
@group(0) @binding(2) var<storage, read> normed: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dscore: array<vec4<f32>>;

var<workgroup> slices: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Eight lanes that follow each other read eight vec4s of one row; the last workgroup repeats the last column.
    let column = (group.y * grid.x + group.x) * 8u + lane % 8u;
    let read = min(column, params.hidden4 - 1u);
    var sum = vec4<f32>();
    for (var r = lane / 8u; r < params.rows; r += 8u) {
        sum += dvalues[r] * normed[r * params.hidden4 + read];
    }
    slices[lane] = sum;
    workgroupBarrier();
    if lane < 8u && column < params.hidden4 {
        var total = vec4<f32>();
        for (var slice = lane; slice < 64u; slice += 8u) {
            total += slices[slice];
        }
        dscore[column] += total;
    }
}
