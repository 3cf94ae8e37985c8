// lib/loss_ipo.wgsl: IPO (Azar et al. 2023):  (C / n_c - R / n_r - 1 / (2 b))^2

fn pair_loss(i: u32) -> vec3<f32> {
    let j = params.pairs + i;
    let gap = score(i) / tokens_of(i) - score(j) / tokens_of(j) - 0.5 / params.beta;
    return vec3<f32>(gap * gap, 2.0 * gap / tokens_of(i), -2.0 * gap / tokens_of(j));
}
