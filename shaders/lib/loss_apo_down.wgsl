// lib/loss_apo_down.wgsl: APO-down (D'Oosterlinck et al. 2024):  s(b c) + 1 - s(b (c - r))

fn pair_loss(i: u32) -> vec3<f32> {
    let b = params.beta;
    let x = b * score(i);
    let d = b * (score(i) - score(params.pairs + i));
    let apart = b * sigmoid(d) * sigmoid(-d);
    return vec3<f32>(sigmoid(x) + sigmoid(-d), b * sigmoid(x) * sigmoid(-x) - apart, apart);
}
