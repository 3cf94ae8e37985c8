// lib/act_silu.wgsl: SiLU, x * sigmoid(x).

// exp of a large number would be infinite; at 80 the sigmoid has long been 0 to rounding.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(min(-x, vec4<f32>(80.0))));
}

fn act(x: vec4<f32>) -> vec4<f32> {
    return x * sigmoid(x);
}

fn act_slope(x: vec4<f32>) -> vec4<f32> {
    let s = sigmoid(x);
    return s * (1.0 + x * (1.0 - s));
}
