//! OLMo 2 and OLMo 3: norms come after attention and MLP, and all heads are normed together.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::usual::{LLAMA, Usual, llama_like, sliding_layers};
use crate::error::Result;
use crate::model::architecture::{Architecture, Mixer, Norms, QkNorm};
use crate::model::rope::{Rope, RopeDefaults, settings};

const OLMO2: Usual = Usual { eps: 1e-5, ..LLAMA };

pub(in crate::model) fn read_olmo2(fields: &Fields<'_>) -> Result<Architecture> {
    let mut olmo = llama_like(fields, &OLMO2, false)?;
    olmo.norms = Norms::AFTER;
    olmo.attention.qk_norm = QkNorm::Whole;
    Ok(olmo)
}

/// Reads OLMo 3: three of four layers have a sliding window, with frequencies of their own.
pub(in crate::model) fn read_olmo3(fields: &Fields<'_>) -> Result<Architecture> {
    let map: Map<String, Value> =
        fields.map.iter().filter(|(key, _)| !key.starts_with("rope_")).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut olmo = read_olmo2(&Fields { map: &map, ..*fields })?;
    olmo.identity += &settings(fields)?.map_or_else(String::new, |(_, map)| Value::Object(map.clone()).to_string());
    olmo.ropes = ropes(fields, &olmo)?;
    let window = olmo.window(fields.positive_or_null("sliding_window", Some(4096.0))?.map(|window| window as usize));
    let slides = sliding_layers(fields, olmo.num_hidden_layers, 4, |layer| !(layer + 1).is_multiple_of(4))?;
    let mixer =
        |slides: &bool| Mixer::Attention { rope: Some(usize::from(*slides)), window: window.filter(|_| *slides) };
    olmo.set_mixers(slides.iter().map(mixer));
    Ok(olmo)
}

/// Reads the rotary embeddings of full and of sliding layers. The older fields reach only the full ones, as in
/// transformers.
fn ropes(fields: &Fields<'_>, olmo: &Architecture) -> Result<Vec<Rope>> {
    let (dim, max_position_embeddings) = (olmo.attention.head_dim, olmo.max_position_embeddings);
    let defaults = |theta: f64| RopeDefaults { theta, dim, max_position_embeddings };
    let empty = Map::new();
    let (key, map) = settings(fields)?.unwrap_or(("rope_parameters", &empty));
    let nested = |kind: &str| map.get(kind).and_then(Value::as_object);
    let (full, sliding) = (nested("full_attention"), nested("sliding_attention"));
    if full.is_some() || sliding.is_some() {
        let read = |kind: &str, map: Option<&Map<String, Value>>| {
            Rope::read_from(fields, &format!("{key}.{kind}"), map.unwrap_or(&empty), &defaults(5e5))
        };
        return Ok(vec![read("full_attention", full)?, read("sliding_attention", sliding)?]);
    }
    let older = if key == "rope_scaling" { map } else { &empty };
    let theta = fields.positive_or("rope_theta", 5e5)?;
    Ok(vec![
        Rope::read_from(fields, key, older, &defaults(theta))?,
        Rope::read_from(fields, key, &empty, &defaults(5e5))?,
    ])
}
