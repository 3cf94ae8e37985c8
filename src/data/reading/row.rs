//! One row of a file: from JSON to prompt, chosen and rejected, or what is wrong with it.

use serde_json::{Map, Value};

use super::columns::{Columns, number, scores};
use super::reader::MAX_ROW;
use crate::data::record::{Message, Part, Record};

/// Why a row cannot be used, before its line is known.
pub(in crate::data) struct Problem {
    pub(in crate::data) what: String,
    pub(in crate::data) fix: String,
}

impl Problem {
    pub(in crate::data) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

pub(in crate::data) fn problem<T>(what: impl Into<String>, fix: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(what, fix))
}

/// The error of a row that takes too much.
pub(in crate::data) fn too_long() -> Result<Map<String, Value>, Problem> {
    problem(
        format!("The row is longer than {} MiB", MAX_ROW >> 20),
        "Put each row on a line of its own, or all of them in one array",
    )
}

/// Advice for a row of pairs that is not usable.
pub(in crate::data) const KEYS: &str =
    "Each row needs \"chosen\" and \"rejected\", and a \"prompt\" (or a shared beginning)";

/// A row's bytes as an object; `keys` says what to give a row that is something else.
pub(in crate::data) fn parse_object(bytes: &[u8], keys: &'static str) -> Result<Map<String, Value>, Problem> {
    let Ok(text) = str::from_utf8(bytes) else {
        return problem("The row is not valid UTF-8", "Save the file as UTF-8");
    };
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => problem(format!("The row is {}, not an object", kind(&other)), keys),
        Err(e) => {
            let fix = if text == "{" || text == "}" || text.starts_with('"') {
                "Put each object on one line, or all of them in one array"
            } else {
                "Correct the row; each must be one JSON object"
            };
            problem(format!("The row is not valid JSON: {e}"), fix)
        }
    }
}

/// A row with any columns as a pair.
pub(in crate::data) fn parse_row(
    mut map: Map<String, Value>,
    row: usize,
    line: usize,
    columns: Option<&Columns>,
) -> Result<Record, Problem> {
    let keys = map.keys().cloned().collect::<Vec<_>>().join(", ");
    let scores = scores(&map);
    if let Some(columns) = columns {
        columns.rename(&mut map);
    }
    let [prompt, chosen, rejected] = ["prompt", "chosen", "rejected"].map(|key| part(&mut map, key));
    let (prompt, chosen, rejected) = (prompt?, chosen?, rejected?);
    let (Some(chosen), Some(rejected)) = (chosen, rejected) else {
        return problem(format!("\"chosen\" or \"rejected\" is missing; the keys are: {keys}"), KEYS);
    };
    let (prompt, chosen, rejected) = match (prompt, chosen, rejected) {
        (None, Part::Text(chosen), Part::Text(rejected)) => {
            let at = common_text(&chosen, &rejected);
            let (prompt, chosen) = chosen.split_at(at);
            let (_, rejected) = rejected.split_at(at);
            (Part::Text(prompt.to_owned()), Part::Text(chosen.to_owned()), Part::Text(rejected.to_owned()))
        }
        (None, Part::Messages(chosen), Part::Messages(rejected)) => {
            let [prompt, chosen, rejected] = split_messages(chosen, rejected);
            (Part::Messages(prompt), Part::Messages(chosen), Part::Messages(rejected))
        }
        (Some(Part::Text(text)), Part::Messages(chosen), Part::Messages(rejected)) => {
            let [prompt, chosen, rejected] = split_messages(chosen, rejected);
            // Some sets trim the one and not the other.
            let is_it = |content: &str| content.trim() == text.trim();
            if !prompt.iter().any(|message| message.get("content").and_then(Value::as_str).is_some_and(is_it)) {
                return problem(
                    "\"prompt\" is a string that is not among the messages that \"chosen\" and \"rejected\" begin with",
                    "Give the prompt as a list of messages too",
                );
            }
            (Part::Messages(prompt), Part::Messages(chosen), Part::Messages(rejected))
        }
        (Some(prompt @ Part::Text(_)), chosen @ Part::Text(_), rejected @ Part::Text(_))
        | (Some(prompt @ Part::Messages(_)), chosen @ Part::Messages(_), rejected @ Part::Messages(_)) => {
            (prompt, chosen, rejected)
        }
        _ => return problem("Strings and message lists are mixed", "Use strings for all three, or messages for all"),
    };
    for (key, part) in [("chosen", &chosen), ("rejected", &rejected)] {
        if matches!(part, Part::Messages(list) if list.is_empty()) {
            return problem(format!("\"{key}\" has no messages"), "Give it the assistant's answer");
        }
    }
    let (tools, chat_template_kwargs) = template_columns(&mut map)?;
    let margin = number(&map, "margin");
    Ok(Record { row, line, prompt, chosen, rejected, tools, chat_template_kwargs, scores, margin })
}

/// Takes a prompt or an answer out of a row; none if the row has none, or null.
pub(in crate::data) fn part(map: &mut Map<String, Value>, key: &str) -> Result<Option<Part>, Problem> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(Part::Text(text))),
        Some(Value::Array(list)) => messages(list, key).map(|list| Some(Part::Messages(list))),
        Some(other) => problem(format!("\"{key}\" is {}", kind(&other)), "It must be a string or a list of messages"),
    }
}

/// Values that a row gives to the chat template: tools, and further variables.
type TemplateColumns = (Option<Value>, Option<Map<String, Value>>);

/// Takes the values for the chat template out of a row.
pub(in crate::data) fn template_columns(map: &mut Map<String, Value>) -> Result<TemplateColumns, Problem> {
    let tools = match map.remove("tools") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(tools) => Some(tools),
            Err(e) => return problem(format!("\"tools\" is not valid JSON: {e}"), "Give it a list of JSON schemas"),
        },
        Some(tools) => Some(tools),
    };
    let chat_template_kwargs = match map.remove("chat_template_kwargs") {
        None | Some(Value::Null) => None,
        Some(Value::Object(kwargs)) => Some(kwargs),
        Some(other) => {
            return problem(format!("\"chat_template_kwargs\" is {}", kind(&other)), "It must be an object");
        }
    };
    Ok((tools, chat_template_kwargs))
}

/// Checks that each item is a message: an object with a role, and with content or tool calls.
pub(in crate::data) fn messages(list: Vec<Value>, key: &str) -> Result<Vec<Message>, Problem> {
    const FIX: &str = "A message is {\"role\": \"user\", \"content\": \"...\"}";
    let mut messages = Vec::with_capacity(list.len());
    for (i, item) in list.into_iter().enumerate() {
        let Value::Object(message) = item else {
            return problem(format!("Message {i} of \"{key}\" is {}", kind(&item)), FIX);
        };
        if !message.get("role").is_some_and(Value::is_string) {
            return problem(format!("Message {i} of \"{key}\" has no \"role\""), FIX);
        }
        match message.get("content") {
            Some(Value::String(_) | Value::Array(_) | Value::Null) => {}
            None if message.contains_key("tool_calls") => {}
            None => return problem(format!("Message {i} of \"{key}\" has no \"content\""), FIX),
            Some(other) => return problem(format!("The content of message {i} of \"{key}\" is {}", kind(other)), FIX),
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Bytes of the prompt that two texts share, counted as in TRL's `extract_prompt`: the common beginning, without a
/// space at its end, which belongs to the completions. If the shorter text ends before they differ, its last character
/// is left to the completions, so that neither is empty.
fn common_text(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    let at: usize = same.map(|(c, _)| c.len_utf8()).sum();
    let Some(common) = a.get(..at) else { return 0 };
    if at == a.len().min(b.len()) {
        return common.char_indices().next_back().map_or(0, |(last, _)| last);
    }
    if common.ends_with(' ') { at - 1 } else { at }
}

/// Splits off the messages that both conversations begin with; each completion keeps at least its last message.
fn split_messages(mut chosen: Vec<Message>, mut rejected: Vec<Message>) -> [Vec<Message>; 3] {
    let most = chosen.len().min(rejected.len()).saturating_sub(1);
    let at = chosen.iter().zip(&rejected).take(most).take_while(|(a, b)| a == b).count();
    let chosen_rest = chosen.split_off(at);
    [chosen, chosen_rest, rejected.split_off(at)]
}

pub(in crate::data) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The first 80 characters of a row.
pub(in crate::data) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..400).unwrap_or(bytes));
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

/// The beginning of each text of a row that is no text itself, up to about 80 characters.
pub(in crate::data) fn excerpt_of(row: &Map<String, Value>) -> String {
    let mut shown = String::new();
    for (name, value) in row {
        let begin = match value {
            Value::Null => continue,
            Value::String(text) => text.chars().take(40).collect(),
            other => kind(other).to_owned(),
        };
        if shown.len() + name.len() + begin.len() > 80 && !shown.is_empty() {
            break;
        }
        shown += &format!("{}{name}: {begin}", if shown.is_empty() { "" } else { ", " });
    }
    shown
}
