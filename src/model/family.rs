//! The table of model families.

use super::architecture::Architecture;
use super::families;
use super::families::fields::Fields;
use crate::error::{Error, Result};

/// A model family.
pub struct Family {
    /// Its `model_type`.
    pub model_type: &'static str,
    /// Reads its config.
    pub read: fn(&Fields<'_>) -> Result<Architecture>,
}

/// All supported families.
pub static FAMILIES: &[Family] = &[
    Family { model_type: "llama", read: families::llama::read },
    Family { model_type: "qwen3", read: families::qwen::read_qwen3 },
    Family { model_type: "qwen2", read: families::qwen::read_qwen2 },
    Family { model_type: "gemma3_text", read: families::gemma::read_gemma3 },
    Family { model_type: "gemma2", read: families::gemma::read_gemma2 },
    Family { model_type: "mistral", read: families::mistral::read_mistral },
    Family { model_type: "ministral3", read: families::mistral::read_ministral3 },
    Family { model_type: "smollm3", read: families::smollm3::read },
    Family { model_type: "phi3", read: families::phi3::read },
    Family { model_type: "granite", read: families::granite::read },
    Family { model_type: "lfm2", read: families::lfm2::read },
    Family { model_type: "olmo2", read: families::olmo::read_olmo2 },
    Family { model_type: "olmo3", read: families::olmo::read_olmo3 },
    Family { model_type: "gpt2", read: families::gpt2::read },
    Family { model_type: "gpt_neox", read: families::gpt_neox::read },
    Family { model_type: "exaone4", read: families::exaone4::read },
    Family { model_type: "hunyuan_v1_dense", read: families::hunyuan::read },
];

/// Returns the family of a config; also refuses weights in a quantisation of their own.
pub(super) fn of(fields: &Fields<'_>) -> Result<&'static Family> {
    let supported = FAMILIES.iter().map(|family| family.model_type).collect::<Vec<_>>().join(", ");
    let Some(found) = fields.get("model_type").and_then(serde_json::Value::as_str) else {
        return Err(Error::input(
            "The config has no model_type",
            format!("Name a folder with a Hugging Face model of a supported type ({supported})"),
            fields.at("model_type"),
        ));
    };
    let Some(family) = FAMILIES.iter().find(|family| family.model_type == found) else {
        return Err(Error::input(
            format!("The model_type \"{found}\" is not supported"),
            format!("Use a model of a supported type: {supported}"),
            fields.at("model_type"),
        ));
    };
    if let Some(quantization) = fields.get("quantization_config") {
        let method = quantization.get("quant_method").and_then(serde_json::Value::as_str).unwrap_or("unknown");
        return Err(Error::input(
            format!("The weights are quantised (method: {method}), which is not supported"),
            "Use the unquantised original of this model",
            fields.at("quantization_config"),
        ));
    }
    Ok(family)
}
