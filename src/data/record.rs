//! Preference pairs, the parts that they and other rows are made of, and rows that cannot be used.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reading::reader::PairReader;
use crate::error::Result;

/// One preference pair; `prompt`, `chosen` and `rejected` are either all text or all messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Index of the pair among the non-blank rows of the file, malformed ones included, from 0 (TRL's row number).
    pub row: usize,
    /// Line of the file on which the row begins, from 1.
    pub line: usize,
    /// The prompt of both answers.
    pub prompt: Part,
    /// The preferred answer.
    pub chosen: Part,
    /// The other answer.
    pub rejected: Part,
    /// Tools for the chat template, a list of JSON schemas.
    pub tools: Option<Value>,
    /// Further variables for the chat template, for example `enable_thinking`.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// Scores that others gave the chosen and the rejected answer, if the file has them; training ignores them.
    pub scores: Option<[f64; 2]>,
    /// Least margin by which a reward model should prefer the chosen answer, if the file has one.
    pub margin: Option<f64>,
}

/// A prompt or an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Plain text, used as it is.
    Text(String),
    /// Messages, which go through the model's chat template.
    Messages(Vec<Message>),
}

/// One message with all its fields, so that templates see them: `role`, `content`, and others.
pub type Message = Map<String, Value>;

impl Record {
    /// The pair as a row of a file, with an explicit prompt.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (key, value) in [("prompt", &self.prompt), ("chosen", &self.chosen), ("rejected", &self.rejected)] {
            map.insert(key.to_owned(), value.to_json());
        }
        if let Some(tools) = &self.tools {
            map.insert("tools".to_owned(), tools.clone());
        }
        if let Some(kwargs) = &self.chat_template_kwargs {
            map.insert("chat_template_kwargs".to_owned(), Value::Object(kwargs.clone()));
        }
        for (name, score) in ["score_chosen", "score_rejected"].into_iter().zip(self.scores.into_iter().flatten()) {
            map.insert(name.to_owned(), Value::from(score));
        }
        if let Some(margin) = self.margin {
            map.insert("margin".to_owned(), Value::from(margin));
        }
        Value::Object(map)
    }
}

impl Part {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Messages(list) => list.iter().cloned().map(Value::Object).collect(),
        }
    }

    /// The text, or the contents of the messages.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Messages(list) => list.iter().map(content).collect::<Vec<_>>().join("\n"),
        }
    }

    /// The text, or each message with its role.
    pub fn passages(&self) -> Vec<Passage> {
        match self {
            Self::Text(text) => vec![Passage { role: None, text: text.clone(), editable: true }],
            Self::Messages(list) => list
                .iter()
                .map(|message| Passage {
                    role: message.get("role").and_then(Value::as_str).map(str::to_owned),
                    text: content(message),
                    editable: message.get("content").is_some_and(Value::is_string),
                })
                .collect(),
        }
    }

    /// Replaces the texts of the passages, one for each; those that are not editable stay as they are.
    pub fn edit(&mut self, texts: Vec<String>) {
        match self {
            Self::Text(text) => *text = texts.into_iter().next().unwrap_or_default(),
            Self::Messages(list) => {
                for (message, text) in list.iter_mut().zip(texts) {
                    if let Some(Value::String(content)) = message.get_mut("content") {
                        *content = text;
                    }
                }
            }
        }
    }
}

/// Content of a message as text: other contents, as JSON.
fn content(message: &Message) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// A text, or a message, of a prompt or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Role of the message; none for plain text.
    pub role: Option<String>,
    /// The text; of a content that is no text, its JSON.
    pub text: String,
    /// True if a person may change the text.
    pub editable: bool,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Line of the file, from 1.
    pub line: usize,
    /// The fault that was found.
    pub what: String,
    /// A change that would work.
    pub fix: String,
    /// The beginning of the row.
    pub excerpt: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line {}: {}. {}. Found: {}", self.line, self.what, self.fix, self.excerpt)
    }
}

/// Reads all pairs of a file that is in memory; `file` is what messages call it.
///
/// Rows that cannot be used are in the second list. An error means that the whole file is of no use: it is empty, in
/// another format, or has no usable row.
pub fn read_pairs(bytes: &[u8], file: &str) -> Result<(Vec<Record>, Vec<LineError>)> {
    let mut reader = PairReader::new(file);
    reader.push(bytes)?;
    reader.finish()
}
