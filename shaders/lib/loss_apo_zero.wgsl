// lib/loss_apo_zero.wgsl: APO-zero (D'Oosterlinck et al. 2024):  (1 - s(b c)) + s(b r)

fn pair_loss(i: u32) -> vec3<f32> {
    let b = params.beta;
    let x = b * score(i);
    let y = b * score(params.pairs + i);
    return vec3<f32>(sigmoid(-x) + sigmoid(y), -b * sigmoid(x) * sigmoid(-x), b * sigmoid(y) * sigmoid(-y));
}
