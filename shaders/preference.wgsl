// Preference losses of n pairs and their derivative, from the log-probabilities of 2n sequences, chosen first.
//
//   c, r = policy - reference of chosen, rejected;  d = c - r;  b = beta;  e = label_smoothing;  s = sigmoid
//   sigmoid   -log s(b d)
//   ipo       (c / n_c - r / n_r - 1 / (2 b))^2
//   hinge     max(0, 1 - b d)
//   robust    (-(1-e) log s(b d) + e log s(-b d)) / (1 - 2e)
//   apo_zero  (1 - s(b c)) + s(b r)
//   sft       -sum of the chosen policy log-probabilities / scored chosen tokens of the micro-batch
//   loss      mean over pairs of each, weighted and added
//
// Grid    One invocation: n is a handful.
// Reads   sums (2n,4): log-probability, mean logit, entropy, correct, summed over the scored tokens;
//         known (2n,4): reference log-probability, completion tokens, scored tokens, 0
// Writes  dlogp (2n) = share * dloss/dlogp;
//         metrics (16) += share * (loss, rewards chosen, rejected, accuracy, margin, logps chosen, rejected,
//         mean logits chosen, rejected, entropy, token accuracy)
// Twin    reference::preference

struct Params {
    pairs: u32,
    beta: f32,
    label_smoothing: f32,
    share: f32,
    sigmoid: f32,
    ipo: f32,
    hinge: f32,
    robust: f32,
    apo_zero: f32,
    sft: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> known: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dlogp: array<f32>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

// 1 / (1 + exp(-x)) without an infinite exp.
fn sigmoid(x: f32) -> f32 {
    let t = exp(-abs(x));
    return select(t, 1.0, x >= 0.0) / (1.0 + t);
}

// log(1 + t) for 0 <= t <= 1, exact also for small t (Goldberg 1991, theorem 4).
fn log_1p(t: f32) -> f32 {
    let u = 1.0 + t;
    if u == 1.0 {
        return t;
    }
    return log(u) * t / (u - 1.0);
}

fn log_sigmoid(x: f32) -> f32 {
    return min(x, 0.0) - log_1p(exp(-abs(x)));
}

@compute @workgroup_size(1)
fn main() {
    let n = params.pairs;
    let b = params.beta;
    let e = params.label_smoothing;
    var loss = 0.0;
    var rewards = vec4<f32>();
    var logps = vec2<f32>();
    var logits = vec2<f32>();
    var scored = vec2<f32>();
    var entropy = 0.0;
    var correct = 0.0;
    for (var i = 0u; i < n; i++) {
        let c = sums[i].x - known[i].x;
        let r = sums[n + i].x - known[n + i].x;
        let d = c - r;
        var dc = 0.0;
        var dr = 0.0;

        // sigmoid
        loss -= params.sigmoid * log_sigmoid(b * d);
        let pull = b * sigmoid(-b * d);
        dc -= params.sigmoid * pull;
        dr += params.sigmoid * pull;

        // ipo
        let gap = c / known[i].y - r / known[n + i].y - 0.5 / b;
        loss += params.ipo * gap * gap;
        dc += params.ipo * 2.0 * gap / known[i].y;
        dr -= params.ipo * 2.0 * gap / known[n + i].y;

        // hinge
        let short = 1.0 - b * d;
        if short > 0.0 {
            loss += params.hinge * short;
            dc -= params.hinge * b;
            dr += params.hinge * b;
        }

        // robust
        let noise = 1.0 / (1.0 - 2.0 * e);
        loss += params.robust * noise * (e * log_sigmoid(-b * d) - (1.0 - e) * log_sigmoid(b * d));
        let robust_pull = noise * b * ((1.0 - e) * sigmoid(-b * d) + e * sigmoid(b * d));
        dc -= params.robust * robust_pull;
        dr += params.robust * robust_pull;

        // apo_zero
        loss += params.apo_zero * (sigmoid(-b * c) + sigmoid(b * r));
        dc -= params.apo_zero * b * sigmoid(b * c) * sigmoid(-b * c);
        dr += params.apo_zero * b * sigmoid(b * r) * sigmoid(-b * r);

        dlogp[i] = params.share * dc / f32(n);
        dlogp[n + i] = params.share * dr / f32(n);

        rewards += vec4<f32>(b * c, b * r, select(0.0, 1.0, b * c > b * r), b * c - b * r);
        logps += vec2<f32>(sums[i].x, sums[n + i].x);
        logits += vec2<f32>(sums[i].y, sums[n + i].y);
        scored += vec2<f32>(known[i].z, known[n + i].z);
        entropy += sums[i].z + sums[n + i].z;
        correct += sums[i].w;
    }
    loss /= f32(n);

    // sft: a mean over tokens, not over sequences.
    let chosen_tokens = max(scored.x, 1.0);
    loss -= params.sft * logps.x / chosen_tokens;
    for (var i = 0u; i < n; i++) {
        dlogp[i] -= params.share * params.sft / chosen_tokens;
    }

    let mean = params.share / f32(n);
    metrics[0] += params.share * loss;
    metrics[1] += mean * rewards.x;
    metrics[2] += mean * rewards.y;
    metrics[3] += mean * rewards.z;
    metrics[4] += mean * rewards.w;
    metrics[5] += mean * logps.x;
    metrics[6] += mean * logps.y;
    metrics[7] += params.share * logits.x / chosen_tokens;
    metrics[8] += params.share * logits.y / max(scored.y, 1.0);
    metrics[9] += params.share * entropy / max(scored.x + scored.y, 1.0);
    metrics[10] += params.share * correct / chosen_tokens;
}
