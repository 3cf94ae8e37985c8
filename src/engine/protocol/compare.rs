//! Comparing base and tuned model.

use serde::{Deserialize, Serialize};

/// Commands that set the tuned model beside the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareCommand {
    /// Write a text with the base model and with the tuned one.
    Generate(Box<GenerateRequest>),
    /// Score every held-out pair at an adapter scale, 1 as trained.
    ScoreHeldOut {
        /// Factor on the adapter, 1 as trained.
        strength: f32,
    },
    /// Log-probabilities of every token of a pair, base and tuned.
    InspectPair {
        /// Index of the pair among the usable rows.
        index: usize,
        /// Factor on the adapter, 1 as trained.
        strength: f32,
    },
}

/// Texts to write: answers to one prompt or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// Comes back in every [`Event::Text`](super::Event::Text).
    pub id: u64,
    /// Prompt to answer.
    pub prompt: String,
    /// Further prompts to answer together with it.
    #[serde(default)]
    pub others: Vec<String>,
    /// System prompt of the conversation; empty for none.
    #[serde(default)]
    pub system: String,
    /// Earlier turns of the conversation.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// Seed of the choice of tokens.
    pub seed: u64,
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Most tokens to write.
    pub max_new_tokens: usize,
    /// One text for each: a factor on the adapter, 0 for the base model.
    pub strengths: Vec<f32>,
    /// One text for each of these stored runs, by its adapter as it was trained, instead of those by the open run's.
    #[serde(default)]
    pub runs: Vec<String>,
}

impl GenerateRequest {
    /// Returns the prompts, in order.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        [&self.prompt].into_iter().chain(&self.others).map(String::as_str)
    }

    /// Returns the number of models that answer each prompt.
    pub fn models(&self) -> usize {
        if self.runs.is_empty() { self.strengths.len() } else { self.runs.len() }
    }

    /// Returns the number of texts to write: prompt by prompt, in each the models in order.
    pub fn sides(&self) -> usize {
        (1 + self.others.len()) * self.models()
    }
}

/// A turn of a conversation that several models have side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The user's message.
    pub prompt: String,
    /// Answer of each model.
    pub answers: Vec<String>,
}

/// A held-out pair, scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutPair {
    /// Its index among the usable rows.
    pub index: usize,
    /// Log-probability of chosen and rejected by the base model, nats.
    pub base: [f64; 2],
    /// And by the tuned one.
    pub tuned: [f64; 2],
    /// Tokens scored on each side.
    pub tokens: [usize; 2],
}

/// A pair, token by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Its index among the usable rows.
    pub index: usize,
    /// Factor on the adapter.
    pub strength: f32,
    /// Beginning of the prompt.
    pub prompt: String,
    /// The tokens of chosen and rejected that are scored.
    pub sides: [Vec<TokenChange>; 2],
    /// The reward margin: beta times the difference of the sums of changes.
    pub margin: f64,
}

/// A token, and what the model thinks of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenChange {
    /// Its text.
    pub text: String,
    /// Log-probability by the base model, nats.
    pub base: f32,
    /// And by the tuned one.
    pub tuned: f32,
}
