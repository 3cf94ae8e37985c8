//! Every tensor of a training step with its shape. One table serves the estimate and the allocation.

use super::lora::{AdapterSettings, Module};
use super::packed::Packed;
use crate::error::{Error, Result};
use crate::files::ModelConfig;
use crate::gpu::{Dtype, Gpu, Tensor};

/// The largest batch that the tensors must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchSize {
    /// Packed rows, R.
    pub rows: u32,
    /// Scored tokens, N.
    pub scored: u32,
    /// Sequences, 2n.
    pub sequences: u32,
}

impl BatchSize {
    /// The size of one batch.
    pub fn of(packed: &Packed) -> Self {
        Self { rows: packed.n_rows() as u32, scored: packed.n_scored() as u32, sequences: packed.ranges.len() as u32 }
    }

    /// Large enough for both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            scored: self.scored.max(other.scored),
            sequences: self.sequences.max(other.sequences),
        }
    }
}

/// Name, rows, columns and type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What it is called in messages.
    pub name: &'static str,
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub cols: u32,
    /// Type.
    pub dtype: Dtype,
}

impl Shape {
    /// Size in bytes; `u64::MAX` if that is less.
    pub fn bytes(&self) -> u64 {
        (u64::from(self.rows) * u64::from(self.cols)).saturating_mul(self.dtype.bytes())
    }
}

/// Scored tokens whose logits exist at a time.
pub(super) const TOKEN_BLOCK: u32 = 1024;
/// Vocabulary entries whose logits exist at a time: always the same number, so that a token's log-probability does not
/// depend on the batch it is in, to the last bit.
const VOCAB_CHUNK: u32 = 8192;

/// What a layer keeps from its forward pass for its backward pass.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) rstd1: Tensor,  // (R)
    pub(super) q: Tensor,      // (R, heads*D), rotated
    pub(super) k: Tensor,      // (R, kv_heads*D), rotated
    pub(super) v: Tensor,      // (R, kv_heads*D)
    pub(super) out: Tensor,    // (R, heads*D), of the attention
    pub(super) lse: Tensor,    // (R, heads)
    pub(super) x_mid: Tensor,  // (R, H), after the attention's residual
    pub(super) rstd2: Tensor,  // (R)
    pub(super) gate: Tensor,   // (R, I)
    pub(super) up: Tensor,     // (R, I)
    pub(super) u: [Tensor; 7], // (R, r), A x of each module
}

/// All tensors of a step, at the size of the largest batch.
pub struct Activations {
    /// The residual stream before each layer and after the last, L + 1 times (R,H).
    pub x: Vec<Tensor>,
    pub(super) kept: Vec<Kept>,
    pub(super) h: Tensor,          // (R, H), a normed input
    pub(super) dh: Tensor,         // (R, H), its gradient, or a branch's output
    pub(super) dx: Tensor,         // (R, H), gradient of the residual stream
    pub(super) act: Tensor,        // (R, I)
    pub(super) dact: Tensor,       // (R, I)
    pub(super) dout: Tensor,       // (R, heads*D)
    pub(super) dq: Tensor,         // (R, heads*D)
    pub(super) dk: Tensor,         // (R, kv_heads*D)
    pub(super) dv: Tensor,         // (R, kv_heads*D)
    pub(super) stats: Tensor,      // (R, 2*heads)
    pub(super) du: Tensor,         // (R, r)
    pub(super) picked: Tensor,     // (N, H), rows that predict
    pub(super) dpicked: Tensor,    // (N, H)
    pub(super) normed: Tensor,     // (N, H)
    pub(super) rstd: Tensor,       // (N)
    pub(super) label_rows: Tensor, // (N, H)
    pub(super) pull: Tensor,       // (N, H)
    pub(super) logits: Tensor,     // (block, chunk)
    pub(super) state: Tensor,      // (N, 8)
    /// Log-probability, mean logit, entropy and hit of each scored token (N,4).
    pub token_stats: Tensor,
    pub(super) ids: Tensor,    // (R)
    pub(super) spans: Tensor,  // (R + tiles, 4)
    pub(super) rows: Tensor,   // (N)
    pub(super) labels: Tensor, // (N)
    /// The sequence of each scored token (N).
    pub sequence: Tensor,
    pub(super) sources: Tensor, // (R, 2)
    /// First scored token and end of each sequence (2n,2).
    pub ranges: Tensor,
    size: BatchSize,
    checkpointing: bool,
}

/// Every tensor that `Activations::new` makes, in its order.
///
/// With `checkpointing` one layer's worth is kept and layers run forward again in the backward pass (Chen et al. 2016).
pub fn size_table(
    config: &ModelConfig,
    adapter: Option<&AdapterSettings>,
    size: BatchSize,
    checkpointing: bool,
) -> Vec<Shape> {
    let BatchSize { rows, scored, sequences } = size;
    let hidden = config.hidden_size as u32;
    let inner = config.intermediate_size as u32;
    let heads = config.num_attention_heads as u32;
    let queries = heads * config.head_dim as u32;
    let keys = (config.num_key_value_heads * config.head_dim) as u32;
    let layers = config.num_hidden_layers;
    let float = |name, rows, cols| Shape { name, rows, cols, dtype: Dtype::F32 };
    let index = |name, rows, cols| Shape { name, rows, cols, dtype: Dtype::U32 };
    let rank = adapter.map_or(0, AdapterSettings::padded_rank);
    let has = |module: Module| adapter.is_some_and(|a| a.targets.iter().any(|(_, m)| *m == module));

    let mut table = vec![float("x", rows, hidden); layers + 1];
    for _ in 0..if checkpointing { 1 } else { layers } {
        table.extend([
            float("rstd1", 1, rows),
            float("q", rows, queries),
            float("k", rows, keys),
            float("v", rows, keys),
            float("out", rows, queries),
            float("lse", rows, heads),
            float("x_mid", rows, hidden),
            float("rstd2", 1, rows),
            float("gate", rows, inner),
            float("up", rows, inner),
        ]);
        table.extend(Module::ALL.map(|module| float("u", rows, if has(module) { rank } else { 0 })));
    }
    let chunk = VOCAB_CHUNK.min((config.vocab_size as u32).next_multiple_of(128));
    table.extend([
        float("h", rows, hidden),
        float("dh", rows, hidden),
        float("dx", rows, hidden),
        float("act", rows, inner),
        float("dact", rows, inner),
        float("dout", rows, queries),
        float("dq", rows, queries),
        float("dk", rows, keys),
        float("dv", rows, keys),
        float("stats", rows, 2 * heads),
        float("du", rows, rank),
        float("picked", scored, hidden),
        float("dpicked", scored, hidden),
        float("normed", scored, hidden),
        float("rstd", 1, scored),
        float("label_rows", scored, hidden),
        float("pull", scored, hidden),
        float("logits", scored.min(TOKEN_BLOCK), chunk),
        float("state", scored, 8),
        float("token_stats", scored, 4),
        index("ids", 1, rows),
        index("spans", rows + rows.div_ceil(32) + sequences, 4),
        index("rows", 1, scored),
        index("labels", 1, scored),
        index("sequence", 1, scored),
        index("sources", rows, 2),
        index("ranges", sequences, 2),
    ]);
    table
}

impl Activations {
    /// Allocates the table; an error if one tensor is larger than a binding of this device.
    pub fn new(
        gpu: &Gpu,
        config: &ModelConfig,
        adapter: Option<&AdapterSettings>,
        size: BatchSize,
        checkpointing: bool,
    ) -> Result<Self> {
        let table = size_table(config, adapter, size, checkpointing);
        if let Some(shape) = table.iter().find(|shape| shape.bytes() > gpu.max_tensor_bytes()) {
            return Err(Error::device(
                format!(
                    "A micro-batch of {} tokens needs {} MiB for \"{}\", but this GPU binds {} MiB at a time",
                    size.rows,
                    shape.bytes() >> 20,
                    shape.name,
                    gpu.max_tensor_bytes() >> 20
                ),
                "Lower per_device_train_batch_size (raise gradient_accumulation_steps instead) or max_length",
            ));
        }
        let mut shapes = table.into_iter();
        let mut next = || {
            let shape = shapes.next();
            let Shape { name, rows, cols, dtype } = shape.expect("the table lists every tensor");
            gpu.zeros(name, rows, cols, dtype)
        };
        let layers = config.num_hidden_layers;
        let x = (0..=layers).map(|_| next()).collect();
        let kept = (0..if checkpointing { 1 } else { layers })
            .map(|_| Kept {
                rstd1: next(),
                q: next(),
                k: next(),
                v: next(),
                out: next(),
                lse: next(),
                x_mid: next(),
                rstd2: next(),
                gate: next(),
                up: next(),
                u: std::array::from_fn(|_| next()),
            })
            .collect();
        let activations = Self {
            x,
            kept,
            h: next(),
            dh: next(),
            dx: next(),
            act: next(),
            dact: next(),
            dout: next(),
            dq: next(),
            dk: next(),
            dv: next(),
            stats: next(),
            du: next(),
            picked: next(),
            dpicked: next(),
            normed: next(),
            rstd: next(),
            label_rows: next(),
            pull: next(),
            logits: next(),
            state: next(),
            token_stats: next(),
            ids: next(),
            spans: next(),
            rows: next(),
            labels: next(),
            sequence: next(),
            sources: next(),
            ranges: next(),
            size,
            checkpointing,
        };
        assert!(shapes.next().is_none(), "every tensor of the table has its place");
        Ok(activations)
    }

    /// The same tensors at the size of one batch, with its indices written to the device.
    pub fn load(&self, gpu: &Gpu, packed: &Packed) -> Self {
        let size = BatchSize::of(packed);
        assert_eq!(size.max(self.size), self.size, "the batch fits the activations");
        let BatchSize { rows, scored, sequences } = size;
        let by_row = |t: &Tensor| t.view(rows, t.cols());
        let by_token = |t: &Tensor| t.view(scored, t.cols());
        let write = |tensor: &Tensor, data: &[u32]| {
            if !data.is_empty() {
                gpu.write(tensor, data);
            }
        };
        let spans = packed.packed_spans();
        let batch = Self {
            x: self.x.iter().map(by_row).collect(),
            kept: self
                .kept
                .iter()
                .map(|kept| Kept {
                    rstd1: kept.rstd1.view(1, rows),
                    q: by_row(&kept.q),
                    k: by_row(&kept.k),
                    v: by_row(&kept.v),
                    out: by_row(&kept.out),
                    lse: by_row(&kept.lse),
                    x_mid: by_row(&kept.x_mid),
                    rstd2: kept.rstd2.view(1, rows),
                    gate: by_row(&kept.gate),
                    up: by_row(&kept.up),
                    u: kept.u.each_ref().map(by_row),
                })
                .collect(),
            h: by_row(&self.h),
            dh: by_row(&self.dh),
            dx: by_row(&self.dx),
            act: by_row(&self.act),
            dact: by_row(&self.dact),
            dout: by_row(&self.dout),
            dq: by_row(&self.dq),
            dk: by_row(&self.dk),
            dv: by_row(&self.dv),
            stats: by_row(&self.stats),
            du: by_row(&self.du),
            picked: by_token(&self.picked),
            dpicked: by_token(&self.dpicked),
            normed: by_token(&self.normed),
            rstd: self.rstd.view(1, scored),
            label_rows: by_token(&self.label_rows),
            pull: by_token(&self.pull),
            logits: self.logits.clone(),
            state: by_token(&self.state),
            token_stats: by_token(&self.token_stats),
            ids: self.ids.view(1, rows),
            spans: self.spans.view(spans.len() as u32, 4),
            rows: self.rows.view(1, scored),
            labels: self.labels.view(1, scored),
            sequence: self.sequence.view(1, scored),
            sources: self.sources.view(rows, 2),
            ranges: self.ranges.view(sequences, 2),
            size,
            checkpointing: self.checkpointing,
        };
        write(&batch.ids, &packed.ids);
        write(&batch.spans, spans.as_flattened());
        write(&batch.rows, &packed.rows);
        write(&batch.labels, &packed.labels);
        write(&batch.sequence, &packed.sequence);
        write(&batch.sources, packed.sources().as_flattened());
        write(&batch.ranges, packed.ranges.as_flattened());
        batch
    }

    /// What layer `index` keeps; with checkpointing all layers share one.
    pub(super) fn kept(&self, index: usize) -> &Kept {
        &self.kept[if self.checkpointing { 0 } else { index }]
    }

    /// True if layers run forward again in the backward pass.
    pub fn checkpointing(&self) -> bool {
        self.checkpointing
    }

    /// The size of the batch.
    pub fn size(&self) -> BatchSize {
        self.size
    }
}
