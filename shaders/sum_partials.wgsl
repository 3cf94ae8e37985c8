// Gradients out of their parts.
//
//   grads[i] += sum_p partials[p,i], in the order of the parts
//
// Grid    One invocation per vec4 of the gradients.
// Reads   partials (parts, stride)
// Writes  grads (len) +=
// Twin    reference::sum_partials

struct Params {
    len4: u32,
    stride4: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grads: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.len4 {
        return;
    }
    var sum = vec4<f32>();
    for (var part = 0u; part < params.parts; part++) {
        sum += partials[part * params.stride4 + i];
    }
    grads[i] += sum;
}
