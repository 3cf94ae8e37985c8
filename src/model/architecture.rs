//! `Architecture`: a decoder as data. It states a family's config in the terms in which one decoder computes it.

use serde_json::{Map, Value};

use super::families::fields::Fields;
use super::family;
use super::rope::Rope;
use crate::error::Result;
use crate::kernels::Act;

/// Sizes of a decoder, and its choice among the supported ways to compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// The model family.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Kind of the norms.
    pub norm: NormKind,
    /// Added to the variance in a norm.
    pub norm_eps: f64,
    /// The norms of a layer, by place.
    pub norms: Norms,
    /// Attention heads.
    pub attention: Attention,
    /// The MLP between its two linear layers.
    pub mlp: Mlp,
    /// True if attention and MLP read the same input, and both are added to it.
    pub parallel_residual: bool,
    /// Factor of attention's and the MLP's outputs before they are added.
    pub residual_multiplier: f64,
    /// Factor of the embedding.
    pub embedding_multiplier: f64,
    /// True if there is a table of learned positions.
    pub learned_positions: bool,
    /// Factor of the logits.
    pub logits_multiplier: f64,
    /// Cap of the logits, if any.
    pub logits_softcap: Option<f64>,
    /// True if the head is the embedding.
    pub tie_word_embeddings: bool,
    /// The kinds of layers there are.
    pub kinds: Vec<LayerKind>,
    /// The kind of each layer, repeated as often as needed.
    pub pattern: Vec<usize>,
    /// Rotary position embeddings, to which the kinds of layers refer.
    pub ropes: Vec<Rope>,
    /// Names of the tensors.
    pub names: Names,
    /// First token of a text, if any.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; published configs have one, several or none.
    pub eos_token_id: Vec<u32>,
    /// Padding token, if any.
    pub pad_token_id: Option<u32>,
    /// Type the weights were saved in (`dtype`, formerly `torch_dtype`), for example `bfloat16`.
    pub dtype: Option<String>,
    /// Text of everything besides the weights that identifies this model.
    pub identity: String,
}

/// Kind of a norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormKind {
    /// Scales rows to unit mean square; `offset` is added to the stored gain, 1 in Gemma.
    Rms {
        /// Added to the gain.
        offset: f32,
    },
    /// Brings rows to mean 0 and variance 1, with a bias.
    Layer,
}

/// Names of a layer's norms, by place; `None` where there is no norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norms {
    /// Before attention.
    pub before_mixer: Option<&'static str>,
    /// Between attention and its addition to the residual stream.
    pub after_mixer: Option<&'static str>,
    /// Before the MLP.
    pub before_mlp: Option<&'static str>,
    /// Between the MLP and its addition to the residual stream.
    pub after_mlp: Option<&'static str>,
}

/// Attention heads.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides the query heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Factor of the scores.
    pub scale: f64,
    /// True if the scores of layer i are also divided by i + 1.
    pub scale_by_layer: bool,
    /// Cap of the scores, if any.
    pub softcap: Option<f64>,
    /// Norm of queries and keys.
    pub qk_norm: QkNorm,
    /// Names of the two norms' gains within a layer.
    pub qk_norm_names: [&'static str; 2],
    /// Growth of queries with their position, if any.
    pub query_growth: Option<QueryGrowth>,
}

/// Norm of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// No norm.
    No,
    /// Each head by itself, before rotation.
    PerHead,
    /// Each head by itself, after rotation.
    PerHeadRotated,
    /// All heads together, before rotation.
    Whole,
}

/// Multiplies queries by `1 + beta ln(1 + floor(position / original))`, after rotation (Llama 4, Ministral 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryGrowth {
    /// Rate of the growth.
    pub beta: f64,
    /// Positions up to which queries do not grow.
    pub original: usize,
}

/// The MLP between its two linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mlp {
    /// Its width.
    pub inner: usize,
    /// True if the first layer gives a gate and the gated values, side by side.
    pub gated: bool,
    /// Activation of the gate, or of all columns where there is no gate.
    pub act: Act,
}

/// Common description of all layers of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerKind {
    /// Part of the layer that lets tokens see each other.
    pub mixer: Mixer,
    /// Linear layers, group by group.
    pub linears: [Vec<LinearSpec>; 4],
}

/// Part of a layer that lets tokens see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixer {
    /// Attention.
    Attention {
        /// Index of the rotary embedding that rotates queries and keys; `None` leaves them as they are.
        rope: Option<usize>,
        /// Tokens that a token sees, itself included; `None` for all.
        window: Option<usize>,
    },
    /// A gated convolution over the last `taps` tokens (LFM2).
    ShortConv {
        /// Tokens that it reaches over, the present one included.
        taps: usize,
        /// True if it has a bias.
        bias: bool,
    },
}

/// A linear layer, `y = W x + bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearSpec {
    /// Its path within the layer, as in `model.named_modules()`.
    pub path: &'static str,
    /// Columns of its input.
    pub input: usize,
    /// Columns of its output.
    pub output: usize,
    /// True if it has a bias.
    pub bias: bool,
    /// Layout of the weight in a file.
    pub stored: Stored,
}

/// Layout of a linear layer's weight in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// (out, in), as `torch.nn.Linear`.
    OutIn,
    /// (in, out), as GPT-2's `Conv1D`.
    InOut,
    /// (out, in), with the rows head by head: query, key and value of each (GPT-NeoX).
    PerHead {
        /// Heads.
        heads: usize,
    },
}

/// Linear layers that read the same input. They are computed as one, with their outputs side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Group {
    /// Into attention: queries, keys and values. Into a convolution: its two gates and the gated values.
    MixerIn,
    /// Out of attention or convolution.
    MixerOut,
    /// Into the MLP: gate and up.
    MlpIn,
    /// Out of the MLP.
    MlpOut,
}

impl Group {
    /// All groups, in the order of the forward pass.
    pub const ALL: [Self; 4] = [Self::MixerIn, Self::MixerOut, Self::MlpIn, Self::MlpOut];
}

/// A linear layer of a decoder layer, by its group and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// Its group.
    pub group: Group,
    /// Its index in the group.
    pub at: usize,
}

/// Names of a model's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Prefix of all but the head; a file may leave it out.
    pub base: &'static str,
    /// The list of layers.
    pub layers: &'static str,
    /// The embedding.
    pub embedding: &'static str,
    /// The learned positions; empty if there are none.
    pub positions: &'static str,
    /// The last norm.
    pub norm: &'static str,
    /// The names that the head may have in a file, the usual one first.
    pub heads: &'static [&'static str],
}

impl Names {
    /// Names in most families.
    pub const USUAL: Self = Self {
        base: "model",
        layers: "layers",
        embedding: "embed_tokens",
        positions: "",
        norm: "norm",
        heads: &["lm_head"],
    };
}

impl Norms {
    /// Norms before attention and MLP, under Llama's names.
    pub const BEFORE: Self = Self {
        before_mixer: Some("input_layernorm"),
        after_mixer: None,
        before_mlp: Some("post_attention_layernorm"),
        after_mlp: None,
    };
    /// Norms after attention and MLP, under OLMo 2's names.
    pub const AFTER: Self = Self {
        before_mixer: None,
        after_mixer: Some("post_attention_layernorm"),
        before_mlp: None,
        after_mlp: Some("post_feedforward_layernorm"),
    };
    /// Norms on both sides, under Gemma's names.
    pub const BOTH: Self = Self {
        before_mixer: Some("input_layernorm"),
        after_mixer: Some("post_attention_layernorm"),
        before_mlp: Some("pre_feedforward_layernorm"),
        after_mlp: Some("post_feedforward_layernorm"),
    };

    /// Names of the norms that exist.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        [self.before_mixer, self.after_mixer, self.before_mlp, self.after_mlp].into_iter().flatten()
    }
}

impl LinearSpec {
    /// A layer without a bias that is stored (out, in).
    pub fn new(path: &'static str, input: usize, output: usize) -> Self {
        Self { path, input, output, bias: false, stored: Stored::OutIn }
    }

    /// The same layer, with a bias if `bias`.
    #[must_use]
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The shape of its weight in a file.
    pub fn shape(&self) -> Vec<usize> {
        match self.stored {
            Stored::OutIn | Stored::PerHead { .. } => vec![self.output, self.input],
            Stored::InOut => vec![self.input, self.output],
        }
    }

    /// Runs of the weight's stored rows, in the order in which they are computed: first row and number of rows of each.
    pub fn runs(&self) -> Vec<(usize, usize)> {
        match self.stored {
            Stored::OutIn | Stored::InOut => vec![(0, self.output)],
            Stored::PerHead { heads } => {
                let width = self.output / heads / 3;
                (0..3).flat_map(|part| (0..heads).map(move |head| ((3 * head + part) * width, width))).collect()
            }
        }
    }
}

impl Architecture {
    /// Reads the bytes of `config.json`; messages call it `file`.
    ///
    /// Errors name the field: missing, of the wrong type, zero, or with a value that is not supported.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        Self::from_map(&Fields::parse(bytes, file)?, file)
    }

    /// Reads a parsed object.
    pub fn from_map(map: &Map<String, Value>, file: &str) -> Result<Self> {
        let fields = Fields { map, file, within: "" };
        let family = family::of(&fields)?;
        let architecture = (family.read)(&fields)?;
        architecture.check(&fields)?;
        Ok(architecture)
    }

    /// The kind of a layer.
    pub fn kind(&self, layer: usize) -> &LayerKind {
        &self.kinds[self.pattern[layer % self.pattern.len()]]
    }

    /// Path of a layer, as in `model.named_modules()`.
    pub fn layer_path(&self, layer: usize) -> String {
        format!("{}.{}.{layer}", self.names.base, self.names.layers)
    }

    /// The linear layers of a group in a layer, in the order of their columns.
    pub fn linears(&self, layer: usize, group: Group) -> &[LinearSpec] {
        &self.kind(layer).linears[group as usize]
    }

    /// The linear layers of a layer, in the order of the forward pass.
    pub fn modules(&self, layer: usize) -> impl Iterator<Item = Module> {
        let of = move |group| (0..self.linears(layer, group).len()).map(move |at| Module { group, at });
        Group::ALL.into_iter().flat_map(of)
    }

    /// A linear layer of a layer.
    pub fn linear(&self, layer: usize, module: Module) -> &LinearSpec {
        &self.linears(layer, module.group)[module.at]
    }

    /// Full path of a linear layer, as PEFT writes it.
    pub fn path(&self, layer: usize, module: Module) -> String {
        format!("{}.{}", self.layer_path(layer), self.linear(layer, module).path)
    }

    /// Columns of a group's input and of all its outputs in a layer.
    pub fn dims(&self, layer: usize, group: Group) -> (usize, usize) {
        let linears = self.linears(layer, group).iter();
        linears.fold((0, 0), |(_, outputs), linear| (linear.input, outputs + linear.output))
    }

    /// Largest value of `of` over all kinds of layers.
    pub fn most(&self, of: impl Fn(&LayerKind) -> usize) -> usize {
        self.kinds.iter().map(of).max().unwrap_or(0)
    }

    /// Columns of the queries, and columns of the keys, which are those of the values.
    pub fn head_columns(&self) -> (usize, usize) {
        let Attention { heads, kv_heads, head_dim, .. } = self.attention;
        (heads * head_dim, kv_heads * head_dim)
    }

    /// Columns of a head as attention reads them: rounded up to a multiple of four.
    pub fn wide_head_dim(&self) -> usize {
        self.attention.head_dim.next_multiple_of(4)
    }

    /// True if heads are widened for attention.
    pub fn widens_heads(&self) -> bool {
        self.wide_head_dim() != self.attention.head_dim
    }

    /// True if some layers are attention.
    pub fn has_attention(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind.mixer, Mixer::Attention { .. }))
    }

    /// True if queries and keys are normed.
    pub fn norms_qk(&self) -> bool {
        self.attention.qk_norm != QkNorm::No
    }

    /// Statistics that a norm keeps of each row.
    pub fn norm_stats(&self) -> usize {
        match self.norm {
            NormKind::Rms { .. } => 1,
            NormKind::Layer => 2,
        }
    }

    /// Checks the limits that every family must keep, so that the kernels can compute it.
    fn check(&self, fields: &Fields<'_>) -> Result<()> {
        let Attention { heads, kv_heads, head_dim, .. } = self.attention;
        if !heads.is_multiple_of(kv_heads) {
            let what = format!("{kv_heads} does not divide the {heads} of num_attention_heads");
            return Err(fields.wrong("num_key_value_heads", what));
        }
        for (key, size) in [("hidden_size", self.hidden_size), ("intermediate_size", self.mlp.inner)] {
            fields.multiple_of_4(key, size)?;
        }
        // Attention widens heads of other sizes, but the kernels before and after it do not.
        if self.norms_qk() || !head_dim.is_multiple_of(2) || !(heads * head_dim).is_multiple_of(4) {
            fields.multiple_of_4("head_dim", head_dim)?;
        }
        if let Some(rope) = self.ropes.iter().find(|rope| rope.dim == 0 || rope.dim > head_dim || rope.dim % 2 == 1) {
            let what = format!("{} of the {head_dim} columns of a head would turn", rope.dim);
            return Err(fields.wrong("partial_rotary_factor", what));
        }
        Ok(())
    }
}
