// lib/loss_sppo_hard.wgsl: SPPO with hard labels (Wu et al. 2024):  (c - 1 / (2 b))^2 + (r + 1 / (2 b))^2

fn pair_loss(i: u32) -> vec3<f32> {
    let x = score(i) - 0.5 / params.beta;
    let y = score(params.pairs + i) + 0.5 / params.beta;
    return vec3<f32>(x * x + y * y, 2.0 * x, 2.0 * y);
}
