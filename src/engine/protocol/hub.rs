//! The Hugging Face Hub.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Problem;

/// Commands about models on the Hugging Face Hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HubCommand {
    /// Search for models that can write texts, the most downloaded first.
    Search {
        /// Words of their names; empty for all.
        text: String,
        /// Parameters that a model may have; none for any number.
        most_parameters: Option<u64>,
        /// Server of the repositories; `https://huggingface.co` except in tests.
        endpoint: String,
    },
    /// Fetch a model, or continue to: in a page into the app's own storage, natively into the cache that other tools
    /// share; then open it.
    Fetch {
        /// `organisation/name`.
        repo: String,
        /// Server of the repositories; `https://huggingface.co` except in tests.
        endpoint: String,
    },
    /// Use a token from now on, instead of the one that this computer has; none for that one.
    SetToken {
        /// The token.
        token: Option<Token>,
    },
}

/// A user's access token. It is not shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Messages about models on the Hugging Face Hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HubEvent {
    /// The models that a search found, the most downloaded first.
    Found {
        /// The models.
        models: Vec<HubModel>,
    },
    /// The needs of the models that were found are being read, or are no longer.
    Measuring(bool),
    /// Memory that a model would need, by its configuration.
    Measured {
        /// The model.
        repo: String,
        /// Bytes on the device of the smallest sensible run, or why it cannot be tuned.
        needs: Result<u64, Problem>,
    },
}

/// A model on the Hub, as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubModel {
    /// `organisation/name`.
    pub repo: String,
    /// Parameters; none if the server does not know.
    pub parameters: Option<u64>,
    /// Bytes of the weights; none if the server does not know.
    pub weight_bytes: Option<u64>,
    /// Downloads in the last 30 days.
    pub downloads: u64,
    /// Its licence; none if it states none.
    pub licence: Option<String>,
    /// True if its conditions have to be accepted before it can be fetched.
    pub gated: bool,
}
