// Entropy of the softmax, backward through one chunk of the vocabulary.
//
//   d logit[v] = dentropy * -p_v (log p_v + entropy) * slope = dentropy * p_v (sum_u p_u logit[u] - logit[v]) * slope
//
//   with the logits that are capped first, and the slope of the cap; the caller adds it, times the chunk's rows of the
//   head, to the gradient of the hidden rows.
//
// Grid    One invocation per row r and vec4 of the chunk.
// Reads   state (R,8) of logprob_forward after the last chunk, dentropy (R)
// Writes  logits (R, 4*ld4) in place: d loss / d logit, 0 beyond the chunk's columns
// Twin    reference::entropy_backward
// With    lib/logit_{plain,capped}.wgsl

struct Params {
    rows: u32,
    cols: u32,
    ld4: u32,
    softcap: f32,
    ceiling: f32,
    inv_temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dentropy: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    if i >= params.rows * params.ld4 {
        return;
    }
    let r = i / params.ld4;
    // Maximum, sum of exp, sum of logits, sum of exp * logit.
    let sums = state[2u * r];
    let mean = sums.w / sums.y;
    let factor = dentropy[r] / sums.y;
    let raw = logits[i];
    var gradient = vec4<f32>();
    for (var k = 0u; k < 4u; k++) {
        if 4u * (i % params.ld4) + k < params.cols {
            let logit = capped(raw[k]);
            gradient[k] = factor * exp(logit - sums.x) * (mean - logit) * cap_slope(logit);
        }
    }
    logits[i] = gradient;
}
