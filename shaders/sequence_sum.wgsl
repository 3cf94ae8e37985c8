// Sums each sequence's token statistics in token order.
//
//   sums[s] = sum over the tokens t of sequence s, with a token's weights (w, v, u) and lp its log-probability, of
//             (w lp, v lp [times exp(lp), which counts as a constant, with by_chance],
//              u mean logit, u entropy, u correct, lp - log of the sum of p^2)
//
// Grid    One invocation per sequence.
// Reads   stats (T,4): logp, mean logit, entropy, correct; state (T,8) of logprob_forward;
//         weights (T,4): w, v, u, 0; ranges (S,2): first token and end of each sequence
// Writes  sums (S,8) =
// Twin    reference::sequence_sum

struct Params {
    sequences: u32,
    by_chance: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> sums: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.sequences {
        return;
    }
    let range = ranges[id.x];
    // Sums of 32 tokens first: a long running sum in f32 would round away digits of every later token. (A compensated
    // sum does not help, compilers simplify it away.)
    var sum = vec4<f32>();
    var more = vec2<f32>();
    for (var first = range.x; first < range.y; first += 32u) {
        var part = vec4<f32>();
        var part_more = vec2<f32>();
        for (var t = first; t < min(first + 32u, range.y); t++) {
            let token = stats[t];
            let weight = weights[t];
            let chance = select(1.0, exp(token.x), params.by_chance != 0u);
            part += vec4<f32>(weight.x * token.x, weight.y * token.x * chance, weight.z * token.yz);
            // The state has the largest logit, the sum of exp(logit - largest), and that of its square at 6.
            let squares = log(state[2u * t + 1u].z) - 2.0 * log(state[2u * t].y);
            part_more += vec2<f32>(weight.z * token.w, token.x - squares);
        }
        sum += part;
        more += part_more;
    }
    sums[2u * id.x] = sum;
    sums[2u * id.x + 1u] = vec4<f32>(more, 0.0, 0.0);
}
