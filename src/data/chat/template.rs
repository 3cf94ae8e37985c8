//! Chat templates: Jinja as transformers sets it up, so that conversations become the same text as there.

use std::io::Write;
use std::mem::take;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parts::{is_iterable, raise_exception, strftime, tojson};
use super::tags::{Rewritten, in_namespace, rewrite};
use crate::data::record::Message;
use crate::error::{Error, Result};
use crate::platform::{Folder, read_all};

/// A compiled chat template.
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    file: String,
    /// Current time for `strftime_now`, in seconds since 1970.
    now: Arc<AtomicI64>,
    /// Has blocks that mark what the assistant writes.
    is_marked: bool,
    marks: Arc<Marks>,
}

/// A person's settings for the conversations of a model.
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
    /// The template that lies in a folder as [`TEMPLATE_FILE`], if there is one.
    pub async fn template_in(folder: &dyn Folder) -> Result<Option<String>> {
        if !folder.files().iter().any(|file| file == TEMPLATE_FILE) {
            return Ok(None);
        }
        let bytes = read_all(folder.open(TEMPLATE_FILE)?.as_ref()).await?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The template that renders as this, for a model with a template of its `own`; none if that is the own one.
    ///
    /// Variables are set in it where they are not given, for no file of Hugging Face's has a place for them.
    pub fn written(&self, own: Option<&str>) -> Option<String> {
        let template = self.template.as_deref().or(own.filter(|_| !self.kwargs.is_empty()))?;
        let set = |(name, value): (&String, &Value)| {
            format!("{{%- if {name} is not defined %}}{{%- set {name} = {} %}}{{%- endif %}}", literal(value))
        };
        // A template can only read variables whose names are valid.
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
        let marks = Arc::new(Marks::default());
        let noting = Arc::clone(&marks);
        environment.add_filter("generation", move |block: minijinja::Value| noting.note(block));
        environment.add_filter("in_namespace", in_namespace);
        let Rewritten { text, is_marked } = rewrite(&source).map_err(|e| failure(file, &e))?;
        environment.add_template_owned(NAME, text).map_err(|e| failure(file, &e))?;
        Ok(Self { environment, source, file: file.to_owned(), now, is_marked, marks })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if the template marks what the assistant writes, by `{% generation %}`.
    pub fn is_marked(&self) -> bool {
        self.is_marked
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
        Ok(self.render_marked(messages, add_generation_prompt, special_tokens, tools, kwargs)?.0)
    }

    /// The same, and which bytes of the text the template marks as the assistant's.
    pub fn render_marked(
        &self,
        messages: &[&Message],
        add_generation_prompt: bool,
        special_tokens: &[(String, String)],
        tools: Option<&Value>,
        kwargs: Option<&Map<String, Value>>,
    ) -> Result<(String, Vec<Range<usize>>)> {
        let mut context: Vec<(&str, minijinja::Value)> =
            special_tokens.iter().map(|(name, token)| (name.as_str(), token.into())).collect();
        context.push(("messages", messages.iter().map(|message| with_reasoning(message)).collect()));
        context.push(("tools", tools.map_or_else(|| ().into(), to_jinja)));
        context.push(("documents", ().into()));
        context.push(("add_generation_prompt", add_generation_prompt.into()));
        context.extend(kwargs.into_iter().flatten().map(|(name, value)| (name.as_str(), to_jinja(value))));
        self.marks.reset();
        let mut text = Counted { bytes: Vec::new(), marks: &self.marks };
        self.environment
            .get_template(NAME)
            .and_then(|template| {
                template.render_captured_to(minijinja::Value::from_pairs(context), &mut text).map(|_| ())
            })
            .map_err(|e| failure(&self.file, &e))?;
        Ok((String::from_utf8_lossy(&text.bytes).into_owned(), self.marks.reset()))
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

/// Output of one rendering: bytes written, and the spans that are the assistant's.
#[derive(Default)]
struct Marks {
    written: AtomicUsize,
    spans: Mutex<Vec<Range<usize>>>,
}

impl Marks {
    fn reset(&self) -> Vec<Range<usize>> {
        self.written.store(0, Ordering::Relaxed);
        take(&mut self.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a block's text, which will be written next, and lets it through.
    fn note(&self, block: minijinja::Value) -> minijinja::Value {
        let start = self.written.load(Ordering::Relaxed);
        let end = start + block.as_str().map_or(0, str::len);
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(start..end);
        block
    }
}

/// Text that is written piece by piece, and counted.
struct Counted<'a> {
    bytes: Vec<u8>,
    marks: &'a Marks,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend(bytes);
        self.marks.written.store(self.bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
