//! The texts of this page.

use crate::app::text::units;
use crate::engine::protocol::{ExportKind, GgufForm, ModelInfo, RunRecord};

pub(super) const SUBTITLE: &str = "Write the result to files; each is reloaded and verified.";
pub(super) const EMPTY_TITLE: &str = "Nothing to export yet";
pub(super) const WHICH: &str = "Which adapter";
pub(super) const WHAT: &str = "What to write";
pub(super) const SCALE_NOTE: &str = "Folded into lora_alpha, so every program uses it.";
pub(super) const CARD: &str = "Model card";
pub(super) const CARD_HELP: &str = "Goes to README.md; tables of settings and results follow it.";
pub(super) const EDIT: &str = "Edit";
pub(super) const PREVIEW: &str = "Preview";
pub(super) const ANEW: &str = "Regenerate";
pub(super) const WHERE: &str = "Where";
pub(super) const FOLDER: &str = "Folder";
pub(super) const CHOOSE_FOLDER: &str = "Choose…";
pub(super) const FOLDER_HINT: &str = "/home/you/models/tone-v2";
pub(super) const FOLDER_HELP: &str = "Created if missing; existing files are never overwritten.";
pub(super) const DOWNLOADS: &str = "The files come as downloads of this browser.";
pub(super) const WRITE: &str = "Write files";
pub(super) const CHOOSE: &str = "Choose what to write";
pub(super) const NAME_FOLDER: &str = "Name a folder";
pub(super) const PAUSE_TO_MERGE: &str = "Pause the run to write a merged model";
pub(super) const WHILE_RUNNING: &str = "The run goes on meanwhile: what is written is what it has learned \
    when the step at hand is done.";
pub(super) const WRITING: &str = "Writing and verifying";
pub(super) const FAILED: &str = "Nothing was written";
pub(super) const FAILED_PARTLY: &str = "The rest was not written";
pub(super) const AGAIN: &str = "Try again";
pub(super) const DONE: &str = "Written and verified";
pub(super) const COPY: &str = "Copy";
pub(super) const OPEN_FOLDER: &str = "Open folder";
pub(super) const COPY_PATH: &str = "Copy path";
pub(super) const DOWNLOAD: &str = "Download";
pub(super) const DOWNLOAD_ALL: &str = "Download all";
/// Says whether Ollama takes this adapter.
pub(super) fn ollama(model: &ModelInfo) -> String {
    match model.ollama_adapter {
        true => format!("Ollama takes this adapter, because the model is of the family {}.", model.family),
        false => format!(
            "Ollama takes no such adapter for {}: write the adapter as GGUF for it, or the whole model.",
            model.family
        ),
    }
}

pub(super) fn best(step: usize) -> String {
    format!("Best, step {step}")
}

pub(super) fn best_and_last(step: usize) -> String {
    format!("Step {step}, the best and the last")
}

pub(super) fn last(step: usize) -> String {
    format!("Last, step {step}")
}

pub(super) fn kind(kind: ExportKind) -> &'static str {
    match kind {
        ExportKind::Adapter => "Adapter (PEFT)",
        ExportKind::Merged => "Whole model (safetensors)",
        ExportKind::Gguf(GgufForm::Lora) => "Adapter (GGUF)",
        ExportKind::Gguf(GgufForm::F16) => "Whole model (GGUF, F16)",
        ExportKind::Gguf(GgufForm::Q8_0) => "Whole model (GGUF, Q8_0)",
        ExportKind::Gguf(GgufForm::Q4_0) => "Whole model (GGUF, Q4_0)",
        ExportKind::Trl => "Folder for TRL",
        ExportKind::Metrics => "Settings and metrics",
        ExportKind::Archive => "Run archive (.run)",
    }
}

pub(super) fn kind_help(kind: ExportKind) -> &'static str {
    match kind {
        ExportKind::Adapter => "For transformers and PEFT, vLLM and others; small, needs the base model.",
        ExportKind::Merged => "The base model with the adapter in its weights; opens wherever the base model does.",
        ExportKind::Gguf(GgufForm::Lora) => "For llama.cpp and Ollama, beside the base model as GGUF.",
        ExportKind::Gguf(GgufForm::F16) => "For llama.cpp, Ollama, LM Studio and Jan; the closest to what was trained.",
        ExportKind::Gguf(GgufForm::Q8_0) => {
            "The same in half the size; llama.cpp rounds more with it, which small models show."
        }
        ExportKind::Gguf(GgufForm::Q4_0) => "The same in a quarter of the size; answers may suffer.",
        ExportKind::Trl => "Goes on with the run in TRL on accelerate: one GPU or several, DeepSpeed, FSDP.",
        ExportKind::Metrics => "JSON, JSONL, CSV and a TensorBoard file, with TRL's names.",
        ExportKind::Archive => "Everything of the run; opens and continues on the desktop and in the browser.",
    }
}

/// Text of the proposed model card.
pub(super) fn model_card(record: &RunRecord, method: &str, beta: Option<f64>, rank: f64) -> String {
    let RunRecord { name, model_name, pairs_name, step, n_held_out, .. } = record;
    let beta = beta.map_or_else(String::new, |beta| format!("beta {beta}, "));
    let mut card = format!(
        "# {name}\n\nA LoRA adapter for {model_name}, tuned by {method} on {pairs_name} with pairtune.\n\n\
         ## Training\n\n- {beta}rank {rank}\n- {step} steps\n"
    );
    if let Some([before, now]) = record.won.map(|won| won.map(units::percent)) {
        let longer = units::percent(record.longer_wins);
        card += &format!(
            "- held-out accuracy: {before} before, {now} after ({n_held_out} pairs; always the longer answer: \
             {longer})\n"
        );
    }
    card
}

pub(super) fn about(bytes: &str) -> String {
    format!("~{bytes}")
}

pub(super) fn copy_of(what: &str) -> String {
    format!("Copy: {what}")
}
