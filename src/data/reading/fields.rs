//! Columns of files without pairs: finds the prompt, the answer and the other parts by their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::columns::{BESIDE, Columns, PROMPTS};
use crate::data::kind::Kind;

/// Names of the columns of a file without pairs, written as `prompt=question,completion=answer,label=good`; an empty
/// name stands for none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fields {
    /// Column of the prompt.
    pub prompt: String,
    /// Column of the answer to it.
    pub completion: String,
    /// Column of whole conversations.
    pub messages: String,
    /// Column of whole texts.
    pub text: String,
    /// Column of the verdict on an answer.
    pub label: String,
    /// Column of a system message or further input before the prompt.
    pub system: String,
}

/// Names of the answer's column, the likeliest first; TRL's own is the first.
const COMPLETIONS: &[&str] = &["completion", "response", "output", "answer"];
/// Names of a conversation's column: TRL's, and ShareGPT's.
const MESSAGES: &[&str] = &["messages", "conversations"];
/// Names of a verdict's column: TRL's, and LLaMA-Factory's.
const LABELS: &[&str] = &["label", "kto_tag"];

impl Fields {
    /// The likeliest columns of a file whose first row has these.
    pub fn guess(columns: &[String]) -> Self {
        let has = |name: &str| columns.iter().any(|column| column == name);
        let find = |names: &[&str]| names.iter().find(|name| has(name)).map_or_else(String::new, |name| (*name).into());
        // A conversation in a column of its own is no prompt.
        let prompts: Vec<&str> = PROMPTS.iter().copied().filter(|name| !MESSAGES.contains(name)).collect();
        let (prompt, messages, label) = (find(&prompts), find(MESSAGES), find(LABELS));
        let completion = if prompt.is_empty() { String::new() } else { find(COMPLETIONS) };
        let is_trl = prompt == "prompt" || prompt.is_empty();
        let system = if is_trl { String::new() } else { find(&["system"]) };
        let text = if prompt.is_empty() && messages.is_empty() { find(&["text"]) } else { String::new() };
        Self { prompt, completion, messages, text, label, system }
    }

    /// Kind of rows with these columns; none if the columns of every kind are incomplete.
    pub fn kind(&self) -> Option<Kind> {
        let [prompt, completion, messages, text, label] =
            [&self.prompt, &self.completion, &self.messages, &self.text, &self.label].map(|name| !name.is_empty());
        let answered = messages || (prompt && completion);
        match (answered, label) {
            (true, true) => Some(Kind::Labelled),
            (true, false) => Some(Kind::Completions),
            _ if text => Some(Kind::Completions),
            _ => prompt.then_some(Kind::Prompts),
        }
    }

    /// True if there is something to answer, and not whole texts alone.
    pub fn have_prompts(&self) -> bool {
        !self.prompt.is_empty() || !self.messages.is_empty()
    }

    /// The names of the columns that are read, in the order in which people think of them.
    pub fn names(&self) -> Vec<&str> {
        self.named().into_iter().map(|(_, column)| column).filter(|column| !column.is_empty()).collect()
    }

    /// True for a column that rows of this kind are read with; prompts keep all, which rules for rewards may look at.
    pub(in crate::data) fn need(&self, column: &str, kind: Kind) -> bool {
        kind == Kind::Prompts || self.names().contains(&column) || BESIDE.contains(&column)
    }

    /// The columns by which the pairs' reader finds a prompt and its answer, which becomes `chosen`.
    pub(in crate::data) fn as_pairs(&self, with_answer: bool) -> Columns {
        let chosen = if with_answer { self.completion.clone() } else { String::new() };
        Columns { prompt: self.prompt.clone(), chosen, rejected: String::new(), system: self.system.clone() }
    }

    fn named(&self) -> [(&'static str, &str); 6] {
        let Self { prompt, completion, messages, text, label, system } = self;
        [
            ("prompt", prompt),
            ("completion", completion),
            ("messages", messages),
            ("text", text),
            ("label", label),
            ("system", system),
        ]
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.named().into_iter().filter(|(_, column)| !column.is_empty());
        f.write_str(&given.map(|(name, column)| format!("{name}={column}")).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Fields {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields = Self::default();
        for part in text.split(',') {
            let (name, column) = part.split_once('=').unwrap_or((part, ""));
            let place = match name.trim() {
                "prompt" => &mut fields.prompt,
                "completion" => &mut fields.completion,
                "messages" => &mut fields.messages,
                "text" => &mut fields.text,
                "label" => &mut fields.label,
                "system" => &mut fields.system,
                other => return Err(format!("\"{other}\" is not prompt, completion, messages, text, label or system")),
            };
            column.trim().clone_into(place);
        }
        match fields.kind() {
            Some(_) => Ok(fields),
            None => Err("prompt, messages or text is needed, as in prompt=question,completion=answer".to_owned()),
        }
    }
}

/// The verdict on an answer: true or false, 1 or 0, also as text.
pub(in crate::data) fn verdict(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(verdict) => Some(*verdict),
        Value::Number(number) => match number.as_f64()? {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Takes a column with this name out of a row; none for no name, and for null.
pub(in crate::data) fn take(row: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if name.is_empty() { None } else { row.remove(name).filter(|value| !value.is_null()) }
}
