// lib/logit_plain.wgsl: logits as they are; a temperature is in their scale.

fn capped(logit: f32) -> f32 {
    return logit;
}

// The derivative of a logit with respect to what it was before the cap.
fn cap_slope(capped: f32) -> f32 {
    return 1.0;
}
