//! Phi-3 and Phi-4-mini: queries, keys and values are one projection, and so are gate and up.

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, act, decoder};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{Architecture, LinearSpec};
use crate::model::rope::{Rope, RopeDefaults, settings};

const PHI3: Usual = Usual { eps: 1e-5, ..LLAMA };

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &PHI3)?;
    let (hidden, queries, keys) = (sizes.hidden, sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim);
    let attention = [
        vec![LinearSpec::new("self_attn.qkv_proj", hidden, queries + 2 * keys)],
        vec![LinearSpec::new("self_attn.o_proj", queries, hidden)],
    ];
    let mlp = [
        vec![LinearSpec::new("mlp.gate_up_proj", hidden, 2 * sizes.inner)],
        vec![LinearSpec::new("mlp.down_proj", sizes.inner, hidden)],
    ];
    let act = act(fields, "hidden_act", Act::Silu)?;
    let mut phi = decoder(fields, &PHI3, &sizes, [attention, mlp], vec![rope(fields, &sizes)?], act)?;
    phi.set_window(fields.optional_size("sliding_window")?);
    Ok(phi)
}

/// Reads the rotary embedding: only a part of each head rotates. Older files say "su" or "yarn" where they mean
/// longrope.
fn rope(fields: &Fields<'_>, sizes: &Sizes) -> Result<Rope> {
    let found = settings(fields)?;
    let within = found.and_then(|(_, map)| map.get("partial_rotary_factor")?.as_f64());
    let share = match within {
        Some(share) => share,
        None => fields.positive_or("partial_rotary_factor", 1.0)?,
    };
    let positions = fields.size_or("original_max_position_embeddings", 4096)?;
    let dim = (sizes.head_dim as f64 * share) as usize;
    let defaults = RopeDefaults { theta: PHI3.theta, dim, max_position_embeddings: sizes.positions };
    let Some((key, map)) = found else { return Rope::read(fields, &defaults) };
    let mut map = map.clone();
    for name in ["rope_type", "type"] {
        if map.get(name).and_then(serde_json::Value::as_str) == Some("yarn") {
            map.insert(name.to_owned(), "longrope".into());
        }
    }
    if !fields.has("original_max_position_embeddings") {
        map.entry("original_max_position_embeddings").or_insert(positions.into());
    }
    let theta = fields.positive_or("rope_theta", PHI3.theta)?;
    Rope::read_from(fields, key, &map, &RopeDefaults { theta, ..defaults })
}
