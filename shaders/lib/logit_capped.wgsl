// lib/logit_capped.wgsl: logits below a cap, cap * tanh(logit / cap).

// Beyond 15 tanh is 1 to rounding; some drivers overflow there.
fn capped(logit: f32) -> f32 {
    return params.softcap * tanh(clamp(logit / params.softcap, -15.0, 15.0));
}

// The derivative of a logit with respect to what it was before the cap.
fn cap_slope(capped: f32) -> f32 {
    let t = capped / params.softcap;
    return 1.0 - t * t;
}
