//! Gemma: its first version, Gemma 2 and Gemma 3.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, act, decoder, sliding_layers};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{Architecture, Mixer, NormKind, Norms, QkNorm};
use crate::model::rope::{Rope, settings};

const GEMMA: Usual = Usual { kv_heads: Some(4), head_dim: Some(256), tied: true, ..LLAMA };

/// Reads Gemma's first version: norms stand before each branch alone. A config that says `gelu` means its approximation
/// by tanh, as transformers has it.
pub(in crate::model) fn read_gemma(fields: &Fields<'_>) -> Result<Architecture> {
    let usual = Usual { kv_heads: Some(16), ..GEMMA };
    let sizes = Sizes::read(fields, &usual)?;
    let ropes = vec![sizes.rope(fields, usual.theta)?];
    let act = match act(fields, "hidden_act", Act::GeluTanh)? {
        Act::Gelu => Act::GeluTanh,
        other => other,
    };
    causal(fields)?;
    gemma(fields, &sizes, ropes, act)
}

/// Reads Gemma 2: scores and logits are capped, and every other layer has a sliding window.
pub(in crate::model) fn read_gemma2(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &GEMMA)?;
    let ropes = vec![sizes.rope(fields, GEMMA.theta)?];
    let mut gemma = later(fields, &sizes, ropes)?;
    gemma.attention.softcap = fields.positive_or_null("attn_logit_softcapping", Some(50.0))?;
    gemma.logits_softcap = fields.positive_or_null("final_logit_softcapping", Some(30.0))?;
    let slides = sliding_layers(fields, sizes.layers, 2, |layer| layer % 2 == 0)?;
    slide(fields, &mut gemma, &slides, [0, 0])?;
    Ok(gemma)
}

/// Reads Gemma 3: heads are normed, and five of six layers have a sliding window and frequencies of their own.
pub(in crate::model) fn read_gemma3(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &GEMMA)?;
    causal(fields)?;
    let ropes = ropes(fields, &sizes)?;
    let mut gemma = later(fields, &sizes, ropes)?;
    gemma.attention.qk_norm = QkNorm::PerHead;
    gemma.logits_softcap = fields.positive_or_null("final_logit_softcapping", None)?;
    let period = fields.size_or("sliding_window_pattern", 6)?;
    let slides = sliding_layers(fields, sizes.layers, period, |layer| !(layer + 1).is_multiple_of(period))?;
    slide(fields, &mut gemma, &slides, [0, 1])?;
    Ok(gemma)
}

/// Reads the parts that all versions share.
fn gemma(fields: &Fields<'_>, sizes: &Sizes, ropes: Vec<Rope>, act: Act) -> Result<Architecture> {
    let bias = fields.flag("attention_bias")?;
    let linears = [sizes.attention(bias, bias), sizes.mlp(false)];
    let mut gemma = decoder(fields, &GEMMA, sizes, linears, ropes, act)?;
    gemma.norm = NormKind::Rms { offset: 1.0 };
    gemma.embedding_multiplier = (sizes.hidden as f64).sqrt();
    Ok(gemma)
}

/// Reads the parts that Gemma 2 and Gemma 3 share.
fn later(fields: &Fields<'_>, sizes: &Sizes, ropes: Vec<Rope>) -> Result<Architecture> {
    let act = act(fields, "hidden_activation", Act::GeluTanh)?;
    let mut gemma = gemma(fields, sizes, ropes, act)?;
    gemma.norms = Norms::BOTH;
    gemma.attention.scale = fields.positive_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    Ok(gemma)
}

/// An error if attention looks ahead.
fn causal(fields: &Fields<'_>) -> Result<()> {
    match fields.flag("use_bidirectional_attention")? {
        true => Err(fields.wrong("use_bidirectional_attention", "only causal attention is supported".to_owned())),
        false => Ok(()),
    }
}

/// Sets the mixers: full layers rotate by the first of two rotary embeddings, sliding layers by the second.
fn slide(fields: &Fields<'_>, gemma: &mut Architecture, slides: &[bool], ropes: [usize; 2]) -> Result<()> {
    let window = gemma.window(fields.positive_or_null("sliding_window", Some(4096.0))?.map(|window| window as usize));
    let mixer = |slides: &bool| Mixer::Attention {
        rope: Some(ropes[usize::from(*slides)]),
        window: window.filter(|_| *slides),
    };
    gemma.set_mixers(slides.iter().map(mixer));
    Ok(())
}

/// Reads the rotary embeddings of full and of sliding layers.
fn ropes(fields: &Fields<'_>, sizes: &Sizes) -> Result<Vec<Rope>> {
    let empty = Map::new();
    let (key, map) = settings(fields)?.unwrap_or(("rope_parameters", &empty));
    let nested = |kind: &str| map.get(kind).and_then(Value::as_object);
    let (full, sliding) = (nested("full_attention"), nested("sliding_attention"));
    if full.is_some() || sliding.is_some() {
        let read = |kind: &str, map: Option<&Map<String, Value>>, theta: f64| {
            Rope::read_from(fields, &format!("{key}.{kind}"), map.unwrap_or(&empty), &sizes.rope_defaults(theta))
        };
        return Ok(vec![read("full_attention", full, 1e6)?, read("sliding_attention", sliding, 1e4)?]);
    }
    // Settings that are not nested count only under the older key, as in transformers.
    let older = if key == "rope_scaling" { map } else { &empty };
    let theta = fields.positive_or("rope_theta", 1e6)?;
    let local = fields.positive_or("rope_local_base_freq", 1e4)?;
    Ok(vec![
        Rope::read_from(fields, key, older, &sizes.rope_defaults(theta))?,
        Rope::read_from(fields, key, &empty, &sizes.rope_defaults(local))?,
    ])
}
