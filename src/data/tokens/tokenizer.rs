//! The model's tokenizer and chat template, read from its folder. The only user of the `tokenizers` crate.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::gguf::GgufTokenizer;
use super::gguf_vocab::Vocabulary;
use super::parts::problem;
use crate::data::chat::template::{Chat, ChatTemplate, TEMPLATE_FILE};
use crate::data::chat::training::training_template;
use crate::data::record::Message;
use crate::error::{Error, Result};
use crate::files::{Gguf, GgufValue, gguf_in};
use crate::platform::{Folder, read_all};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";

/// The special tokens that have a name, in `tokenizer_config.json` and in templates.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Text to token ids and back, as transformers' `PreTrainedTokenizerFast` does it with the same files.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Rc<tokenizers::Tokenizer>,
    /// Name (`bos_token`, ...) and text of the special tokens that are set.
    special_tokens: Vec<(String, String)>,
    /// The model's own.
    template: Option<Rc<ChatTemplate>>,
    chat: Chat,
    /// The template of `chat`, compiled.
    other_template: Option<Rc<ChatTemplate>>,
    vocab_size: usize,
    /// Rows of the model's embedding, once `check_vocab` was told.
    model_rows: Cell<usize>,
    fingerprint: String,
    folder: String,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and if present `tokenizer_config.json`, `special_tokens_map.json` and
    /// `chat_template.jinja`; or a GGUF file where there is no `tokenizer.json`.
    ///
    /// Special tokens are added by the post-processor in `tokenizer.json`, and by nothing else. Errors name the file
    /// that is missing or malformed, and the line of a template that does not compile.
    pub async fn open(folder: &dyn Folder) -> Result<Self> {
        let files = folder.files();
        let has = |name: &str| files.iter().any(|file| file == name);
        if let (false, Some(gguf)) = (has(TOKENIZER), gguf_in(folder)) {
            return Self::of_gguf(folder, &Gguf::open(folder.open(&gguf)?).await?);
        }
        if !has(TOKENIZER) {
            return Err(Error::input(
                format!("The folder has no {TOKENIZER}"),
                "Download it with the model; if there is only tokenizer.model, save it again with \
                 transformers' AutoTokenizer.save_pretrained",
                folder.name(),
            ));
        }
        let source = folder.open(TOKENIZER)?;
        let bytes = read_all(source.as_ref()).await?;
        let malformed = |e: tokenizers::Error| {
            Error::input(format!("The tokenizer cannot be read: {e}"), "Download it again", source.name())
        };
        if let Some(problem) = problem(&bytes) {
            return Err(malformed(problem.into()));
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(malformed)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(malformed)?;

        let mut config = if has(CONFIG) { read_object(folder, CONFIG).await? } else { Map::new() };
        // Like transformers 5: the older map counts, and wins, only where the config lists no added tokens.
        if has(SPECIAL) && !config.contains_key("added_tokens_decoder") {
            config.extend(read_object(folder, SPECIAL).await?);
        }
        let special_tokens: Vec<_> = NAMES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), token_text(config.get(*name)?)?.to_owned())))
            .collect();
        // Like transformers: a token that the config names is never split, even if tokenizer.json does not list it.
        let mut known: BTreeSet<String> =
            inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        for token in named_tokens(&config) {
            if known.insert(token.content.clone()) {
                inner.add_tokens([token]).map_err(malformed)?;
            }
        }

        // transformers' `split_special_tokens`: special tokens in a text are text like any other.
        inner.set_encode_special_tokens(config.get("split_special_tokens") == Some(&Value::Bool(true)));

        let template = if has(TEMPLATE_FILE) {
            let source = folder.open(TEMPLATE_FILE)?;
            let text = String::from_utf8_lossy(&read_all(source.as_ref()).await?).into_owned();
            Some(ChatTemplate::new(&text, source.name())?)
        } else {
            let file = format!("{}/{CONFIG}, chat_template", folder.name());
            template_in(&config, &file)?.map(|text| ChatTemplate::new(text, &file)).transpose()?
        };
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| (id as usize).saturating_add(1));
        let fingerprint = fingerprint(&bytes, &special_tokens, template.as_ref());
        Ok(Self::of(inner, special_tokens, template, vocab_size, fingerprint, folder))
    }

    fn of(
        inner: tokenizers::Tokenizer,
        special_tokens: Vec<(String, String)>,
        template: Option<ChatTemplate>,
        vocab_size: usize,
        fingerprint: String,
        folder: &dyn Folder,
    ) -> Self {
        Self {
            inner: Rc::new(inner),
            special_tokens,
            template: template.map(Rc::new),
            chat: Chat::default(),
            other_template: None,
            vocab_size,
            model_rows: Cell::new(usize::MAX),
            fingerprint,
            folder: folder.name().to_owned(),
        }
    }

    /// The same tokenizer with what a person has set for conversations; an error has the line of a template that does
    /// not compile.
    pub fn with_chat(&self, chat: Chat) -> Result<Self> {
        let compile = |text: &String| ChatTemplate::new(text, "the chat template that was set").map(Rc::new);
        let other_template = chat.template.as_ref().map(compile).transpose()?;
        Ok(Self { chat, other_template, ..self.clone() })
    }

    /// A person's settings for conversations.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// The text of the model's own template, if it has one.
    pub fn own_template(&self) -> Option<&str> {
        self.template.as_ref().map(|template| template.source())
    }

    /// The tokenizer and the template in a GGUF file's metadata.
    fn of_gguf(folder: &dyn Folder, gguf: &Gguf) -> Result<Self> {
        let GgufTokenizer { tokenizer: inner, special_tokens, chat_template } = GgufTokenizer::new(gguf)?;
        let file = gguf.at_key("tokenizer.chat_template");
        let template = chat_template.map(|text| ChatTemplate::new(&text, &file)).transpose()?;
        let text = inner.to_string(false).map_err(|e| {
            Error::input(format!("The tokenizer cannot be used: {e}"), "Use another conversion of this model", &file)
        })?;
        let vocab_size = inner.get_vocab_size(true);
        let fingerprint = fingerprint(text.as_bytes(), &special_tokens, template.as_ref());
        Ok(Self::of(inner, special_tokens, template, vocab_size, fingerprint, folder))
    }

    /// Token ids of a text; `add_special_tokens` lets the tokenizer add its own, such as a BOS at the front.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        self.ids(&self.inner.encode_fast(text, add_special_tokens).map_err(|e| self.failed(&e))?)
    }

    /// Token ids of a text without the tokenizer's own special tokens, and for each whether it lies in one of the
    /// spans of bytes, at least in part.
    pub(in crate::data) fn encode_marked(&self, text: &str, spans: &[Range<usize>]) -> Result<(Vec<u32>, Vec<bool>)> {
        let encoding = self.inner.encode(text, false).map_err(|e| self.failed(&e))?;
        // transformers goes through tokens and spans in one pass: both are in order.
        let mut spans = spans.iter().peekable();
        let is_marked = |&(start, end): &(usize, usize)| {
            while spans.next_if(|span| start >= span.end).is_some() {}
            spans.peek().is_some_and(|span| end > span.start)
        };
        let marks = encoding.get_offsets().iter().map(is_marked).collect();
        Ok((self.ids(&encoding)?, marks))
    }

    fn failed(&self, e: &tokenizers::Error) -> Error {
        Error::input(format!("The tokenizer failed: {e}"), "Use another tokenizer.json", self.folder.clone())
    }

    /// The ids of an encoded text, if the model has rows for all of them.
    fn ids(&self, encoding: &tokenizers::Encoding) -> Result<Vec<u32>> {
        let ids = encoding.get_ids();
        match ids.iter().find(|&&id| id as usize >= self.model_rows.get()) {
            None => Ok(ids.to_vec()),
            Some(&id) => Err(Error::input(
                format!(
                    "The text holds the token {:?} (id {id}), but the model has {} rows (vocab_size)",
                    self.inner.id_to_token(id).unwrap_or_default(),
                    self.model_rows.get()
                ),
                "Leave this token out of the pairs, or resize the model's embeddings",
                self.folder.clone(),
            )),
        }
    }

    /// The text of token ids, without special tokens if `skip_special`.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(|e| self.failed(&e))
    }

    /// The text of a conversation by the chat template, with or without the beginning of the assistant's answer.
    ///
    /// An error says that there is no template, or where in the template it failed.
    pub fn render(
        &self,
        messages: &[&Message],
        add_generation_prompt: bool,
        tools: Option<&Value>,
        kwargs: Option<&Map<String, Value>>,
    ) -> Result<String> {
        let all = self.all_kwargs(kwargs);
        self.chat_template()?.render(messages, add_generation_prompt, &self.special_tokens, tools, Some(&all))
    }

    /// The text of a conversation with all its answers, and which bytes of it the template marks as the assistant's.
    pub(in crate::data) fn render_marked(
        &self,
        messages: &[&Message],
        tools: Option<&Value>,
        kwargs: Option<&Map<String, Value>>,
    ) -> Result<(String, Vec<Range<usize>>)> {
        let all = self.all_kwargs(kwargs);
        self.chat_template()?.render_marked(messages, false, &self.special_tokens, tools, Some(&all))
    }

    /// The variables of a conversation: a row's own go before those of all.
    fn all_kwargs(&self, kwargs: Option<&Map<String, Value>>) -> Map<String, Value> {
        let mut all = self.chat.kwargs.clone();
        all.extend(kwargs.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        all
    }

    /// The same tokenizer with a template that marks what the assistant writes: its own, or the one by which TRL
    /// replaces it if it knows it. An error says what to do about others.
    pub fn for_assistant_loss(&self) -> Result<Self> {
        let template = self.chat_template()?;
        if template.is_marked() {
            return Ok(self.clone());
        }
        let Some(text) = training_template(template.source()) else {
            return Err(Error::input(
                "The chat template does not mark what the assistant writes, which assistant_only_loss learns",
                format!(
                    "Put {{% generation %}} and {{% endgeneration %}} around it in a {TEMPLATE_FILE}, or train without \
                     assistant_only_loss"
                ),
                self.folder.clone(),
            ));
        };
        let other_template = Some(Rc::new(ChatTemplate::new(text, "TRL's template for training")?));
        Ok(Self { other_template, ..self.clone() })
    }

    /// True if the template marks the token that ends the assistant's turn, too: without it a model that learns what is
    /// marked does not learn to stop.
    pub fn learns_the_end(&self) -> bool {
        let message =
            |role: &str| Map::from_iter([("role", role), ("content", "dummy")].map(|(k, v)| (k.into(), v.into())));
        let turns = ["user", "assistant", "user"].map(message);
        let marked = self.render_marked(&turns.each_ref(), None, None);
        let Ok((ids, marks)) = marked.and_then(|(text, spans)| self.encode_marked(&text, &spans)) else { return false };
        let learnt = ids.into_iter().zip(marks).rev().filter(|(_, is_marked)| *is_marked).map(|(id, _)| id);
        let mut visible = learnt.filter(|&id| self.decode(&[id], false).is_ok_and(|text| !text.trim().is_empty()));
        visible.next().is_some_and(|id| self.inner.get_added_tokens_decoder().contains_key(&id))
    }

    /// The chat template; an error says what to do if the model has none.
    pub fn chat_template(&self) -> Result<&ChatTemplate> {
        self.other_template.as_deref().or(self.template.as_deref()).ok_or_else(|| {
            Error::input(
                "The pairs are conversations, but the model has no chat template",
                format!("Use an instruct model, put a {TEMPLATE_FILE} into its folder, set one, or give plain text"),
                self.folder.clone(),
            )
        })
    }

    /// Text of a special token by its name, such as `eos_token`.
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.special_tokens.iter().find(|(other, _)| other == name).map(|(_, text)| text.as_str())
    }

    /// Id of the token that begins a text, if any.
    pub fn bos_id(&self) -> Option<u32> {
        self.inner.token_to_id(self.special_token("bos_token")?)
    }

    /// Id of the token that ends a text, if any.
    pub fn eos_id(&self) -> Option<u32> {
        self.inner.token_to_id(self.special_token("eos_token")?)
    }

    /// Id that batches are padded with: the pad token, or else the EOS token.
    pub fn pad_id(&self) -> Option<u32> {
        self.special_token("pad_token").and_then(|text| self.inner.token_to_id(text)).or_else(|| self.eos_id())
    }

    /// The largest token id plus one.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Checks that the vocabulary fits a model of `model_vocab_size` rows.
    ///
    /// Tokens that were added behind the vocabulary, such as a `[PAD]`, may lie beyond: many published models have one.
    /// After this call `encode` refuses a text that uses such a token.
    pub fn check_vocab(&self, model_vocab_size: usize) -> Result<()> {
        let size = self.inner.get_vocab(false).into_values().max().map_or(0, |id| (id as usize).saturating_add(1));
        if size <= model_vocab_size {
            self.model_rows.set(model_vocab_size);
            return Ok(());
        }
        Err(Error::input(
            format!("The tokenizer has ids up to {}, but the model has {model_vocab_size} rows (vocab_size)", size - 1),
            "Use the tokenizer.json that came with this model",
            format!("{}/{TOKENIZER}", self.folder),
        ))
    }

    /// The tokenizer and its template as metadata of a GGUF file, for a model whose embedding has so many rows and
    /// whose answers end with one of these tokens.
    ///
    /// Errors name what llama.cpp has no word for: a kind of tokenizer, or a way to cut text.
    pub fn gguf_metadata(&self, rows: usize, ends: &[u32]) -> Result<Vec<(String, GgufValue)>> {
        let (tokenizer, special_tokens) = (&self.inner, &self.special_tokens[..]);
        let written = self.chat.written(self.own_template());
        let chat_template = written.as_deref().or(self.own_template());
        Vocabulary { tokenizer, special_tokens, chat_template, rows, ends, folder: &self.folder }.metadata()
    }

    /// BLAKE3 in hex of all that decides the tokens: `tokenizer.json`, special tokens, template, what was set.
    pub fn fingerprint(&self) -> String {
        if self.chat == Chat::default() {
            return self.fingerprint.clone();
        }
        let chat = serde_json::to_vec(&self.chat).unwrap_or_default();
        blake3::Hasher::new().update(self.fingerprint.as_bytes()).update(&chat).finalize().to_hex().to_string()
    }
}

fn fingerprint(tokenizer: &[u8], special_tokens: &[(String, String)], template: Option<&ChatTemplate>) -> String {
    let mut parts = vec![tokenizer, template.map_or("", |template| template.source()).as_bytes()];
    parts.extend(special_tokens.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        // The length keeps the border between two parts from moving unseen.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

async fn read_object(folder: &dyn Folder, name: &str) -> Result<Map<String, Value>> {
    let source = folder.open(name)?;
    serde_json::from_slice(&read_all(source.as_ref()).await?)
        .map_err(|e| Error::input(format!("This is not a JSON object: {e}"), "Download it again", source.name()))
}

/// The text of a token, which is a string or an object with `content`.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// The tokens that the config lists by id, then the special tokens with a name, then those without.
fn named_tokens(config: &Map<String, Value>) -> Vec<AddedToken> {
    let token = |value: &Value, special: bool| {
        let flag = |key: &str, default: bool| value.get(key).and_then(Value::as_bool).unwrap_or(default);
        let token = AddedToken::from(token_text(value)?, flag("special", special));
        let normalized = token.normalized;
        let token = token.single_word(flag("single_word", false)).lstrip(flag("lstrip", false));
        Some(token.rstrip(flag("rstrip", false)).normalized(flag("normalized", normalized)))
    };
    let mut by_id: Vec<(u32, &Value)> = config
        .get("added_tokens_decoder")
        .and_then(Value::as_object)
        .map_or_else(Vec::new, |map| map.iter().filter_map(|(id, value)| Some((id.parse().ok()?, value))).collect());
    by_id.sort_by_key(|(id, _)| *id);
    let mut tokens: Vec<_> = by_id.into_iter().filter_map(|(_, value)| token(value, false)).collect();
    tokens.extend(NAMES.iter().filter_map(|name| token(config.get(*name)?, true)));
    for key in ["additional_special_tokens", "extra_special_tokens"] {
        match config.get(key) {
            Some(Value::Array(list)) => tokens.extend(list.iter().filter_map(|value| token(value, true))),
            Some(Value::Object(map)) => tokens.extend(map.values().filter_map(|value| token(value, true))),
            _ => {}
        }
    }
    tokens
}

/// The template in `tokenizer_config.json`: a string, or the one called "default" in a list.
fn template_in<'a>(config: &'a Map<String, Value>, file: &str) -> Result<Option<&'a str>> {
    let list = match config.get("chat_template") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(list)) => list.as_slice(),
        Some(_) => &[],
    };
    let named = |item: &&Value| item.get("name").and_then(Value::as_str) == Some("default");
    match list.iter().find(named).and_then(|item| item.get("template")?.as_str()) {
        Some(text) => Ok(Some(text)),
        None => Err(Error::input(
            "The chat_template is neither a string nor a list with a template called \"default\"",
            format!("Put the template that you want into the model folder, as {TEMPLATE_FILE}"),
            file,
        )),
    }
}
