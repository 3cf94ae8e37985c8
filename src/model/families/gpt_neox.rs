//! GPT-NeoX and Pythia: attention and MLP run side by side, and only a part of each head rotates.

use serde_json::Value;

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, act, decoder};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{Architecture, LinearSpec, Names, NormKind, Stored};
use crate::model::rope::{Rope, RopeDefaults, settings};

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let usual = Usual { ..LLAMA };
    let sizes = Sizes::read(fields, &usual)?;
    let (hidden, inner, heads) = (sizes.hidden, sizes.inner, sizes.heads);
    if !hidden.is_multiple_of(heads) {
        return Err(fields.wrong("num_attention_heads", format!("{heads} heads do not divide {hidden} columns")));
    }
    let bias = fields.flag_or("attention_bias", true)?;
    let qkv = LinearSpec::new("attention.query_key_value", hidden, 3 * hidden).with_bias(bias);
    let linears = [
        [
            vec![LinearSpec { stored: Stored::PerHead { heads }, ..qkv }],
            vec![LinearSpec::new("attention.dense", hidden, hidden).with_bias(bias)],
        ],
        [
            vec![LinearSpec::new("mlp.dense_h_to_4h", hidden, inner).with_bias(true)],
            vec![LinearSpec::new("mlp.dense_4h_to_h", inner, hidden).with_bias(true)],
        ],
    ];
    let act = act(fields, "hidden_act", Act::Gelu)?;
    let mut neox = decoder(fields, &usual, &sizes, linears, vec![rope(fields, &sizes)?], act)?;
    neox.norm = NormKind::Layer;
    neox.norm_eps = fields.positive_or("layer_norm_eps", 1e-5)?;
    neox.mlp.gated = false;
    neox.parallel_residual = fields.flag_or("use_parallel_residual", true)?;
    neox.names = Names {
        base: "gpt_neox",
        embedding: "embed_in",
        norm: "final_layer_norm",
        heads: &["embed_out", "lm_head"],
        ..Names::USUAL
    };
    Ok(neox)
}

fn rope(fields: &Fields<'_>, sizes: &Sizes) -> Result<Rope> {
    let found = settings(fields)?;
    let within = found.and_then(|(_, map)| map.get("partial_rotary_factor").and_then(Value::as_f64));
    let share = match within {
        Some(share) => share,
        None => fields.positive_or("rotary_pct", 0.25)?,
    };
    let defaults = RopeDefaults {
        theta: fields.positive_or("rotary_emb_base", 1e4)?,
        dim: (sizes.head_dim as f64 * share) as usize,
        max_position_embeddings: sizes.positions,
    };
    let empty = serde_json::Map::new();
    let (key, map) = found.unwrap_or(("rope_parameters", &empty));
    Rope::read_from(fields, key, map, &defaults)
}
