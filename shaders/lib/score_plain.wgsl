// lib/score_plain.wgsl: scores of attention as they are, scale * q.k.

fn score(product: vec4<f32>) -> vec4<f32> {
    return product * params.scale;
}

// The derivative of a score with respect to scale * q.k, by the score, or by its probability and its row's lse.
fn slope(score: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(1.0);
}

fn slope_by(probability: vec4<f32>, lse: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(1.0);
}
