// Dropout (Srivastava et al. 2014): elements that are zero with a probability, the others larger in return.
//
//   y[i] = keep(i) * x[i] / (1 - rate),  keep(i) = 0 with probability `rate`, else 1; or y += that
//
// keep(i) depends on the seed and i alone, so that both passes and a resumed run agree.
//
// Grid    One invocation per vec4.
// Reads   x (items vec4)
// Writes  y (items vec4) = or +=
// Twin    reference::dropout

struct Params {
    items: u32,
    seed: u32,
    rate: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

// PCG's output of one step (Jarzynski & Olano 2020).
fn pcg(v: vec4<u32>) -> vec4<u32> {
    let state = v * 747796405u + 2891336453u;
    let word = ((state >> ((state >> vec4<u32>(28u)) + 4u)) ^ state) * 277803737u;
    return (word >> vec4<u32>(22u)) ^ word;
}

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
    let bits = pcg(pcg(4u * i + vec4<u32>(0u, 1u, 2u, 3u)) ^ vec4<u32>(params.seed));
    let chance = vec4<f32>(bits >> vec4<u32>(8u)) * 0x1p-24f;
    let kept = select(vec4<f32>(), x[i] / (1.0 - params.rate), chance >= vec4<f32>(params.rate));
    y[i] = select(kept, y[i] + kept, params.accumulate != 0u);
}
