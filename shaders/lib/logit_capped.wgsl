// lib/logit_capped.wgsl: logits below a cap and over a temperature, ceiling * tanh(logit / cap) with
// ceiling = cap / temperature; without a temperature the two are one number.

// Beyond 15 tanh is 1 to rounding; some drivers overflow there.
fn capped(logit: f32) -> f32 {
    return params.ceiling * tanh(clamp(logit / params.softcap, -15.0, 15.0));
}

// The derivative of a logit with respect to what it was before the cap.
fn cap_slope(capped: f32) -> f32 {
    let t = capped / params.ceiling;
    return (1.0 - t * t) * params.inv_temperature;
}
