// Values below a cap, as Gemma 2 has its logits.
//
//   x = cap * tanh(x / cap)
//
// Grid    One invocation per vec4.
// Writes  x (items vec4) in place
// Twin    reference::softcap
// With    lib/logit_capped.wgsl

struct Params {
    items: u32,
    softcap: f32,
    ceiling: f32,
    inv_temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i < params.items {
        let v = x[i];
        x[i] = vec4<f32>(capped(v.x), capped(v.y), capped(v.z), capped(v.w));
    }
}
