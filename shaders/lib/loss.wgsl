// lib/loss.wgsl: the logistic function and its logarithm, for losses.

// 1 / (1 + exp(-x)) without an infinite exp.
fn sigmoid(x: f32) -> f32 {
    let t = exp(-abs(x));
    return select(t, 1.0, x >= 0.0) / (1.0 + t);
}

// log(1 + t) for 0 <= t <= 1, exact also for small t (Goldberg 1991, theorem 4).
fn log_1p(t: f32) -> f32 {
    let u = 1.0 + t;
    if u == 1.0 {
        return t;
    }
    return log(u) * t / (u - 1.0);
}

fn log_sigmoid(x: f32) -> f32 {
    return min(x, 0.0) - log_1p(exp(-abs(x)));
}
