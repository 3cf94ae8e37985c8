//! Every tensor of a training step with its shape: one table for the estimate, the allocation and each batch's views.

use std::ops::Deref;
use std::rc::Rc;

use super::architecture::{Architecture, Group, LayerKind, Mixer};
use super::lora::AdapterSettings;
use super::packed::Packed;
use crate::error::{Error, Result};
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::{Partials, conv_links};

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

    /// Returns the smallest size that holds both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            scored: self.scored.max(other.scored),
            sequences: self.sequences.max(other.sequences),
        }
    }
}

/// Scored tokens whose logits exist at a time.
pub(super) const TOKEN_BLOCK: u32 = 1024;
/// Vocabulary entries whose logits exist at a time: always the same number, so that a token's log-probability does not
/// depend on the batch it is in, to the last bit.
const VOCAB_CHUNK: u32 = 8192;

/// Kind of a tensor's rows, which decides their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Packed rows, R.
    Packed,
    /// Scored tokens, N.
    Scored,
    /// Scored tokens whose logits exist at a time.
    Block,
    /// Sequences, 2n.
    Sequences,
    /// Packed rows, and the tiles of attention.
    Spans,
    /// Parts of the packed rows over which gradients are summed.
    Parts,
}

/// Name and shape of a tensor, for a batch of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Name in messages.
    pub name: &'static str,
    /// Kind of rows.
    pub rows: Rows,
    /// Columns.
    pub cols: u32,
    /// Type.
    pub dtype: Dtype,
}

impl Slot {
    /// Largest number of rows at a batch size.
    fn rows_at(&self, size: BatchSize) -> u32 {
        let BatchSize { rows, scored, sequences } = size;
        match self.rows {
            Rows::Packed => rows,
            Rows::Scored => scored,
            Rows::Block => scored.min(TOKEN_BLOCK),
            Rows::Sequences => sequences,
            Rows::Spans => rows + rows.div_ceil(32) + sequences,
            Rows::Parts => rows.div_ceil(Partials::rows_per_part(rows, self.cols)),
        }
    }

    /// Size in bytes; saturates at `u64::MAX`.
    pub fn bytes(&self, size: BatchSize) -> u64 {
        self.dtype.bytes_of(u64::from(self.rows_at(size)) * u64::from(self.cols))
    }
}

/// Tensors that a layer keeps from its forward pass for its backward pass.
#[derive(Debug, Clone)]
pub struct Kept<T> {
    pub(super) before_mixer: T, // (R, 1 or 2), what the norm there keeps
    pub(super) mixer_in: T, // (R, (heads + 2 kv_heads) D), rotated unless heads are normed; or (R, 3H) of a convolution
    pub(super) out: T,      // (R, heads*D or H), of attention or convolution
    pub(super) lse: T,      // (R, heads)
    pub(super) mixed: T,    // (R, H), before the norm after attention, if there is one
    pub(super) after_mixer: T, // (R, 1 or 2)
    pub(super) x_mid: T,    // (R, H), after the attention's residual
    pub(super) before_mlp: T, // (R, 1 or 2)
    pub(super) mlp_in: T,   // (R, 2I or I)
    pub(super) mlp_out: T,  // (R, H), before the norm after the MLP, if there is one
    pub(super) after_mlp: T, // (R, 1 or 2)
    pub(super) u: [T; 4],   // (R, ranks), inputs times LoRA's A, of each group
}

/// All tensors of a step.
#[derive(Debug, Clone)]
pub struct Tensors<T> {
    /// The residual stream before each layer and after the last, L + 1 times (R,H).
    pub x: Vec<T>,
    pub(super) kept: Vec<Kept<T>>,
    pub(super) h: T,          // (R, H), a normed input
    pub(super) dh: T,         // (R, H), its gradient
    pub(super) dx: T,         // (R, H), gradient of the residual stream
    pub(super) dbranch: T,    // (R, H), gradient of what attention or MLP add, where it is not dx
    pub(super) act: T,        // (R, I)
    pub(super) turned: T,     // (R, (heads + 2 kv_heads) D), normed and rotated, where heads are normed
    pub(super) wide_qkv: T,   // (R, (heads + 2 kv_heads) of more columns), where heads are widened
    pub(super) wide_dqkv: T,  // as wide_qkv
    pub(super) wide_out: T,   // (R, heads of more columns)
    pub(super) wide_dout: T,  // as wide_out
    pub(super) dmixer_in: T,  // as mixer_in
    pub(super) dout: T,       // as out
    pub(super) stats: T,      // (R, 2*heads)
    pub(super) du: T,         // (R, ranks)
    pub(super) dropped: T,    // (R, in), where inputs of LoRA are dropped: one, or the gradient of one
    pub(super) z: T,          // (R, out), of DoRA: a product before its columns are scaled, or the gradient of one
    pub(super) partials: T,   // (parts, floats of a layer's gradients)
    pub(super) picked: T,     // (N, H), rows that predict
    pub(super) dpicked: T,    // (N, H)
    pub(super) normed: T,     // (N, H)
    pub(super) rstd: T,       // (N)
    pub(super) label_rows: T, // (N, H)
    pub(super) pull: T,       // (N, H)
    pub(crate) logits: T,     // (block, chunk)
    /// Statistics that `logprob_forward` keeps of each scored token (N,8).
    pub state: T,
    /// Log-probability, mean logit, entropy and hit of each scored token (N,4).
    pub token_stats: T,
    pub(super) ids: T,    // (R)
    pub(super) spans: T,  // (R + tiles, 4)
    pub(super) rows: T,   // (N)
    pub(super) labels: T, // (N)
    /// The sequence of each scored token (N).
    pub sequence: T,
    pub(super) sources: T, // (R, 2)
    pub(super) links: T,   // (R, 2 (taps - 1)), of convolutions
    /// First scored token and end of each sequence (2n,2).
    pub ranges: T,
}

impl<T> Kept<T> {
    fn map<U>(&self, to: &mut dyn FnMut(&T) -> U) -> Kept<U> {
        Kept {
            before_mixer: to(&self.before_mixer),
            mixer_in: to(&self.mixer_in),
            out: to(&self.out),
            lse: to(&self.lse),
            mixed: to(&self.mixed),
            after_mixer: to(&self.after_mixer),
            x_mid: to(&self.x_mid),
            before_mlp: to(&self.before_mlp),
            mlp_in: to(&self.mlp_in),
            mlp_out: to(&self.mlp_out),
            after_mlp: to(&self.after_mlp),
            u: self.u.each_ref().map(to),
        }
    }
}

impl<T> Tensors<T> {
    /// Replaces every entry.
    fn map<U>(&self, to: &mut dyn FnMut(&T) -> U) -> Tensors<U> {
        Tensors {
            x: self.x.iter().map(&mut *to).collect(),
            kept: self.kept.iter().map(|kept| kept.map(to)).collect(),
            h: to(&self.h),
            dh: to(&self.dh),
            dx: to(&self.dx),
            dbranch: to(&self.dbranch),
            act: to(&self.act),
            turned: to(&self.turned),
            wide_qkv: to(&self.wide_qkv),
            wide_dqkv: to(&self.wide_dqkv),
            wide_out: to(&self.wide_out),
            wide_dout: to(&self.wide_dout),
            dmixer_in: to(&self.dmixer_in),
            dout: to(&self.dout),
            stats: to(&self.stats),
            du: to(&self.du),
            dropped: to(&self.dropped),
            z: to(&self.z),
            partials: to(&self.partials),
            picked: to(&self.picked),
            dpicked: to(&self.dpicked),
            normed: to(&self.normed),
            rstd: to(&self.rstd),
            label_rows: to(&self.label_rows),
            pull: to(&self.pull),
            logits: to(&self.logits),
            state: to(&self.state),
            token_stats: to(&self.token_stats),
            ids: to(&self.ids),
            spans: to(&self.spans),
            rows: to(&self.rows),
            labels: to(&self.labels),
            sequence: to(&self.sequence),
            sources: to(&self.sources),
            links: to(&self.links),
            ranges: to(&self.ranges),
        }
    }
}

impl Tensors<Slot> {
    /// Lists every tensor of a training step with an adapter, or of scoring without one.
    ///
    /// If `checkpointing`, only one layer's tensors are kept, and layers run forward again in the backward pass (Chen
    /// et al. 2016).
    pub fn slots(config: &Architecture, adapter: Option<&AdapterSettings>, checkpointing: bool) -> Self {
        let hidden = config.hidden_size as u32;
        let inner = config.mlp.inner as u32;
        let heads = if config.has_attention() { config.attention.heads as u32 } else { 0 };
        let columns = |group, output| columns(config, group, output);
        let widest = Group::ALL.into_iter().map(|group| columns(group, true)).max().unwrap_or(0);
        let widest_input = Group::ALL.into_iter().map(|group| columns(group, false)).max().unwrap_or(0);
        let layers = config.num_hidden_layers;
        let chunk = VOCAB_CHUNK.min((config.vocab_size as u32).next_multiple_of(128));
        let by_token = |name, cols| slot(name, Rows::Scored, cols, Dtype::F32);
        let index = |name, rows, cols| slot(name, rows, cols, Dtype::U32);
        let ranks = Group::ALL.map(|group| adapter.map_or(0, |adapter| adapter.ranks(group)));
        let (stats, norms) = (config.norm_stats() as u32, &config.norms);
        let kept = kept(config, ranks);
        let links = config.most(|kind| match kind.mixer {
            Mixer::ShortConv { taps, .. } => 2 * (taps - 1),
            Mixer::Attention { .. } => 0,
        });
        let (queries, keys) = config.head_columns();
        let turned = only_if(config.norms_qk(), (queries + 2 * keys) as u32);
        let wide = only_if(config.has_attention() && config.widens_heads(), config.wide_head_dim() as u32);
        let (wide_qkv, wide_out) = ((heads + 2 * config.attention.kv_heads as u32) * wide, heads * wide);
        let branches = norms.after_mixer.is_some() || config.parallel_residual || config.residual_multiplier != 1.0;
        Self {
            x: vec![by_row("x", hidden); layers + 1],
            kept: vec![kept; if checkpointing { 1 } else { layers }],
            h: by_row("h", hidden),
            dh: by_row("dh", hidden),
            dx: by_row("dx", hidden),
            dbranch: by_row("dbranch", only_if(branches, hidden)),
            act: by_row("act", inner),
            turned: by_row("turned", turned),
            wide_qkv: by_row("wide_qkv", wide_qkv),
            wide_dqkv: by_row("wide_dqkv", wide_qkv),
            wide_out: by_row("wide_out", wide_out),
            wide_dout: by_row("wide_dout", wide_out),
            dmixer_in: by_row("dmixer_in", columns(Group::MixerIn, true)),
            dout: by_row("dout", columns(Group::MixerOut, false)),
            stats: by_row("stats", 2 * heads),
            du: by_row("du", ranks.into_iter().max().unwrap_or(0)),
            dropped: by_row("dropped", only_if(adapter.is_some_and(|adapter| adapter.dropout > 0.0), widest_input)),
            z: by_row("z", only_if(adapter.is_some_and(|adapter| adapter.config.use_dora), widest)),
            partials: slot("partials", Rows::Parts, adapter.map_or(0, |a| a.layer_len(config) as u32), Dtype::F32),
            picked: by_token("picked", hidden),
            dpicked: by_token("dpicked", hidden),
            normed: by_token("normed", hidden),
            rstd: by_token("rstd", stats),
            label_rows: by_token("label_rows", hidden),
            pull: by_token("pull", hidden),
            logits: slot("logits", Rows::Block, chunk, Dtype::F32),
            state: by_token("state", 8),
            token_stats: by_token("token_stats", 4),
            ids: index("ids", Rows::Packed, 1),
            spans: index("spans", Rows::Spans, 4),
            rows: index("rows", Rows::Scored, 1),
            labels: index("labels", Rows::Scored, 1),
            sequence: index("sequence", Rows::Scored, 1),
            sources: index("sources", Rows::Packed, 2),
            links: index("links", Rows::Packed, links as u32),
            ranges: index("ranges", Rows::Sequences, 2),
        }
    }

    /// All slots, in no particular order.
    pub fn list(&self) -> Vec<Slot> {
        let mut list = Vec::new();
        self.map(&mut |slot| list.push(*slot));
        list
    }
}

fn slot(name: &'static str, rows: Rows, cols: u32, dtype: Dtype) -> Slot {
    Slot { name, rows, cols, dtype }
}

fn by_row(name: &'static str, cols: u32) -> Slot {
    slot(name, Rows::Packed, cols, Dtype::F32)
}

/// Columns of a tensor that only some families need: none in the others.
fn only_if(needed: bool, cols: u32) -> u32 {
    if needed { cols } else { 0 }
}

/// Columns that a group of linears needs of its outputs, which lie beside each other, or of its input.
fn columns(config: &Architecture, group: Group, output: bool) -> u32 {
    let sum = |kind: &LayerKind| match output {
        true => kind.linears[group as usize].iter().map(|linear| linear.output).sum(),
        false => kind.linears[group as usize].first().map_or(0, |linear| linear.input),
    };
    config.most(sum) as u32
}

/// Tensors that a layer keeps for its backward pass.
fn kept(config: &Architecture, ranks: [u32; 4]) -> Kept<Slot> {
    let (hidden, stats, norms) = (config.hidden_size as u32, config.norm_stats() as u32, &config.norms);
    let heads = only_if(config.has_attention(), config.attention.heads as u32);
    Kept {
        before_mixer: by_row("before_mixer", only_if(norms.before_mixer.is_some(), stats)),
        mixer_in: by_row("mixer_in", columns(config, Group::MixerIn, true)),
        out: by_row("out", columns(config, Group::MixerOut, false)),
        lse: by_row("lse", heads),
        mixed: by_row("mixed", only_if(norms.after_mixer.is_some(), hidden)),
        after_mixer: by_row("after_mixer", only_if(norms.after_mixer.is_some(), stats)),
        x_mid: by_row("x_mid", hidden),
        before_mlp: by_row("before_mlp", only_if(norms.before_mlp.is_some(), stats)),
        mlp_in: by_row("mlp_in", columns(config, Group::MlpIn, true)),
        mlp_out: by_row("mlp_out", only_if(norms.after_mlp.is_some(), hidden)),
        after_mlp: by_row("after_mlp", only_if(norms.after_mlp.is_some(), stats)),
        u: ranks.map(|ranks| by_row("u", ranks)),
    }
}

/// All tensors of a step on the device, at the size of the largest batch or of one batch.
pub struct Activations {
    tensors: Tensors<Tensor>,
    slots: Rc<Tensors<Slot>>,
    size: BatchSize,
    longest: usize,
    checkpointing: bool,
    rows_per_part: u32,
    dropout: Option<Dropout>,
}

/// Dropout of LoRA's inputs in a batch.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share of the inputs that is dropped.
    pub rate: f32,
    /// Seed of this batch.
    pub seed: u32,
}

impl Deref for Activations {
    type Target = Tensors<Tensor>;

    fn deref(&self) -> &Tensors<Tensor> {
        &self.tensors
    }
}

impl Activations {
    /// Allocates every tensor; an error if one is larger than a binding of this device.
    pub fn new(
        gpu: &Gpu,
        config: &Architecture,
        adapter: Option<&AdapterSettings>,
        size: BatchSize,
        checkpointing: bool,
    ) -> Result<Self> {
        let slots = Tensors::slots(config, adapter, checkpointing);
        if let Some(slot) = slots.list().iter().find(|slot| slot.bytes(size) > gpu.max_tensor_bytes()) {
            return Err(Error::device(
                format!(
                    "A micro-batch of {} tokens needs {} MiB for \"{}\", but this GPU binds {} MiB at a time",
                    size.rows,
                    slot.bytes(size) >> 20,
                    slot.name,
                    gpu.max_tensor_bytes() >> 20
                ),
                "Lower per_device_train_batch_size (raise gradient_accumulation_steps instead) or max_length",
            ));
        }
        let tensors = slots.map(&mut |slot| gpu.zeros(slot.name, slot.rows_at(size), slot.cols, slot.dtype));
        let rows_per_part = Partials::rows_per_part(size.rows, slots.partials.cols);
        Ok(Self { tensors, slots: Rc::new(slots), size, longest: 0, checkpointing, rows_per_part, dropout: None })
    }

    /// Returns views at the size of one batch, and writes the batch's indices to the device.
    pub fn load(&self, gpu: &Gpu, packed: &Packed) -> Self {
        let size = BatchSize::of(packed);
        assert_eq!(size.max(self.size), self.size, "the batch fits the activations");
        let spans = packed.packed_spans();
        let rows = |slot: &Slot, tensor: &Tensor| match slot.rows {
            Rows::Spans => spans.len() as u32,
            // Both are cut to size where they are used.
            Rows::Block | Rows::Parts => tensor.rows(),
            Rows::Packed | Rows::Scored | Rows::Sequences => slot.rows_at(size),
        };
        let mut slots = self.slots.list().into_iter();
        let tensors = self.tensors.map(&mut |tensor| {
            let slot = slots.next().expect("a slot for each tensor");
            tensor.view(rows(&slot, tensor), tensor.cols())
        });
        let write = |tensor: &Tensor, data: &[u32]| {
            if !data.is_empty() {
                gpu.write(tensor, data);
            }
        };
        write(&tensors.ids, &packed.ids);
        write(&tensors.spans, spans.as_flattened());
        write(&tensors.rows, &packed.rows);
        write(&tensors.labels, &packed.labels);
        write(&tensors.sequence, &packed.sequence);
        write(&tensors.sources, packed.sources().as_flattened());
        if tensors.links.cols() > 0 {
            let taps = tensors.links.cols() as usize / 2 + 1;
            write(&tensors.links, &conv_links(&packed.spans, taps));
        }
        write(&tensors.ranges, packed.ranges.as_flattened());
        let (slots, checkpointing, rows_per_part) = (self.slots.clone(), self.checkpointing, self.rows_per_part);
        Self { tensors, slots, size, longest: packed.longest, checkpointing, rows_per_part, dropout: None }
    }

    /// Returns the same batch, with dropout of LoRA's inputs if `dropout` is given.
    #[must_use]
    pub fn with_dropout(self, dropout: Option<Dropout>) -> Self {
        Self { dropout, ..self }
    }

    /// Dropout in a group of a layer.
    pub(super) fn dropout(&self, layer: usize, group: Group) -> Option<Dropout> {
        let place = (4 * layer + group as usize + 1) as u32;
        // The seed is far from those of other batches and places.
        self.dropout.map(|dropout| Dropout { seed: dropout.seed ^ place.wrapping_mul(0x9e37_79b9), ..dropout })
    }

    /// Tensors that layer `index` keeps; with checkpointing all layers share one set.
    pub(super) fn kept(&self, index: usize) -> &Kept<Tensor> {
        &self.kept[if self.checkpointing { 0 } else { index }]
    }

    /// Buffer for the parts of a layer's gradients.
    pub(super) fn partials(&self) -> Partials {
        Partials { tensor: self.partials.clone(), rows_per_part: self.rows_per_part }
    }

    /// True if layers run forward again in the backward pass.
    pub fn checkpointing(&self) -> bool {
        self.checkpointing
    }

    /// Tokens of the batch's longest sequence.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The size of the batch.
    pub fn size(&self) -> BatchSize {
        self.size
    }
}
