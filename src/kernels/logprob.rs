//! Log-softmax-gather over chunks of the vocabulary. Records `shaders/logprob_*.wgsl` and
//! `shaders/entropy_backward.wgsl`; the CPU twin is `reference::logprob`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, by_row, forms, wgsl};
use crate::gpu::{Bind, Format, Op, Recorder, Tensor, Variant};

/// Scale, cap and temperature of logits, the products of hidden rows and the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logits {
    /// Factor of the products.
    pub scale: f32,
    /// Cap of the logits, `softcap * tanh(logit / softcap)`; 0 for none.
    pub softcap: f32,
    /// Divisor of the logits after the cap; 1 for none.
    pub temperature: f32,
}

impl Logits {
    /// Products without scale, cap or temperature.
    pub const PLAIN: Self = Self { scale: 1.0, softcap: 0.0, temperature: 1.0 };

    /// The same logits at a temperature.
    #[must_use]
    pub fn at(self, temperature: f32) -> Self {
        Self { temperature, ..self }
    }

    /// Name of the form of an operation on these logits.
    pub fn form(self) -> &'static str {
        if self.softcap > 0.0 { "capped" } else { "" }
    }

    /// Factor of the products before `logprob_forward` and `entropy_backward`, and of the head's rows behind them. It
    /// includes the temperature if there is no cap.
    pub fn product_scale(self) -> f32 {
        if self.softcap > 0.0 { self.scale } else { self.scale / self.temperature }
    }

    /// Cap, cap over temperature, 1 over temperature, as `shaders/lib/logit_capped.wgsl` reads them.
    fn cap(self) -> [f32; 3] {
        [self.softcap, self.softcap / self.temperature, 1.0 / self.temperature]
    }
}

/// Adds one chunk of logits (R,L), vocabulary entries `first_col..first_col + cols`, to `state` (R,8).
///
/// The logits come scaled by `Logits::product_scale`, and are capped here. They become weights relative to the running
/// maximum, times the cap's slope. If `want_pull`, the rows of `pull` (R,H) are rescaled to that maximum, and the
/// caller adds weights times the chunk's rows of the head. `first_chunk` starts the state anew.
///
/// In a finished state, column 6 over the square of column 1 is the sum of the squared probabilities.
pub fn logprob_forward(
    rec: &mut Recorder<'_>,
    labels: &Tensor,
    logits: &Tensor,
    first_col: u32,
    cols: u32,
    first_chunk: bool,
    want_pull: bool,
    kind: Logits,
    state: &Tensor,
    pull: &Tensor,
) {
    let [rows, ld] = logits.dims();
    assert!(ld % 4 == 0 && cols <= ld, "{cols} columns in logits of width {ld}");
    assert!(labels.len() >= rows && state.len() >= 8 * rows, "labels and state need one row per row of logits");
    assert!(!want_pull || pull.rows() == rows, "pull needs the rows of logits");
    let params = ForwardParams {
        rows,
        cols,
        ld4: ld / 4,
        first_col,
        hidden4: pull.cols() / 4,
        first_chunk: u32::from(first_chunk),
        want_pull: u32::from(want_pull),
        cap: kind.cap(),
    };
    rec.dispatch(FORWARD.with_format(kind.form()), &params, &[labels, logits, state, pull], [rows, 1, 1]);
}

/// Finishes after the last chunk. Writes `stats` (R,4): log-probability, mean logit, entropy, 1 if the argmax is the
/// label. If `want_pull`, turns `pull` (R,H) into the derivative of the log-probability with respect to the hidden row;
/// `label_rows` is w\[label\].
pub fn logprob_finish(
    rec: &mut Recorder<'_>,
    labels: &Tensor,
    state: &Tensor,
    label_rows: &Tensor,
    vocab: u32,
    want_pull: bool,
    kind: Logits,
    stats: &Tensor,
    pull: &Tensor,
) {
    let rows = stats.rows();
    assert_eq!(stats.cols(), 4, "stats has four columns");
    assert!(!want_pull || pull.dims() == label_rows.dims(), "pull needs the shape of label_rows");
    let (hidden4, want_pull) = (pull.cols() / 4, u32::from(want_pull));
    let params = FinishParams { rows, hidden4, vocab, want_pull, scale: kind.product_scale(), cap: kind.cap() };
    rec.dispatch(FINISH.with_format(kind.form()), &params, &[labels, state, label_rows, stats, pull], [rows, 1, 1]);
}

/// Scales row r of `pull` (R,H) by `dlogp[r]`, which gives the gradient of the hidden row.
pub fn logprob_backward(rec: &mut Recorder<'_>, dlogp: &Tensor, pull: &Tensor) {
    let [rows, hidden] = pull.dims();
    assert!(dlogp.len() >= rows, "dlogp needs one entry per row of pull");
    let params = BackwardParams { rows, hidden4: hidden / 4 };
    rec.dispatch(&BACKWARD, &params, &[dlogp, pull], [rows * hidden / 4, 1, 1]);
}

/// Turns a chunk of logits (R,L), in the form that `logprob_forward` takes, into the derivative of the loss with
/// respect to them. `dentropy` (R) is the derivative with respect to each row's entropy, `state` (R,8) is finished.
///
/// The caller adds it, times the chunk's rows of the head and `Logits::product_scale`, to the hidden rows' gradient.
pub fn entropy_backward(
    rec: &mut Recorder<'_>,
    logits: &Tensor,
    state: &Tensor,
    dentropy: &Tensor,
    cols: u32,
    kind: Logits,
) {
    let [rows, ld] = logits.dims();
    assert!(ld % 4 == 0 && cols <= ld, "{cols} columns in logits of width {ld}");
    assert!(state.len() >= 8 * rows && dentropy.len() >= rows, "state and dentropy need one row per row of logits");
    let params = EntropyParams { rows, cols, ld4: ld / 4, cap: kind.cap() };
    rec.dispatch(ENTROPY.with_format(kind.form()), &params, &[logits, state, dentropy], [rows * ld / 4, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ForwardParams {
    rows: u32,
    cols: u32,
    ld4: u32,
    first_col: u32,
    hidden4: u32,
    first_chunk: u32,
    want_pull: u32,
    cap: [f32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FinishParams {
    rows: u32,
    hidden4: u32,
    vocab: u32,
    want_pull: u32,
    scale: f32,
    cap: [f32; 3],
}

const LOGITS: &[Format] = forms!("": "lib/logit_plain", "capped": "lib/logit_capped");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BackwardParams {
    rows: u32,
    hidden4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct EntropyParams {
    rows: u32,
    cols: u32,
    ld4: u32,
    cap: [f32; 3],
}

pub(super) static FORWARD: Op = Op {
    name: "logprob_forward",
    params_bytes: size_of::<ForwardParams>(),
    binds: &[Bind::Read, Bind::Write, Bind::Write, Bind::Write],
    formats: LOGITS,
    variants: &[Variant::only(wgsl!("lib/reduce", "logprob_forward"), by_row)],
};

pub(super) static FINISH: Op = Op {
    name: "logprob_finish",
    params_bytes: size_of::<FinishParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: LOGITS,
    variants: &[Variant::only(wgsl!("logprob_finish"), by_row)],
};

pub(super) static BACKWARD: Op = Op {
    name: "logprob_backward",
    params_bytes: size_of::<BackwardParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("logprob_backward"), by_item)],
};

pub(super) static ENTROPY: Op = Op {
    name: "entropy_backward",
    params_bytes: size_of::<EntropyParams>(),
    binds: &[Bind::Write, Bind::Read, Bind::Read],
    formats: LOGITS,
    variants: &[Variant::only(wgsl!("entropy_backward"), by_item)],
};
