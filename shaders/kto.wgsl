// KTO's losses (Ethayarajh et al. 2024), their derivatives and metrics, of one micro-batch of n completions.
//
//   c = sum of log-probabilities - the reference's; kl = max(0, mean of c over the mismatched completions), or 0
//   loss = mean of  desirable * (1 - sigmoid(beta (c - kl)))  and  undesirable * (1 - sigmoid(beta (kl - c)))
//
//   No gradient goes through kl.
//
// Grid    One invocation; n is a handful.
// Reads   sums (S,8): sum of log-probabilities, _, of mean logits, of entropies, ..; known (S,4): reference's sum,
//         completion tokens, scored tokens, 1 if it is desirable; S = n, or 2n with a mismatched one for each
// Writes  dsums (S,2) = share * d loss / d (sums[s,0], sums[s,1]); metrics += share * (loss, _, kl, entropy); and of
//         the desirable (from 4 on) and the undesirable (from 8 on) reward, log-probability, logit, 1; (from 12 on)
//         their rewards' difference, 1: each of these only where there are any
// Twin    reference::kto
// With    lib/loss.wgsl

struct Params {
    completions: u32,
    mismatched: u32,
    beta: f32,
    desirable: f32,
    undesirable: f32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> known: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dsums: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

// Policy less reference.
fn log_ratio(s: u32) -> f32 {
    return sums[2u * s].x - known[s].x;
}

// The means of one kind of completions: reward, log-probability, logit per token.
fn add_means(at: u32, kind: vec4<f32>, count: f32) {
    if count > 0.0 {
        metrics[at] += kind.x / count;
        metrics[at + 1u] += kind.y / count;
        metrics[at + 2u] += kind.z / max(kind.w, 1.0);
        metrics[at + 3u] += 1.0;
    }
}

@compute @workgroup_size(1)
fn main() {
    let n = params.completions;
    let mean = params.share / f32(n);
    var kl = 0.0;
    if params.mismatched != 0u {
        for (var s = n; s < 2u * n; s++) {
            kl += log_ratio(s);
            dsums[s] = vec2<f32>();
        }
        kl = max(kl / f32(n), 0.0);
    }

    var loss = 0.0;
    var entropy = 0.0;
    // Reward, log-probability, logits, scored tokens.
    var chosen = vec4<f32>();
    var rejected = vec4<f32>();
    var wanted = 0.0;
    for (var s = 0u; s < n; s++) {
        let c = log_ratio(s);
        let facts = vec4<f32>(params.beta * c, sums[2u * s].x, sums[2u * s].z, known[s].z);
        let is_wanted = known[s].w > 0.5;
        let sign = select(-1.0, 1.0, is_wanted);
        let weight = select(params.undesirable, params.desirable, is_wanted);
        let x = sign * params.beta * (c - kl);
        loss += weight * sigmoid(-x);
        dsums[s] = vec2<f32>(-mean * weight * sign * params.beta * sigmoid(x) * sigmoid(-x), 0.0);
        entropy += sums[2u * s].w;
        if is_wanted {
            chosen += facts;
            wanted += 1.0;
        } else {
            rejected += facts;
        }
    }

    let unwanted = f32(n) - wanted;
    metrics[0] += mean * loss;
    metrics[2] += params.share * kl;
    metrics[3] += params.share * entropy / max(chosen.w + rejected.w, 1.0);
    add_means(4u, chosen, wanted);
    add_means(8u, rejected, unwanted);
    if wanted > 0.0 && unwanted > 0.0 {
        metrics[12] += chosen.x / wanted - rejected.x / unwanted;
        metrics[13] += 1.0;
    }
}
