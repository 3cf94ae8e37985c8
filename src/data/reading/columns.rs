//! Columns of pairs files that other tools wrote: finds prompt, chosen and rejected under other names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::shapes::messages;
use super::table::table_head;

/// Names of the columns of a pairs file, written as `prompt=question,chosen=good,rejected=bad`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Columns {
    /// Column of the prompt; empty if chosen and rejected hold whole dialogues.
    pub prompt: String,
    /// Column of the preferred answer.
    pub chosen: String,
    /// Column of the other answer.
    pub rejected: String,
    /// Column of a system message, or of Alpaca's further input, which follows the prompt; empty for none.
    pub system: String,
}

/// Names by which TRL, LLaMA-Factory, H2O, Orca and Argilla know each column, the likeliest first.
pub(in crate::data) const PROMPTS: &[&str] =
    &["prompt", "instruction", "question", "conversations", "input", "query", "context"];
const CHOSEN: &[&str] =
    &["chosen", "accepted", "preferred", "response_j", "chosen_response", "answer", "output", "response"];
const REJECTED: &[&str] = &["rejected", "rejected_answer", "rejected_response", "dispreferred", "response_k"];
const SYSTEMS: &[&str] = &["system", "input"];
/// Columns beside those that are chosen, which rows are read with.
pub(in crate::data) const BESIDE: &[&str] = &["tools", "chat_template_kwargs", "history", "input", "margin"];
/// Names of what others gave the two answers.
const SCORES: &[[&str; 2]] = &[
    ["score_chosen", "score_rejected"],
    ["chosen_score", "rejected_score"],
    ["chosen_rating", "rejected_rating"],
    ["chosen-rating", "rejected-rating"],
];

impl Columns {
    /// The likeliest columns of a file whose first row has these.
    pub fn guess(columns: &[String]) -> Self {
        let find = |names: &[&str]| {
            let name = names.iter().find(|name| columns.iter().any(|column| column == *name));
            name.map_or_else(String::new, |name| (*name).to_owned())
        };
        let prompt = find(PROMPTS);
        let system = match find(SYSTEMS) {
            system if system == prompt => String::new(),
            system => system,
        };
        // A system message beside TRL's own names is not TRL's; it is left alone unless a person asks for it.
        let system = if prompt == "prompt" { String::new() } else { system };
        Self { prompt, chosen: find(CHOSEN), rejected: find(REJECTED), system }
    }

    /// True if the column for a system message is Alpaca's `input`, which follows the prompt.
    pub fn follows_prompt(&self) -> bool {
        self.system == "input"
    }

    /// True for a column that rows are read with, if these are the columns.
    pub fn needs(&self, column: &str) -> bool {
        let Self { prompt, chosen, rejected, system } = self;
        let trl = ["prompt", "chosen", "rejected"];
        [prompt, chosen, rejected, system].iter().any(|name| *name == column)
            || trl.contains(&column)
            || BESIDE.contains(&column)
            || SCORES.iter().flatten().any(|name| *name == column)
    }

    /// False if the columns are TRL's, or not all found, so that rows are taken as they are.
    pub fn are_renamed(&self) -> bool {
        let trl = (self.prompt == "prompt" || self.prompt.is_empty())
            && self.chosen == "chosen"
            && self.rejected == "rejected"
            && self.system.is_empty();
        !trl && !self.chosen.is_empty()
    }

    /// Gives a row TRL's columns.
    pub(in crate::data) fn rename(&self, row: &mut Map<String, Value>) {
        let mut take = |name: &str| if name.is_empty() { None } else { row.remove(name).map(messages) };
        let (mut prompt, mut chosen, mut rejected) = (take(&self.prompt), take(&self.chosen), take(&self.rejected));
        let mut system = take(&self.system).and_then(filled);
        let is_alpaca = self.prompt == "instruction";
        if let Some(Value::String(text)) = &mut prompt {
            // LLaMA-Factory's alpaca format: the input follows the instruction.
            let input = match self.follows_prompt() {
                true => system.take(),
                false => take(if is_alpaca { "input" } else { "" }).and_then(filled),
            };
            if let Some(input) = input {
                *text = format!("{text}\n{input}");
            }
        }
        if let (Some(Value::String(text)), Some(history)) = (&prompt, take(if is_alpaca { "history" } else { "" })) {
            prompt = Some(dialogue(history, text));
        }
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
        prompt = match (prompt, system) {
            (Some(Value::Array(mut list)), Some(system)) => {
                list.insert(0, json!({"role": "system", "content": system}));
                Some(Value::Array(list))
            }
            // Orca: the question follows the system.
            (Some(Value::String(text)), Some(system)) => Some(Value::String(format!("{system}\n{text}"))),
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

/// A text that is not empty.
fn filled(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Earlier turns, each a question and its answer, and the question at hand; what is no such turn is left out.
fn dialogue(history: Value, question: &str) -> Value {
    let Value::Array(turns) = history else { return json!([{"role": "user", "content": question}]) };
    let mut list = Vec::new();
    for turn in turns {
        if let [Some(question), Some(answer)] = [0, 1].map(|at| turn.get(at).and_then(Value::as_str)) {
            list.push(json!({"role": "user", "content": question}));
            list.push(json!({"role": "assistant", "content": answer}));
        }
    }
    list.push(json!({"role": "user", "content": question}));
    Value::Array(list)
}

/// Scores that others gave the two answers of a row; none unless the row has both.
pub(in crate::data) fn scores(row: &Map<String, Value>) -> Option<[f64; 2]> {
    SCORES.iter().find_map(|[chosen, rejected]| Some([number(row, chosen)?, number(row, rejected)?]))
}

/// The number in a column, which tables have as text.
pub(in crate::data) fn number(row: &Map<String, Value>, name: &str) -> Option<f64> {
    match row.get(name)? {
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        value => value.as_f64(),
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prompt, chosen, rejected, system } = self;
        let columns = [("prompt", prompt), ("chosen", chosen), ("rejected", rejected), ("system", system)];
        let given = columns.into_iter().filter(|(_, column)| !column.is_empty());
        f.write_str(&given.map(|(name, column)| format!("{name}={column}")).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for part in text.split(',') {
            let (name, column) = part.split_once('=').unwrap_or((part, ""));
            let place = match name.trim() {
                "prompt" => &mut columns.prompt,
                "chosen" => &mut columns.chosen,
                "rejected" => &mut columns.rejected,
                "system" => &mut columns.system,
                other => return Err(format!("\"{other}\" is not prompt, chosen, rejected or system")),
            };
            column.trim().clone_into(place);
        }
        match columns.chosen.is_empty() || columns.rejected.is_empty() {
            true => Err("chosen and rejected are needed, as in chosen=good,rejected=bad".to_owned()),
            false => Ok(columns),
        }
    }
}

/// Names of the columns of a file that begins so: a table's, or those of the first object.
pub fn first_columns(file: &str, head: &[u8]) -> Vec<String> {
    first_row(file, head).0
}

/// The same, and the first row, as far as it is there.
pub(in crate::data) fn first_row(file: &str, head: &[u8]) -> (Vec<String>, Map<String, Value>) {
    table_head(file, head).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(head);
        let begin = text.find('{').unwrap_or(text.len());
        let mut values = serde_json::Deserializer::from_str(text.get(begin..).unwrap_or_default()).into_iter();
        match values.next() {
            Some(Ok(Value::Object(map))) => (map.keys().cloned().collect(), map),
            _ => Default::default(),
        }
    })
}

/// Purpose of a file whose columns show that it holds no pairs, and how to make pairs of it; none for other files.
pub fn other_purpose(columns: &[String]) -> Option<[&'static str; 2]> {
    const SECOND: &str =
        "Add a worse answer to each row as \"rejected\", for example one that the model itself writes today";
    let has = |name: &str| columns.iter().any(|column| column == name);
    let any = |names: &[&str]| names.iter().any(|name| has(name));
    if any(REJECTED) || (has("chosen") && !has("label")) {
        return None;
    }
    if has("label") && any(&["completion", "messages", "conversations", "output", "response", "answer", "chosen"]) {
        return Some([
            "This is a file for KTO: one answer to a prompt, with a verdict (\"label\"), and not two to choose from",
            "Put a good and a bad answer to the same prompt into one row, as \"chosen\" and \"rejected\"",
        ]);
    }
    if any(&["better_response_id", "safer_response_id", "preference", "winner"]) {
        return Some([
            "Both answers are here, and a column that says which is better",
            "Put the better one under \"chosen\" and the other under \"rejected\", row by row",
        ]);
    }
    let what = if has("instruction") && has("output") {
        "This is a file of instructions (Alpaca): one answer to each, so that there is nothing to prefer"
    } else if has("conversations") {
        "These are conversations (ShareGPT): each has one answer, so that there is nothing to prefer"
    } else if has("messages") {
        "These are conversations (\"messages\"): each has one answer, so that there is nothing to prefer"
    } else if has("prompt") && any(&["completion", "response", "answer", "output"]) {
        "This is a file for fine-tuning: one answer to each prompt, so that there is nothing to prefer"
    } else if columns == ["text"] {
        "This is plain text, without prompts and answers"
    } else {
        return None;
    };
    Some([what, SECOND])
}
