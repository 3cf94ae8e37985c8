// The next token of each text, and where the text then stands.
//
//   p = softmax(logits / temperature), of the top_k likeliest tokens (0: all), of those the likeliest that together
//   reach top_p; the token is drawn by a random number of (seed, text, step); temperature 0 takes the likeliest token,
//   of equals the first. Tokens as likely as the last one that is kept are kept, too.
//
// Grid    One workgroup per text r; lanes stride over the vocabulary. Thresholds are found by halving the range of
//         logits as ordered integers: 32 passes over the row, each only where it is asked for.
// Reads   logits (R, ld)
// Writes  tokens (R, steps) = at column `step`, ids (R) =; spans (R): last row and position + 1; slots (R) + 1
// Twin    reference::sample
// With    lib/reduce.wgsl

struct Params {
    rows: u32,
    vocab: u32,
    ld: u32,
    steps: u32,
    step: u32,
    drawn: u32,
    first_text: u32,
    seed_low: u32,
    seed_high: u32,
    top_k: u32,
    top_p: f32,
    temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> spans: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> slots: array<u32>;

// Below every logit, and finite.
const LOWEST = -1e30;

var<workgroup> sums: array<f32, WG>;

// Integers in the order of the floats.
fn ordered(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// A random number in [0, 1): PCG of four words (Jarzynski & Olano 2020), of which the upper 24 bits of the first.
fn random(text: u32) -> f32 {
    var v = vec4<u32>(params.seed_low, params.seed_high, params.first_text + text, params.drawn);
    v = v * 1664525u + 1013904223u;
    v += v.yzxy * v.wxyz;
    v ^= v >> vec4<u32>(16u);
    v += v.yzxy * v.wxyz;
    return f32(v.x >> 8u) / 16777216.0;
}

fn weight(logit: f32, largest: f32) -> f32 {
    return exp((logit - largest) / params.temperature);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    let start = row * params.ld;

    var mine = Best(LOWEST, 0u);
    for (var i = lane; i < params.vocab; i += WG) {
        mine = better(mine, Best(logits[start + i], i));
    }
    let best = workgroup_best(lane, mine);

    // Tokens at or above it are kept.
    var threshold = 0u;
    if params.temperature > 0.0 && params.top_k > 0u {
        var low = 0u;
        var high = ordered(best.value);
        for (var bit = 0u; bit < 32u; bit++) {
            let middle = high - (high - low) / 2u;
            var count = 0.0;
            for (var i = lane; i < params.vocab; i += WG) {
                count += select(0.0, 1.0, ordered(logits[start + i]) >= middle);
            }
            let enough = workgroup_sum(lane, count) >= f32(params.top_k);
            low = select(low, middle, enough);
            high = select(middle - 1u, high, enough || middle == 0u);
        }
        threshold = low;
    }
    if params.temperature > 0.0 && params.top_p < 1.0 {
        var all = 0.0;
        for (var i = lane; i < params.vocab; i += WG) {
            let logit = logits[start + i];
            all += select(0.0, weight(logit, best.value), ordered(logit) >= threshold);
        }
        let wanted = params.top_p * workgroup_sum(lane, all);
        var low = threshold;
        var high = ordered(best.value);
        for (var bit = 0u; bit < 32u; bit++) {
            let middle = high - (high - low) / 2u;
            var kept = 0.0;
            for (var i = lane; i < params.vocab; i += WG) {
                let logit = logits[start + i];
                kept += select(0.0, weight(logit, best.value), ordered(logit) >= middle);
            }
            let enough = workgroup_sum(lane, kept) >= wanted;
            low = select(low, middle, enough);
            high = select(max(middle, low + 1u) - 1u, high, enough);
        }
        threshold = low;
    }

    var token = best.index;
    if params.temperature > 0.0 {
        var sum = 0.0;
        for (var i = lane; i < params.vocab; i += WG) {
            let logit = logits[start + i];
            sum += select(0.0, weight(logit, best.value), ordered(logit) >= threshold);
        }
        workgroupBarrier();
        sums[lane] = sum;
        workgroupBarrier();
        var before = 0.0;
        var total = 0.0;
        for (var i = 0u; i < WG; i++) {
            before += select(0.0, sums[i], i < lane);
            total += sums[i];
        }
        // One lane's tokens hold the number that was drawn; where rounding leaves none, the likeliest token stands.
        let drawn = random(row) * total;
        var chosen = params.vocab;
        if drawn >= before && drawn < before + sum {
            for (var i = lane; i < params.vocab; i += WG) {
                let logit = logits[start + i];
                before += select(0.0, weight(logit, best.value), ordered(logit) >= threshold);
                if chosen == params.vocab && drawn < before {
                    chosen = i;
                }
            }
        }
        // Rounding can make several lanes choose a token: the first token counts.
        let found = workgroup_best(lane, Best(select(0.0, 1.0, chosen < params.vocab), chosen));
        token = select(best.index, found.index, found.value > 0.0);
    }
    if lane == 0u {
        tokens[row * params.steps + params.step] = token;
        ids[row] = token;
        spans[row] += vec4<u32>(0u, 1u, 0u, 1u);
        slots[row] += 1u;
    }
}
