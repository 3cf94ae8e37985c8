// lib/loss_hinge.wgsl: SLiC's hinge (Zhao et al. 2023):  max(0, 1 - b d)

fn pair_loss(i: u32) -> vec3<f32> {
    let short = 1.0 - params.beta * (score(i) - score(params.pairs + i));
    let pull = select(0.0, params.beta, short > 0.0);
    return vec3<f32>(max(short, 0.0), -pull, pull);
}
