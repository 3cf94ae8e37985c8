//! Chat templates: Jinja as transformers sets it up, so that conversations become the same text as there.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::record::Message;
use crate::error::{Error, Result};

/// A compiled chat template.
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    file: String,
    /// What `strftime_now` takes for now, seconds since 1970.
    now: Arc<AtomicI64>,
}

/// What a person has set for the conversations of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    /// A template instead of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Variables of every conversation, such as `enable_thinking`; those of a row's `chat_template_kwargs` go first.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
}

impl Chat {
    /// The template that renders as this, for a model with a template of its `own`; none if that is the own one.
    ///
    /// Variables are set in it where they are not given, for no file of Hugging Face's has a place for them.
    pub fn written(&self, own: Option<&str>) -> Option<String> {
        let template = self.template.as_deref().or(own.filter(|_| !self.kwargs.is_empty()))?;
        let set = |(name, value): (&String, &Value)| {
            format!("{{%- if {name} is not defined %}}{{%- set {name} = {} %}}{{%- endif %}}", literal(value))
        };
        // What is no name no template can read.
        let is_name = |name: &str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        };
        let variables: String = self.kwargs.iter().filter(|(name, _)| is_name(name)).map(set).collect();
        Some(variables + template)
    }

    /// The files that say so in an adapter's or a model's folder.
    pub fn files(&self, own: Option<&str>) -> Vec<(String, Vec<u8>)> {
        self.written(own).map(|text| (TEMPLATE_FILE.to_owned(), text.into_bytes())).into_iter().collect()
    }
}

/// The file with a template in a folder.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";

/// A value as Jinja writes it.
fn literal(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(literal).collect())),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), literal(value));
            format!("{{{}}}", list(map.iter().map(entry).collect()))
        }
        other => other.to_string(),
    }
}

/// The name of the one template in its environment.
const NAME: &str = "chat_template";

/// Instructions that one rendering may take, or 64 bytes of memory for each: some hundred times a long conversation's,
/// a second of work, and 320 MB.
const FUEL: u64 = 5_000_000;

/// Lists and maps within each other that are written as JSON; no reader of JSON takes more.
const MOST_NESTED: usize = 128;

/// 26 July 2024, the date that Llama 3's own template falls back to.
const DEFAULT_NOW: i64 = 1_721_952_000;

impl ChatTemplate {
    /// Compiles a template; `file` is what messages call it. The error has the line.
    ///
    /// Rendered as by transformers 5.23 with all 72 templates in TRL 1.16, with and without tools (checked once).
    pub fn new(source: &str, file: &str) -> Result<Self> {
        let source = source.replace("\r\n", "\n");
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| failure(file, &e))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("tojson", tojson);
        environment.add_test("iterable", is_iterable);
        environment.add_function("raise_exception", raise_exception);
        let now = Arc::new(AtomicI64::new(DEFAULT_NOW));
        let clock = Arc::clone(&now);
        environment
            .add_function("strftime_now", move |format: String| strftime(&format, clock.load(Ordering::Relaxed)));
        environment.add_template_owned(NAME, without_generation_tags(&source)).map_err(|e| failure(file, &e))?;
        Ok(Self { environment, source, file: file.to_owned(), now })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Sets what the template's `strftime_now` takes for now, in seconds since 1970, local time.
    ///
    /// Until then it is 26 July 2024, so that a run does not depend on the day it is made.
    pub fn set_now(&self, unix_secs: i64) {
        self.now.store(unix_secs, Ordering::Relaxed);
    }

    /// Renders a conversation with the variables transformers gives: messages, tools (null if none), documents (null),
    /// `add_generation_prompt`, the special tokens by name, and the record's own `kwargs`, which go first.
    ///
    /// The error names the template's file and line and says what failed.
    pub fn render(
        &self,
        messages: &[&Message],
        add_generation_prompt: bool,
        special_tokens: &[(String, String)],
        tools: Option<&Value>,
        kwargs: Option<&Map<String, Value>>,
    ) -> Result<String> {
        let mut context: Vec<(&str, minijinja::Value)> =
            special_tokens.iter().map(|(name, token)| (name.as_str(), token.into())).collect();
        context.push(("messages", messages.iter().map(|message| with_reasoning(message)).collect()));
        context.push(("tools", tools.map_or_else(|| ().into(), to_jinja)));
        context.push(("documents", ().into()));
        context.push(("add_generation_prompt", add_generation_prompt.into()));
        context.extend(kwargs.into_iter().flatten().map(|(name, value)| (name.as_str(), to_jinja(value))));
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(minijinja::Value::from_pairs(context)))
            .map_err(|e| failure(&self.file, &e))
    }
}

fn failure(file: &str, e: &minijinja::Error) -> Error {
    let what = match e.detail() {
        _ if e.kind() == ErrorKind::OutOfFuel => "The chat template does not come to an end".to_owned(),
        Some(detail) => format!("The chat template failed: {}: {}", e.kind(), detail.trim_end_matches('.')),
        None => format!("The chat template failed: {}", e.kind()),
    };
    let at = e.line().map_or_else(|| file.to_owned(), |line| format!("{file}, line {line}"));
    Error::input(
        what,
        "Correct the conversation, or use another template (chat_template.jinja in the model folder)",
        at,
    )
}

fn to_jinja(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => ().into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(n), _, _) => n.into(),
            (_, Some(n), _) => n.into(),
            (_, _, x) => x.into(),
        },
        Value::String(text) => text.into(),
        Value::Array(list) => list.iter().map(to_jinja).collect(),
        Value::Object(map) => object_to_jinja(map),
    }
}

fn object_to_jinja(map: &Map<String, Value>) -> minijinja::Value {
    minijinja::Value::from_pairs(map.iter().map(|(key, value)| (key.clone(), to_jinja(value))))
}

/// A message with its reasoning under the names that templates read, as transformers does it.
fn with_reasoning(message: &Message) -> minijinja::Value {
    const NAMES: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];
    let Some(reasoning) = NAMES.iter().find_map(|name| message.get(*name).filter(|value| !value.is_null())).cloned()
    else {
        return object_to_jinja(message);
    };
    let mut message = message.clone();
    if !message.contains_key("thinking") {
        message.insert("thinking".to_owned(), reasoning.clone());
    }
    message.insert("reasoning_content".to_owned(), reasoning);
    object_to_jinja(&message)
}

/// Replaces `{% generation %}` blocks, which mark what is trained on elsewhere, by blocks that are always rendered.
///
/// The tags stay tags, so that whitespace around them is trimmed as before.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        let Some((inside, after)) = tag.split_once("%}") else { break };
        let word = inside.trim_matches(['-', '+']).trim();
        let inside: Cow<'_, str> = match word {
            "generation" => inside.replace(word, "if true").into(),
            "endgeneration" => inside.replace(word, "endif").into(),
            _ => {
                // Only this tag's opening is behind us: its text may hold the next one, as a comment or a string may.
                text.push_str(before);
                text.push_str("{%");
                rest = tag;
                continue;
            }
        };
        text.extend([before, "{%", &inside, "%}"]);
        rest = after;
    }
    text + rest
}

/// Python's notion, in which null is not iterable; templates ask it of `tools`.
fn is_iterable(value: &minijinja::Value) -> bool {
    !matches!(value.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number)
}

fn raise_exception(message: String) -> std::result::Result<minijinja::Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// `json.dumps` with `ensure_ascii=False`: the filter that transformers puts in place of Jinja's.
fn tojson(
    state: &State<'_, '_>,
    value: &minijinja::Value,
    kwargs: Kwargs,
) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    kwargs.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let mut text = String::new();
    JsonStyle { state, indent, item, key, sort_keys, ascii }.write(value, 0, &mut text)?;
    Ok(text)
}

/// The options of Python's `json.dumps`.
struct JsonStyle<'a> {
    /// What pays for the text: values that lie in several places make more of it than they hold.
    state: &'a State<'a, 'a>,
    indent: Option<usize>,
    item: String,
    key: String,
    sort_keys: bool,
    ascii: bool,
}

impl JsonStyle<'_> {
    fn write(
        &self,
        value: &minijinja::Value,
        depth: usize,
        text: &mut String,
    ) -> std::result::Result<(), minijinja::Error> {
        if depth > MOST_NESTED {
            let what = format!("more than {MOST_NESTED} lists and maps within each other cannot be written as JSON");
            return Err(minijinja::Error::new(ErrorKind::BadSerialization, what));
        }
        self.pay(0)?;
        match value.kind() {
            ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => text.push_str(&value.to_string()),
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default(), text)?,
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<_> = value.try_iter()?.collect();
                self.write_items('[', ']', &items, depth, text, |item, text| self.write(item, depth + 1, text))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<_> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.write_items('{', '}', &keys, depth, text, |key, text| {
                    self.write_string(&key.to_string(), text)?;
                    self.pay(self.key.len())?;
                    text.push_str(&self.key);
                    self.write(&value.get_item(key)?, depth + 1, text)
                })?;
            }
            kind => {
                let what = format!("{kind} cannot be written as JSON");
                return Err(minijinja::Error::new(ErrorKind::BadSerialization, what));
            }
        }
        Ok(())
    }

    fn write_items(
        &self,
        open: char,
        close: char,
        items: &[minijinja::Value],
        depth: usize,
        text: &mut String,
        write: impl Fn(&minijinja::Value, &mut String) -> std::result::Result<(), minijinja::Error>,
    ) -> std::result::Result<(), minijinja::Error> {
        let new_line = |depth: usize, text: &mut String| -> std::result::Result<(), minijinja::Error> {
            if let (Some(indent), false) = (self.indent, items.is_empty()) {
                let width = indent.saturating_mul(depth);
                self.pay(width)?;
                text.push('\n');
                text.extend(std::iter::repeat_n(' ', width));
            }
            Ok(())
        };
        text.push(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.pay(self.item.len())?;
                text.push_str(&self.item);
            }
            new_line(depth + 1, text)?;
            write(item, text)?;
        }
        new_line(depth, text)?;
        text.push(close);
        Ok(())
    }

    /// Takes the fuel for bytes that will be written, which the engine sees only when all are.
    fn pay(&self, bytes: usize) -> std::result::Result<(), minijinja::Error> {
        self.state.consume_fuel(1 + bytes as u64 / 64)
    }

    fn write_string(&self, string: &str, text: &mut String) -> std::result::Result<(), minijinja::Error> {
        self.pay(string.len())?;
        let quoted = Value::from(string).to_string();
        if !self.ascii {
            text.push_str(&quoted);
            return Ok(());
        }
        for c in quoted.chars() {
            if c.is_ascii() {
                text.push(c);
            } else {
                text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        Ok(())
    }
}

/// Python's `strftime` in UTC, for the directives that templates use; an error names one that is not known.
fn strftime(format: &str, unix_secs: i64) -> std::result::Result<String, minijinja::Error> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let (days, secs) = (unix_secs.div_euclid(86_400), unix_secs.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    let month_name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    let day_name = DAYS.get(days.rem_euclid(7) as usize).copied().unwrap_or_default();
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    let hour_12 = (hour + 11) % 12 + 1;
    let mut text = String::new();
    let mut directives = format.chars();
    while let Some(c) = directives.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut directive = directives.next();
        let padded = directive != Some('-');
        if !padded {
            directive = directives.next();
        }
        let number = |n: i64| if padded { format!("{n:02}") } else { n.to_string() };
        text += &match directive {
            Some('Y') => year.to_string(),
            Some('y') => number(year.rem_euclid(100)),
            Some('m') => number(month),
            Some('d') => number(day),
            Some('B') => month_name.to_owned(),
            Some('b') => short(month_name),
            Some('A') => day_name.to_owned(),
            Some('a') => short(day_name),
            Some('H') => number(hour),
            Some('I') => number(hour_12),
            Some('M') => number(minute),
            Some('S') => number(second),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') => "%".to_owned(),
            other => {
                let what = format!("strftime_now does not know %{}", other.unwrap_or(' '));
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, what));
            }
        };
    }
    Ok(text)
}

/// Year, month (1-12) and day (1-31) of a day counted from 1 January 1970 (Howard Hinnant's `civil_from_days`).
fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
