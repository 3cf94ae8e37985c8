//! Granite: embedding, attention, residual stream and logits have multipliers.

use super::fields::Fields;
use super::usual::{LLAMA, llama_like};
use crate::error::Result;
use crate::model::architecture::Architecture;

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let mut granite = llama_like(fields, &LLAMA, fields.flag("mlp_bias")?)?;
    granite.embedding_multiplier = fields.positive_or("embedding_multiplier", 1.0)?;
    granite.residual_multiplier = fields.positive_or("residual_multiplier", 1.0)?;
    granite.attention.scale = fields.positive_or("attention_multiplier", 1.0)?;
    granite.logits_multiplier = 1.0 / fields.positive_or("logits_scaling", 1.0)?;
    Ok(granite)
}
