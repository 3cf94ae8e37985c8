// lib/loss_odds_ratio.wgsl: ORPO's odds ratio (Hong et al. 2024), of mean log-probabilities c, r per token:
//   -b log s((c - log(1 - exp c)) - (r - log(1 - exp r))), whose parts are added to the metrics at 15 and 16 too

// log(1 - exp x) for x < 0, exact near 0 and far from it.
fn log_rest(x: f32) -> f32 {
    if x > -0.6931472 {
        // 1 - exp x = -x (1 + x / 2 (1 + x / 3 (1 + x / 4 ...)))
        var series = 1.0;
        for (var k = 12.0; k >= 2.0; k -= 1.0) {
            series = 1.0 + x / k * series;
        }
        return log(-x * series);
    }
    return log(1.0 - exp(x));
}

fn log_odds(i: u32) -> f32 {
    let c = score(i);
    let r = score(params.pairs + i);
    return c - r - (log_rest(c) - log_rest(r));
}

fn pair_loss(i: u32) -> vec3<f32> {
    let odds = log_odds(i);
    let mean = params.scale / f32(params.pairs);
    metrics[15] += mean * log_sigmoid(odds);
    metrics[16] += mean * odds;
    let pull = params.beta * sigmoid(-odds);
    // d log(1 - exp x) / dx = -exp x / (1 - exp x)
    let c = score(i);
    let r = score(params.pairs + i);
    return vec3<f32>(-params.beta * log_sigmoid(odds), -pull * exp(-log_rest(c)), pull * exp(-log_rest(r)));
}
