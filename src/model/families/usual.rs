//! Common parts of most families: Llama's fields and names, and the lists of layers that differ.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{Fields, SIZE_LIMIT};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{
    Architecture, Attention, LayerKind, LinearSpec, Mixer, Mlp, Names, NormKind, Norms, QkNorm,
};
use crate::model::rope::{Rope, RopeDefaults};

/// A family's defaults for missing keys of its config.
pub(super) struct Usual {
    /// Key and value heads; `None` for as many as there are query heads.
    pub(super) kv_heads: Option<usize>,
    /// Width of a head; `None` for an equal share of the residual stream.
    pub(super) head_dim: Option<usize>,
    /// Added to the mean square in a norm.
    pub(super) eps: f64,
    /// True if the head is the embedding.
    pub(super) tied: bool,
    /// Base of the rotary frequencies.
    pub(super) theta: f64,
}

/// Llama's defaults.
pub(super) const LLAMA: Usual = Usual { kv_heads: None, head_dim: None, eps: 1e-6, tied: false, theta: 1e4 };

/// The sizes that every family with Llama's field names has.
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) positions: usize,
}

impl Sizes {
    pub(super) fn read(fields: &Fields<'_>, usual: &Usual) -> Result<Self> {
        let heads = fields.size("num_attention_heads")?;
        let hidden = fields.multiple_of_4("hidden_size", fields.size("hidden_size")?)?;
        let kv_heads = fields.size_or_null("num_key_value_heads", usual.kv_heads.unwrap_or(heads), heads)?;
        let share = hidden / heads;
        let head_dim = fields.size_or_null("head_dim", usual.head_dim.unwrap_or(share), share)?;
        if heads as u64 * head_dim as u64 >= SIZE_LIMIT {
            let what = format!("{heads} heads of {head_dim} columns are 2^31 columns or more");
            return Err(fields.wrong("num_attention_heads", what));
        }
        Ok(Self {
            hidden,
            heads,
            kv_heads,
            head_dim,
            inner: fields.size("intermediate_size")?,
            layers: fields.size("num_hidden_layers")?,
            positions: fields.size("max_position_embeddings")?,
        })
    }

    /// Separate projections of queries, keys and values, and the output's.
    pub(super) fn attention(&self, bias: bool, output_bias: bool) -> [Vec<LinearSpec>; 2] {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let one = |path, output| LinearSpec::new(path, self.hidden, output).with_bias(bias);
        let output = LinearSpec::new("self_attn.o_proj", queries, self.hidden).with_bias(output_bias);
        let qkv = vec![one("self_attn.q_proj", queries), one("self_attn.k_proj", keys), one("self_attn.v_proj", keys)];
        [qkv, vec![output]]
    }

    /// A gated MLP.
    pub(super) fn mlp(&self, bias: bool) -> [Vec<LinearSpec>; 2] {
        let up = |path| LinearSpec::new(path, self.hidden, self.inner).with_bias(bias);
        let down = LinearSpec::new("mlp.down_proj", self.inner, self.hidden).with_bias(bias);
        [vec![up("mlp.gate_proj"), up("mlp.up_proj")], vec![down]]
    }

    /// Reads the rotary settings of a family that keeps them as Llama does.
    pub(super) fn rope(&self, fields: &Fields<'_>, theta: f64) -> Result<Rope> {
        for map in [Some(fields.map), crate::model::rope::settings(fields)?.map(|(_, map)| map)].into_iter().flatten() {
            if let Some(partial) = map.get("partial_rotary_factor").filter(|p| !p.is_null() && p.as_f64() != Some(1.0))
            {
                return Err(fields.wrong("partial_rotary_factor", format!("{partial} is not supported, only 1")));
            }
        }
        Rope::read(fields, &self.rope_defaults(theta))
    }

    pub(super) fn rope_defaults(&self, theta: f64) -> RopeDefaults {
        RopeDefaults { theta, dim: self.head_dim, max_position_embeddings: self.positions }
    }
}

/// A decoder of Llama's build with these linear layers.
pub(super) fn decoder(
    fields: &Fields<'_>,
    usual: &Usual,
    sizes: &Sizes,
    linears: [[Vec<LinearSpec>; 2]; 2],
    ropes: Vec<Rope>,
    act: Act,
) -> Result<Architecture> {
    let [[mixer_in, mixer_out], [mlp_in, mlp_out]] = linears;
    let mixer = Mixer::Attention { rope: Some(0), window: None };
    Ok(Architecture {
        model_type: fields.get("model_type").and_then(Value::as_str).unwrap_or_default().to_owned(),
        hidden_size: sizes.hidden,
        num_hidden_layers: sizes.layers,
        vocab_size: fields.size("vocab_size")?,
        max_position_embeddings: sizes.positions,
        norm: NormKind::Rms { offset: 0.0 },
        norm_eps: fields.positive_or("rms_norm_eps", usual.eps)?,
        norms: Norms::BEFORE,
        attention: Attention {
            heads: sizes.heads,
            kv_heads: sizes.kv_heads,
            head_dim: sizes.head_dim,
            scale: 1.0 / (sizes.head_dim as f64).sqrt(),
            scale_by_layer: false,
            softcap: None,
            qk_norm: QkNorm::No,
            qk_norm_names: ["self_attn.q_norm", "self_attn.k_norm"],
            query_growth: None,
        },
        mlp: Mlp { inner: sizes.inner, gated: true, act },
        parallel_residual: false,
        residual_multiplier: 1.0,
        embedding_multiplier: 1.0,
        learned_positions: false,
        logits_multiplier: 1.0,
        logits_softcap: None,
        tie_word_embeddings: fields.flag_or("tie_word_embeddings", usual.tied)?,
        kinds: vec![LayerKind { mixer, linears: [mixer_in, mixer_out, mlp_in, mlp_out] }],
        pattern: vec![0],
        ropes,
        names: Names::USUAL,
        bos_token_id: fields.token("bos_token_id")?,
        eos_token_id: fields.tokens("eos_token_id")?,
        pad_token_id: fields.token("pad_token_id")?,
        dtype: ["dtype", "torch_dtype"].iter().find_map(|key| fields.get(key)?.as_str().map(str::to_owned)),
        identity: identity(fields),
    })
}

/// A decoder with Llama's fields, whose attention may have biases in all four projections, and its MLP too.
pub(super) fn llama_like(fields: &Fields<'_>, usual: &Usual, mlp_bias: bool) -> Result<Architecture> {
    let sizes = Sizes::read(fields, usual)?;
    let bias = fields.flag("attention_bias")?;
    let linears = [sizes.attention(bias, bias), sizes.mlp(mlp_bias)];
    let ropes = vec![sizes.rope(fields, usual.theta)?];
    decoder(fields, usual, &sizes, linears, ropes, act(fields, "hidden_act", Act::Silu)?)
}

impl Architecture {
    /// Gives each layer its own mixer; layers with equal mixers share a kind.
    pub(super) fn set_mixers(&mut self, mixers: impl IntoIterator<Item = Mixer>) {
        let linears = self.kinds[0].linears.clone();
        let (mut kinds, mut pattern) = (Vec::<LayerKind>::new(), Vec::new());
        for mixer in mixers {
            let known = kinds.iter().position(|kind| kind.mixer == mixer);
            pattern.push(known.unwrap_or(kinds.len()));
            if known.is_none() {
                kinds.push(LayerKind { mixer, linears: linears.clone() });
            }
        }
        (self.kinds, self.pattern) = (kinds, pattern);
    }

    /// Gives all layers the same window.
    pub(super) fn set_window(&mut self, window: Option<usize>) {
        let window = self.window(window);
        self.set_mixers([Mixer::Attention { rope: Some(0), window }]);
    }

    /// Drops a window that no sequence can exceed.
    pub(super) fn window(&self, window: Option<usize>) -> Option<usize> {
        window.filter(|window| *window < self.max_position_embeddings)
    }
}

/// Layers with a sliding window: as `layer_types` says, or by `slides(layer)`, which repeats after `period` layers.
pub(super) fn sliding_layers(
    fields: &Fields<'_>,
    layers: usize,
    period: usize,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let Some(types) = fields.by_layer("layer_types", layers)? else {
        return Ok((0..period.min(layers)).map(slides).collect());
    };
    let slides = types.iter().map(|kind| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(fields.wrong("layer_types", format!("the kind of layer {kind} is not supported"))),
    });
    slides.collect()
}

/// The activation under a key.
pub(super) fn act(fields: &Fields<'_>, key: &str, default: Act) -> Result<Act> {
    const NAMES: [&str; 8] =
        ["silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "relu"];
    Ok(match fields.only(key, &NAMES)? {
        "" => default,
        "silu" | "swish" => Act::Silu,
        "gelu" => Act::Gelu,
        "relu" => Act::Relu,
        _ => Act::GeluTanh,
    })
}

/// Text of a config that does not depend on the order of its keys, without the keys that change no number.
fn identity(fields: &Fields<'_>) -> String {
    const IDLE: [&str; 6] =
        ["_name_or_path", "transformers_version", "architectures", "use_cache", "dtype", "torch_dtype"];
    let told = fields.map.iter().filter(|(key, _)| !IDLE.contains(&key.as_str()));
    sorted(told)
}

/// Text of an object, with its keys in order.
fn sorted<'a>(entries: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let entries: BTreeMap<&String, String> = entries
        .map(|(key, value)| (key, value.as_object().map_or_else(|| value.to_string(), |map| sorted(map.iter()))))
        .collect();
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
    format!("{{{}}}", entries.join(","))
}
