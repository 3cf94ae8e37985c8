// lib/loss_smoothed.wgsl: CPO's loss with smoothed labels (Xu et al. 2024), and SimPO's (Meng et al. 2024) with a
// margin g:
//   -(1-e) log s(x) - e log s(-x),   x = b d - g

fn pair_loss(i: u32) -> vec3<f32> {
    let e = params.label_smoothing;
    let x = params.beta * (score(i) - score(params.pairs + i)) - params.gamma;
    let pull = params.beta * ((1.0 - e) * sigmoid(-x) - e * sigmoid(x));
    return vec3<f32>(-(1.0 - e) * log_sigmoid(x) - e * log_sigmoid(-x), -pull, pull);
}
