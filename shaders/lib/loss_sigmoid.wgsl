// lib/loss_sigmoid.wgsl: DPO (Rafailov et al. 2023):  -log s(b d)

fn pair_loss(i: u32) -> vec3<f32> {
    let x = params.beta * (score(i) - score(params.pairs + i));
    let pull = params.beta * sigmoid(-x);
    return vec3<f32>(-log_sigmoid(x), -pull, pull);
}
