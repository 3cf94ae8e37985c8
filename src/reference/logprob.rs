//! Log-probability of each row's label, streamed over chunks of the vocabulary so that the logits of a whole batch
//! never exist at once (online softmax: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax").
//!
//! The label's log-probability is `logp = logit[label] - lse`, with `logit[v] = w[v]·h`, `lse = log Σ_v exp(logit[v])`
//! and `p[v] = exp(logit[v] - lse)`. The head matrix w is frozen, so the only gradient is
//! `dlogp/dh = pull = w[label] - Σ_v p[v] w[v]`. The forward pass accumulates the sum, like the values in flash
//! attention; the backward pass only scales it.
//!
//! Logits may be scaled (Granite) and capped, `logit = c tanh(scale w·h / c)` (Gemma 2): each row `w[v]` in the
//! gradient then has the factor `scale (1 - (logit[v] / c)^2)`. A temperature divides the capped logits.
//!
//! A caller goes through the chunks of the head matrix. It computes the logits of the chunk, calls [`logprob_forward`],
//! and adds the returned weights times the chunk to `pull`. After the last chunk it calls [`logprob_finish`].

/// Cap and temperature of logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cap {
    /// Cap of the logits; 0 for none.
    pub softcap: f64,
    /// Divisor of capped logits; uncapped logits come divided already.
    pub temperature: f64,
}

impl Cap {
    /// No cap and no temperature.
    pub const NONE: Self = Self { softcap: 0.0, temperature: 1.0 };

    fn capped(self, logit: f64) -> f64 {
        if self.softcap > 0.0 { self.softcap * (logit / self.softcap).tanh() / self.temperature } else { logit }
    }

    /// The derivative of `capped`, from what it returned.
    fn slope(self, capped: f64) -> f64 {
        let reached = if self.softcap > 0.0 { capped * self.temperature / self.softcap } else { return 1.0 };
        (1.0 - reached * reached) / self.temperature
    }
}

/// Running values of each row, (R) each, over the part of the vocabulary seen so far.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProbState {
    /// Largest logit.
    pub max: Vec<f64>,
    /// `Σ_v exp(logit[v] - max)`.
    pub sum: Vec<f64>,
    /// `Σ_v logit[v]`.
    pub sum_logits: Vec<f64>,
    /// `Σ_v exp(logit[v] - max) logit[v]`.
    pub sum_p_logits: Vec<f64>,
    /// `Σ_v exp(logit[v] - max)^2`; over `sum^2` it is `Σ_v p[v]^2`.
    pub sum_squares: Vec<f64>,
    /// Logit of the argmax.
    pub best: Vec<f64>,
    /// Argmax: the column of the largest logit, the first of equals.
    pub best_index: Vec<usize>,
    /// Logit of the label.
    pub label_logit: Vec<f64>,
}

impl LogProbState {
    /// The state before the first chunk. Maxima start at a finite floor, not at minus infinity.
    pub fn new(rows: usize) -> Self {
        Self {
            max: vec![f64::MIN; rows],
            sum: vec![0.0; rows],
            sum_logits: vec![0.0; rows],
            sum_p_logits: vec![0.0; rows],
            sum_squares: vec![0.0; rows],
            best: vec![f64::MIN; rows],
            best_index: vec![0; rows],
            label_logit: vec![0.0; rows],
        }
    }
}

/// Results of [`logprob_finish`], (R) each.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProb {
    /// Log-probability of the label, nats.
    pub logp: Vec<f64>,
    /// Log-sum-exp of the logits, nats.
    pub lse: Vec<f64>,
    /// Mean of the logits over the vocabulary.
    pub mean_logit: Vec<f64>,
    /// Entropy of the distribution, nats: `lse - Σ_v p[v] logit[v]`.
    pub entropy: Vec<f64>,
    /// `log Σ_v p[v]^2`, the log of the probability that two draws are equal.
    pub log_collision: Vec<f64>,
    /// 1 if the argmax is the label, 0 if not.
    pub correct: Vec<f64>,
}

/// Adds one chunk of `logits` (R,C), whose first column is column `first_column` of the vocabulary, to `state`.
///
/// `labels` (R), at least one row. The logits are capped first, as `cap` says. Returns the weights (R,C),
/// `exp(logit - max)` with the maximum so far, times the cap's slope. Rescales the rows of `pull` (R,H) and the state's
/// sums, which used the old maximum, to the new one. The caller then adds weights times the chunk's head matrix (C,H)
/// to `pull`.
pub fn logprob_forward(
    logits: &[f64],
    first_column: usize,
    labels: &[u32],
    state: &mut LogProbState,
    pull: &mut [f64],
    hidden: usize,
    cap: Cap,
) -> Vec<f64> {
    let cols = logits.len() / labels.len();
    let mut weights = Vec::with_capacity(logits.len());
    for (r, &label) in labels.iter().enumerate() {
        let row = logits[r * cols..][..cols].iter().map(|logit| cap.capped(*logit)).collect::<Vec<f64>>();
        let max = row.iter().copied().fold(state.max[r], f64::max);
        let rescale = (state.max[r] - max).exp();
        state.max[r] = max;
        state.sum[r] *= rescale;
        state.sum_p_logits[r] *= rescale;
        state.sum_squares[r] *= rescale * rescale;
        for pull in &mut pull[r * hidden..][..hidden] {
            *pull *= rescale;
        }
        for (c, &logit) in row.iter().enumerate() {
            let column = first_column + c;
            let weight = (logit - max).exp();
            state.sum[r] += weight;
            state.sum_logits[r] += logit;
            state.sum_p_logits[r] += weight * logit;
            state.sum_squares[r] += weight * weight;
            if logit > state.best[r] {
                state.best[r] = logit;
                state.best_index[r] = column;
            }
            if column == label as usize {
                state.label_logit[r] = logit;
            }
            weights.push(weight * cap.slope(logit));
        }
    }
    weights
}

/// Turns the sums over the whole vocabulary into results, and `pull` (R,H) into `dlogp/dh`.
///
/// `label_rows` (R,H) is the head matrix's row of each label, `labels` (R), `vocab` V. `pull` holds `Σ_v exp(logit[v] -
/// max) w[v]` on entry and `w[label] - Σ_v p[v] w[v]` on return.
pub fn logprob_finish(
    state: &LogProbState,
    label_rows: &[f64],
    labels: &[u32],
    vocab: usize,
    scale: f64,
    cap: Cap,
    pull: &mut [f64],
) -> LogProb {
    let hidden = label_rows.len() / labels.len();
    for (i, (pull, label_row)) in pull.iter_mut().zip(label_rows).enumerate() {
        let r = i / hidden;
        *pull = scale * cap.slope(state.label_logit[r]) * label_row - *pull / state.sum[r];
    }

    let rows = 0..labels.len();
    let lse: Vec<f64> = rows.clone().map(|r| state.max[r] + state.sum[r].ln()).collect();
    LogProb {
        logp: rows.clone().map(|r| state.label_logit[r] - lse[r]).collect(),
        mean_logit: rows.clone().map(|r| state.sum_logits[r] / vocab as f64).collect(),
        entropy: rows.clone().map(|r| lse[r] - state.sum_p_logits[r] / state.sum[r]).collect(),
        log_collision: rows.clone().map(|r| state.sum_squares[r].ln() - 2.0 * state.sum[r].ln()).collect(),
        correct: rows.map(|r| if state.best_index[r] == labels[r] as usize { 1.0 } else { 0.0 }).collect(),
        lse,
    }
}

/// `dh[r] = dlogp[r] pull[r]`: the gradient of the hidden rows, from `dlogp` (R) and the finished `pull` (R,H).
/// Returns (R,H).
pub fn logprob_backward(dlogp: &[f64], pull: &[f64], hidden: usize) -> Vec<f64> {
    let mut dh = Vec::with_capacity(pull.len());
    for (r, dlogp) in dlogp.iter().enumerate() {
        dh.extend(pull[r * hidden..][..hidden].iter().map(|pull| dlogp * pull));
    }
    dh
}

/// The derivative of the loss with respect to the logits (R,C) of a chunk before their cap, from the derivative
/// `dentropy` (R) with respect to the rows' entropies, and the state after the last chunk. Returns (R,C).
///
/// `dH/dlogit[v] = -p[v] (log p[v] + H)`.
pub fn entropy_backward(logits: &[f64], state: &LogProbState, dentropy: &[f64], cap: Cap) -> Vec<f64> {
    let cols = logits.len() / dentropy.len();
    let gradient = logits.iter().enumerate().map(|(i, logit)| {
        let (r, logit) = (i / cols, cap.capped(*logit));
        let lse = state.max[r] + state.sum[r].ln();
        let (logp, entropy) = (logit - lse, lse - state.sum_p_logits[r] / state.sum[r]);
        -dentropy[r] * logp.exp() * (logp + entropy) * cap.slope(logit)
    });
    gradient.collect()
}
