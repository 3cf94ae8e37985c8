// lib/pair.wgsl: what the losses of pairs read: n chosen sequences, then the n rejected ones.

struct Params {
    pairs: u32,
    divergence: u32,
    by_token: u32,
    weighted: u32,
    beta: f32,
    label_smoothing: f32,
    alpha: f32,
    tau: f32,
    gamma: f32,
    dpop_lambda: f32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// (2n,8) as two vec4s: weighted log-probability, another, mean logit, entropy; correct, lp - log sum p^2.
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
// (2n,4): reference log-probability, completion tokens, scored tokens, 0.
@group(0) @binding(2) var<storage, read> known: array<vec4<f32>>;

const REVERSE_KL = 0u;
const FORWARD_KL = 1u;
const JENSEN_SHANNON = 2u;
const ALPHA = 3u;
const ALPHA_PO = 4u;

// The policy's minus the reference's log-probability of sequence s, by its scored tokens with by_token.
fn ratio(s: u32) -> f32 {
    let difference = sums[2u * s].x - known[s].x;
    return select(difference, difference / known[s].z, params.by_token != 0u);
}

// The ratio after the divergence.
fn score(s: u32) -> f32 {
    let x = ratio(s);
    switch params.divergence {
        case FORWARD_KL: { return 1.0 - exp(-x); }
        case JENSEN_SHANNON: { return log(2.0) + log_sigmoid(x); }
        case ALPHA: { return (exp(min((params.alpha - 1.0) * x, 80.0)) - 1.0) / (params.alpha - 1.0); }
        case ALPHA_PO: { return (1.0 - exp(-params.alpha * x)) / params.alpha; }
        default: { return x; }
    }
}

// The derivative of the score with respect to the summed log-probability.
fn slope(s: u32) -> f32 {
    let x = ratio(s);
    var by_ratio = 1.0;
    switch params.divergence {
        case FORWARD_KL: { by_ratio = exp(-x); }
        case JENSEN_SHANNON: { by_ratio = sigmoid(-x); }
        case ALPHA: {
            let exponent = (params.alpha - 1.0) * x;
            by_ratio = select(exp(exponent), 0.0, exponent > 80.0);
        }
        case ALPHA_PO: { by_ratio = exp(-params.alpha * x); }
        default: {}
    }
    return select(by_ratio, by_ratio / known[s].z, params.by_token != 0u);
}

// Completion tokens.
fn tokens_of(s: u32) -> f32 {
    return known[s].y;
}
