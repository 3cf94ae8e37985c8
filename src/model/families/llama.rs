//! Llama and the models with its structure: SmolLM2, TinyLlama, Falcon 3.

use super::fields::Fields;
use super::usual::{LLAMA, llama_like};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::Architecture;
use crate::model::rope::RopeScaling;

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let mut llama = llama_like(fields, &LLAMA, fields.flag("mlp_bias")?)?;
    fields.positive("rms_norm_eps")?;
    if let Some(identity) = first_identity(&llama, fields)? {
        llama.identity = identity;
    }
    Ok(llama)
}

/// Identity text of version 0.1, for the models that it could open, so that their runs still match.
fn first_identity(llama: &Architecture, fields: &Fields<'_>) -> Result<Option<String>> {
    let scaling = match &llama.ropes[0].scaling {
        RopeScaling::Default => "Default".to_owned(),
        RopeScaling::Linear { factor } => format!("Linear {{ factor: {factor:?} }}"),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => format!(
            "Llama3 {{ factor: {factor:?}, low_freq_factor: {low_freq_factor:?}, high_freq_factor: \
             {high_freq_factor:?}, original_max_position_embeddings: {original_max_position_embeddings} }}"
        ),
        _ => return Ok(None),
    };
    if llama.mlp.act != Act::Silu {
        return Ok(None);
    }
    let option = |id: Option<u32>| id.map_or_else(|| "None".to_owned(), |id| format!("Some({id})"));
    let eos = llama.eos_token_id.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let dtype = llama.dtype.as_ref().map_or_else(|| "None".to_owned(), |dtype| format!("Some({dtype:?})"));
    let attention = &llama.attention;
    Ok(Some(format!(
        "ModelConfig {{ model_type: \"llama\", hidden_size: {}, intermediate_size: {}, num_hidden_layers: {}, \
         num_attention_heads: {}, num_key_value_heads: {}, head_dim: {}, rms_norm_eps: {:?}, vocab_size: {}, \
         tie_word_embeddings: {}, max_position_embeddings: {}, rope: Rope {{ theta: {:?}, scaling: {scaling} }}, \
         attention_bias: {}, mlp_bias: {}, bos_token_id: {}, eos_token_id: [{eos}], pad_token_id: {}, dtype: \
         {dtype} }}",
        llama.hidden_size,
        llama.mlp.inner,
        llama.num_hidden_layers,
        attention.heads,
        attention.kv_heads,
        attention.head_dim,
        llama.norm_eps,
        llama.vocab_size,
        llama.tie_word_embeddings,
        llama.max_position_embeddings,
        llama.ropes[0].theta,
        fields.flag("attention_bias")?,
        fields.flag("mlp_bias")?,
        option(llama.bos_token_id),
        option(llama.pad_token_id),
    )))
}
