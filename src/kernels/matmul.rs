//! Linear layers with LoRA's additions. Records `shaders/{matmul_*,lora_backward,sum_partials}*.wgsl`; the CPU twins
//! are in `reference::matmul`.
//!
//! A product exists in several variants; `autotune` takes the fastest on the device at hand.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, wgsl};
use super::weight::FORMATS;
use crate::gpu::Adapters::{self, All, Hardware, Software};
use crate::gpu::{Bind, Call, Dtype, Grid, Needs, Op, Precision, Recorder, Shape, Tensor, Variant, row_grid};

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

/// A tile per invocation, by workgroups of 8x8 invocations.
fn tile_grid([rows, cols, _]: Shape) -> Grid {
    [cols.div_ceil(64), rows.div_ceil(64), 1]
}

/// Workgroups of 8 lanes with a tile of ROWS rows and 32 columns.
fn subgroup_grid<const ROWS: u32>([rows, cols, _]: Shape) -> Grid {
    [cols.div_ceil(32), rows.div_ceil(ROWS), 1]
}

/// Workgroups of 8 lanes with a tile of 64 rows and 32 columns; rows are the first axis.
fn subgroup_rows_grid([rows, cols, _]: Shape) -> Grid {
    [rows.div_ceil(64), cols.div_ceil(32), 1]
}

/// Workgroups of 8 invocations, each with a 16x16 tile, one below the other.
fn wide_grid([rows, cols, _]: Shape) -> Grid {
    [cols.div_ceil(16), rows.div_ceil(128), 1]
}

/// Workgroups of 32 columns and R rows.
fn rows_grid<const R: u32>([rows, cols, _]: Shape) -> Grid {
    let [x, y, _] = row_grid(cols.div_ceil(32));
    [x, y, rows.div_ceil(R)]
}

/// Workgroups of 32 invocations, each with an 8x8 tile, one below the other.
fn column_grid([rows, cols, layers]: Shape) -> Grid {
    [cols.div_ceil(8), rows.div_ceil(256), layers]
}

/// One workgroup per tile of ROWS by COLS.
fn staged_grid<const ROWS: u32, const COLS: u32>([rows, cols, _]: Shape) -> Grid {
    [rows.div_ceil(ROWS), cols.div_ceil(COLS), 1]
}

/// One workgroup per tile and layer, for several layers side by side.
fn layers_grid<const ROWS: u32, const COLS: u32>([rows, cols, layers]: Shape) -> Grid {
    [rows.div_ceil(ROWS), cols.div_ceil(COLS), layers]
}

/// One workgroup per tile and part of a batch's rows; columns are the first axis.
fn parts_grid<const ROWS: u32, const COLS: u32>([rows, cols, parts]: Shape) -> Grid {
    [cols.div_ceil(COLS), rows.div_ceil(ROWS), parts]
}

/// Workgroups with 8 rows and 32 columns of the weight's gradient.
fn weight_grid([rows, cols, parts]: Shape) -> Grid {
    [cols.div_ceil(32), rows.div_ceil(8), parts]
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ForwardParams {
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
struct BackwardInputParams {
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
struct LoraBackwardParams {
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
struct BackwardWeightParams {
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
struct ScaleParams {
    rows: u32,
    cols4: u32,
    width4: u32,
    pad: u32,
    scales: [f32; MAX_SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumParams {
    len4: u32,
    stride4: u32,
    parts: u32,
}

const SUBGROUPS: Needs = Needs { subgroups: true, ..Needs::NOTHING };

/// A variant that needs nothing, for adapters of a kind.
const fn plain(
    name: &'static str,
    made_for: Adapters,
    parts: &'static [&'static str],
    grid: fn(Shape) -> Grid,
) -> Variant {
    Variant { name, made_for, ..Variant::only(parts, grid) }
}

/// A variant for graphics processors that stages its operands as f16.
const fn halves(name: &'static str, parts: &'static [&'static str], grid: fn(Shape) -> Grid) -> Variant {
    let needs = Needs { f16: true, ..Needs::NOTHING };
    Variant { needs, precision: Precision::F16, ..plain(name, Hardware, parts, grid) }
}

/// A variant for graphics processors that multiplies cooperative matrices of `size` rows.
const fn matrices(name: &'static str, size: u32, parts: &'static [&'static str], grid: fn(Shape) -> Grid) -> Variant {
    let needs = Needs { subgroups: true, f16: true, matrices: size };
    Variant { needs, ..halves(name, parts, grid) }
}

/// Parts of a staged product: the staging of operands, the tile, and the way to read the right operand.
macro_rules! staged {
    ($operand:literal, $tile:literal, $right:literal, $lib:literal, $main:literal) => {
        wgsl!($operand, $tile, "lib/chunk", "lib/products", "lib/staged", $right, "lib/matmul", $lib, $main)
    };
}

/// Parts of the forward product, with operands staged in workgroup memory.
macro_rules! forward {
    ($operand:literal, $tile:literal) => {
        staged!($operand, $tile, "lib/right_rows", "lib/matmul_forward", "matmul_forward_staged")
    };
    ($tile:literal) => {
        forward!("lib/operand_f32", $tile)
    };
}

/// Parts of the backward product to the input, with operands staged in workgroup memory.
macro_rules! backward_input {
    ($operand:literal, $tile:literal) => {
        staged!($operand, $tile, "lib/right_columns", "lib/matmul_backward_input", "matmul_backward_input_staged")
    };
    ($tile:literal) => {
        backward_input!("lib/operand_f32", $tile)
    };
}

/// Parts of a product by cooperative matrices.
macro_rules! coop {
    ($matrix:literal, $tile:literal, $right:literal, $lib:literal, $main:literal) => {
        wgsl!("lib/operand_f16", $tile, "lib/chunk", $matrix, "lib/coop", $right, $lib, $main)
    };
}

/// Parts of the forward product by cooperative matrices.
macro_rules! forward_matrices {
    ($matrix:literal, $tile:literal) => {
        coop!($matrix, $tile, "lib/coop_right_rows", "lib/matmul_forward", "matmul_forward_staged")
    };
}

/// Parts of the backward product to the input by cooperative matrices.
macro_rules! backward_input_matrices {
    ($matrix:literal, $tile:literal) => {
        coop!($matrix, $tile, "lib/coop_right_columns", "lib/matmul_backward_input", "matmul_backward_input_staged")
    };
}

pub(super) static FORWARD: Op = Op {
    name: "matmul_forward",
    params_bytes: size_of::<ForwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Read, Bind::Read, Bind::Read, Bind::Read],
    formats: FORMATS,
    variants: &[
        // One tile per workgroup, with both operands staged in its memory.
        plain("staged_64x64", Hardware, forward!("lib/tile_64x64"), staged_grid::<64, 64>),
        plain("staged_64x64_tall", Hardware, forward!("lib/tile_64x64_tall"), staged_grid::<64, 64>),
        plain("staged_128x64", Hardware, forward!("lib/tile_128x64"), staged_grid::<128, 64>),
        plain("staged_32x32", Hardware, forward!("lib/tile_32x32"), staged_grid::<32, 32>),
        // The same with f16 operands, which take half of the workgroup memory.
        halves("staged_64x64_f16", forward!("lib/operand_f16", "lib/tile_64x64"), staged_grid::<64, 64>),
        halves("staged_128x64_f16", forward!("lib/operand_f16", "lib/tile_128x64"), staged_grid::<128, 64>),
        // The same by the matrix units of GPUs.
        matrices(
            "staged_64x64_coop_16",
            16,
            forward_matrices!("lib/coop_16", "lib/tile_64x64_tall"),
            staged_grid::<64, 64>,
        ),
        matrices(
            "staged_64x64_coop_16_wide",
            16,
            forward_matrices!("lib/coop_16", "lib/tile_64x64"),
            staged_grid::<64, 64>,
        ),
        matrices("staged_32x32_coop_8", 8, forward_matrices!("lib/coop_8", "lib/tile_32x32"), staged_grid::<32, 32>),
        // Few columns and long sums: LoRA's A.
        plain(
            "thin",
            Hardware,
            wgsl!("lib/products", "lib/thin", "lib/matmul", "lib/matmul_forward", "matmul_forward_thin"),
            staged_grid::<32, 8>,
        ),
        // The weight is read once for a few rows: texts that are generated.
        plain("rows_1", All, wgsl!("lib/matmul_forward", "lib/rows_1", "matmul_forward_rows"), rows_grid::<1>),
        plain("rows_4", All, wgsl!("lib/matmul_forward", "lib/rows_4", "matmul_forward_rows"), rows_grid::<4>),
        plain("rows_16", All, wgsl!("lib/matmul_forward", "lib/rows_16", "matmul_forward_rows"), rows_grid::<16>),
        // The same, with the other operand passed around in a subgroup.
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "row_subgroup",
                Software,
                wgsl!("lib/products", "lib/matmul_forward", "matmul_forward_row_subgroup"),
                rows_grid::<1>,
            )
        },
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "rows_subgroup",
                Software,
                wgsl!(
                    "lib/products",
                    "lib/matmul",
                    "lib/matmul_forward",
                    "lib/subgroup",
                    "matmul_forward_rows_subgroup"
                ),
                subgroup_grid::<16>,
            )
        },
        // An 8x8 tile per lane, no communication.
        plain("tile", Software, wgsl!("lib/matmul", "lib/matmul_forward", "matmul_forward"), tile_grid),
        // A 64x4 tile per lane, one operand passed around in a subgroup.
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "subgroup",
                Software,
                wgsl!("lib/matmul", "lib/matmul_forward", "lib/subgroup", "matmul_forward_subgroup"),
                subgroup_grid::<64>,
            )
        },
        // A 16x16 tile per lane, no communication.
        plain(
            "wide",
            Software,
            wgsl!("lib/matmul", "lib/matmul_forward", "lib/wide", "matmul_forward_wide"),
            wide_grid,
        ),
    ],
};

pub(super) static BACKWARD_INPUT: Op = Op {
    name: "matmul_backward_input",
    params_bytes: size_of::<BackwardInputParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Read, Bind::Read],
    formats: FORMATS,
    variants: &[
        plain("staged_64x64", Hardware, backward_input!("lib/tile_64x64"), staged_grid::<64, 64>),
        plain("staged_64x64_tall", Hardware, backward_input!("lib/tile_64x64_tall"), staged_grid::<64, 64>),
        plain("staged_128x64", Hardware, backward_input!("lib/tile_128x64"), staged_grid::<128, 64>),
        plain("staged_32x32", Hardware, backward_input!("lib/tile_32x32"), staged_grid::<32, 32>),
        halves("staged_64x64_f16", backward_input!("lib/operand_f16", "lib/tile_64x64"), staged_grid::<64, 64>),
        halves("staged_128x64_f16", backward_input!("lib/operand_f16", "lib/tile_128x64"), staged_grid::<128, 64>),
        // The same by the matrix units of GPUs.
        matrices(
            "staged_64x64_coop_16",
            16,
            backward_input_matrices!("lib/coop_16", "lib/tile_64x64_tall"),
            staged_grid::<64, 64>,
        ),
        matrices(
            "staged_32x32_coop_8",
            8,
            backward_input_matrices!("lib/coop_8", "lib/tile_32x32"),
            staged_grid::<32, 32>,
        ),
        plain("tile", Software, wgsl!("lib/matmul", "lib/matmul_backward_input", "matmul_backward_input"), tile_grid),
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "subgroup",
                Software,
                wgsl!("lib/matmul", "lib/matmul_backward_input", "lib/subgroup", "matmul_backward_input_subgroup"),
                subgroup_rows_grid,
            )
        },
        plain(
            "wide",
            Software,
            wgsl!("lib/matmul", "lib/matmul_backward_input", "lib/wide", "matmul_backward_input_wide"),
            wide_grid,
        ),
    ],
};

pub(super) static LORA_BACKWARD: Op = Op {
    name: "lora_backward",
    params_bytes: size_of::<LoraBackwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[
        plain(
            "thin",
            Hardware,
            wgsl!("lib/products", "lib/thin", "lib/matmul", "lib/lora_backward", "lora_backward_thin"),
            layers_grid::<32, 8>,
        ),
        plain(
            "staged_64x64",
            Hardware,
            staged!(
                "lib/operand_f32",
                "lib/tile_64x64",
                "lib/right_columns",
                "lib/lora_backward",
                "lora_backward_staged"
            ),
            layers_grid::<64, 64>,
        ),
        plain("tile", Software, wgsl!("lib/matmul", "lib/lora_backward", "lora_backward"), column_grid),
    ],
};

/// Parts of a gradient's sums for this tile.
macro_rules! weight {
    ($tile:literal, $main:literal) => {
        wgsl!($tile, "lib/products", "lib/matmul_backward_weight", $main)
    };
}

pub(super) static BACKWARD_WEIGHT: Op = Op {
    name: "matmul_backward_weight",
    params_bytes: size_of::<BackwardWeightParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[
        plain("thin_16x64", Hardware, weight!("lib/thin_16x64", "matmul_backward_weight_thin"), parts_grid::<16, 64>),
        plain("thin_64x16", Hardware, weight!("lib/thin_64x16", "matmul_backward_weight_thin"), parts_grid::<64, 16>),
        plain(
            "staged_32x32",
            Hardware,
            weight!("lib/tile_32x32", "matmul_backward_weight_staged"),
            parts_grid::<32, 32>,
        ),
        plain(
            "staged_64x64",
            Hardware,
            weight!("lib/tile_64x64", "matmul_backward_weight_staged"),
            parts_grid::<64, 64>,
        ),
        plain("tile", Software, wgsl!("lib/matmul_backward_weight", "matmul_backward_weight"), weight_grid),
    ],
};

pub(super) static SCALE_SEGMENTS: Op = Op {
    name: "scale_segments",
    params_bytes: size_of::<ScaleParams>(),
    binds: &[Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("scale_segments"), by_item)],
};

pub(super) static SUM_PARTIALS: Op = Op {
    name: "sum_partials",
    params_bytes: size_of::<SumParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("sum_partials"), by_item)],
};
