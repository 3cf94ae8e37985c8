// The losses of GRPO (Shao et al. 2024) and what came of it, their derivatives and metrics, of one micro-batch.
//
//   ratio = exp(logp - old), of a token; or exp(mean of that over its sequence), the same for all its tokens
//   kl = exp(ref - logp) - (ref - logp) - 1, times the ratio if that is asked for
//   loss = sum over tokens of weight * (mask * one of these + beta * kl) - entropy_coef * mean entropy
//     0 clipped   -min(ratio A, clamp(ratio, low, high) A), the first ratio at most delta (GRPO, DAPO, LUSPO ..)
//     1 cispo     -min(ratio, high) A logp, no gradient through the ratio (Chen et al. 2025)
//     2 sapo      -4/T sigmoid(T (ratio - 1)) A (Gao et al. 2025)
//     3 vespo     -phi A logp, no gradient through phi (below)
//
//   A is the sequence's advantage. Tokens of sequences that are not kept count nowhere. The mask leaves out what the
//   policy has moved away from, and the tokens whose entropy is low.
//
// Grid    One workgroup; lanes stride over the tokens of each sequence in turn.
// Reads   token_stats (N,4): logp, _, entropy, _; ranges (S): first token and end; token_facts (N,4): old, ref, _, _;
//         sequence_facts (S,4): advantage, 1 if it is kept, _, _
// Writes  dlogp (N), dentropy (N) = derivatives of the loss; metrics += loss, _, entropy, kl, shares of clipped ratios
//         (low, high, both; lowest, highest of a sequence, 1), cispo's, vespo's mean phi, loss without entropy
// Twin    reference::policy
// With    lib/reduce.wgsl, lib/loss.wgsl, lib/ratio.wgsl

struct Params {
    sequences: u32,
    kind: u32,
    divisor: u32,
    sequence_level: u32,
    on_policy: u32,
    correct_kl: u32,
    weight: f32,
    share: f32,
    loss_share: f32,
    low: f32,
    high: f32,
    delta: f32,
    beta: f32,
    left_out: f32,
    entropy_coef: f32,
    max_drift: f32,
    // Settings for advantages above 0 (vespo: not below), and for others.
    temperature_pos: f32,
    temperature_neg: f32,
    k_pos: f32,
    k_neg: f32,
    lambda_pos: f32,
    lambda_neg: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> token_stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> token_facts: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> sequence_facts: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dlogp: array<f32>;
@group(0) @binding(6) var<storage, read_write> dentropy: array<f32>;
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;

const CLIPPED = 0u;
const CISPO = 1u;
const SAPO = 2u;
const VESPO = 3u;
// Divisor of a token's weight: the number of tokens of its sequence, or of the micro-batch.
const BY_SEQUENCE = 1u;
const BY_TOKENS = 2u;

// Below every entropy.
const LOWEST = -1e30;

fn kept(s: u32) -> bool {
    return sequence_facts[s].y > 0.5;
}

fn log_ratio(t: u32) -> f32 {
    return select(token_stats[t].x - token_facts[t].x, 0.0, params.on_policy != 0u);
}

// Bits that are in the order of the numbers.
fn key_of(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// The entropy of a kept token that `rank` others lie below, bit by bit.
fn ranked(lane: u32, rank: f32) -> f32 {
    var key = 0u;
    for (var bit = 32u; bit > 0u; bit--) {
        let trial = key | (1u << (bit - 1u));
        var below = 0.0;
        for (var s = 0u; s < params.sequences; s++) {
            for (var t = ranges[s].x + lane; t < ranges[s].y; t += WG) {
                below += select(0.0, 1.0, kept(s) && key_of(token_stats[t].z) < trial);
            }
        }
        below = workgroup_sum(lane, below);
        key = select(key, trial, below <= rank);
    }
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

// The entropy that tokens need: a quantile of those of the kept tokens, between two of them as torch.quantile has it.
fn entropy_level(lane: u32, tokens: f32) -> f32 {
    let place = params.left_out * (tokens - 1.0);
    let rank = floor(place);
    let low = ranked(lane, rank);
    let high = ranked(lane, min(rank + 1.0, tokens - 1.0));
    let part = place - rank;
    return select(high - (high - low) * (1.0 - part), low + part * (high - low), part < 0.5);
}

// exp(x) - x - 1, also for small x.
fn exp_excess(x: f32) -> f32 {
    if abs(x) < 0.5 {
        let tail = 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0 + x / 40320.0));
        return x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * tail)));
    }
    return bounded_exp(x) - x - 1.0;
}

// VESPO's weight of a sequence whose log-ratios sum to `sum`.
fn gamma_weight(advantage: f32, sum: f32) -> f32 {
    let k = select(params.k_neg, params.k_pos, advantage >= 0.0);
    let lambda = select(params.lambda_neg, params.lambda_pos, advantage >= 0.0);
    let log_weight = clamp(sum, -18.420681, 20.0);
    return exp(lambda + k * log_weight - lambda * exp(log_weight));
}

// A token's loss, and its derivatives by the ratio and by the log-probability itself.
fn token_loss(ratio: f32, advantage: f32, logp: f32, phi: f32) -> vec3<f32> {
    if params.kind == CISPO {
        let factor = min(ratio, params.high) * advantage;
        return vec3<f32>(-factor * logp, 0.0, -factor);
    }
    if params.kind == SAPO {
        let t = select(params.temperature_neg, params.temperature_pos, advantage > 0.0);
        let x = t * (ratio - 1.0);
        return -4.0 * advantage * vec3<f32>(sigmoid(x) / t, sigmoid(x) * sigmoid(-x), 0.0);
    }
    if params.kind == VESPO {
        return vec3<f32>(-phi * advantage * logp, 0.0, -phi * advantage);
    }
    return -vec3<f32>(clipped_gain(ratio, advantage, params.low, params.high, params.delta), 0.0);
}

// Sums over tokens.
struct Sums {
    loss: f32,
    kl: f32,
    entropy: f32,
    // Entropy of the tokens that the bonus acts on.
    active_entropy: f32,
    low: f32,
    high: f32,
    by_ratio: f32,
    phi: f32,
}

// One sequence: writes its derivatives, and returns its sums.
fn sequence(lane: u32, s: u32, tokens: f32, level: f32, bonus: f32) -> Sums {
    let range = ranges[s];
    let advantage = sequence_facts[s].x;
    let keep = select(0.0, 1.0, kept(s));
    let length = max(f32(range.y - range.x), 1.0);
    var drift = 0.0;
    var bounded_drift = 0.0;
    for (var t = range.x + lane; t < range.y; t += WG) {
        drift += log_ratio(t);
        bounded_drift += clamp(log_ratio(t), -20.0, 20.0);
    }
    drift = keep * workgroup_sum(lane, drift) / length;
    bounded_drift = keep * workgroup_sum(lane, bounded_drift);
    let phi = gamma_weight(advantage, bounded_drift);
    let on = select(keep, 0.0, advantage < 0.0 && -drift > params.max_drift);
    let is_shared = params.sequence_level != 0u;
    var weight = params.weight;
    if params.divisor == BY_SEQUENCE {
        weight /= length;
    } else if params.divisor == BY_TOKENS {
        weight /= tokens;
    }

    var sums = Sums();
    for (var t = range.x + lane; t < range.y; t += WG) {
        let logp = token_stats[t].x;
        let entropy = token_stats[t].z;
        let ratio = bounded_exp(select(log_ratio(t), drift, is_shared));
        let acts = keep * select(0.0, 1.0, entropy >= level);
        let part = select(vec3<f32>(), token_loss(ratio, advantage, logp, phi), on * acts > 0.0);
        let pull = keep * params.beta;
        let gap = select(token_facts[t].y - logp, 0.0, pull == 0.0);
        let excess = exp_excess(gap);
        let correction = select(1.0, ratio, params.correct_kl != 0u);
        let by_ratio = part.y + select(0.0, pull * excess, params.correct_kl != 0u);
        let by_logp = part.z - pull * correction * (excess + gap);
        dlogp[t] = weight * (by_logp + select(by_ratio * ratio, 0.0, is_shared));
        dentropy[t] = -bonus * acts;

        let judged = select(ratio, min(ratio, params.delta), params.kind == CLIPPED);
        sums.loss += weight * (part.x + pull * excess * correction);
        sums.kl += excess * correction;
        sums.entropy += keep * entropy;
        sums.active_entropy += acts * entropy;
        sums.low += select(0.0, 1.0, judged < params.low && advantage < 0.0);
        sums.high += select(0.0, 1.0, judged > params.high && advantage > 0.0);
        sums.by_ratio += by_ratio;
    }
    sums.loss = workgroup_sum(lane, sums.loss);
    sums.kl = workgroup_sum(lane, sums.kl);
    sums.entropy = workgroup_sum(lane, sums.entropy);
    sums.active_entropy = workgroup_sum(lane, sums.active_entropy);
    sums.low = workgroup_sum(lane, sums.low);
    sums.high = workgroup_sum(lane, sums.high);
    sums.by_ratio = workgroup_sum(lane, sums.by_ratio);
    sums.phi = phi;
    if is_shared {
        let whole = weight * bounded_exp(drift) * sums.by_ratio / length;
        for (var t = range.x + lane; t < range.y; t += WG) {
            dlogp[t] += whole;
        }
    }
    return sums;
}

// Kept tokens of an entropy that is high enough.
fn active_tokens(lane: u32, level: f32) -> f32 {
    var count = 0.0;
    for (var s = 0u; s < params.sequences; s++) {
        for (var t = ranges[s].x + lane; t < ranges[s].y; t += WG) {
            count += select(0.0, 1.0, kept(s) && token_stats[t].z >= level);
        }
    }
    return workgroup_sum(lane, count);
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var tokens = 0.0;
    for (var s = 0u; s < params.sequences; s++) {
        tokens += select(0.0, f32(ranges[s].y - ranges[s].x), kept(s));
    }
    tokens = max(tokens, 1.0);
    var level = LOWEST;
    if params.left_out > 0.0 {
        level = entropy_level(lane, tokens);
    }
    let bonus = params.entropy_coef * params.share / max(active_tokens(lane, level), 1.0);

    var total = Sums();
    var lowest = 1.0;
    var highest = 0.0;
    var judged = 0.0;
    for (var s = 0u; s < params.sequences; s++) {
        let one = sequence(lane, s, tokens, level, bonus);
        total.loss += one.loss;
        total.kl += one.kl;
        total.entropy += one.entropy;
        total.active_entropy += one.active_entropy;
        total.phi += one.phi;
        // One number for each sequence, or one for each token.
        let length = max(f32(ranges[s].y - ranges[s].x), 1.0);
        let per = select(1.0, length, params.sequence_level != 0u);
        if params.sequence_level != 0u || (kept(s) && ranges[s].y > ranges[s].x) {
            total.low += one.low / per;
            total.high += one.high / per;
            lowest = min(lowest, one.low / length);
            highest = max(highest, one.high / length);
            judged = 1.0;
        }
    }
    if lane != 0u {
        return;
    }
    let sequences = f32(params.sequences);
    let ratios = params.share / select(tokens, sequences, params.sequence_level != 0u);
    metrics[0] += total.loss - bonus * total.active_entropy;
    metrics[2] += params.share * total.entropy / tokens;
    metrics[3] += params.share * total.kl / tokens;
    if params.kind == CLIPPED {
        metrics[4] += ratios * total.low;
        metrics[5] += ratios * total.high;
        metrics[6] += ratios * (total.low + total.high);
        metrics[7] += judged * lowest;
        metrics[8] += judged * highest;
        metrics[9] += judged;
    } else if params.kind == CISPO {
        metrics[10] += ratios * total.high;
    } else if params.kind == VESPO {
        metrics[11] += params.share * total.phi / sequences;
    }
    metrics[12] += params.loss_share * total.loss;
}
