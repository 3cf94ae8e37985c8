// lib/loss_nca_pair.wgsl: NCA (Chen et al. 2024):  -log s(b c) - log s(-b c) / 2 - log s(-b r) / 2

fn pair_loss(i: u32) -> vec3<f32> {
    let b = params.beta;
    let x = b * score(i);
    let y = b * score(params.pairs + i);
    let loss = -log_sigmoid(x) - 0.5 * (log_sigmoid(-x) + log_sigmoid(-y));
    return vec3<f32>(loss, b * (0.5 * sigmoid(x) - sigmoid(-x)), 0.5 * b * sigmoid(y));
}
