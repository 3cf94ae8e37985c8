// Sums each sequence's token statistics in token order.
//
//   sums[s] = sum over the tokens t of sequence s of stats[t]
//
// Grid    One invocation per sequence.
// Reads   stats (T,4): logp, mean logit, entropy, correct; ranges (S): first token and end of each sequence
// Writes  sums (S,4) =
// Twin    reference::sequence_sum

struct Params {
    sequences: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.sequences {
        return;
    }
    let range = ranges[id.x];
    // Sums of 32 tokens first: a long running sum in f32 would round away digits of every later token. (A compensated
    // sum does not help, compilers simplify it away.)
    var sum = vec4<f32>();
    for (var first = range.x; first < range.y; first += 32u) {
        var part = vec4<f32>();
        for (var t = first; t < min(first + 32u, range.y); t++) {
            part += stats[t];
        }
        sum += part;
    }
    sums[id.x] = sum;
}
