//! Elementwise and row-wise operations. Records `shaders/{add,bias,gather_rows,scatter_rows,swiglu_*}.wgsl`; the CPU
//! twin is `reference::pointwise`.

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Bind, Kernel, Recorder, Tensor, item_grid};

/// `y = a + b`, all of one size.
pub fn add(rec: &mut Recorder<'_>, a: &Tensor, b: &Tensor, y: &Tensor) {
    assert_eq!([a.len(), b.len()], [y.len(), y.len()], "a, b and y need one size");
    let params = fours(y);
    rec.dispatch(&ADD, &params, &[a, b, y], item_grid(params.len4, 64));
}

/// Adds the row `b` (C) to every row of `x` (R,C).
pub fn bias(rec: &mut Recorder<'_>, b: &Tensor, x: &Tensor) {
    let [rows, cols] = x.dims();
    assert_eq!(b.len(), cols, "the bias needs one entry per column");
    let params = RowParams::new(rows, cols);
    rec.dispatch(&BIAS, &params, &[b, x], item_grid(rows * params.cols4, 64));
}

/// `y[i,:] = x[rows[i],:]` with `x` (R,C) and `y` (N,C).
pub fn gather_rows(rec: &mut Recorder<'_>, x: &Tensor, rows: &Tensor, y: &Tensor) {
    let [n, cols] = y.dims();
    assert_eq!(x.cols(), cols, "y needs the columns of x");
    assert!(rows.len() >= n, "rows needs one entry per row of y");
    let params = RowParams::new(n, cols);
    rec.dispatch(&GATHER_ROWS, &params, &[x, rows, y], item_grid(n * params.cols4, 64));
}

/// `dx[r,:]` = sum of `dy[i,:]` over the (up to two) rows i named by row r of `sources` (R,2); `u32::MAX` names none.
pub fn scatter_rows(rec: &mut Recorder<'_>, dy: &Tensor, sources: &Tensor, dx: &Tensor) {
    let [rows, cols] = dx.dims();
    assert_eq!(dy.cols(), cols, "dx needs the columns of dy");
    assert!(sources.len() >= 2 * rows, "sources needs two entries per row of dx");
    let params = RowParams::new(rows, cols);
    rec.dispatch(&SCATTER_ROWS, &params, &[dy, sources, dx], item_grid(rows * params.cols4, 64));
}

/// `y = silu(gate) * up` (Shazeer 2020).
pub fn swiglu_forward(rec: &mut Recorder<'_>, gate: &Tensor, up: &Tensor, y: &Tensor) {
    assert_eq!([gate.len(), up.len()], [y.len(), y.len()], "gate, up and y need one size");
    let params = fours(y);
    rec.dispatch(&SWIGLU_FORWARD, &params, &[gate, up, y], item_grid(params.len4, 64));
}

/// Replaces `gate` and `up` by the gradients of `swiglu_forward` with respect to them, given `dy`.
pub fn swiglu_backward(rec: &mut Recorder<'_>, dy: &Tensor, gate: &Tensor, up: &Tensor) {
    assert_eq!([gate.len(), up.len()], [dy.len(), dy.len()], "gate, up and dy need one size");
    let params = fours(dy);
    rec.dispatch(&SWIGLU_BACKWARD, &params, &[dy, gate, up], item_grid(params.len4, 64));
}

fn fours(tensor: &Tensor) -> Params {
    assert_eq!(tensor.len() % 4, 0, "elements come in fours");
    Params { len4: tensor.len() / 4 }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowParams {
    rows: u32,
    cols4: u32,
}

impl RowParams {
    fn new(rows: u32, cols: u32) -> Self {
        assert_eq!(cols % 4, 0, "columns come in fours");
        Self { rows, cols4: cols / 4 }
    }
}

pub(super) static ADD: Kernel = Kernel {
    name: "add",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/add.wgsl"),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static BIAS: Kernel = Kernel {
    name: "bias",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/bias.wgsl"),
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static GATHER_ROWS: Kernel = Kernel {
    name: "gather_rows",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/gather_rows.wgsl"),
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static SCATTER_ROWS: Kernel = Kernel {
    name: "scatter_rows",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/scatter_rows.wgsl"),
    params_bytes: size_of::<RowParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static SWIGLU_FORWARD: Kernel = Kernel {
    name: "swiglu_forward",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/swiglu_forward.wgsl"),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static SWIGLU_BACKWARD: Kernel = Kernel {
    name: "swiglu_backward",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/swiglu_backward.wgsl"),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Write, Bind::Write],
    subgroups: false,
};
