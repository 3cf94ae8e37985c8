//! Activations of MLPs, with and without a gate.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Φ(x)`, Φ being the normal distribution function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same with `2 Φ(x) ≈ 1 + tanh(sqrt(2/π) (x + 0.044715 x^3))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl Act {
    fn of(self, x: f64) -> f64 {
        match self {
            Self::Silu => x * sigmoid(x),
            Self::Gelu => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
            Self::GeluTanh => 0.5 * x * (1.0 + curve(x).tanh()),
            Self::Relu => x.max(0.0),
        }
    }

    fn slope(self, x: f64) -> f64 {
        match self {
            Self::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Self::Gelu => 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt(),
            Self::GeluTanh => {
                let (t, inner) = (curve(x).tanh(), (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044_715 * x * x));
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            }
            Self::Relu => f64::from(u8::from(x > 0.0)),
        }
    }
}

/// `y = act(gate) up` (Shazeer 2020, "GLU Variants Improve Transformer"); all of one shape.
pub fn glu_forward(gate: &[f64], up: &[f64], act: Act) -> Vec<f64> {
    assert_eq!(gate.len(), up.len(), "gate and up need one shape");
    gate.iter().zip(up).map(|(g, up)| act.of(*g) * up).collect()
}

/// Results of [`glu_backward`].
#[derive(Debug, Clone, PartialEq)]
pub struct Glu {
    /// The gradient with respect to `gate`.
    pub dgate: Vec<f64>,
    /// The gradient with respect to `up`.
    pub dup: Vec<f64>,
}

/// The gradients of [`glu_forward`], given `dy`; all of one shape: `dup = dy act(gate)`, `dgate = dy up act'(gate)`.
pub fn glu_backward(dy: &[f64], gate: &[f64], up: &[f64], act: Act) -> Glu {
    assert_eq!(gate.len(), dy.len(), "gate and dy need one shape");
    assert_eq!(up.len(), dy.len(), "up and dy need one shape");
    let dgate = dy.iter().zip(gate).zip(up).map(|((dy, &g), up)| dy * up * act.slope(g)).collect();
    let dup = dy.iter().zip(gate).map(|(dy, &g)| dy * act.of(g)).collect();
    Glu { dgate, dup }
}

/// `y = act(x)`.
pub fn activation_forward(x: &[f64], act: Act) -> Vec<f64> {
    x.iter().map(|x| act.of(*x)).collect()
}

/// `dx = dy act'(x)`.
pub fn activation_backward(dy: &[f64], x: &[f64], act: Act) -> Vec<f64> {
    dy.iter().zip(x).map(|(dy, x)| dy * act.slope(*x)).collect()
}

fn curve(x: f64) -> f64 {
    (2.0 / PI).sqrt() * (x + 0.044_715 * x.powi(3))
}

/// The error function, `2/sqrt(π) ∫ exp(-t^2) dt` from 0 to x, by its series. Beyond 6 it is 1 up to rounding.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    // Σ 2^n x^(2n+1) / (1·3·…·(2n+1)), all terms of one sign, times exp(-x^2).
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > sum.abs() * 1e-17 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// `1 / (1 + exp(-x))`, written so that a large |x| overflows nowhere.
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// `log(1 / (1 + exp(-x)))`, written so that a large |x| overflows nowhere and loses nothing.
pub(super) fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}
