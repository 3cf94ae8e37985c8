// lib/loss_exo_pair.wgsl: EXO (Ji et al. 2024):  s(b d) (log s(b d) - log(1-e)) + s(-b d) (log s(-b d) - log e)

fn pair_loss(i: u32) -> vec3<f32> {
    let e = params.label_smoothing;
    let x = params.beta * (score(i) - score(params.pairs + i));
    let right = log_sigmoid(x) - log(1.0 - e);
    let wrong = log_sigmoid(-x) - log(e);
    let pull = params.beta * sigmoid(x) * sigmoid(-x) * (right - wrong);
    return vec3<f32>(sigmoid(x) * right + sigmoid(-x) * wrong, pull, -pull);
}
