//! Which columns of a file hold prompt, chosen and rejected, where they have the names of other tools.

use serde_json::{Map, Value, json};

/// Names of columns; an empty one is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// The prompt; without it chosen and rejected hold whole dialogues.
    pub prompt: String,
    /// The preferred answer.
    pub chosen: String,
    /// The other answer.
    pub rejected: String,
    /// A system message, or further input to the prompt.
    pub system: String,
}

/// Names by which TRL, LLaMA-Factory, H2O, Orca and Argilla know each column, the likeliest first.
const PROMPTS: &[&str] = &["prompt", "instruction", "question", "conversations", "input", "query", "context"];
const CHOSEN: &[&str] =
    &["chosen", "accepted", "preferred", "response_j", "chosen_response", "answer", "output", "response"];
const REJECTED: &[&str] = &["rejected", "rejected_answer", "rejected_response", "dispreferred", "response_k"];
const SYSTEMS: &[&str] = &["system", "input"];

impl Columns {
    /// The likeliest columns of a file whose first row has these.
    pub fn guess(columns: &[String]) -> Self {
        let find = |names: &[&str]| {
            let name = names.iter().find(|name| columns.iter().any(|column| column == *name));
            name.map_or_else(String::new, |name| (*name).to_owned())
        };
        let prompt = find(PROMPTS);
        let system = if prompt == "input" { String::new() } else { find(SYSTEMS) };
        // A system message beside TRL's own names is not TRL's; it is left alone unless a person asks for it.
        let system = if prompt == "prompt" { String::new() } else { system };
        Self { prompt, chosen: find(CHOSEN), rejected: find(REJECTED), system }
    }

    /// True if the columns are TRL's, so that nothing is renamed.
    pub fn is_trl(&self) -> bool {
        (self.prompt == "prompt" || self.prompt.is_empty())
            && self.chosen == "chosen"
            && self.rejected == "rejected"
            && self.system.is_empty()
    }

    /// Gives a row TRL's columns.
    pub(super) fn rename(&self, row: &mut Map<String, Value>) {
        let mut take = |name: &str| if name.is_empty() { None } else { row.remove(name).map(messages) };
        let (mut prompt, mut chosen, mut rejected) = (take(&self.prompt), take(&self.chosen), take(&self.rejected));
        let system = take(&self.system);
        if matches!(prompt, Some(Value::Array(_))) {
            // A dialogue as the prompt: each answer is its next message.
            for answer in [&mut chosen, &mut rejected] {
                *answer = answer.take().map(|answer| match answer {
                    Value::String(text) => json!([{"role": "assistant", "content": text}]),
                    Value::Object(message) => Value::Array(vec![Value::Object(message)]),
                    other => other,
                });
            }
        }
        let system = system.filter(|system| system.as_str().is_some_and(|text| !text.is_empty()));
        prompt = match (prompt, system) {
            (Some(Value::Array(mut list)), Some(system)) => {
                list.insert(0, json!({"role": "system", "content": system}));
                Some(Value::Array(list))
            }
            // LLaMA-Factory's alpaca format: the input follows the instruction. Orca: the question follows the system.
            (Some(Value::String(text)), Some(Value::String(system))) => {
                Some(Value::String(match self.system.as_str() {
                    "input" => format!("{text}\n{system}"),
                    _ => format!("{system}\n{text}"),
                }))
            }
            (prompt, _) => prompt,
        };
        for (name, value) in [("prompt", prompt), ("chosen", chosen), ("rejected", rejected)] {
            row.remove(name);
            if let Some(value) = value {
                row.insert(name.to_owned(), value);
            }
        }
    }
}

/// ShareGPT's `from` and `value` as `role` and `content`.
fn messages(value: Value) -> Value {
    let message = |mut message: Map<String, Value>| {
        if let (false, Some(Value::String(from))) = (message.contains_key("role"), message.get("from").cloned()) {
            let role = match from.as_str() {
                "human" | "user" => "user",
                "gpt" | "assistant" | "chatgpt" => "assistant",
                other => other,
            };
            let content = message.remove("value").unwrap_or_default();
            message.remove("from");
            message.insert("role".to_owned(), json!(role));
            message.insert("content".to_owned(), content);
        }
        Value::Object(message)
    };
    match value {
        Value::Array(list) => list
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => message(map),
                other => other,
            })
            .collect(),
        Value::Object(map) if map.contains_key("from") => Value::Array(vec![message(map)]),
        other => other,
    }
}
