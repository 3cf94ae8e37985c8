// Cross entropy: minus the log-probabilities of the tokens that count in the second sum, and its derivative.
//
//   loss     -scale * sum over the sequences of their second sum
//
// Grid    One invocation: the sequences are a handful.
// Reads   sums (S,8): the second is the sum of log-probabilities
// Writes  dsums (S,2) += -scale in the second column; metrics (32) += the loss at 0, and at 12 on
//         each_token * (minus the sum of log-probabilities, entropy, correct) of these sequences
// Twin    reference::token_nll

struct Params {
    sequences: u32,
    scale: f32,
    each_token: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dsums: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> metrics: array<f32>;

@compute @workgroup_size(1)
fn main() {
    var logp = 0.0;
    var entropy = 0.0;
    var correct = 0.0;
    for (var s = 0u; s < params.sequences; s++) {
        logp += sums[2u * s].y;
        entropy += sums[2u * s].w;
        correct += sums[2u * s + 1u].x;
        dsums[s].y -= params.scale;
    }
    metrics[0] -= params.scale * logp;
    metrics[12] -= params.each_token * logp;
    metrics[13] += params.each_token * entropy;
    metrics[14] += params.each_token * correct;
}
