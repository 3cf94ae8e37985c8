// lib/loss_discopop.wgsl: DiscoPOP (Lu et al. 2024):  with x = b d, m = s(x / tau):  -log s(x) (1 - m) + exp(-x) m

fn pair_loss(i: u32) -> vec3<f32> {
    let x = params.beta * (score(i) - score(params.pairs + i));
    let m = sigmoid(x / params.tau);
    let dm = m * (1.0 - m) / params.tau;
    // Without the factor 0 of an infinite exp: m falls faster than exp(-x) rises.
    let steep = select(0.0, exp(-x) , m > 0.0);
    let loss = -log_sigmoid(x) * (1.0 - m) + steep * m;
    let pull = params.beta * (-sigmoid(-x) * (1.0 - m) + log_sigmoid(x) * dm - steep * m + steep * dm);
    return vec3<f32>(loss, pull, -pull);
}
