// lib/act_gelu_tanh.wgsl: GELU by tanh (Hendrycks & Gimpel 2016), Hugging Face's gelu_new and gelu_pytorch_tanh.

const A = 0.7978845608028654;
const B = 0.044715;

// Beyond 15 tanh is 1 to rounding; some drivers overflow there.
fn curve(x: vec4<f32>) -> vec4<f32> {
    let limit = vec4<f32>(15.0);
    return tanh(clamp(A * (x + B * x * x * x), -limit, limit));
}

fn act(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + curve(x));
}

fn act_slope(x: vec4<f32>) -> vec4<f32> {
    let t = curve(x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * A * (1.0 + 3.0 * B * x * x);
}
