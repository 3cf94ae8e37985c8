//! Models: their sources, downloads and descriptions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Commands about the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelCommand {
    /// Open the bundled model and pairs.
    OpenDemo,
    /// Open a model; for [`ModelSource::Picked`] its files come beside the command.
    Open {
        /// Source of the model.
        source: ModelSource,
    },
    /// Read what a model's configuration and headers say of the memory that it needs; for [`ModelSource::Picked`] its
    /// files come beside the command.
    Measure {
        /// Source of the model.
        source: ModelSource,
    },
    /// Copy the open model into the app's own storage, so that it is there next time.
    Keep,
    /// Take a model out of the app's own storage.
    Forget {
        /// Its name in [`Event::Models`](super::Event::Models).
        name: String,
    },
}

/// Source of a model's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum ModelSource {
    /// Bundled with the program.
    Demo,
    /// Files that a person chose; they come beside the command.
    Picked {
        /// Its name.
        name: String,
        /// The folder's path where there is one, so that a run can open it again.
        path: Option<String>,
    },
    /// In the app's own storage.
    Stored {
        /// Its name in [`Event::Models`](super::Event::Models).
        name: String,
    },
}

/// A model in the app's own storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// Its name.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// False if its download is not finished.
    pub complete: bool,
    /// Source of an unfinished download, to fetch the rest from.
    pub origin: Option<Origin>,
}

/// Repository and server of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name there, as in `org/name`.
    pub repo: String,
    /// The server, as in `https://huggingface.co`.
    pub endpoint: String,
}

/// A model that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Source of its files.
    pub source: ModelSource,
    /// `model_type` of its config.
    pub model_type: String,
    /// Name of its family, as people know it.
    pub family: String,
    /// True if Ollama takes safetensors adapters of this family.
    pub ollama_adapter: bool,
    /// Parameters.
    pub parameters: u64,
    /// Bytes of the weights as stored.
    pub weight_bytes: u64,
    /// Layers.
    pub layers: usize,
    /// Tokens it was made for.
    pub max_positions: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Chat template and its variables.
    pub chat: ChatInfo,
    /// The licence that its README names.
    pub licence: Option<String>,
    /// Bytes that the smallest sensible run would take.
    pub least_bytes: u64,
}

/// The variable of templates that says whether an answer begins with thoughts.
pub const THINKING: &str = "enable_thinking";

/// Chat template of a model and its variables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatInfo {
    /// The template in use; none if there is none.
    pub template: Option<String>,
    /// The model's own.
    pub own: Option<String>,
    /// Variables of every conversation.
    pub kwargs: Map<String, Value>,
    /// True if the template reads [`THINKING`].
    pub thinks: bool,
}
