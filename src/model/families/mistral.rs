//! Mistral and Ministral 3.

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, act, decoder};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{Architecture, QueryGrowth};
use crate::model::rope::{Rope, RopeScaling, settings};

const MISTRAL: Usual = Usual { kv_heads: Some(8), ..LLAMA };
const MINISTRAL3: Usual = Usual { head_dim: Some(128), eps: 1e-5, ..MISTRAL };

/// Reads Mistral: all layers have a sliding window, unless `sliding_window` is null.
pub(in crate::model) fn read_mistral(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &MISTRAL)?;
    let rope = sizes.rope(fields, MISTRAL.theta)?;
    let mut mistral = with_rope(fields, &MISTRAL, &sizes, rope)?;
    let missing = (!fields.has("sliding_window")).then_some(4096);
    mistral.set_window(fields.optional_size("sliding_window")?.or(missing));
    Ok(mistral)
}

/// Reads Ministral 3: queries grow with their position.
pub(in crate::model) fn read_ministral3(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &MINISTRAL3)?;
    let usual = json!({
        "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16384,
        "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
    });
    let empty = Map::new();
    let usual = usual.as_object().unwrap_or(&empty);
    let (key, map) = settings(fields)?.unwrap_or(("rope_parameters", usual));
    let theta = fields.positive_or("rope_theta", MINISTRAL3.theta)?;
    let rope = Rope::read_from(fields, key, map, &sizes.rope_defaults(theta))?;
    let beta = map.get("llama_4_scaling_beta").and_then(Value::as_f64);
    let Some(beta) = beta else { return Err(fields.wrong(key, "it has no llama_4_scaling_beta".to_owned())) };
    let original = match rope.scaling {
        RopeScaling::Yarn { original_max_position_embeddings, .. } => original_max_position_embeddings,
        _ => sizes.positions,
    };
    let mut ministral = with_rope(fields, &MINISTRAL3, &sizes, rope)?;
    ministral.attention.query_growth = Some(QueryGrowth { beta, original });
    ministral.set_window(fields.optional_size("sliding_window")?);
    Ok(ministral)
}

fn with_rope(fields: &Fields<'_>, usual: &Usual, sizes: &Sizes, rope: Rope) -> Result<Architecture> {
    let linears = [sizes.attention(false, false), sizes.mlp(false)];
    decoder(fields, usual, sizes, linears, vec![rope], act(fields, "hidden_act", Act::Silu)?)
}
