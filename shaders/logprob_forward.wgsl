// Log-softmax-gather over one chunk of the vocabulary, streamed (online softmax, Milakov & Gimelshein 2018).
//
//   state[r] takes in the chunk's logits: maximum, sum of exp, of logits, of exp * logit, argmax, label's logit, sum of
//   exp^2.
//   The logits, which are capped first, are replaced by weights exp(logit - maximum) times the cap's slope; the caller
//   adds weights . W_chunk to pull, so that after the last chunk pull = sum_v p_v w[v] without a second pass over the
//   vocabulary.
//
// Grid    One workgroup per row r; lanes stride over columns.
// Reads   labels (R)
// Writes  logits (R, 4*ld4) in place: weights, 0 beyond the chunk's columns; state (R,8) in place, set anew on the
//         first chunk; pull (R,H) rescaled to the new maximum (not on the first chunk, not without want_pull)
// Twin    reference::logprob_forward
// With    lib/logit_{plain,capped}.wgsl, lib/reduce.wgsl

struct Params {
    rows: u32,
    cols: u32,
    ld4: u32,
    first_col: u32,
    hidden4: u32,
    first_chunk: u32,
    want_pull: u32,
    softcap: f32,
    ceiling: f32,
    inv_temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> pull: array<vec4<f32>>;

// Below every logit, and finite.
const LOWEST = -1e30;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = group.y * grid.x + group.x;
    if r >= params.rows {
        return;
    }
    let start = r * params.ld4 * 4u;
    let at = r * 8u;

    var mine = Best(LOWEST, 0u);
    var sum_logits = 0.0;
    for (var c = lane; c < params.cols; c += WG) {
        let logit = capped(logits[start + c]);
        mine = better(mine, Best(logit, params.first_col + c));
        sum_logits += logit;
    }
    let chunk_best = workgroup_best(lane, mine);
    sum_logits = workgroup_sum(lane, sum_logits);

    var old = Best(LOWEST, 0u);
    if params.first_chunk == 0u {
        old = Best(state[at], bitcast<u32>(state[at + 4u]));
    }
    let best = better(old, chunk_best);
    let label = labels[r];
    let in_chunk = label >= params.first_col && label < params.first_col + params.cols;
    var label_logit = 0.0;
    if in_chunk {
        label_logit = capped(logits[start + label - params.first_col]);
    }
    // The label's logit must be read by every lane before any lane overwrites it.
    workgroupBarrier();

    var sum = 0.0;
    var sum_p_logits = 0.0;
    var sum_squares = 0.0;
    for (var c = lane; c < params.ld4 * 4u; c += WG) {
        var weight = 0.0;
        if c < params.cols {
            let logit = capped(logits[start + c]);
            weight = exp(logit - best.value);
            sum += weight;
            sum_p_logits += weight * logit;
            sum_squares += weight * weight;
            weight *= cap_slope(logit);
        }
        logits[start + c] = weight;
    }
    sum = workgroup_sum(lane, sum);
    sum_p_logits = workgroup_sum(lane, sum_p_logits);
    sum_squares = workgroup_sum(lane, sum_squares);

    let factor = exp(old.value - best.value);
    if params.first_chunk == 0u && params.want_pull != 0u {
        for (var c = lane; c < params.hidden4; c += WG) {
            pull[r * params.hidden4 + c] *= factor;
        }
    }
    if lane == 0u {
        if params.first_chunk == 0u {
            sum += state[at + 1u] * factor;
            sum_logits += state[at + 2u];
            sum_p_logits += state[at + 3u] * factor;
            sum_squares += state[at + 6u] * factor * factor;
            if !in_chunk {
                label_logit = state[at + 5u];
            }
        }
        state[at] = best.value;
        state[at + 1u] = sum;
        state[at + 2u] = sum_logits;
        state[at + 3u] = sum_p_logits;
        state[at + 4u] = bitcast<f32>(best.index);
        state[at + 5u] = label_logit;
        state[at + 6u] = sum_squares;
    }
}
