// The value model's loss of PPO, its derivative and metrics, of one micro-batch.
//
//   near = clamp(value, old - cliprange, old + cliprange)
//   loss = vf_coef * half the mean over the masked-in positions of max((value - return)^2, (near - return)^2)
//
// Grid    One workgroup; lanes stride over positions.
// Reads   values (N,1); token_facts (N,4): old value, return, mask, _
// Writes  dvalues (N,1) = share * d loss / d value; metrics += share * (loss at 0, loss without vf_coef at 8, share of
//         clipped positions at 9)
// Twin    reference::ppo_value
// With    lib/reduce.wgsl

struct Params {
    positions: u32,
    cliprange: f32,
    vf_coef: f32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> token_facts: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dvalues: array<f32>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var count = 0.0;
    for (var t = lane; t < params.positions; t += WG) {
        count += token_facts[t].z;
    }
    count = max(workgroup_sum(lane, count), 1.0);
    let factor = params.share * params.vf_coef / count;

    var loss = 0.0;
    var clipped = 0.0;
    for (var t = lane; t < params.positions; t += WG) {
        let facts = token_facts[t];
        let value = values[t];
        let near = clamp(value, facts.x - params.cliprange, facts.x + params.cliprange);
        let miss = value - facts.y;
        let near_miss = near - facts.y;
        // The clamped value is the further one only where it no longer follows the value.
        let is_clipped = near_miss * near_miss > miss * miss;
        let is_in = facts.z > 0.5;
        dvalues[t] = select(0.0, factor * miss, is_in && !is_clipped);
        if is_in {
            loss += 0.5 * max(miss * miss, near_miss * near_miss);
            clipped += select(0.0, 1.0, is_clipped);
        }
    }
    loss = workgroup_sum(lane, loss) / count;
    clipped = workgroup_sum(lane, clipped);
    if lane == 0u {
        metrics[0] += params.share * params.vf_coef * loss;
        metrics[8] += params.share * loss;
        metrics[9] += params.share * clipped / count;
    }
}
