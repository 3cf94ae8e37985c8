// lib/loss_robust.wgsl: Robust DPO (Chowdhury et al. 2024):  (-(1-e) log s(b d) + e log s(-b d)) / (1 - 2e)

fn pair_loss(i: u32) -> vec3<f32> {
    let e = params.label_smoothing;
    let x = params.beta * (score(i) - score(params.pairs + i));
    let noise = 1.0 / (1.0 - 2.0 * e);
    let pull = noise * params.beta * ((1.0 - e) * sigmoid(-x) + e * sigmoid(x));
    return vec3<f32>(noise * (e * log_sigmoid(-x) - (1.0 - e) * log_sigmoid(x)), -pull, pull);
}
