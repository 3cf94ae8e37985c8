// The loss of RLOO (Ahmadian et al. 2024), its derivatives and metrics, of one micro-batch of S completions.
//
//   ratio = exp(sum of logp - old), of a sequence; 1 for one that is not kept
//   loss = mean over sequences of -min(ratio A, clamp(ratio, low, high) A), A being the sequence's advantage
//
// Grid    One workgroup; lanes stride over the tokens of each sequence in turn.
// Reads   token_stats (N,4): logp, _, entropy, _; ranges (S): first token and end; token_facts (N,4): old, _, _, _;
//         sequence_facts (S,4): advantage, 1 if it is kept, _, _
// Writes  dlogp (N) = share * d loss / d logp; metrics += share * (loss, _, entropy, _, clipped sequences: low, high,
//         both), and whether all are low, whether any is high, 1
// Twin    reference::rloo
// With    lib/reduce.wgsl, lib/ratio.wgsl

struct Params {
    sequences: u32,
    low: f32,
    high: f32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> token_stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> token_facts: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> sequence_facts: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dlogp: array<f32>;
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;

// More than any ratio.
const NO_CAP = 3e38;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    let mean = params.share / f32(params.sequences);
    var loss = 0.0;
    var entropy = 0.0;
    var tokens = 0.0;
    var low = 0.0;
    var high = 0.0;
    for (var s = 0u; s < params.sequences; s++) {
        let range = ranges[s];
        let advantage = sequence_facts[s].x;
        let keep = select(0.0, 1.0, sequence_facts[s].y > 0.5);
        var drift = 0.0;
        var spread = 0.0;
        for (var t = range.x + lane; t < range.y; t += WG) {
            drift += token_stats[t].x - token_facts[t].x;
            spread += token_stats[t].z;
        }
        let ratio = bounded_exp(keep * workgroup_sum(lane, drift));
        entropy += keep * workgroup_sum(lane, spread);
        tokens += keep * f32(range.y - range.x);
        let gain = clipped_gain(ratio, advantage, params.low, params.high, NO_CAP);
        for (var t = range.x + lane; t < range.y; t += WG) {
            dlogp[t] = -mean * keep * gain.y * ratio;
        }
        loss -= gain.x;
        low += select(0.0, 1.0, ratio < params.low && advantage < 0.0);
        high += select(0.0, 1.0, ratio > params.high && advantage > 0.0);
    }
    if lane == 0u {
        metrics[0] += mean * loss;
        metrics[2] += params.share * entropy / max(tokens, 1.0);
        metrics[4] += mean * low;
        metrics[5] += mean * high;
        metrics[6] += mean * (low + high);
        metrics[7] += select(0.0, 1.0, low == f32(params.sequences));
        metrics[8] += min(high, 1.0);
        metrics[9] += 1.0;
    }
}
