// A loss of n pairs and its derivative, from the sums of 2n sequences, chosen first; lib/loss_*.wgsl has the losses.
//
//   c, r = policy - reference of chosen, rejected;  C, R = their divergences' scores;  d = C - R;  b = beta;
//   e = label_smoothing;  s = sigmoid
//   loss     mean over pairs of the loss, times the weights of both answers with weighted: WPO's
//            exp(mean over tokens of (lp - log sum p^2)), a constant (Zhou et al. 2024)
//
// Grid    One invocation: n is a handful.
// Reads   sums (2n,8), known (2n,4) as lib/pair.wgsl says
// Writes  dsums (2n,2) += scale * dloss/dsums; metrics (32) += scale * loss at 0
// Twin    reference::preference
// With    lib/loss.wgsl, lib/pair.wgsl, lib/loss_*.wgsl

@group(0) @binding(3) var<storage, read_write> dsums: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

fn likelihood(s: u32) -> f32 {
    return exp(sums[2u * s + 1u].y / max(known[s].z, 1.0));
}

@compute @workgroup_size(1)
fn main() {
    let n = params.pairs;
    let mean = params.scale / f32(n);
    var sum = 0.0;
    for (var i = 0u; i < n; i++) {
        let j = n + i;
        let weight = select(1.0, likelihood(i) * likelihood(j), params.weighted != 0u);
        let loss = weight * pair_loss(i);
        sum += loss.x;
        dsums[i].x += mean * loss.y * slope(i);
        dsums[j].x += mean * loss.z * slope(j);
    }
    metrics[0] += mean * sum;
}
