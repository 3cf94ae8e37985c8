// lib/score_capped.wgsl: scores of attention below a cap, cap * tanh(scale * q.k / cap), as Gemma 2 has them.

// Beyond 15 tanh is 1 to rounding; some drivers overflow there.
fn score(product: vec4<f32>) -> vec4<f32> {
    let limit = vec4<f32>(15.0);
    return params.softcap * tanh(clamp(product * (params.scale / params.softcap), -limit, limit));
}

// The derivative of a score with respect to scale * q.k, by the score, or by its probability and its row's lse.
fn slope(score: vec4<f32>) -> vec4<f32> {
    let t = score / params.softcap;
    return 1.0 - t * t;
}

// A probability of 0 gives a finite slope, which does not matter.
fn slope_by(probability: vec4<f32>, lse: vec4<f32>) -> vec4<f32> {
    return slope(log(max(probability, vec4<f32>(1e-37))) + lse);
}
