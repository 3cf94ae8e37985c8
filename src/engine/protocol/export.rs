//! Files to write and files written.

use serde::{Deserialize, Serialize};

/// Files to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportRequest {
    /// The run.
    pub run_id: String,
    /// Adapter of the run to export.
    pub which: WhichAdapter,
    /// Factor on the adapter, written into `lora_alpha`.
    pub strength: f32,
    /// Kinds of files to write.
    pub kinds: Vec<ExportKind>,
    /// The folder to write to, natively; in the browser everything goes to the store, to be downloaded.
    pub folder: String,
    /// Text of the model card above its tables.
    pub card: String,
}

/// An adapter of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhichAdapter {
    /// Adapter of the best evaluation.
    Best,
    /// Adapter of the last step.
    Last,
}

/// Something to write from a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// A PEFT folder.
    Adapter,
    /// The base model with the adapter added to its weights.
    Merged,
    /// A GGUF file for llama.cpp, with a `Modelfile` for Ollama.
    Gguf(GgufForm),
    /// A folder that goes on with the run in TRL: script, settings, rows, adapter.
    Trl,
    /// Settings and metrics: JSON, JSONL, CSV and a TensorBoard event file.
    Metrics,
    /// A `.run` archive, which opens in the other world and continues.
    Archive,
}

/// Content of a GGUF file: the adapter by itself, or the merged model in one of ggml's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum GgufForm {
    /// The adapter.
    Lora,
    F16,
    Q8_0,
    Q4_0,
}

impl ExportKind {
    /// True if it is the whole model: its weights are needed once more to check what was written.
    pub fn is_model(self) -> bool {
        matches!(self, Self::Merged | Self::Gguf(GgufForm::F16 | GgufForm::Q8_0 | GgufForm::Q4_0))
    }
}

/// Something that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Kind of the export.
    pub kind: ExportKind,
    /// A path on disk, or a place in the browser's storage, ready to be downloaded.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Method and result of the check after writing.
    pub check: String,
    /// Commands that use it, to be copied.
    pub snippets: Vec<String>,
    /// Ways to use it that are no commands, as sentences.
    #[serde(default)]
    pub notes: Vec<String>,
}
