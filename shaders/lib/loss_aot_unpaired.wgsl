// lib/loss_aot_unpaired.wgsl: AOT of unpaired answers (Melnyk et al. 2024): the k-th smallest chosen ratio against
// the k-th smallest rejected one:
//   -(1-e) log s(b y) - e log s(-b y)

// The ratio in the other half that has the rank which sequence s has in its own.
fn partner(s: u32) -> f32 {
    let mine = select(params.pairs, 0u, s < params.pairs);
    let others = params.pairs - mine;
    var rank = 0u;
    for (var k = mine; k < mine + params.pairs; k++) {
        rank += select(0u, 1u, score(k) < score(s) || (score(k) == score(s) && k < s));
    }
    var found = 0.0;
    for (var j = others; j < others + params.pairs; j++) {
        var other = 0u;
        for (var k = others; k < others + params.pairs; k++) {
            other += select(0u, 1u, score(k) < score(j) || (score(k) == score(j) && k < j));
        }
        if other == rank {
            found = score(j);
        }
    }
    return found;
}

fn pull(x: f32) -> f32 {
    let e = params.label_smoothing;
    return params.beta * ((1.0 - e) * sigmoid(-x) - e * sigmoid(x));
}

fn pair_loss(i: u32) -> vec3<f32> {
    let e = params.label_smoothing;
    let j = params.pairs + i;
    let x = params.beta * (score(i) - partner(i));
    let loss = -(1.0 - e) * log_sigmoid(x) - e * log_sigmoid(-x);
    return vec3<f32>(loss, -pull(x), pull(params.beta * (partner(j) - score(j))));
}
