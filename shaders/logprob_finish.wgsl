// Log-softmax-gather, after the last chunk of the vocabulary.
//
//   stats[r] = (logp, mean logit, entropy, 1 if the argmax is the label)
//   pull[r,:] = scale * slope * w[label] - pull[r,:] / sum,   the derivative of logp with respect to the hidden row,
//   with the scale of all logits and the slope of the cap at the label's
//
// Grid    One workgroup per row r; lanes stride over vec4s of the hidden size.
// Reads   labels (R), state (R,8), label_rows (R,H) = w[label]
// Writes  stats (R,4) =, pull (R,H) in place (not without want_pull)
// Twin    reference::logprob_finish
// With    lib/logit_{plain,capped}.wgsl

struct Params {
    rows: u32,
    hidden4: u32,
    vocab: u32,
    want_pull: u32,
    scale: f32,
    softcap: f32,
    ceiling: f32,
    inv_temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> state: array<f32>;
@group(0) @binding(3) var<storage, read> label_rows: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> pull: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = group.y * grid.x + group.x;
    if r >= params.rows {
        return;
    }
    let at = r * 8u;
    let sum = state[at + 1u];
    if lane == 0u {
        let lse = state[at] + log(sum);
        let correct = select(0.0, 1.0, bitcast<u32>(state[at + 4u]) == labels[r]);
        stats[r] = vec4<f32>(
            state[at + 5u] - lse, state[at + 2u] / f32(params.vocab), lse - state[at + 3u] / sum, correct);
    }
    let factor = params.scale * cap_slope(state[at + 5u]);
    if params.want_pull != 0u {
        for (var c = lane; c < params.hidden4; c += 64u) {
            let i = r * params.hidden4 + c;
            pull[i] = factor * label_rows[i] - pull[i] / sum;
        }
    }
}
