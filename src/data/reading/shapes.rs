//! The shapes in which others publish pairs: what each is called, and the parts that are turned into TRL's.

use serde_json::{Map, Value, json};

/// A shape of rows that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Anthropic's transcripts: two dialogues as text.
    HhRlhf,
    /// A prompt as text, and both dialogues as messages that begin with it.
    UltraFeedback,
    /// A system message, a question and two answers.
    Orca,
    /// LLaMA-Factory's: an instruction, perhaps an input and earlier turns, and two answers.
    Alpaca,
    /// LLaMA-Factory's: a conversation in ShareGPT's words, and two messages that may follow.
    ShareGpt,
}

impl Shape {
    /// Recognises the shape of a file by its columns and first row; none for TRL's own shapes and unknown ones.
    pub fn of(columns: &[String], first: &Map<String, Value>) -> Option<Self> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        if !has("chosen") || !has("rejected") {
            return None;
        }
        let is_transcript = |name: &str| {
            let text = first.get(name).and_then(Value::as_str).unwrap_or_default();
            text.contains("\n\nHuman:") && text.contains("\n\nAssistant:")
        };
        let is_list = |name: &str| first.get(name).is_some_and(Value::is_array);
        if has("conversations") {
            Some(Self::ShareGpt)
        } else if has("instruction") {
            Some(Self::Alpaca)
        } else if has("prompt") {
            let is_it = first.get("prompt").is_some_and(Value::is_string) && is_list("chosen");
            is_it.then_some(Self::UltraFeedback)
        } else if has("system") && (has("question") || has("input")) {
            Some(Self::Orca)
        } else {
            (is_transcript("chosen") && is_transcript("rejected")).then_some(Self::HhRlhf)
        }
    }

    /// Name of the shape, and how it is read.
    pub fn what(self) -> &'static str {
        match self {
            Self::HhRlhf => "HH-RLHF transcripts: the prompt is what both dialogues begin with",
            Self::UltraFeedback => "UltraFeedback, binarized: the prompt is what both conversations begin with",
            Self::Orca => "Orca pairs: the question follows the system message",
            Self::Alpaca => "LLaMA-Factory's alpaca ranking: the input follows the instruction",
            Self::ShareGpt => "LLaMA-Factory's ShareGPT ranking: the answers follow the conversation",
        }
    }
}

/// ShareGPT's `from` and `value` as `role` and `content`; what is no message is left as it is.
pub(in crate::data) fn messages(value: Value) -> Value {
    let each = |item: Value| match item {
        Value::Object(map) => Value::Object(message(map)),
        other => other,
    };
    match value {
        Value::Array(list) => list.into_iter().map(each).collect(),
        Value::Object(map) if map.contains_key("from") => Value::Array(vec![Value::Object(message(map))]),
        other => other,
    }
}

fn message(mut message: Map<String, Value>) -> Map<String, Value> {
    let (false, Some(Value::String(from))) = (message.contains_key("role"), message.get("from").cloned()) else {
        return message;
    };
    let content = message.remove("value").unwrap_or_default();
    message.remove("from");
    let role = match from.as_str() {
        "human" | "user" => "user",
        "gpt" | "assistant" | "chatgpt" | "function_call" => "assistant",
        "observation" | "function_response" | "tool" => "tool",
        other => other,
    };
    message.insert("role".to_owned(), json!(role));
    let calls = content.as_str().filter(|_| from == "function_call").and_then(calls);
    match calls {
        Some(calls) => {
            message.insert("content".to_owned(), json!(""));
            message.insert("tool_calls".to_owned(), calls);
        }
        None => drop(message.insert("content".to_owned(), content)),
    }
    message
}

/// Calls of functions, `{"name": .., "arguments": ..}` or a list of them, as chat templates know them; none for text
/// that is something else.
fn calls(text: &str) -> Option<Value> {
    let calls = match serde_json::from_str(text).ok()? {
        Value::Array(calls) => calls,
        call => vec![call],
    };
    let call = |call: Value| match call {
        Value::Object(map) if map.contains_key("name") => Some(json!({"type": "function", "function": map})),
        _ => None,
    };
    let calls: Vec<Value> = calls.into_iter().map(call).collect::<Option<_>>()?;
    (!calls.is_empty()).then(|| Value::Array(calls))
}
