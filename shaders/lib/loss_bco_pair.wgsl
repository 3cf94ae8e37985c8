// lib/loss_bco_pair.wgsl: BCO on pairs, without its running mean (Jung et al. 2024):  -log s(b c) - log s(-b r)

fn pair_loss(i: u32) -> vec3<f32> {
    let b = params.beta;
    let x = b * score(i);
    let y = b * score(params.pairs + i);
    return vec3<f32>(-log_sigmoid(x) - log_sigmoid(-y), -b * sigmoid(-x), b * sigmoid(y));
}
