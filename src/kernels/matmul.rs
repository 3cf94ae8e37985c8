//! Linear layers with LoRA's additions. Records `shaders/{matmul_*,lora_backward,sum_partials}*.wgsl`; the CPU twins
//! are in `reference::matmul`.
//!
//! A product exists in several variants; `autotune` takes the fastest on the device at hand.

use bytemuck::{Pod, Zeroable};

pub(super) use super::matmul_variants::{
    BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD, LORA_BACKWARD, SCALE_SEGMENTS, SUM_PARTIALS,
};
use crate::gpu::{Call, Dtype, Recorder, Tensor, Variant};

/// Kind of a product's operands; each class of shapes has its own choice of variant.
///
/// The class follows from the model alone, never from the batch: otherwise a pair's numbers would depend on its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A weight of the model, for the rows of a batch.
    Main,
    /// LoRA's A: a result of few columns.
    Thin,
    /// A weight of the model, for the few rows of texts that are generated together.
    Decode,
}

impl Class {
    /// Name of the class for `rows` rows.
    fn name(self, rows: u32) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Thin => "thin",
            Self::Decode if rows == 1 => "decode_1",
            Self::Decode => "decode",
        }
    }
}

/// Names of the classes.
pub(super) const CLASSES: [&str; 10] =
    ["main", "thin", "decode_1", "decode", "small", "large", "a", "a_large", "b", "b_large"];

/// Way to store a result: it replaces the old values, or is added to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// `=`
    Set,
    /// `+=`
    Add,
}

/// Columns of several linear layers that are computed as one, side by side, and the columns of their LoRA inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// End of each layer's columns.
    pub ends: Vec<u32>,
    /// First column of `u` that belongs to each layer; `None` if the layer has no adapter.
    pub u_at: Vec<Option<u32>>,
}

/// Most layers that are computed as one.
pub(super) const MAX_SEGMENTS: usize = 4;
/// Marks a missing segment or adapter, here and in the shaders.
const NONE: u32 = u32::MAX;

impl Segments {
    /// One layer with an adapter.
    pub fn one(columns: u32) -> Self {
        Self { ends: vec![columns], u_at: vec![Some(0)] }
    }

    pub(super) fn check(&self, columns: u32) {
        assert!(self.ends.len() == self.u_at.len() && self.ends.len() <= MAX_SEGMENTS, "a place for each segment");
        assert!(self.ends.is_sorted() && self.ends.last() == Some(&columns), "the segments cover {columns} columns");
        let fours = self.ends.iter().chain(self.u_at.iter().flatten()).all(|n| n.is_multiple_of(4));
        assert!(fours, "columns come in fours");
    }

    /// Ends in columns; missing segments end beyond every column.
    pub(super) fn ends(&self) -> [u32; MAX_SEGMENTS] {
        std::array::from_fn(|i| self.ends.get(i).copied().unwrap_or(NONE))
    }

    /// First columns in `u`.
    pub(super) fn u_at(&self) -> [u32; MAX_SEGMENTS] {
        std::array::from_fn(|i| self.u_at.get(i).copied().flatten().unwrap_or(NONE))
    }

    /// First columns in `u`, counted in vec4.
    fn u_at4(&self) -> [u32; MAX_SEGMENTS] {
        self.u_at().map(|at| if at == NONE { NONE } else { at / 4 })
    }
}

/// Additions of `matmul_forward` to a product.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One entry per column of the result.
    pub bias: Option<&'a Tensor>,
    /// `u bᵀ`: `u` (M, ldu) holds the inputs times A, `b` (columns, r) has a row per column of the result.
    pub lora: Option<(&'a Tensor, &'a Tensor, &'a Segments)>,
    /// A matrix of the shape of the result.
    pub residual: Option<&'a Tensor>,
}

/// `y[:, first..] = scale * (x wᵀ + u bᵀ) + bias + residual` with `x` (M,K), `w` (N,K) and `y` (M,L), `first + N <= L`
/// up to rounding to 4.
///
/// `w` may be one block of rows of a larger weight; `first`, a multiple of 4, is then the block's first row.
pub fn matmul_forward(
    rec: &mut Recorder<'_>,
    class: Class,
    x: &Tensor,
    w: &Tensor,
    scale: f32,
    first: u32,
    epilogue: Epilogue<'_>,
    y: &Tensor,
) {
    let [m, k] = x.dims();
    let (n, ld) = (w.rows(), y.cols());
    assert_eq!(w.cols(), k, "w needs the columns of x");
    assert_eq!(y.rows(), m, "y needs the rows of x");
    check_columns(k, ld, first, n);
    let Epilogue { bias, lora, residual } = epilogue;
    assert!(bias.is_none_or(|bias| bias.len() == ld), "the bias needs one entry per column of y");
    assert!(residual.is_none_or(|residual| residual.dims() == y.dims()), "the residual needs the shape of y");
    let mut params = ForwardParams {
        m,
        n,
        k4: k / 4,
        ldy4: ld / 4,
        first4: first / 4,
        scale,
        has_bias: bias.is_some().into(),
        has_residual: residual.is_some().into(),
        ..Zeroable::zeroed()
    };
    // Missing tensors are not read, but something must be bound.
    let (mut u, mut b) = (x, x);
    if let Some((inputs, matrix, segments)) = lora {
        segments.check(ld);
        assert_eq!([inputs.rows(), matrix.rows()], [m, ld], "u needs the rows of x, b one row per column of y");
        (params.rank4, params.ldu4) = (matrix.cols() / 4, inputs.cols() / 4);
        (params.ends, params.u_at4) = (segments.ends(), segments.u_at4());
        (u, b) = (inputs, matrix);
    }
    let call = forward_call(w.dtype(), class, m);
    rec.dispatch(call, &params, &[x, w, y, u, b, bias.unwrap_or(x), residual.unwrap_or(x)], [m, n, k]);
}

/// `dx = scale * dy[:, first..first+N] w + du a` with `dy` (M,L), `w` (N,K), `dx` (M,K), `du` (M,R) and `a` (R,K).
///
/// The columns of `dy` from `first + N` up to the next multiple of 4 must be zero.
pub fn matmul_backward_input(
    rec: &mut Recorder<'_>,
    dy: &Tensor,
    w: &Tensor,
    scale: f32,
    store: Store,
    first: u32,
    lora: Option<(&Tensor, &Tensor)>,
    dx: &Tensor,
) {
    let ([n, k], [m, ld]) = (w.dims(), dy.dims());
    assert_eq!(dx.dims(), [m, k], "dx needs the rows of dy and the columns of w");
    check_columns(k, ld, first, n);
    let (du, a) = lora.unwrap_or((dy, dy));
    if lora.is_some() {
        assert_eq!([du.rows(), a.cols(), a.rows()], [m, k, du.cols()], "du and a need the shapes of dy and w");
    }
    let rank4 = if lora.is_some() { a.rows() / 4 } else { 0 };
    let accumulate = u32::from(store == Store::Add);
    let (k4, ldy4, first4) = (k / 4, ld / 4, first / 4);
    let params = BackwardInputParams { m, n, k4, ldy4, first4, accumulate, scale, rank4 };
    rec.dispatch(backward_input_call(w.dtype()), &params, &[dy, w, dx, du, a], [m, k, n]);
}

/// `du[:, u_at..u_at+r] = scale * dy[:, segment] b[segment, :]` for every segment with an adapter, with `dy` (M,L),
/// `b` (L,r) and `du` (M,R).
pub fn lora_backward(rec: &mut Recorder<'_>, dy: &Tensor, b: &Tensor, scale: f32, segments: &Segments, du: &Tensor) {
    let [m, ld] = dy.dims();
    segments.check(ld);
    assert_eq!([b.rows(), du.rows()], [ld, m], "b needs a row per column of dy, du the rows of dy");
    let starts = std::iter::once(0).chain(segments.ends.iter().copied());
    let adapted: Vec<[u32; 3]> = starts
        .zip(&segments.ends)
        .zip(&segments.u_at)
        .filter_map(|((start, &end), at)| at.map(|at| [start / 4, end / 4, at / 4]))
        .collect();
    let column = |i: usize| std::array::from_fn(|s| adapted.get(s).map_or(0, |segment| segment[i]));
    let (starts4, ends4, u_at4) = (column(0), column(1), column(2));
    let (ldy4, ldu4, rank4) = (ld / 4, du.cols() / 4, b.cols() / 4);
    let params = LoraBackwardParams { m, ldy4, ldu4, rank4, scale, pad: [0; 3], starts4, ends4, u_at4 };
    rec.dispatch(lora_backward_call(b.cols()), &params, &[dy, b, du], [m, b.cols(), adapted.len() as u32]);
}

/// Multiplies the columns of each segment of `u` (R, segments*width) by its own entry of `scales`.
pub fn scale_segments(rec: &mut Recorder<'_>, u: &Tensor, scales: &[f32]) {
    let [rows, cols] = u.dims();
    let n = scales.len() as u32;
    assert!(scales.len() <= MAX_SEGMENTS && cols.is_multiple_of(4 * n), "segments of equal width, which come in fours");
    let scales = std::array::from_fn(|i| scales.get(i).copied().unwrap_or(0.0));
    let params = ScaleParams { rows, cols4: cols / 4, width4: cols / 4 / n, pad: 0, scales };
    rec.dispatch(&SCALE_SEGMENTS, &params, &[u], [rows * cols / 4, 1, 1]);
}

/// Gradients of weights as sums over parts of the rows: `partials[part] = dyᵀ x` over the part's rows, at `at`.
///
/// If there are `segments`, the rows n of the gradient take their own columns of `x` (M,R), as in `matmul_forward`; the
/// rows of a segment without an adapter are zero. `dy` is (M,N), the gradient (N,K). `sum_partials` adds the parts up.
pub fn matmul_backward_weight(
    rec: &mut Recorder<'_>,
    dy: &Tensor,
    x: &Tensor,
    segments: Option<&Segments>,
    partials: &Partials,
    at: u32,
    k: u32,
) {
    let [m, n] = dy.dims();
    assert_eq!(x.rows(), m, "x needs the rows of dy");
    assert!(n.is_multiple_of(4) && k.is_multiple_of(4) && at.is_multiple_of(4), "columns come in fours");
    assert!(at + n * k <= partials.tensor.cols(), "the gradient has its place in the partials");
    let one = Segments::one(n);
    let segments = segments.unwrap_or(&one);
    segments.check(n);
    let parts = partials.parts(m);
    let params = BackwardWeightParams {
        m,
        n4: n / 4,
        k4: k / 4,
        ldx4: x.cols() / 4,
        rows_per_part: partials.rows_per_part,
        stride4: partials.tensor.cols() / 4,
        at4: at / 4,
        pad: 0,
        ends: segments.ends(),
        x_at4: segments.u_at4(),
    };
    rec.dispatch(backward_weight_call(n, k), &params, &[dy, x, &partials.tensor], [n, k, parts]);
}

/// Adds the parts of gradients of a batch of `rows` rows to `grads`, in order.
pub fn sum_partials(rec: &mut Recorder<'_>, partials: &Partials, rows: u32, grads: &Tensor) {
    assert!(grads.len() <= partials.tensor.cols(), "the partials cover the gradients");
    let (len4, stride4) = (grads.len() / 4, partials.tensor.cols() / 4);
    let params = SumParams { len4, stride4, parts: partials.parts(rows) };
    rec.dispatch(&SUM_PARTIALS, &params, &[&partials.tensor, grads], [len4, 1, 1]);
}

/// Buffer for gradients, each summed over parts of a batch's rows, because a gradient has few tiles and long sums.
#[derive(Debug, Clone)]
pub struct Partials {
    /// (parts, floats of a layer's gradients)
    pub tensor: Tensor,
    /// Rows that are summed together.
    pub rows_per_part: u32,
}

impl Partials {
    /// Number of rows to sum together, for batches of at most `rows` rows and layers with `len` floats of gradients.
    pub fn rows_per_part(rows: u32, len: u32) -> u32 {
        let parts = (MAX_FLOATS / len.max(1)).clamp(1, MAX_PARTS);
        rows.div_ceil(parts).next_multiple_of(LEAST_ROWS)
    }

    /// Number of parts of a batch of `rows` rows.
    pub fn parts(&self, rows: u32) -> u32 {
        rows.div_ceil(self.rows_per_part)
    }
}

/// Most parts that a batch is cut into.
const MAX_PARTS: u32 = 16;
/// Most floats of all parts together, unless a single part has more.
const MAX_FLOATS: u32 = 8 << 20;
/// Fewest rows of a part; a part has a multiple of them.
const LEAST_ROWS: u32 = 128;

pub(super) fn forward_call(dtype: Dtype, class: Class, rows: u32) -> Call {
    FORWARD.with_weight(dtype).class(class.name(rows))
}

pub(super) fn backward_input_call(dtype: Dtype) -> Call {
    BACKWARD_INPUT.with_weight(dtype).class(Class::Main.name(0))
}

/// False for a variant made for few rows if there are many, and the other way round.
pub(super) fn suits(call: Call, variant: &Variant) -> bool {
    let for_few = ["row_", "rows_"].iter().any(|begin| variant.name.starts_with(begin));
    match call.class_name() {
        "main" | "thin" => !for_few,
        "decode_1" => for_few,
        _ => true,
    }
}

pub(super) fn lora_backward_call(rank: u32) -> Call {
    LORA_BACKWARD.class(if rank > MOST_THIN { "large" } else { "small" })
}

pub(super) fn backward_weight_call(n: u32, k: u32) -> Call {
    BACKWARD_WEIGHT.class(match (k > n, n.min(k) > MOST_THIN) {
        (true, false) => "a",
        (true, true) => "a_large",
        (false, false) => "b",
        (false, true) => "b_large",
    })
}

/// Largest rank at which a product is thin.
const MOST_THIN: u32 = 48;

fn check_columns(k: u32, ld: u32, first: u32, n: u32) {
    assert!(k.is_multiple_of(4) && ld.is_multiple_of(4) && first.is_multiple_of(4), "columns come in fours");
    assert!(first + n.next_multiple_of(4) <= ld, "columns {first}..{} of {ld}", first + n);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct ForwardParams {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    scale: f32,
    has_bias: u32,
    has_residual: u32,
    rank4: u32,
    ldu4: u32,
    pad: [u32; 2],
    ends: [u32; MAX_SEGMENTS],
    u_at4: [u32; MAX_SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BackwardInputParams {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    accumulate: u32,
    scale: f32,
    rank4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct LoraBackwardParams {
    m: u32,
    ldy4: u32,
    ldu4: u32,
    rank4: u32,
    scale: f32,
    pad: [u32; 3],
    starts4: [u32; MAX_SEGMENTS],
    ends4: [u32; MAX_SEGMENTS],
    u_at4: [u32; MAX_SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BackwardWeightParams {
    m: u32,
    n4: u32,
    k4: u32,
    ldx4: u32,
    rows_per_part: u32,
    stride4: u32,
    at4: u32,
    pad: u32,
    ends: [u32; MAX_SEGMENTS],
    x_at4: [u32; MAX_SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct ScaleParams {
    rows: u32,
    cols4: u32,
    width4: u32,
    pad: u32,
    scales: [f32; MAX_SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct SumParams {
    len4: u32,
    stride4: u32,
    parts: u32,
}
