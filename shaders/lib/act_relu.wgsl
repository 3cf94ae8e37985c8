// lib/act_relu.wgsl: ReLU, the larger of x and 0.

fn act(x: vec4<f32>) -> vec4<f32> {
    return max(x, vec4<f32>());
}

fn act_slope(x: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), vec4<f32>(1.0), x > vec4<f32>());
}
