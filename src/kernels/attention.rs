//! Causal grouped-query attention. Records `shaders/attention_*.wgsl`; the CPU twin is `reference::attention`.

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Bind, Grid, Kernel, Recorder, Tensor, item_grid};

/// Which rows a packed row sees: `start <= k <= own row`, without `hole_start <= k < hole_end`; and its position.
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

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Columns of a head; a multiple of 4.
    pub head_dim: u32,
    /// What scores are multiplied by, usually 1/sqrt(head_dim).
    pub scale: f32,
    /// Row of the keys that the first query row is: 0 in training, the number of cached tokens in generation.
    pub first_row: u32,
}

/// Rows of a tile: queries, or keys in `attention_backward_kv`.
const TILE: usize = 32;

/// The `spans` tensor of the kernels (4 columns of u32) for the queries `first_row..spans.len()`: one row per key row,
/// then one per tile of up to 32 rows.
///
/// A tile is (its first query, end of its queries, both counted from `first_row`; the first key they see; end of the
/// queries that see its rows as keys). Tiles never hold rows of two sequences: so a row's sums are taken in the same
/// order whatever else is in the batch, and the same pair has the same log-probability to the last bit.
pub fn pack_spans(spans: &[Span], first_row: usize) -> Vec<[u32; 4]> {
    let mut packed: Vec<[u32; 4]> = spans.iter().map(|s| bytemuck::cast(*s)).collect();
    let same_sequence = |a: &Span, b: &Span| a.start == b.start && a.has_hole() == b.has_hole();
    let mut first = first_row;
    for sequence in spans[first_row..].chunk_by(same_sequence) {
        for tile in (first..first + sequence.len()).step_by(TILE) {
            let end = (tile + TILE).min(first + sequence.len());
            let (from, to) = ((tile - first_row) as u32, (end - first_row) as u32);
            packed.push([from, to, spans[tile].start, end_of_queries(spans, tile, end)]);
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

/// Attention of `q` (Rq, heads*D) over `k` and `v` (Rk, kv_heads*D) into `out` (Rq, heads*D) and `lse` (Rq, heads).
///
/// Of the probabilities only the log-sum-exp of each row is kept (Dao et al. 2022).
pub fn attention_forward(
    rec: &mut Recorder<'_>,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    out: &Tensor,
    lse: &Tensor,
) {
    shape.check(q, k, v);
    assert_eq!(out.dims(), q.dims(), "out needs the shape of q");
    assert!(lse.len() >= q.rows() * shape.heads, "lse needs one entry per row and head");
    let params = Params::new(shape, q, k);
    let grid = shape.grid(spans, k, shape.heads);
    rec.dispatch(&FORWARD, &params, &[q, k, v, spans, out, lse], grid);
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
    rec.dispatch(&BACKWARD_DELTA, &params, &[dout, out, lse, stats], item_grid(items, 64));
}

/// Gradient of `attention_forward` with respect to `q`, given `dout`, into `dq` (R, heads*D).
pub fn attention_backward_q(
    rec: &mut Recorder<'_>,
    dout: &Tensor,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    stats: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    dq: &Tensor,
) {
    shape.check(q, k, v);
    assert_eq!(dq.dims(), q.dims(), "dq needs the shape of q");
    let params = Params::new(shape, q, k);
    let grid = shape.grid(spans, k, shape.heads);
    rec.dispatch(&BACKWARD_Q, &params, &[dout, q, k, v, stats, spans, dq], grid);
}

/// Gradients of `attention_forward` with respect to `k` and `v` into `dk` and `dv` (R, kv_heads*D).
pub fn attention_backward_kv(
    rec: &mut Recorder<'_>,
    dout: &Tensor,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    stats: &Tensor,
    spans: &Tensor,
    shape: AttentionShape,
    dk: &Tensor,
    dv: &Tensor,
) {
    shape.check(q, k, v);
    assert_eq!(shape.first_row, 0, "only whole sequences are differentiated");
    assert_eq!([dk.dims(), dv.dims()], [k.dims(), v.dims()], "dk and dv need the shapes of k and v");
    let params = Params::new(shape, q, k);
    let grid = shape.grid(spans, k, shape.kv_heads);
    rec.dispatch(&BACKWARD_KV, &params, &[dout, q, k, v, stats, spans, dk, dv], grid);
}

impl AttentionShape {
    fn check(&self, q: &Tensor, k: &Tensor, v: &Tensor) {
        assert_eq!(self.heads % self.kv_heads, 0, "kv_heads divides heads");
        assert_eq!(self.head_dim % 4, 0, "columns of a head come in fours");
        assert_eq!(q.cols(), self.heads * self.head_dim, "q needs heads*head_dim columns");
        assert_eq!(k.cols(), self.kv_heads * self.head_dim, "k needs kv_heads*head_dim columns");
        assert_eq!(k.dims(), v.dims(), "v needs the shape of k");
        assert!(self.first_row + q.rows() <= k.rows(), "every query is one of the keys' rows");
    }

    /// One workgroup per tile, head and 64 columns; the tiles follow the key rows in `spans`.
    fn grid(&self, spans: &Tensor, k: &Tensor, heads: u32) -> Grid {
        assert!(spans.rows() > k.rows(), "spans has a row per key row and one per tile");
        [spans.rows() - k.rows(), heads, self.head_dim.div_ceil(64)]
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    kv_heads: u32,
    d4: u32,
    query_rows: u32,
    key_rows: u32,
    first_row: u32,
    tiles_at: u32,
    scale: f32,
}

impl Params {
    fn new(shape: AttentionShape, q: &Tensor, k: &Tensor) -> Self {
        Self {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            d4: shape.head_dim / 4,
            query_rows: q.rows(),
            key_rows: k.rows(),
            first_row: shape.first_row,
            tiles_at: k.rows(),
            scale: shape.scale,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DeltaParams {
    items: u32,
    d4: u32,
}

pub(super) static FORWARD: Kernel = Kernel {
    name: "attention_forward",
    variant: "",
    format: "",
    wgsl: concat!(
        include_str!("../../shaders/lib/attention.wgsl"),
        include_str!("../../shaders/attention_forward.wgsl"),
    ),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    subgroups: false,
};

pub(super) static BACKWARD_DELTA: Kernel = Kernel {
    name: "attention_backward_delta",
    variant: "",
    format: "",
    wgsl: include_str!("../../shaders/attention_backward_delta.wgsl"),
    params_bytes: size_of::<DeltaParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static BACKWARD_Q: Kernel = Kernel {
    name: "attention_backward_q",
    variant: "",
    format: "",
    wgsl: concat!(
        include_str!("../../shaders/lib/attention.wgsl"),
        include_str!("../../shaders/attention_backward_q.wgsl"),
    ),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write],
    subgroups: false,
};

pub(super) static BACKWARD_KV: Kernel = Kernel {
    name: "attention_backward_kv",
    variant: "",
    format: "",
    wgsl: concat!(
        include_str!("../../shaders/lib/attention.wgsl"),
        include_str!("../../shaders/attention_backward_kv.wgsl"),
    ),
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Read, Bind::Write, Bind::Write],
    subgroups: false,
};
