//! The texts of this page.

use crate::app::text::units;
use crate::app::widgets::Tone;
use crate::engine::protocol::{ModelInfo, StorageInfo};

pub(super) const OPEN_MODEL_FILES: &str = "Open model files…";
pub(super) const MODEL_TITLE: &str = "Model";
pub(super) const MODEL_SUBTITLE: &str = "A language model in the Hugging Face format. It is read, never changed: the \
    run \
                                         writes a small adapter beside it.";
pub(super) const MODEL_REFUSED: &str = "This model can't be used";
pub(super) const MODEL_LOADING: &str = "Opening the model";
pub(super) const PICK_OTHER: &str = "Pick another folder…";
pub(super) const CHOOSE_MODEL: &str = "Choose a model";
pub(super) const OTHER_MODEL: &str = "Choose another model";
pub(super) const SOURCE_COMPUTER: &str = "This computer";
pub(super) const SOURCE_HUB: &str = "Hugging Face";
pub(super) const SOURCE_DEMO: &str = "Demo";
pub(super) const CANCEL_NOTE: &str = "Frees the memory again. A download continues where it stopped.";
pub(super) const ARCHITECTURE: &str = "Architecture";
pub(super) const PARAMETERS: &str = "Parameters";
pub(super) const WEIGHTS: &str = "Weights";
pub(super) const LEAST_MEMORY: &str = "Minimum memory (in 4 bits)";
pub(super) const LICENCE: &str = "Licence";
pub(super) const LICENCE_UNKNOWN: &str = "not stated";
pub(super) const SAVING: &str = "Saving a copy…";
pub(super) const FITS: &str = "fits";
pub(super) const FITS_WHY: &str = "The smallest sensible run fits: the weights in 4 bits, one short pair at a time. \
    Plan says what your run takes.";
pub(super) const NEEDS_WHY: &str = "Weights, adapter, activations and logits of the smallest sensible run: one short \
    pair at a time. A smaller model helps most.";
pub(super) const NOT_SUPPORTED: &str = "cannot be tuned";
pub(super) const MODEL_COLUMNS: [&str; 6] = ["Name", "Size", "Memory", "State", "Licence", ""];
pub(super) const MODEL_FILES: &str = "A folder with config.json, tokenizer.json and model.safetensors (or its shards).";
pub(super) const ON_DISK: &str = "on disk";
pub(super) const USE: &str = "Use";
pub(super) const FORGET: &str = "Remove…";
pub(super) const FORGET_TEXT: &str = "It is taken out of the app's storage, and has to be opened or downloaded again \
    to be used. Runs that were made with it stay.";
pub(super) const FORGET_YES: &str = "Remove it";
pub(super) const FORGET_NO: &str = "Keep it";
pub(super) const NONE_FOUND: &str = "The Hugging Face cache of this computer holds no whole model.";
pub(super) const REPOSITORY: &str = "Repository";
pub(super) const SUGGESTIONS: &str = "Suggestions";
pub(super) const GET: &str = "Get";
pub(super) const HUB_ADVANCED: &str = "Another server";
pub(super) const ENDPOINT: &str = "Address";
pub(super) const DEMO_MODEL: &str = "A tiny model and its pairs come with the program. Use them to see how everything \
                                     works; what it writes is no prose.";
pub(super) const OPEN_DEMO: &str = "Open the demo";
pub(super) const NONE_SAVED: &str = "No saved models yet. An open model can be saved for next time.";
pub(super) const SAVED: &str = "saved";
pub(super) const CUT_OFF: &str = "copy was cut off";
pub(super) const PARTLY: &str = "not whole yet";
pub(super) const FETCH_REST: &str = "Get the rest";

/// Says that the open model stays open although another one was refused.
pub(super) fn still_open(name: &str) -> String {
    format!("\"{name}\" stays open.")
}

/// Says before a download where it is from, where it goes, and to whom a token is shown.
pub(super) fn hub_note(endpoint: &str, place: &str, token_places: Option<&str>) -> String {
    let server = endpoint.split_once("://").map_or(endpoint, |(_, server)| server);
    let mut note = format!(
        "Fetched from {server} into {place}, at your click only. A download that stops continues where it was, and \
         every file is checked."
    );
    if let Some(places) = token_places {
        note.push_str(&format!(" A token in {places} is shown to {server} alone."));
    }
    note
}

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

pub(super) fn needs(least: u64, limit: u64) -> String {
    format!("needs {}, has {}", units::bytes(least), units::bytes(limit))
}

pub(super) fn needs_only(least: u64) -> String {
    format!("needs {}", units::bytes(least))
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
