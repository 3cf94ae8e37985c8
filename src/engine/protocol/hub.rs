//! The Hugging Face Hub.

use serde::{Deserialize, Serialize};

/// Commands about models on the Hugging Face Hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HubCommand {
    /// Fetch a model, or continue to: in a page into the app's own storage, natively into the cache that other tools
    /// share; then open it.
    Fetch {
        /// `organisation/name`.
        repo: String,
        /// Server of the repositories; `https://huggingface.co` except in tests.
        endpoint: String,
    },
}
