//! The table of model families.

use super::architecture::Architecture;
use super::families;
use super::families::fields::Fields;
use crate::error::{Error, Result};

/// A model family.
pub struct Family {
    /// Its `model_type`.
    pub model_type: &'static str,
    /// Name by which people know it, without a version.
    pub name: &'static str,
    /// Versions that have this `model_type`, as in `2/2.5`; empty if it says nothing to name them.
    pub versions: &'static str,
    /// Reads its config.
    pub read: fn(&Fields<'_>) -> Result<Architecture>,
}

/// All supported families; those of one name follow each other.
pub static FAMILIES: &[Family] = &[
    family("llama", "Llama", "", families::llama::read),
    family("qwen2", "Qwen", "2/2.5", families::qwen::read_qwen2),
    family("qwen3", "Qwen", "3", families::qwen::read_qwen3),
    family("gemma", "Gemma", "1", families::gemma::read_gemma),
    family("gemma2", "Gemma", "2", families::gemma::read_gemma2),
    family("gemma3_text", "Gemma", "3", families::gemma::read_gemma3),
    family("mistral", "Mistral", "", families::mistral::read_mistral),
    family("ministral3", "Ministral", "3", families::mistral::read_ministral3),
    family("smollm3", "SmolLM", "3", families::smollm3::read),
    family("phi3", "Phi", "3/3.5/4", families::phi3::read),
    family("granite", "Granite", "", families::granite::read),
    family("lfm2", "LFM", "2", families::lfm2::read),
    family("olmo2", "OLMo", "2", families::olmo::read_olmo2),
    family("olmo3", "OLMo", "3", families::olmo::read_olmo3),
    family("gpt2", "GPT-2", "", families::gpt2::read),
    family("gpt_neox", "GPT-NeoX", "", families::gpt_neox::read),
    family("exaone4", "EXAONE", "4", families::exaone4::read),
    family("hunyuan_v1_dense", "Hunyuan", "", families::hunyuan::read),
];

const fn family(
    model_type: &'static str,
    name: &'static str,
    versions: &'static str,
    read: fn(&Fields<'_>) -> Result<Architecture>,
) -> Family {
    Family { model_type, name, versions, read }
}

impl Family {
    /// The family with this `model_type`.
    pub fn of_type(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }

    /// Its name with its versions.
    pub fn label(&self) -> String {
        [self.name, self.versions].join(" ").trim_end().to_owned()
    }

    /// All families as people name them, the versions of a name together.
    pub fn supported() -> String {
        let of_one_name = FAMILIES.chunk_by(|a, b| a.name == b.name);
        let named = of_one_name.map(|same| {
            let versions: Vec<&str> = same.iter().map(|family| family.versions).collect();
            format!("{} {}", same[0].name, versions.join("/")).trim_end().to_owned()
        });
        named.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the family of a config; also refuses weights in a quantisation of their own.
pub(super) fn of(fields: &Fields<'_>) -> Result<&'static Family> {
    let Some(found) = fields.get("model_type").and_then(serde_json::Value::as_str) else {
        return Err(Error::input(
            "The config has no model_type",
            format!("Choose the folder of a Hugging Face model. Supported: {}", Family::supported()),
            fields.at("model_type"),
        ));
    };
    let Some(family) = Family::of_type(found) else {
        return Err(Error::input(
            format!("The model_type \"{found}\" is not supported"),
            format!("Choose a model of another family. Supported: {}", Family::supported()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_people_know_them() {
        let supported = Family::supported();
        assert!(supported.starts_with("Llama, Qwen 2/2.5/3, Gemma 1/2/3, Mistral, "), "{supported}");
        for family in FAMILIES {
            assert_eq!(supported.matches(family.name).count(), 1, "{} is named once: {supported}", family.name);
            assert!(!supported.contains('_'), "no model_type is among them: {supported}");
        }
        let labels = ["qwen2", "llama"].map(|model_type| Family::of_type(model_type).map(Family::label));
        assert_eq!(labels, ["Qwen 2/2.5", "Llama"].map(|label| Some(label.to_owned())));
    }
}
