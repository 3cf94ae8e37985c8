//! The gated short convolution of LFM2. Records `shaders/short_conv_*.wgsl`; the CPU twin is `reference::short_conv`.

use bytemuck::{Pod, Zeroable};

use super::attention::Span;
use super::grids::{by_item, wgsl};
use crate::gpu::{Bind, Op, Recorder, Shape, Tensor, Variant};

/// A convolution over the last tokens, for each column by itself.
#[derive(Debug, Clone, Copy)]
pub struct ShortConv<'a> {
    /// (taps, H), the earliest token first.
    pub weight: &'a Tensor,
    /// (H)
    pub bias: Option<&'a Tensor>,
}

/// Most tokens that a convolution reaches over.
pub const MAX_TAPS: usize = 4;

/// `y = C * (convolution of B * x)`, into `y` (R,H); B, C and x are the three parts of each row of `gates` (R, 3H).
pub fn short_conv_forward(rec: &mut Recorder<'_>, gates: &Tensor, spans: &Tensor, conv: ShortConv<'_>, y: &Tensor) {
    let (params, shape) = conv.of(gates, y);
    assert!(spans.rows() >= params.rows, "spans needs one row per row of gates");
    // A missing bias is not read, but something must be bound.
    let bias = conv.bias.unwrap_or(conv.weight);
    rec.dispatch(&FORWARD, &params, &[gates, spans, conv.weight, bias, y], shape);
}

/// Gradient of `short_conv_forward` with respect to `gates`, given `dy` (R,H), into `dgates` (R, 3H).
///
/// `links` comes from `conv_links`.
pub fn short_conv_backward(
    rec: &mut Recorder<'_>,
    gates: &Tensor,
    spans: &Tensor,
    conv: ShortConv<'_>,
    links: &Tensor,
    dy: &Tensor,
    dgates: &Tensor,
) {
    let (params, shape) = conv.of(gates, dy);
    assert!(spans.rows() >= params.rows, "spans needs one row per row of gates");
    assert_eq!(dgates.dims(), gates.dims(), "dgates needs the shape of gates");
    assert!(links.len() >= params.rows * 2 * (params.taps - 1), "links needs two entries per row and distance");
    let bias = conv.bias.unwrap_or(conv.weight);
    rec.dispatch(&BACKWARD, &params, &[gates, spans, conv.weight, bias, links, dy, dgates], shape);
}

/// Writes `B * x` of each row of `gates` (R, 3H) to the rows `slots` (R) of `cache` (rows, H).
pub fn short_conv_append(rec: &mut Recorder<'_>, gates: &Tensor, slots: &Tensor, cache: &Tensor) {
    let ([rows, columns], hidden) = (gates.dims(), cache.cols());
    assert_eq!(columns, 3 * hidden, "gates needs three parts as wide as the cache");
    assert!(slots.len() >= rows, "slots needs one entry per row");
    let params = Params { rows, cols4: hidden / 4, taps: 0, has_bias: 0 };
    rec.dispatch(&APPEND, &params, &[gates, slots, cache], [rows * hidden / 4, 1, 1]);
}

/// Like `short_conv_forward` for one new row of each text, over the text's rows in `cache`, the new one included.
///
/// Row r of `spans` has the first and the last row of the text in the cache.
pub fn short_conv_decode(
    rec: &mut Recorder<'_>,
    gates: &Tensor,
    cache: &Tensor,
    spans: &Tensor,
    conv: ShortConv<'_>,
    y: &Tensor,
) {
    let (params, shape) = conv.of(gates, y);
    assert_eq!(cache.cols(), y.cols(), "the cache needs the columns of y");
    assert!(spans.rows() >= params.rows, "spans needs one row per row of gates");
    let bias = conv.bias.unwrap_or(conv.weight);
    rec.dispatch(&DECODE, &params, &[gates, cache, spans, conv.weight, bias, y], shape);
}

/// Links each row, at each distance from 1 to `taps - 1`, to the rows of the tokens that far after it: at most two, one
/// in each answer; `u32::MAX` where there are fewer.
pub fn conv_links(spans: &[Span], taps: usize) -> Vec<u32> {
    let width = 2 * (taps - 1);
    let mut links = vec![u32::MAX; spans.len() * width];
    for (row, span) in spans.iter().enumerate() {
        for distance in 1..taps.min(span.position as usize + 1) {
            let straight = span.start + span.position - distance as u32;
            let hole = if straight < span.hole_start { 0 } else { span.hole_end - span.hole_start };
            let slots = &mut links[(straight + hole) as usize * width + 2 * (distance - 1)..][..2];
            let free = usize::from(slots[0] != u32::MAX);
            assert_eq!(slots[free], u32::MAX, "a token has at most two successors");
            slots[free] = row as u32;
        }
    }
    links
}

impl ShortConv<'_> {
    fn of(&self, gates: &Tensor, y: &Tensor) -> (Params, Shape) {
        let [rows, cols] = y.dims();
        let taps = self.weight.rows();
        assert_eq!(gates.dims(), [rows, 3 * cols], "gates needs three parts as wide as y");
        assert_eq!(self.weight.cols(), cols, "the weight needs the columns of y");
        assert!(self.bias.is_none_or(|bias| bias.len() == cols), "the bias needs one entry per column of y");
        assert!(cols.is_multiple_of(4) && taps > 0, "columns come in fours, and there is a tap");
        let params = Params { rows, cols4: cols / 4, taps, has_bias: self.bias.is_some().into() };
        (params, [rows * cols / 4, 1, 1])
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols4: u32,
    taps: u32,
    has_bias: u32,
}

pub(super) static FORWARD: Op = Op {
    name: "short_conv_forward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/short_conv", "lib/short_conv_spans", "short_conv_forward"), by_item)],
};

pub(super) static BACKWARD: Op = Op {
    name: "short_conv_backward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/short_conv", "lib/short_conv_spans", "short_conv_backward"), by_item)],
};

pub(super) static APPEND: Op = Op {
    name: "short_conv_append",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/short_conv", "short_conv_append"), by_item)],
};

pub(super) static DECODE: Op = Op {
    name: "short_conv_decode",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("lib/short_conv", "short_conv_decode"), by_item)],
};
