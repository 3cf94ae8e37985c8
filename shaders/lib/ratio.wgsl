// lib/ratio.wgsl: losses on the ratio of a probability under the policy to what it was when the text was written.

// exp(x) that stays finite.
fn bounded_exp(x: f32) -> f32 {
    return exp(min(x, 88.0));
}

// The lesser of ratio * advantage and clamp(ratio, low, high) * advantage (PPO, Schulman et al. 2017), the ratio itself
// being at most `most`; and its derivative by the ratio.
fn clipped_gain(ratio: f32, advantage: f32, low: f32, high: f32, most: f32) -> vec2<f32> {
    let free = min(ratio, most) * advantage;
    let bound = clamp(ratio, low, high) * advantage;
    if free <= bound {
        return vec2<f32>(free, select(0.0, advantage, ratio <= most));
    }
    return vec2<f32>(bound, select(0.0, advantage, ratio >= low && ratio <= high));
}
