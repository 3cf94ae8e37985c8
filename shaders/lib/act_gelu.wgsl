// lib/act_gelu.wgsl: GELU, x times the normal distribution's share below x.

// The error function by a quotient of polynomials on [-4, 4], where it reaches 1 to rounding (Eigen's).
fn erf(value: vec4<f32>) -> vec4<f32> {
    let x = clamp(value, vec4<f32>(-4.0), vec4<f32>(4.0));
    let s = x * x;
    var p = fma(s, vec4<f32>(-2.72614225801306e-10), vec4<f32>(2.77068142495902e-08));
    p = fma(s, p, vec4<f32>(-2.10102402082508e-06));
    p = fma(s, p, vec4<f32>(-5.69250639462346e-05));
    p = fma(s, p, vec4<f32>(-7.34990630326855e-04));
    p = fma(s, p, vec4<f32>(-2.95459980854025e-03));
    p = fma(s, p, vec4<f32>(-1.60960333262415e-02));
    var q = fma(s, vec4<f32>(-1.45660718464996e-05), vec4<f32>(-2.13374055278905e-04));
    q = fma(s, q, vec4<f32>(-1.68282697438203e-03));
    q = fma(s, q, vec4<f32>(-7.37332916720468e-03));
    q = fma(s, q, vec4<f32>(-1.42647390514189e-02));
    return x * p / q;
}

fn act(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
}

fn act_slope(x: vec4<f32>) -> vec4<f32> {
    let density = 0.3989422804014327 * exp(max(-0.5 * x * x, vec4<f32>(-80.0)));
    return 0.5 * (1.0 + erf(x * 0.7071067811865476)) + x * density;
}
