//! A tokenizer as metadata of a GGUF file, as llama.cpp's converter writes it. `gguf_tokenizer` is the way back.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value as Json;
use tokenizers::{ModelWrapper, Tokenizer};

use super::gguf::{BYTE, CONTROL, NAMED, NORMAL, SPACE, UNKNOWN, UNUSED, USER_DEFINED};
use super::gguf_pre::{Cuts, name_of};
use crate::error::{Error, Result};
use crate::files::{Array, GgufValue as Value};

/// Tokenizer that is to be written, and the facts about its model that decide how.
pub(in crate::data) struct Vocabulary<'a> {
    pub(in crate::data) tokenizer: &'a Tokenizer,
    /// Name and text of the special tokens that are set.
    pub(in crate::data) special_tokens: &'a [(String, String)],
    pub(in crate::data) chat_template: Option<&'a str>,
    /// Rows of the model's embedding, each of which must have a token.
    pub(in crate::data) rows: usize,
    /// Tokens that end an answer, by the model.
    pub(in crate::data) ends: &'a [u32],
    /// Folder of the tokenizer, for messages.
    pub(in crate::data) folder: &'a str,
}

/// The parts of `tokenizer.json` that count.
#[derive(Deserialize)]
struct Parts {
    normalizer: Json,
    pre_tokenizer: Json,
    model: Bpe,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: HashMap<String, u32>,
    merges: Vec<(String, String)>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

impl Vocabulary<'_> {
    /// The entries `tokenizer.*`.
    ///
    /// Errors name what llama.cpp has no word for: a kind of tokenizer, or a way to cut text.
    pub(in crate::data) fn metadata(&self) -> Result<Vec<(String, Value)>> {
        if !matches!(self.tokenizer.get_model(), ModelWrapper::BPE(_)) {
            return Err(self.unknown("Its tokenizer is not of the kind BPE".to_owned()));
        }
        let parts: Parts = self
            .tokenizer
            .to_string(false)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .ok_or_else(|| self.unknown("Its tokenizer cannot be read".to_owned()))?;
        let mut entries = Entries(Vec::new());
        let is_sentence_piece = parts.model.byte_fallback;
        if is_sentence_piece {
            entries.text("model", "llama");
            entries.text("pre", "default");
            entries.flag("add_space_prefix", adds_space(&parts.normalizer) || adds_space(&parts.pre_tokenizer));
        } else {
            entries.text("model", "gpt2");
            entries.text("pre", self.cuts(&parts)?);
        }
        let (tokens, types) = self.tokens(&parts.model);
        if is_sentence_piece {
            let scores = scores(&parts.model, &tokens);
            entries.list("scores", Array::F32(scores));
        } else {
            let merges = parts.model.merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
            entries.list("merges", Array::Strings(merges));
        }
        entries.list("tokens", Array::Strings(tokens.iter().collect()));
        entries.list("token_type", Array::I32(types));
        self.special(&mut entries)?;
        if let Some(template) = self.chat_template {
            entries.0.push(("tokenizer.chat_template".to_owned(), Value::String(template.to_owned())));
        }
        Ok(entries.0)
    }

    /// llama.cpp's name for the way in which a byte-level tokenizer cuts text.
    fn cuts(&self, parts: &Parts) -> Result<&'static str> {
        let cuts = read_cuts(parts).and_then(|cuts| name_of(&cuts));
        cuts.ok_or_else(|| {
            let shown = parts.pre_tokenizer.to_string();
            self.unknown(format!("Its tokenizer cuts text in a way that llama.cpp has no name for: {shown}"))
        })
    }

    /// The tokens of all rows, and their types.
    fn tokens(&self, model: &Bpe) -> (Vec<String>, Vec<i32>) {
        let mut tokens: Vec<String> = (0..self.rows).map(|id| format!("[PAD{id}]")).collect();
        let mut types = vec![UNUSED as i32; self.rows];
        let mut put = |id: u32, text: String, kind: i64| {
            if let (Some(token), Some(slot)) = (tokens.get_mut(id as usize), types.get_mut(id as usize)) {
                (*token, *slot) = (text, kind as i32);
            }
        };
        for (text, id) in &model.vocab {
            let kind = match text {
                _ if model.unk_token.as_ref() == Some(text) => UNKNOWN,
                _ if model.byte_fallback && is_byte(text) => BYTE,
                _ => NORMAL,
            };
            put(*id, text.clone(), kind);
        }
        for (id, token) in self.tokenizer.get_added_tokens_decoder() {
            let text = token.content;
            if model.byte_fallback && model.unk_token.as_ref() == Some(&text) {
                put(id, text, UNKNOWN);
            } else if token.special || looks_special(&text) {
                put(id, text, CONTROL);
            } else {
                // llama.cpp finds these before it writes spaces as a letter.
                let text = if model.byte_fallback { text.replace(SPACE, " ") } else { text };
                put(id, text, USER_DEFINED);
            }
        }
        (tokens, types)
    }

    /// Ids of the special tokens, and whether a text begins or ends with one.
    fn special(&self, entries: &mut Entries) -> Result<()> {
        let mut ids = BTreeMap::new();
        for (name, key, _) in NAMED {
            let text = self.special_tokens.iter().find(|(other, _)| other == name).map(|(_, text)| text);
            let id = text.and_then(|text| self.tokenizer.token_to_id(text)).filter(|id| (*id as usize) < self.rows);
            ids.extend(id.map(|id| (key, id)));
        }
        let mut ends = ids.get("eos_token_id").copied().into_iter().chain(self.ends.iter().copied());
        let eos = ends.next();
        let other = ends.find(|id| Some(*id) != eos);
        ids.extend(eos.map(|id| ("eos_token_id", id)));
        // The end of a turn, where it is not the end of a text.
        ids.extend(other.map(|id| ("eot_token_id", id)));
        for (key, id) in &ids {
            entries.0.push((format!("tokenizer.ggml.{key}"), Value::U32(*id)));
        }
        let with = self.tokenizer.encode_fast("a", true).map_err(|e| self.unknown(e.to_string()))?;
        let begins = |key: &str, id: Option<&u32>| id.is_some() && ids.get(key) == id;
        entries.flag("add_bos_token", begins("bos_token_id", with.get_ids().first()));
        entries.flag("add_eos_token", begins("eos_token_id", with.get_ids().last()));
        Ok(())
    }

    fn unknown(&self, what: String) -> Error {
        Error::input(what, "Export the model as safetensors instead: GGUF cannot hold this tokenizer", self.folder)
    }
}

/// The entries `tokenizer.ggml.*`.
struct Entries(Vec<(String, Value)>);

impl Entries {
    fn put(&mut self, key: &str, value: Value) {
        self.0.push((format!("tokenizer.ggml.{key}"), value));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.put(key, Value::String(text.to_owned()));
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.put(key, Value::Bool(flag));
    }

    fn list(&mut self, key: &str, array: Array) {
        self.put(key, Value::Array(array));
    }
}

/// Reads how `tokenizer.json` cuts text; none if it has a step that llama.cpp does not have.
fn read_cuts(parts: &Parts) -> Option<Cuts<'_>> {
    let kind = |step: &Json| step.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
    let nfc = match &parts.normalizer {
        Json::Null => false,
        normalizer => steps(normalizer, "normalizers").iter().all(|step| kind(step) == "NFC"),
    };
    if !nfc && !parts.normalizer.is_null() {
        return None;
    }
    let mut cuts = Cuts { splits: Vec::new(), digits: false, gpt2: false, nfc, whole_words: parts.model.ignore_merges };
    let steps = steps(&parts.pre_tokenizer, "pretokenizers");
    let (last, first) = steps.split_last()?;
    let flag = |step: &Json, key: &str| step.get(key).and_then(Json::as_bool);
    for step in first {
        match kind(step).as_str() {
            "Split" => {
                let pattern = step.get("pattern")?.get("Regex")?.as_str()?;
                let behavior = step.get("behavior").and_then(Json::as_str);
                // The text between matches is a word, too. A pattern that leaves none may be written as one that
                // removes it.
                let known = matches!((behavior, flag(step, "invert")), (Some("Isolated"), Some(false)))
                    || matches!((behavior, flag(step, "invert")), (Some("Removed"), Some(true)));
                cuts.splits.push(Some(pattern).filter(|_| known)?);
            }
            "Digits" if flag(step, "individual_digits") == Some(true) => cuts.digits = true,
            _ => return None,
        }
    }
    let spelled = kind(last) == "ByteLevel" && flag(last, "add_prefix_space") == Some(false);
    cuts.gpt2 = flag(last, "use_regex").unwrap_or(true);
    spelled.then_some(cuts)
}

/// The steps of a sequence, or the one step that there is.
fn steps<'a>(step: &'a Json, key: &str) -> Vec<&'a Json> {
    match step.get(key).and_then(Json::as_array) {
        Some(steps) => steps.iter().collect(),
        None if step.is_null() => Vec::new(),
        None => vec![step],
    }
}

/// True if a text gets a space at its beginning.
fn adds_space(step: &Json) -> bool {
    let all = [steps(step, "normalizers"), steps(step, "pretokenizers")];
    all.into_iter().flatten().any(|step| match step.get("type").and_then(Json::as_str) {
        Some("Prepend") => true,
        Some("Metaspace") => step.get("prepend_scheme").and_then(Json::as_str) != Some("never"),
        _ => false,
    })
}

/// A score for each token, by which SentencePiece merges: the earlier a merge, the higher what it makes.
fn scores(model: &Bpe, tokens: &[String]) -> Vec<f32> {
    let mut made: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in model.merges.iter().enumerate() {
        made.entry(format!("{left}{right}")).or_insert(rank + 1);
    }
    tokens.iter().map(|token| -(made.get(token).copied().unwrap_or(0) as f32)).collect()
}

/// True for `<0x00>` to `<0xFF>`.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// True for added tokens that are meant to be special, whether or not `tokenizer.json` says so; as llama.cpp has it.
fn looks_special(text: &str) -> bool {
    let between = |begin: &str, end: &str| text.starts_with(begin) && text.ends_with(end);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&text)
        || between("<|", "|>")
        || between("<\u{ff5c}", "\u{ff5c}>")
        || between("<unused", ">")
}
