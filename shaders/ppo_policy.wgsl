// The policy's loss of PPO (Schulman et al. 2017), its derivative and metrics, of one micro-batch.
//
//   ratio = exp(logp - old)
//   loss = mean over the masked-in tokens of max(-A ratio, -A clamp(ratio, 1 - cliprange, 1 + cliprange))
//
//   Some metrics are means over all positions of the padded responses, where what is masked out has a ratio of 1.
//
// Grid    One workgroup; lanes stride over tokens.
// Reads   token_stats (N,4): logp, _, entropy, _; token_facts (N,4): old, advantage A, mask, _
// Writes  dlogp (N) = share * d loss / d logp; metrics += share * (loss, _, half the mean square of logp - old over the
//         positions, share of clipped tokens, loss, mean ratio over the positions, the square of that less 1, entropy)
// Twin    reference::ppo_policy
// With    lib/reduce.wgsl, lib/ratio.wgsl

struct Params {
    tokens: u32,
    positions: f32,
    low: f32,
    high: f32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> token_stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> token_facts: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dlogp: array<f32>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

// More than any ratio.
const NO_CAP = 3e38;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var count = 0.0;
    for (var t = lane; t < params.tokens; t += WG) {
        count += token_facts[t].z;
    }
    count = max(workgroup_sum(lane, count), 1.0);

    var loss = 0.0;
    var squares = 0.0;
    var clipped = 0.0;
    // The ratios less 1, which are small.
    var excess = 0.0;
    var entropy = 0.0;
    for (var t = lane; t < params.tokens; t += WG) {
        let facts = token_facts[t];
        let change = token_stats[t].x - facts.x;
        let ratio = bounded_exp(change);
        let gain = clipped_gain(ratio, facts.y, params.low, params.high, NO_CAP);
        let is_in = facts.z > 0.5;
        dlogp[t] = select(0.0, -params.share * gain.y * ratio / count, is_in);
        if is_in {
            loss -= gain.x;
            squares += change * change;
            clipped += select(0.0, 1.0, gain.x < ratio * facts.y);
            excess += ratio - 1.0;
            entropy += token_stats[t].z;
        }
    }
    loss = workgroup_sum(lane, loss) / count;
    squares = workgroup_sum(lane, squares);
    clipped = workgroup_sum(lane, clipped);
    excess = workgroup_sum(lane, excess) / params.positions;
    entropy = workgroup_sum(lane, entropy);
    if lane == 0u {
        metrics[0] += params.share * loss;
        metrics[2] += params.share * 0.5 * squares / params.positions;
        metrics[3] += params.share * clipped / count;
        metrics[4] += params.share * loss;
        metrics[5] += params.share * (1.0 + excess);
        metrics[6] += params.share * excess * excess;
        metrics[7] += params.share * entropy / count;
    }
}
