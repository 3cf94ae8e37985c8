// lib/loss_dpop.wgsl: DPO-Positive (Pal et al. 2024, "Smaug"):  -log s(b (d - l max(0, -c))),   l = dpop_lambda
// The penalty holds the chosen answer at least as likely as under the reference.

fn pair_loss(i: u32) -> vec3<f32> {
    let c = score(i);
    let x = params.beta * (c - score(params.pairs + i) - params.dpop_lambda * max(0.0, -c));
    let pull = params.beta * sigmoid(-x);
    return vec3<f32>(-log_sigmoid(x), -pull * select(1.0, 1.0 + params.dpop_lambda, c < 0.0), pull);
}
