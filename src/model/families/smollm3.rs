//! SmolLM3: some layers have no positions at all.

use serde_json::Value;

use super::fields::Fields;
use super::usual::{LLAMA, Usual, llama_like};
use crate::error::Result;
use crate::model::architecture::{Architecture, Mixer};

const SMOLLM3: Usual = Usual { kv_heads: Some(4), tied: true, theta: 2e6, ..LLAMA };

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let mut smollm = llama_like(fields, &SMOLLM3, fields.flag("mlp_bias")?)?;
    let layers = smollm.num_hidden_layers;
    // An entry is 1 where the layer has positions.
    let turns: Vec<bool> = match fields.by_layer("no_rope_layers", layers)? {
        Some(list) => list.iter().map(|turns| turns.as_i64() != Some(0) && *turns != Value::Bool(false)).collect(),
        None => {
            let interval = fields.size_or("no_rope_layer_interval", 4)?;
            (0..interval.min(layers)).map(|layer| !(layer + 1).is_multiple_of(interval)).collect()
        }
    };
    let window = smollm.window(fields.optional_size("sliding_window")?);
    let slides: Vec<bool> = match fields.by_layer("layer_types", layers)? {
        Some(types) => types.iter().map(|kind| kind.as_str() == Some("sliding_attention")).collect(),
        None => {
            let some = fields.flag("use_sliding_window")?;
            turns.iter().map(|turns| some && !turns).collect()
        }
    };
    let mixer = |layer: usize| Mixer::Attention {
        rope: turns[layer % turns.len()].then_some(0),
        window: window.filter(|_| slides[layer % slides.len()]),
    };
    smollm.set_mixers((0..turns.len().max(slides.len())).map(mixer));
    Ok(smollm)
}
