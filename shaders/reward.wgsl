// Loss of a reward model (Bradley & Terry 1952), its derivatives and metrics, of one micro-batch of n pairs.
//
//   loss = mean_i(-log sigmoid(c - r - margins[i])) + centre * mean_i((c + r)^2),  c, r = values[i], values[n + i]
//
// Grid    One invocation; n is a handful.
// Reads   values (2n,1), chosen first; margins (n,1)
// Writes  dvalues (2n,1) = share * d loss / d values; metrics += share * (loss, _, min, mean and max of the values,
//         accuracy, mean of c - r)
// Twin    reference::reward
// With    lib/loss.wgsl

struct Params {
    pairs: u32,
    centre: f32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> margins: array<f32>;
@group(0) @binding(3) var<storage, read_write> dvalues: array<f32>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

@compute @workgroup_size(1)
fn main() {
    let n = params.pairs;
    let mean = params.share / f32(n);
    var loss = 0.0;
    var total = 0.0;
    var lowest = values[0];
    var highest = values[0];
    var correct = 0.0;
    var margin = 0.0;
    for (var i = 0u; i < n; i++) {
        let c = values[i];
        let r = values[n + i];
        let x = c - r - margins[i];
        loss += params.centre * (c + r) * (c + r) - log_sigmoid(x);
        let pull = sigmoid(-x);
        let centring = 2.0 * params.centre * (c + r);
        dvalues[i] = mean * (centring - pull);
        dvalues[n + i] = mean * (centring + pull);
        total += c + r;
        lowest = min(lowest, min(c, r));
        highest = max(highest, max(c, r));
        correct += select(0.0, 1.0, c > r);
        margin += c - r;
    }
    metrics[0] += mean * loss;
    metrics[2] += params.share * lowest;
    metrics[3] += 0.5 * mean * total;
    metrics[4] += params.share * highest;
    metrics[5] += mean * correct;
    metrics[6] += mean * margin;
}
