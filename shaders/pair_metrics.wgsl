// Metrics that TRL logs for n pairs.
//
// Grid    One invocation: n is a handful.
// Reads   sums (2n,8), known (2n,4) as lib/pair.wgsl says
// Writes  metrics (32) += scale * (rewards chosen, rejected, accuracy, margin, logps chosen, rejected, mean logits
//         chosen, rejected, entropy, token accuracy) from 2 on, rewards being beta times the ratios, of AlphaPO the
//         scores
// Twin    reference::pair_metrics
// With    lib/loss.wgsl, lib/pair.wgsl

@group(0) @binding(3) var<storage, read_write> metrics: array<f32>;

fn reward(s: u32) -> f32 {
    if params.divergence == ALPHA_PO {
        return params.beta * score(s);
    }
    return params.beta * ratio(s);
}

@compute @workgroup_size(1)
fn main() {
    let n = params.pairs;
    var rewards = vec4<f32>();
    var logps = vec2<f32>();
    var logits = vec2<f32>();
    var scored = vec2<f32>();
    var entropy = 0.0;
    var correct = 0.0;
    for (var i = 0u; i < n; i++) {
        let j = n + i;
        let c = reward(i);
        let r = reward(j);
        rewards += vec4<f32>(c, r, select(0.0, 1.0, c > r), c - r);
        let both = vec2<f32>(sums[2u * i].x, sums[2u * j].x);
        logps += select(both, both / vec2<f32>(known[i].z, known[j].z), params.by_token != 0u);
        logits += vec2<f32>(sums[2u * i].z, sums[2u * j].z);
        scored += vec2<f32>(known[i].z, known[j].z);
        entropy += sums[2u * i].w + sums[2u * j].w;
        correct += sums[2u * i + 1u].x;
    }
    let mean = params.scale / f32(n);
    metrics[2] += mean * rewards.x;
    metrics[3] += mean * rewards.y;
    metrics[4] += mean * rewards.z;
    metrics[5] += mean * rewards.w;
    metrics[6] += mean * logps.x;
    metrics[7] += mean * logps.y;
    metrics[8] += params.scale * logits.x / max(scored.x, 1.0);
    metrics[9] += params.scale * logits.y / max(scored.y, 1.0);
    metrics[10] += params.scale * entropy / max(scored.x + scored.y, 1.0);
    metrics[11] += params.scale * correct / max(scored.x, 1.0);
}
