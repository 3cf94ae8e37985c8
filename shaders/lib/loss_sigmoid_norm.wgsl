// lib/loss_sigmoid_norm.wgsl: DPO by token (TRL's sigmoid_norm, Lambert et al. 2024):  -log s(b (C / n_c - R / n_r))

fn pair_loss(i: u32) -> vec3<f32> {
    let j = params.pairs + i;
    let x = params.beta * (score(i) / tokens_of(i) - score(j) / tokens_of(j));
    let pull = params.beta * sigmoid(-x);
    return vec3<f32>(-log_sigmoid(x), -pull / tokens_of(i), pull / tokens_of(j));
}
