//! Causal grouped-query attention. Records `shaders/attention_*.wgsl`; the CPU twin is `reference::attention`.

use bytemuck::{Pod, Zeroable};

use super::grids::{by_item, forms, wgsl};
use crate::gpu::{Adapters, Bind, Call, Format, Grid, Op, Recorder, Shape, Tensor, Variant};

/// Rows that a packed row sees: `start <= k <= own row`, without `hole_start <= k < hole_end`; and its position.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Span {
    /// First row of the sequence.
    pub start: u32,
    /// First row that is not seen: the other completion of the pair.
    pub hole_start: u32,
    /// End of the rows that are not seen; equal to `hole_start` if there are none.
    pub hole_end: u32,
    /// Position in the sequence, for rotary embedding.
    pub position: u32,
}

impl Span {
    fn has_hole(&self) -> bool {
        self.hole_start < self.hole_end
    }
}

/// Sizes of an attention, and the scale, cap and window of its scores.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Columns of a head; a multiple of 4.
    pub head_dim: u32,
    /// Factor of the scores, usually 1/sqrt(head_dim).
    pub scale: f32,
    /// Cap of the scores, `softcap * tanh(score / softcap)`; 0 for none.
    pub softcap: f32,
    /// Tokens of its sequence that a row sees, itself included.
    pub window: u32,
}

/// Names of the classes of heads.
pub(super) const CLASSES: [&str; 3] = ["heads_64", "heads_128", "heads_256"];

/// Rows of a tile: queries, or keys in `attention_backward_kv`.
const TILE: usize = 32;

/// The `spans` tensor of the kernels (4 columns of u32): one entry per row, then one per tile of up to 32 rows.
///
/// A tile is (its first row, end of its rows, the first key they see, end of the queries that see its rows as keys).
/// Tiles never hold rows of two sequences. A row's sums are therefore taken in the same order whatever else is in the
/// batch, and the same pair has the same log-probability to the last bit.
pub fn pack_spans(spans: &[Span]) -> Vec<[u32; 4]> {
    let mut packed: Vec<[u32; 4]> = spans.iter().map(|s| bytemuck::cast(*s)).collect();
    let same_sequence = |a: &Span, b: &Span| a.start == b.start && a.has_hole() == b.has_hole();
    let mut first = 0;
    for sequence in spans.chunk_by(same_sequence) {
        for tile in (first..first + sequence.len()).step_by(TILE) {
            let end = (tile + TILE).min(first + sequence.len());
            packed.push([tile as u32, end as u32, spans[tile].start, end_of_queries(spans, tile, end)]);
        }
        first += sequence.len();
    }
    packed
}

/// One past the last query that sees one of the keys `key..key_end`.
fn end_of_queries(spans: &[Span], key: usize, key_end: usize) -> u32 {
    let mut end = spans.partition_point(|s| (s.start as usize) < key_end);
    // Queries that have all of the keys in their hole do not see them.
    while spans[end - 1].hole_start as usize <= key && key_end <= spans[end - 1].hole_end as usize {
        end -= 1;
    }
    end as u32
}

/// Computes attention of the queries, keys and values that lie side by side in `qkv` (R, (heads + 2 kv_heads) D), into
/// `out` (R, heads*D) and `lse` (R, heads).
///
/// The probabilities are not kept, only the log-sum-exp of each row (Dao et al. 2022).
pub fn attention_forward(
    rec: &mut Recorder<'_>,
    qkv: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    out: &Tensor,
    lse: &Tensor,
) {
    shape.check(qkv, out);
    assert!(lse.len() >= qkv.rows() * shape.heads, "lse needs one entry per row and head");
    let params = Params::new(shape, qkv);
    let tiles = shape.tiles(spans, qkv, shape.heads);
    rec.dispatch(shape.call(&FORWARD), &params, &[qkv, spans, out, lse], tiles);
}

/// `stats[r,h] = (lse[r,h], dout[r,h]·out[r,h])`, which the two kernels below read.
pub fn attention_backward_delta(
    rec: &mut Recorder<'_>,
    dout: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    head_dim: u32,
    stats: &Tensor,
) {
    assert_eq!(dout.dims(), out.dims(), "dout needs the shape of out");
    let items = out.len() / head_dim;
    assert!(lse.len() >= items && stats.len() >= 2 * items, "lse and stats need one entry per row and head");
    let params = DeltaParams { items, d4: head_dim / 4 };
    rec.dispatch(&BACKWARD_DELTA, &params, &[dout, out, lse, stats], [items, 1, 1]);
}

/// Gradient of `attention_forward` with respect to the queries, given `dout`, into their columns of `dqkv`.
pub fn attention_backward_q(
    rec: &mut Recorder<'_>,
    dout: &Tensor,
    qkv: &Tensor,
    stats: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    dqkv: &Tensor,
) {
    shape.check(qkv, dout);
    assert_eq!(dqkv.dims(), qkv.dims(), "dqkv needs the shape of qkv");
    let params = Params::new(shape, qkv);
    let tiles = shape.tiles(spans, qkv, shape.heads);
    rec.dispatch(shape.call(&BACKWARD_Q), &params, &[dout, qkv, stats, spans, dqkv], tiles);
}

/// Gradients of `attention_forward` with respect to keys and values, into their columns of `dqkv`.
pub fn attention_backward_kv(
    rec: &mut Recorder<'_>,
    dout: &Tensor,
    qkv: &Tensor,
    stats: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    dqkv: &Tensor,
) {
    shape.check(qkv, dout);
    assert_eq!(dqkv.dims(), qkv.dims(), "dqkv needs the shape of qkv");
    let params = Params::new(shape, qkv);
    let tiles = shape.tiles(spans, qkv, shape.kv_heads);
    rec.dispatch(shape.call(&BACKWARD_KV), &params, &[dout, qkv, stats, spans, dqkv], tiles);
}

impl AttentionShape {
    /// The usual attention of these heads: rows see all of their sequence, and scores have no cap.
    pub fn new(heads: u32, kv_heads: u32, head_dim: u32) -> Self {
        let scale = 1.0 / (head_dim as f32).sqrt();
        Self { heads, kv_heads, head_dim, scale, softcap: 0.0, window: u32::MAX }
    }

    /// Columns of queries, keys and values together.
    pub fn columns(&self) -> u32 {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    fn check(&self, qkv: &Tensor, out: &Tensor) {
        assert_eq!(self.heads % self.kv_heads, 0, "kv_heads divides heads");
        assert_eq!(self.head_dim % 4, 0, "columns of a head come in fours");
        assert_eq!(qkv.cols(), self.columns(), "qkv needs the columns of all heads");
        assert_eq!(out.dims(), [qkv.rows(), self.heads * self.head_dim], "out needs heads*head_dim columns");
    }

    /// An operation on heads of this width.
    pub(super) fn call(&self, op: &'static Op) -> Call {
        op.with_format(self.form()).class(self.class())
    }

    /// Name of the form of an operation on these scores.
    pub(super) fn form(&self) -> &'static str {
        if self.softcap > 0.0 { "capped" } else { "" }
    }

    /// Name of the class of heads of this width.
    pub fn class(&self) -> &'static str {
        match self.head_dim {
            ..=64 => "heads_64",
            65..=128 => "heads_128",
            _ => "heads_256",
        }
    }

    /// Number of tiles, heads and columns of a head; the tiles follow the rows in `spans`.
    fn tiles(&self, spans: &Tensor, qkv: &Tensor, heads: u32) -> Shape {
        assert!(spans.rows() > qkv.rows(), "spans has a row per row and one per tile");
        [spans.rows() - qkv.rows(), heads, self.head_dim]
    }
}

/// One workgroup per tile, head and COLUMNS columns of the head.
fn grid<const COLUMNS: u32>([tiles, heads, head_dim]: Shape) -> Grid {
    [tiles, heads, head_dim.div_ceil(COLUMNS)]
}

/// The variants of a kernel. The variants for graphics processors stage operands in workgroup memory and split the work
/// over many lanes; in those for software adapters a few lanes hold large tiles.
macro_rules! variants {
    ($software:literal, $($staged:literal),+) => {
        [
            Variant {
                name: "staged_64",
                made_for: Adapters::Hardware,
                ..Variant::only(
                    wgsl!("lib/attention_d64", "lib/attention_staged", "lib/attention_window", $($staged),+),
                    grid::<64>,
                )
            },
            Variant {
                name: "staged_128",
                made_for: Adapters::Hardware,
                ..Variant::only(
                    wgsl!("lib/attention_d128", "lib/attention_staged", "lib/attention_window", $($staged),+),
                    grid::<128>,
                )
            },
            Variant {
                name: "tile",
                made_for: Adapters::Software,
                ..Variant::only(wgsl!("lib/attention", "lib/attention_window", $software), grid::<64>)
            },
        ]
    };
}

/// Forms of a score: plain, or capped.
pub(super) const SCORES: &[Format] = forms!("": "lib/score_plain", "capped": "lib/score_capped");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    kv_heads: u32,
    d4: u32,
    rows: u32,
    tiles_at: u32,
    scale: f32,
    softcap: f32,
    window: u32,
}

impl Params {
    fn new(shape: AttentionShape, qkv: &Tensor) -> Self {
        let AttentionShape { heads, kv_heads, head_dim, scale, softcap, window } = shape;
        let rows = qkv.rows();
        Self { heads, kv_heads, d4: head_dim / 4, rows, tiles_at: rows, scale, softcap, window }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DeltaParams {
    items: u32,
    d4: u32,
}

pub(super) static FORWARD: Op = Op {
    name: "attention_forward",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    formats: SCORES,
    variants: &variants!("attention_forward", "attention_forward_staged"),
};

pub(super) static BACKWARD_DELTA: Op = Op {
    name: "attention_backward_delta",
    params_bytes: size_of::<DeltaParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("attention_backward_delta"), by_item)],
};

pub(super) static BACKWARD_Q: Op = Op {
    name: "attention_backward_q",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: SCORES,
    variants: &variants!("attention_backward_q", "lib/attention_backward_staged", "attention_backward_q_staged"),
};

pub(super) static BACKWARD_KV: Op = Op {
    name: "attention_backward_kv",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    formats: SCORES,
    variants: &variants!("attention_backward_kv", "lib/attention_backward_staged", "attention_backward_kv_staged"),
};
