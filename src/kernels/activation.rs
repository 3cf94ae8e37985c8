//! Activations of MLPs, with and without a gate. Records `shaders/glu_{forward,backward}.wgsl` and
//! `shaders/activation_{forward,backward}.wgsl`; the CPU twin is `reference::activation`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, forms, wgsl};
use crate::gpu::{Bind, Format, Op, Recorder, Tensor, Variant};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Φ(x)`, with the error function.
    Gelu,
    /// The same, approximated by tanh: Hugging Face's `gelu_new` and `gelu_pytorch_tanh`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl Act {
    /// All activation functions.
    pub const ALL: [Self; 4] = [Self::Silu, Self::Gelu, Self::GeluTanh, Self::Relu];

    /// Name of the form that an operation has with it.
    pub fn form(self) -> &'static str {
        match self {
            Self::Silu => "",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Relu => "relu",
        }
    }
}

/// `y = act(gate) * up` (Shazeer 2020) of the two halves of each row of `gate_up` (R, 2C), into `y` (R,C).
pub fn glu_forward(rec: &mut Recorder<'_>, gate_up: &Tensor, act: Act, y: &Tensor) {
    let params = halves(gate_up, y);
    let call = GLU_FORWARD.with_format(act.form());
    rec.dispatch(call, &params, &[gate_up, y], [params.rows * params.cols4, 1, 1]);
}

/// Replaces both halves of `gate_up` by the gradients of `glu_forward` with respect to them, given `dy`, and replaces
/// `dy` by the result of `glu_forward`.
pub fn glu_backward(rec: &mut Recorder<'_>, dy: &Tensor, gate_up: &Tensor, act: Act) {
    let params = halves(gate_up, dy);
    let call = GLU_BACKWARD.with_format(act.form());
    rec.dispatch(call, &params, &[dy, gate_up], [params.rows * params.cols4, 1, 1]);
}

/// `y = act(x)`, both (R,C).
pub fn activation_forward(rec: &mut Recorder<'_>, x: &Tensor, act: Act, y: &Tensor) {
    let params = items(x, y);
    rec.dispatch(ACTIVATION_FORWARD.with_format(act.form()), &params, &[x, y], [params.items, 1, 1]);
}

/// Replaces `x` (R,C) by the gradient of `activation_forward` with respect to it, given `dy`, and replaces `dy` by the
/// result of `activation_forward`.
pub fn activation_backward(rec: &mut Recorder<'_>, dy: &Tensor, x: &Tensor, act: Act) {
    let params = items(x, dy);
    rec.dispatch(ACTIVATION_BACKWARD.with_format(act.form()), &params, &[dy, x], [params.items, 1, 1]);
}

fn halves(gate_up: &Tensor, y: &Tensor) -> GluParams {
    let [rows, cols] = y.dims();
    assert_eq!(gate_up.dims(), [rows, 2 * cols], "gate_up needs two columns for each of the other's");
    assert_eq!(cols % 4, 0, "columns come in fours");
    GluParams { rows, cols4: cols / 4 }
}

fn items(x: &Tensor, y: &Tensor) -> ItemParams {
    assert_eq!(x.dims(), y.dims(), "both are of one shape");
    assert_eq!(x.cols() % 4, 0, "columns come in fours");
    ItemParams { items: x.len() / 4 }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GluParams {
    rows: u32,
    cols4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ItemParams {
    items: u32,
}

const ACTS: &[Format] = forms!(
    "": "lib/act_silu", "gelu": "lib/act_gelu", "gelu_tanh": "lib/act_gelu_tanh", "relu": "lib/act_relu"
);

pub(super) static GLU_FORWARD: Op = Op {
    name: "glu_forward",
    params_bytes: size_of::<GluParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: ACTS,
    variants: &[Variant::only(wgsl!("glu_forward"), by_item)],
};

pub(super) static GLU_BACKWARD: Op = Op {
    name: "glu_backward",
    params_bytes: size_of::<GluParams>(),
    binds: &[Bind::Write, Bind::Write],
    formats: ACTS,
    variants: &[Variant::only(wgsl!("glu_backward"), by_item)],
};

pub(super) static ACTIVATION_FORWARD: Op = Op {
    name: "activation_forward",
    params_bytes: size_of::<ItemParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: ACTS,
    variants: &[Variant::only(wgsl!("activation_forward"), by_item)],
};

pub(super) static ACTIVATION_BACKWARD: Op = Op {
    name: "activation_backward",
    params_bytes: size_of::<ItemParams>(),
    binds: &[Bind::Write, Bind::Write],
    formats: ACTS,
    variants: &[Variant::only(wgsl!("activation_backward"), by_item)],
};
