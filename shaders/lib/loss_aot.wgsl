// lib/loss_aot.wgsl: AOT of pairs (Melnyk et al. 2024): the k-th smallest of the policy's margins against that of
// the reference's:
//   -(1-e) log s(b y) - e log s(-b y)

fn margin(i: u32) -> f32 {
    return sums[2u * i].x - sums[2u * (params.pairs + i)].x;
}

fn reference_margin(i: u32) -> f32 {
    return known[i].x - known[params.pairs + i].x;
}

fn pair_loss(i: u32) -> vec3<f32> {
    var rank = 0u;
    for (var k = 0u; k < params.pairs; k++) {
        rank += select(0u, 1u, margin(k) < margin(i) || (margin(k) == margin(i) && k < i));
    }
    var matched = 0.0;
    for (var j = 0u; j < params.pairs; j++) {
        var other = 0u;
        for (var k = 0u; k < params.pairs; k++) {
            let smaller = reference_margin(k) < reference_margin(j);
            other += select(0u, 1u, smaller || (reference_margin(k) == reference_margin(j) && k < j));
        }
        if other == rank {
            matched = reference_margin(j);
        }
    }
    let e = params.label_smoothing;
    let x = params.beta * (margin(i) - matched);
    let pull = params.beta * ((1.0 - e) * sigmoid(-x) - e * sigmoid(x));
    return vec3<f32>(-(1.0 - e) * log_sigmoid(x) - e * log_sigmoid(-x), -pull, pull);
}
