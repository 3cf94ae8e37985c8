//! The texts of this page.

use crate::app::text::units;
use crate::app::widgets::Tone;
use crate::engine::protocol::{ModelInfo, StorageInfo};

pub(super) const OPEN_MODEL_FILES: &str = "Open model files…";
pub(super) const MODEL_TITLE: &str = "Model";
pub(super) const MODEL_SUBTITLE: &str = "A language model in the Hugging Face format. It is read, never changed: the \
    run \
                                         writes a small adapter beside it.";
pub(super) const CHOOSE_MODEL: &str = "Choose a model";
pub(super) const OTHER_MODEL: &str = "Choose another model";
pub(super) const SOURCE_COMPUTER: &str = "This computer";
pub(super) const FROM_HUB: &str = "or find one on Hugging Face";
pub(super) const SOURCE_DEMO: &str = "Demo";
pub(super) const ARCHITECTURE: &str = "Architecture";
pub(super) const PARAMETERS: &str = "Parameters";
pub(super) const WEIGHTS: &str = "Weights";
pub(super) const LEAST_MEMORY: &str = "Minimum memory (in 4 bits)";
pub(super) const LICENCE: &str = "Licence";
pub(super) const LICENCE_UNKNOWN: &str = "not stated";
pub(super) const SAVING: &str = "Saving a copy…";
pub(super) const MODEL_COLUMNS: [&str; 6] = ["Name", "Size", "Memory", "State", "Licence", ""];
pub(super) const MODEL_FILES: &str = "A folder with config.json, tokenizer.json and model.safetensors (or its shards).";
pub(super) const ON_DISK: &str = "on disk";
pub(super) const USE: &str = "Use";
pub(super) const FORGET: &str = "Remove…";
pub(super) const FORGET_TEXT: &str = "It is taken out of the app's storage, and has to be opened or downloaded again \
    to be used. Runs that were made with it stay.";
pub(super) const FORGET_YES: &str = "Remove it";
pub(super) const FORGET_NO: &str = "Keep it";
pub(super) const NONE_FOUND: &str =
    "No whole model is in the Hugging Face cache of this computer, in LM Studio's folder or in Ollama's store.";
pub(super) const DEMO_MODEL: &str = "A tiny model and its pairs come with the program. Use them to see how everything \
                                     works; what it writes is no prose.";
pub(super) const OPEN_DEMO: &str = "Open the demo";
pub(super) const NONE_SAVED: &str = "No saved models yet. An open model can be saved for next time.";
pub(super) const SAVED: &str = "saved";
pub(super) const CUT_OFF: &str = "copy was cut off";
pub(super) const PARTLY: &str = "not whole yet";
pub(super) const FETCH_REST: &str = "Get the rest";

pub(super) fn source_saved(n: usize) -> String {
    format!("Saved models ({n})")
}

/// The family as people know it, and its `model_type`.
pub(super) fn architecture(info: &ModelInfo) -> String {
    format!("{} ({})", info.family, info.model_type)
}

pub(super) fn layers(n: usize) -> String {
    format!("{}, all supported", units::counted(n, "layer"))
}

pub(super) fn tokenizer(vocab_size: usize) -> String {
    format!("Tokenizer with {} entries", units::count(vocab_size))
}

pub(super) fn chat_template(there: bool) -> (Tone, &'static str) {
    match there {
        true => (Tone::Good, "Chat template"),
        false => (Tone::Neutral, "No chat template: prompts and answers are joined as they are"),
    }
}

pub(super) fn positions(n: usize) -> String {
    format!("Context length {}", units::count(n))
}

pub(super) fn save(bytes: u64, storage: &StorageInfo) -> String {
    match storage.quota {
        Some(quota) => format!("Save for next time ({} of {})", units::bytes(bytes), units::bytes(quota)),
        None => format!("Save for next time ({})", units::bytes(bytes)),
    }
}

pub(super) fn use_model(name: &str) -> String {
    format!("Use {name}")
}

pub(super) fn fetch_rest(name: &str) -> String {
    format!("{FETCH_REST} of {name}")
}

pub(super) fn forget(name: &str) -> String {
    format!("Remove {name}")
}

pub(super) fn forget_title(name: &str) -> String {
    format!("Remove {name}?")
}
