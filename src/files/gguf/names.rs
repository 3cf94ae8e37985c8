//! Hugging Face's names of tensors and GGUF's, for each architecture, and what llama.cpp's converter did to the values.

use serde_json::Value as Json;

/// The architectures that are read, by `general.architecture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufArch {
    /// Llama 1 to 3, and Mistral, SmolLM 1 and 2, and others that are Llamas in all but name.
    Llama,
    /// Qwen 1.5, 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma, its first version.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, the text model.
    Gemma3,
    /// Phi 3, 3.5 and 4.
    Phi3,
    /// GPT-2.
    Gpt2,
    /// GPT-NeoX and Pythia.
    GptNeox,
    /// OLMo 2 and 3.
    Olmo2,
    /// SmolLM 3.
    SmolLm3,
    /// Granite 3 and 4, dense.
    Granite,
    /// LFM 2, dense.
    Lfm2,
    /// Ministral 3.
    Mistral3,
    /// EXAONE 4.
    Exaone4,
    /// Hunyuan 1, dense.
    HunyuanDense,
}

/// Change that llama.cpp's converter made to the values of a tensor, by which the file differs from Hugging Face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The rows of each head take turns: first row of its lower half, first of its upper half, second of the lower …;
    /// for rotary embeddings that turn neighbours instead of halves.
    PairRows {
        /// Heads of this projection.
        heads: usize,
    },
    /// Query, key and value rows, which were together for each head, are together for all heads.
    SplitHeads {
        /// Heads of the attention.
        heads: usize,
    },
    /// One was added, since ggml multiplies by the weight itself, where transformers multiplies by the weight plus one.
    PlusOne,
    /// Rows became columns, since transformers' Conv1D keeps (in, out), where ggml keeps (out, in) as in any layer.
    Transposed,
    /// A middle dimension of 1 was left out: (channels, 1, taps) became (channels, taps).
    Squeezed,
}

/// A tensor of the file that a Hugging Face name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Its name in the file; if there are several, the file has one of them.
    pub names: Vec<String>,
    /// Change that was made to its values.
    pub change: Change,
}

/// Part of a Hugging Face name, part of the file's name, and what was done to its values.
type Part = (&'static str, &'static str, Kind);

/// A `Change` that does not know the heads yet.
#[derive(Clone, Copy)]
enum Kind {
    Same,
    /// Rows of query heads, paired where the architecture turns neighbours.
    Query,
    /// Rows of key heads, likewise.
    Key,
    /// A norm's weight, plus one where the architecture adds it.
    Norm,
    Fused,
    Conv1d,
    Squeezed,
}

const EMBEDDING: Part = ("model.embed_tokens", "token_embd", Kind::Same);
const HEAD: Part = ("lm_head", "output", Kind::Same);
const NORM: Part = ("model.norm", "output_norm", Kind::Norm);

/// Projections that all layers built like Llama's share.
const PROJECTIONS: &[Part] = &[
    ("self_attn.q_proj", "attn_q", Kind::Query),
    ("self_attn.k_proj", "attn_k", Kind::Key),
    ("self_attn.v_proj", "attn_v", Kind::Same),
    ("self_attn.o_proj", "attn_output", Kind::Same),
    ("mlp.gate_proj", "ffn_gate", Kind::Same),
    ("mlp.up_proj", "ffn_up", Kind::Same),
    ("mlp.down_proj", "ffn_down", Kind::Same),
];
const HEAD_NORMS: &[Part] =
    &[("self_attn.q_norm", "attn_q_norm", Kind::Norm), ("self_attn.k_norm", "attn_k_norm", Kind::Norm)];
const NORMS_BEFORE: &[Part] =
    &[("input_layernorm", "attn_norm", Kind::Norm), ("post_attention_layernorm", "ffn_norm", Kind::Norm)];
const NORMS_AFTER: &[Part] = &[
    ("post_attention_layernorm", "post_attention_norm", Kind::Norm),
    ("post_feedforward_layernorm", "post_ffw_norm", Kind::Norm),
];
const NORMS_AROUND: &[Part] =
    &[("input_layernorm", "attn_norm", Kind::Norm), ("pre_feedforward_layernorm", "ffn_norm", Kind::Norm)];
const HUNYUAN_NORMS: &[Part] =
    &[("self_attn.query_layernorm", "attn_q_norm", Kind::Norm), ("self_attn.key_layernorm", "attn_k_norm", Kind::Norm)];
const PHI3: &[Part] = &[
    ("self_attn.qkv_proj", "attn_qkv", Kind::Same),
    ("self_attn.o_proj", "attn_output", Kind::Same),
    ("mlp.gate_up_proj", "ffn_up", Kind::Same),
    ("mlp.down_proj", "ffn_down", Kind::Same),
];
const GPT2: &[Part] = &[
    ("ln_1", "attn_norm", Kind::Same),
    ("attn.c_attn", "attn_qkv", Kind::Conv1d),
    ("attn.c_proj", "attn_output", Kind::Conv1d),
    ("ln_2", "ffn_norm", Kind::Same),
    ("mlp.c_fc", "ffn_up", Kind::Conv1d),
    ("mlp.c_proj", "ffn_down", Kind::Conv1d),
];
const GPT2_OUTSIDE: &[Part] = &[
    ("wte", "token_embd", Kind::Same),
    ("wpe", "position_embd", Kind::Same),
    ("ln_f", "output_norm", Kind::Same),
    HEAD,
];
const GPT_NEOX: &[Part] = &[
    ("input_layernorm", "attn_norm", Kind::Same),
    ("post_attention_layernorm", "ffn_norm", Kind::Same),
    ("attention.query_key_value", "attn_qkv", Kind::Fused),
    ("attention.dense", "attn_output", Kind::Same),
    ("mlp.dense_h_to_4h", "ffn_up", Kind::Same),
    ("mlp.dense_4h_to_h", "ffn_down", Kind::Same),
];
const GPT_NEOX_OUTSIDE: &[Part] = &[
    ("gpt_neox.embed_in", "token_embd", Kind::Same),
    ("gpt_neox.final_layer_norm", "output_norm", Kind::Same),
    // transformers calls it embed_out in files, and lm_head since version 5.
    ("embed_out", "output", Kind::Same),
    HEAD,
];
const LFM2: &[Part] = &[
    ("operator_norm", "attn_norm", Kind::Same),
    ("ffn_norm", "ffn_norm", Kind::Same),
    ("self_attn.q_proj", "attn_q", Kind::Same),
    ("self_attn.k_proj", "attn_k", Kind::Same),
    ("self_attn.v_proj", "attn_v", Kind::Same),
    ("self_attn.out_proj", "attn_output", Kind::Same),
    ("self_attn.q_layernorm", "attn_q_norm", Kind::Same),
    ("self_attn.k_layernorm", "attn_k_norm", Kind::Same),
    ("feed_forward.w1", "ffn_gate", Kind::Same),
    ("feed_forward.w3", "ffn_up", Kind::Same),
    ("feed_forward.w2", "ffn_down", Kind::Same),
    ("conv.in_proj", "shortconv.in_proj", Kind::Same),
    ("conv.out_proj", "shortconv.out_proj", Kind::Same),
    ("conv.conv", "shortconv.conv", Kind::Squeezed),
];
/// The final norm lies under the name of the embedding's, or under its own in some files.
const LFM2_OUTSIDE: &[Part] = &[
    EMBEDDING,
    ("model.embedding_norm", "token_embd_norm", Kind::Same),
    ("model.embedding_norm", "output_norm", Kind::Same),
    HEAD,
];
const OUTSIDE: &[Part] = &[EMBEDDING, NORM, HEAD];

impl GgufArch {
    const ALL: &[(Self, &'static str, &'static str)] = &[
        (Self::Llama, "llama", "llama"),
        (Self::Qwen2, "qwen2", "qwen2"),
        (Self::Qwen3, "qwen3", "qwen3"),
        (Self::Gemma, "gemma", "gemma"),
        (Self::Gemma2, "gemma2", "gemma2"),
        (Self::Gemma3, "gemma3", "gemma3_text"),
        (Self::Phi3, "phi3", "phi3"),
        (Self::Gpt2, "gpt2", "gpt2"),
        (Self::GptNeox, "gptneox", "gpt_neox"),
        (Self::Olmo2, "olmo2", "olmo2"),
        (Self::SmolLm3, "smollm3", "smollm3"),
        (Self::Granite, "granite", "granite"),
        (Self::Lfm2, "lfm2", "lfm2"),
        (Self::Mistral3, "mistral3", "ministral3"),
        (Self::Exaone4, "exaone4", "exaone4"),
        (Self::HunyuanDense, "hunyuan-dense", "hunyuan_v1_dense"),
    ];

    /// The `model_type`s that llama.cpp takes for one of the above.
    const ALIASES: &[(Self, &'static str)] = &[(Self::Llama, "mistral"), (Self::Olmo2, "olmo3")];

    /// The architecture of the models of a `model_type`, if it is one of these.
    pub fn of_model_type(model_type: &str) -> Option<Self> {
        let types = Self::ALL.iter().map(|(arch, _, known)| (arch, known));
        let mut types = types.chain(Self::ALIASES.iter().map(|(arch, known)| (arch, known)));
        types.find(|(_, known)| **known == model_type).map(|(arch, _)| *arch)
    }

    /// The architecture that `general.architecture` names, if it is one of these.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(arch, ..)| *arch)
    }

    /// Value of `general.architecture`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The `model_type` of the same model in a `config.json`; OLMo 3 and Mistral are told apart by their windows.
    pub fn model_type(self) -> &'static str {
        self.row().2
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        Self::ALL.iter().find(|(arch, ..)| *arch == self).expect("every architecture is in the table")
    }

    /// True if Ollama converts PEFT's adapters of such models (its `ConvertAdapter` knows these two alone); a GGUF
    /// adapter it takes of any.
    pub fn ollama_takes_adapters(self) -> bool {
        matches!(self, Self::Llama | Self::Gemma2)
    }

    /// True where rotary embeddings turn neighbours, so that rows of queries and keys were paired.
    pub fn pairs_rows(self) -> bool {
        matches!(self, Self::Llama | Self::SmolLm3 | Self::Granite | Self::Mistral3)
    }

    /// True where transformers multiplies by a norm's weight plus one.
    fn adds_one(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// The parts of a layer, and what is outside of layers.
    fn parts(self) -> (Vec<&'static [Part]>, &'static [Part]) {
        match self {
            Self::Llama | Self::Qwen2 | Self::Gemma | Self::SmolLm3 | Self::Granite | Self::Mistral3 => {
                (vec![PROJECTIONS, NORMS_BEFORE], OUTSIDE)
            }
            Self::Qwen3 => (vec![PROJECTIONS, NORMS_BEFORE, HEAD_NORMS], OUTSIDE),
            Self::HunyuanDense => (vec![PROJECTIONS, NORMS_BEFORE, HUNYUAN_NORMS], OUTSIDE),
            Self::Gemma2 => (vec![PROJECTIONS, NORMS_AROUND, NORMS_AFTER], OUTSIDE),
            Self::Gemma3 => (vec![PROJECTIONS, NORMS_AROUND, NORMS_AFTER, HEAD_NORMS], OUTSIDE),
            Self::Olmo2 | Self::Exaone4 => (vec![PROJECTIONS, NORMS_AFTER, HEAD_NORMS], OUTSIDE),
            Self::Phi3 => (vec![PHI3, NORMS_BEFORE], OUTSIDE),
            Self::Gpt2 => (vec![GPT2], GPT2_OUTSIDE),
            Self::GptNeox => (vec![GPT_NEOX], GPT_NEOX_OUTSIDE),
            Self::Lfm2 => (vec![LFM2], LFM2_OUTSIDE),
        }
    }

    /// Prefix of the layer number in a Hugging Face name.
    fn layers(self) -> &'static str {
        match self {
            Self::Gpt2 => "h.",
            Self::GptNeox => "gpt_neox.layers.",
            _ => "model.layers.",
        }
    }

    /// The tensor of the file that a Hugging Face name stands for, if the architecture has it.
    ///
    /// `config` is the model's, which knows the heads. Prefixes of models that see pictures, and GPT-2's
    /// `transformer.`, may be there or not.
    pub fn map(self, hf_name: &str, config: &serde_json::Map<String, Json>) -> Option<Mapped> {
        let (base, suffix) = hf_name.rsplit_once('.').filter(|(_, suffix)| matches!(*suffix, "weight" | "bias"))?;
        let base = match self {
            Self::Gpt2 => base.strip_prefix("transformer.").unwrap_or(base).to_owned(),
            _ => match base.strip_prefix("model.language_model.") {
                Some(rest) => format!("model.{rest}"),
                None => base.strip_prefix("language_model.").unwrap_or(base).to_owned(),
            },
        };
        let (layers, outside) = self.parts();
        let (prefix, part, tables) = match base.strip_prefix(self.layers()).and_then(|rest| rest.split_once('.')) {
            Some((number, part)) => (format!("blk.{}.", number.parse::<usize>().ok()?), part, layers),
            None => (String::new(), base.as_str(), vec![outside]),
        };
        let found: Vec<&Part> = tables.into_iter().flatten().filter(|(hf, ..)| *hf == part).collect();
        let (.., kind) = found.first()?;
        let names = found.iter().map(|(_, name, _)| format!("{prefix}{name}.{suffix}")).collect();
        Some(Mapped { names, change: self.change(*kind, suffix, config)? })
    }

    fn change(self, kind: Kind, suffix: &str, config: &serde_json::Map<String, Json>) -> Option<Change> {
        let heads = |key: &str| config.get(key).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        Some(match kind {
            Kind::Query if self.pairs_rows() => Change::PairRows { heads: heads("num_attention_heads")? },
            Kind::Key if self.pairs_rows() => Change::PairRows { heads: heads("num_key_value_heads")? },
            Kind::Norm if self.adds_one() && suffix == "weight" => Change::PlusOne,
            Kind::Fused => Change::SplitHeads { heads: heads("num_attention_heads")? },
            Kind::Conv1d if suffix == "weight" => Change::Transposed,
            Kind::Squeezed if suffix == "weight" => Change::Squeezed,
            Kind::Same | Kind::Query | Kind::Key | Kind::Norm | Kind::Conv1d | Kind::Squeezed => Change::None,
        })
    }
}

impl Change {
    /// The row of the file that holds Hugging Face's row `row` of `rows`; for a vector, the element.
    ///
    /// Only `PairRows` and `SplitHeads` move rows; both are allowed by `fits`.
    pub fn stored_row(self, row: usize, rows: usize) -> usize {
        match self {
            Self::PairRows { heads } => {
                let width = rows / heads;
                let (head, i) = (row / width, row % width);
                let (half, j) = (i / (width / 2), i % (width / 2));
                head * width + 2 * j + half
            }
            Self::SplitHeads { heads } => {
                let width = rows / heads / 3;
                let (head, i) = (row / (3 * width), row % (3 * width));
                (i / width) * heads * width + head * width + i % width
            }
            Self::None | Self::PlusOne | Self::Transposed | Self::Squeezed => row,
        }
    }

    /// Hugging Face's rows in the order in which the file holds them; the other way round than `stored_row`.
    pub fn hf_rows(self, rows: usize) -> Vec<usize> {
        let mut order = vec![0; rows];
        for row in 0..rows {
            order[self.stored_row(row, rows)] = row;
        }
        order
    }

    /// True if this could have been done to a tensor of so many rows.
    pub fn fits(self, rows: usize) -> bool {
        match self {
            Self::PairRows { heads } => heads > 0 && rows.is_multiple_of(2 * heads),
            Self::SplitHeads { heads } => heads > 0 && rows.is_multiple_of(3 * heads),
            Self::None | Self::PlusOne | Self::Transposed | Self::Squeezed => true,
        }
    }

    /// The shape that the file's tensor has, from that of Hugging Face's.
    pub fn stored_shape(self, hf: &[usize]) -> Vec<usize> {
        match (self, hf) {
            (Self::Transposed, [rows, columns]) => vec![*columns, *rows],
            (Self::Squeezed, [channels, 1, taps]) => vec![*channels, *taps],
            _ => hf.to_vec(),
        }
    }

    /// The shape that Hugging Face's tensor has, from that of the file's.
    pub fn hf_shape(self, stored: &[usize]) -> Vec<usize> {
        match (self, stored) {
            (Self::Transposed, [rows, columns]) => vec![*columns, *rows],
            (Self::Squeezed, [channels, taps]) => vec![*channels, 1, *taps],
            _ => stored.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_takes_adapters_of_llamas_and_of_gemma_2_alone() {
        let takes = |model_type: &str| GgufArch::of_model_type(model_type).is_some_and(GgufArch::ollama_takes_adapters);
        for model_type in ["llama", "mistral", "gemma2"] {
            assert!(takes(model_type), "{model_type}");
        }
        for model_type in ["qwen3", "gemma3_text", "ministral3", "smollm3", "mamba"] {
            assert!(!takes(model_type), "{model_type}");
        }
    }
}
