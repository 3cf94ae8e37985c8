//! The tokenizer and the chat template of a GGUF file, which has them as metadata.
//!
//! Tokens are those of the model's own `tokenizer.json`, as far as the file tells it: of transformers'
//! `AutoTokenizer(gguf_file=…)`, and where that leaves something out that llama.cpp knows, of llama.cpp.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value as Json, json};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, BpeBuilder, Merges, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::gguf_pre::{Pre, names, pre};
use crate::error::{Error, Result};
use crate::files::{Gguf, GgufValue as Value, Strings};

/// SentencePiece's sign for a space.
pub(in crate::data) const SPACE: &str = "\u{2581}";
/// No token of a real vocabulary is as long; merges are not looked for in longer ones.
const LONGEST: usize = 1024;

// The types of tokens.
pub(in crate::data) const NORMAL: i64 = 1;
pub(in crate::data) const UNKNOWN: i64 = 2;
pub(in crate::data) const CONTROL: i64 = 3;
pub(in crate::data) const USER_DEFINED: i64 = 4;
pub(in crate::data) const UNUSED: i64 = 5;
pub(in crate::data) const BYTE: i64 = 6;

/// The special tokens that have a name, in the order of transformers, with llama.cpp's key and, for SentencePiece, the
/// id that is meant where the file has none.
pub(in crate::data) const NAMED: [(&str, &str, Option<u32>); 7] = [
    ("bos_token", "bos_token_id", Some(1)),
    ("eos_token", "eos_token_id", Some(2)),
    ("unk_token", "unknown_token_id", Some(0)),
    ("sep_token", "seperator_token_id", None),
    ("pad_token", "padding_token_id", None),
    ("cls_token", "cls_token_id", None),
    ("mask_token", "mask_token_id", None),
];

/// Tokenizer, special tokens and chat template of a file.
#[derive(Debug)]
pub struct GgufTokenizer {
    /// Text to token ids and back. Its post-processor adds BOS and EOS where the file wants them.
    pub tokenizer: Tokenizer,
    /// Name (`bos_token`, ...) and text of the special tokens that are set.
    pub special_tokens: Vec<(String, String)>,
    /// The chat template, if the file has one.
    pub chat_template: Option<String>,
}

impl GgufTokenizer {
    /// Builds the tokenizer that a file describes.
    ///
    /// Errors: a kind of tokenizer (`tokenizer.ggml.model`) or a way to cut text (`tokenizer.ggml.pre`) that is not
    /// known, by name; lists that are missing, too short or not UTF-8; merges of what is not in the vocabulary.
    pub fn new(gguf: &Gguf) -> Result<Self> {
        let source = Source { gguf };
        let model = source.text("model")?;
        let (tokenizer, adds_bos) = match model {
            "gpt2" => source.byte_level()?,
            "llama" => (source.sentence_piece()?, true),
            other => {
                return Err(Error::input(
                    format!("The tokenizer is of the kind \"{other}\", which is not supported"),
                    "Use a model whose tokenizer is of one of the kinds: gpt2 (byte-level BPE), llama (SentencePiece)",
                    gguf.at_key("tokenizer.ggml.model"),
                ));
            }
        };
        let special_tokens = source.named(model == "llama")?;
        let tokenizer = source.finish(tokenizer, &special_tokens, adds_bos)?;
        let special_tokens = special_tokens.into_iter().map(|(name, text, _)| (name.to_owned(), text)).collect();
        let template = gguf.get("tokenizer.chat_template").and_then(Value::as_str);
        Ok(Self { tokenizer, special_tokens, chat_template: template.map(str::to_owned) })
    }

    /// The contents of a `tokenizer_config.json` for the same tokenizer; `tokenizer.json` is the tokenizer's own.
    pub fn config(&self) -> Map<String, Json> {
        let mut config = Map::new();
        config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
        config.extend(self.special_tokens.iter().map(|(name, text)| (name.clone(), text.as_str().into())));
        if let Some(template) = &self.chat_template {
            config.insert("chat_template".to_owned(), template.as_str().into());
        }
        config
    }
}

/// The `tokenizer.ggml.*` keys of a file.
struct Source<'a> {
    gguf: &'a Gguf,
}

impl<'a> Source<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.gguf.get(&format!("tokenizer.ggml.{name}"))
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.get(name).and_then(Value::as_str).ok_or_else(|| self.wrong(name, "It is missing, or not a text"))
    }

    fn strings(&self, name: &str) -> Result<&'a Strings> {
        self.get(name)
            .and_then(Value::as_strings)
            .ok_or_else(|| self.wrong(name, "It is missing, or not a list of texts"))
    }

    /// The vocabulary's tokens, by id.
    fn tokens(&self) -> Result<Vec<&'a str>> {
        let strings = self.strings("tokens")?;
        let token = |(id, token): (usize, Option<&'a str>)| {
            token.ok_or_else(|| self.wrong("tokens", &format!("The token of id {id} is not UTF-8")))
        };
        let tokens = strings.iter().enumerate().map(token).collect::<Result<Vec<_>>>()?;
        if tokens.is_empty() {
            return Err(self.wrong("tokens", "The vocabulary is empty"));
        }
        Ok(tokens)
    }

    /// The tokens' types by id; none if the file has none.
    fn types(&self) -> Vec<i64> {
        self.get("token_type").and_then(Value::as_integers).unwrap_or_default()
    }

    /// Byte-level BPE, as in GPT-2, and whether it adds a BOS where the file does not say.
    fn byte_level(&self) -> Result<(Tokenizer, bool)> {
        let name = self.get("pre").and_then(Value::as_str).unwrap_or("default");
        let Some(pre) = pre(name) else {
            return Err(Error::input(
                format!("The tokenizer cuts text as \"{name}\", which is not supported"),
                format!("Use a model whose tokenizer cuts text as one of: {}", names()),
                self.gguf.at_key("tokenizer.ggml.pre"),
            ));
        };
        let (tokens, types) = (self.tokens()?, self.types());
        let alphabet = ByteLevel::alphabet();
        let spelled = |token: &str| token.chars().all(|c| alphabet.contains(&c));
        let letters = byte_letters();
        let vocab: Vocab = tokens
            .iter()
            .enumerate()
            .map(|(id, token)| {
                // Added tokens are found in the text itself. Others that are not spelled in bytes never are, and are
                // spelled so that they are at least written right.
                let added = matches!(types.get(id), Some(&(UNKNOWN | CONTROL | USER_DEFINED)));
                let token = match *token {
                    "" => format!("[EMPTY_{id}]"),
                    token if added || spelled(token) => token.to_owned(),
                    token => token.bytes().map(|byte| letters[usize::from(byte)]).collect(),
                };
                (token, id as u32)
            })
            .collect();
        let builder = BPE::builder().ignore_merges(pre.whole_words);
        let mut tokenizer = self.byte_pairs(builder, vocab, self.merges()?)?;
        if pre.nfc {
            tokenizer.with_normalizer(Some(NFC)).map_err(|e| self.failed(&e))?;
        }
        tokenizer.with_pre_tokenizer(Some(self.cuts(pre)?));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        Ok((tokenizer, pre.adds_bos))
    }

    /// A tokenizer of a vocabulary and its merges. The crate joins tokens in a buffer with room for the longest one.
    fn byte_pairs(&self, builder: BpeBuilder, vocab: Vocab, merges: Merges) -> Result<Tokenizer> {
        let longest = vocab.keys().map(String::len).max().unwrap_or_default();
        if let Some((first, second)) = merges.iter().find(|(first, second)| first.len() + second.len() > longest) {
            let what = format!("The merge of \"{first}\" and \"{second}\" makes no token of the vocabulary");
            return Err(self.wrong("merges", &what));
        }
        builder.vocab_and_merges(vocab, merges).build().map(Tokenizer::new).map_err(|e| self.failed(&e))
    }

    /// The steps that cut text into words, and then spell these in bytes.
    fn cuts(&self, pre: Pre) -> Result<PreTokenizerWrapper> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for pattern in pre.splits {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(|e| self.failed(&e))?;
            steps.push(split.into());
        }
        if pre.digits {
            steps.push(Digits::new(true).into());
        }
        steps.push(ByteLevel::new(false, true, pre.gpt2).into());
        Ok(match <[PreTokenizerWrapper; 1]>::try_from(steps) {
            Ok([only]) => only,
            Err(steps) => PreTokenizers::new(steps).into(),
        })
    }

    /// The merges that the file lists, best first.
    fn merges(&self) -> Result<Merges> {
        let strings = self.strings("merges")?;
        let mut merges = Vec::with_capacity(strings.len());
        for (number, merge) in strings.iter().enumerate() {
            // A space that belongs to a token is spelled otherwise, but for one at the very front.
            let halves = merge.and_then(|merge| {
                let at = merge.char_indices().skip(1).find(|(_, c)| *c == ' ')?.0;
                Some((merge[..at].to_owned(), merge[at + 1..].to_owned()))
            });
            match halves {
                Some(halves) => merges.push(halves),
                None => return Err(self.wrong("merges", &format!("The merge of number {number} is not two tokens"))),
            }
        }
        Ok(merges)
    }

    /// SentencePiece's BPE: spaces written as a letter of their own, characters that have no token as bytes.
    fn sentence_piece(&self) -> Result<Tokenizer> {
        let architecture = self.gguf.architecture()?;
        let is_gemma = matches!(architecture, "gemma" | "gemma2" | "gemma3");
        let mut tokens: Vec<String> = self.tokens()?.into_iter().map(str::to_owned).collect();
        if is_gemma {
            // llama.cpp's converter wrote runs of spaces as such.
            for token in tokens.iter_mut().filter(|token| token.bytes().all(|byte| byte == b' ') && !token.is_empty()) {
                *token = SPACE.repeat(token.len());
            }
        }
        let merges = match self.get("merges") {
            Some(_) => self.merges()?,
            // The scores of Gemma do not follow the order of its merges, but that of its tokens does.
            None if is_gemma => derived_merges(&tokens, |id| -(id as f64)),
            None => {
                let scores = self.get("scores").and_then(Value::as_floats).unwrap_or_default();
                if scores.len() < tokens.len() {
                    let what = format!("There are {} scores for {} tokens", scores.len(), tokens.len());
                    return Err(self.wrong("scores", &what));
                }
                derived_merges(&tokens, |id| f64::from(scores[id]))
            }
        };
        let mut builder = BPE::builder().fuse_unk(true).byte_fallback(true);
        if let Some(token) = self.named_id("unknown_token_id", Some(0), tokens.len()).and_then(|id| tokens.get(id)) {
            builder = builder.unk_token(token.clone());
        }
        let vocab: Vocab = tokens.into_iter().zip(0..).collect();
        let mut tokenizer = self.byte_pairs(builder, vocab, merges)?;
        self.spaces(&mut tokenizer, architecture, is_gemma).map_err(|e| self.failed(&e))?;
        Ok(tokenizer)
    }

    /// Sets how spaces are written, and whether a text without a space at its beginning gets one.
    fn spaces(&self, tokenizer: &mut Tokenizer, architecture: &str, is_gemma: bool) -> tokenizers::Result<()> {
        let prefix = !is_gemma && self.get("add_space_prefix").and_then(Value::as_bool).unwrap_or(true);
        let to_letter = || Replace::new(" ", SPACE);
        if is_gemma {
            tokenizer.with_normalizer(Some(to_letter()?))?;
            let behavior = SplitDelimiterBehavior::MergedWithPrevious;
            tokenizer.with_pre_tokenizer(Some(Split::new(SplitPattern::String(" ".to_owned()), behavior, false)?));
        } else if architecture == "phi3" && prefix {
            let steps: Vec<NormalizerWrapper> = vec![Prepend::new(SPACE.to_owned()).into(), to_letter()?.into()];
            tokenizer.with_normalizer(Some(Normalizers::new(steps)))?;
        } else {
            let scheme = if prefix { PrependScheme::First } else { PrependScheme::Never };
            tokenizer.with_pre_tokenizer(Some(Metaspace::new('\u{2581}', scheme, false)));
        }
        let mut steps: Vec<DecoderWrapper> =
            vec![Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
        if prefix {
            steps.push(Strip::new(' ', 1, 0).into());
        }
        tokenizer.with_decoder(Some(Decoders::new(steps)));
        Ok(())
    }

    /// An id that the file states, or the usual one, if it is in the vocabulary.
    fn named_id(&self, key: &str, usual: Option<u32>, vocab: usize) -> Option<usize> {
        let stated = self.get(key).and_then(Value::as_u64);
        let id = stated.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < vocab);
        // llama.cpp, too, ignores an id beyond the vocabulary.
        id.or_else(|| usual.map(|id| id as usize).filter(|id| *id < vocab))
    }

    /// Name, text and id of the special tokens that are set.
    fn named(&self, is_sentence_piece: bool) -> Result<Vec<(&'static str, String, u32)>> {
        let tokens = self.tokens()?;
        let named = NAMED.iter().filter_map(|(name, key, usual)| {
            let id = self.named_id(key, usual.filter(|_| is_sentence_piece), tokens.len())?;
            Some((*name, (*tokens.get(id)?).to_owned(), id as u32))
        });
        Ok(named.collect())
    }

    /// Adds the tokens that are found whole in a text, and the tokens that are added to one.
    fn finish(
        &self,
        mut tokenizer: Tokenizer,
        named: &[(&'static str, String, u32)],
        adds_bos: bool,
    ) -> Result<Tokenizer> {
        let (tokens, types) = (self.tokens()?, self.types());
        let of_type = |wanted: i64| {
            let typed = tokens.iter().zip(&types).filter(move |(_, found)| **found == wanted);
            typed.map(|(token, _)| (*token).to_owned()).filter(|token| !token.is_empty()).collect::<Vec<_>>()
        };
        let mut special = of_type(CONTROL);
        let known: BTreeSet<String> = special.iter().cloned().collect();
        special.extend(named.iter().map(|(_, text, _)| text.clone()).filter(|text| !known.contains(text)));
        let strips = self.strips_after();
        let token = |text: String, special: bool| {
            let rstrip = strips && !matches!(text.as_str(), "<unk>" | "<s>" | "<|endoftext|>");
            AddedToken::from(text, special).normalized(false).rstrip(rstrip)
        };
        tokenizer.add_special_tokens(special.into_iter().map(|text| token(text, true))).map_err(|e| self.failed(&e))?;
        // `sentence_piece` respells Gemma's runs of spaces, so the file's spelling of them is not in the vocabulary any
        // more.
        let plain: Vec<_> = of_type(USER_DEFINED)
            .into_iter()
            .filter(|text| tokenizer.token_to_id(text).is_some())
            .map(|text| token(text, false))
            .collect();
        tokenizer.add_tokens(plain).map_err(|e| self.failed(&e))?;

        let flag = |name: &str, default: bool| self.get(name).and_then(Value::as_bool).unwrap_or(default);
        let text =
            |name: &str| named.iter().find(|(other, ..)| *other == name).map(|(_, text, id)| (text.as_str(), *id));
        let bos = text("bos_token").filter(|_| flag("add_bos_token", adds_bos));
        let eos = text("eos_token").filter(|_| flag("add_eos_token", false));
        tokenizer.with_post_processor(Some(template(bos, eos).map_err(|e| self.failed(&e.into()))?));
        Ok(tokenizer)
    }

    /// True for Phi 3, whose special tokens take the spaces after them along; llama.cpp knows it by the name too.
    fn strips_after(&self) -> bool {
        let name = self.gguf.get("general.name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        ["phi-3", "phi3"].iter().any(|part| name.contains(part))
    }

    fn failed(&self, e: &tokenizers::Error) -> Error {
        Error::input(
            format!("The tokenizer cannot be built: {e}"),
            "Use another conversion of this model",
            self.gguf.name(),
        )
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        Error::input(
            format!("The tokenizer cannot be built. {what}"),
            "Use a GGUF file with a tokenizer, or another conversion of this model",
            self.gguf.at_key(&format!("tokenizer.ggml.{name}")),
        )
    }
}

/// The letter that stands for each byte in a byte-level vocabulary: itself where it is printed, others from U+0100 on.
fn byte_letters() -> [char; 256] {
    let mut letters = ['\0'; 256];
    let mut others = 0x100..;
    for (byte, letter) in (0u8..=255).zip(&mut letters) {
        let printed = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let code = if printed { u32::from(byte) } else { others.next().unwrap_or_default() };
        *letter = char::from_u32(code).unwrap_or_default();
    }
    letters
}

/// Puts a BOS before a text, and an EOS after it, where there is one.
fn template(bos: Option<(&str, u32)>, eos: Option<(&str, u32)>) -> serde_json::Result<TemplateProcessing> {
    let special = |token: Option<(&str, u32)>, type_id: u32| {
        token.map(|(text, _)| json!({"SpecialToken": {"id": text, "type_id": type_id}}))
    };
    let part = |id: &str, type_id: u32| {
        let text = Some(json!({"Sequence": {"id": id, "type_id": type_id}}));
        [special(bos, type_id), text, special(eos, type_id)].into_iter().flatten().collect::<Vec<_>>()
    };
    let tokens: Map<String, Json> = [bos, eos]
        .into_iter()
        .flatten()
        .map(|(text, id)| (text.to_owned(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    let pair = [part("A", 0), part("B", 1)].concat();
    serde_json::from_value(json!({
        "type": "TemplateProcessing",
        "single": part("A", 0),
        "pair": pair,
        "special_tokens": tokens,
    }))
}

/// The merges that a vocabulary implies: every way to make a token of two others, those of the best score first; of the
/// same score, those with the longer first half, then with the longer second one.
///
/// The order of what is still alike is that of transformers' `generate_merges`, on which tokens depend.
fn derived_merges(tokens: &[String], score: impl Fn(usize) -> f64) -> Merges {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let lengths: Vec<usize> = tokens.iter().map(|token| token.chars().count()).collect();
    let mut seen = vec![false; tokens.len()];
    let mut merges: Vec<(usize, usize, f64)> = Vec::new();
    for token in tokens.iter().filter(|token| token.len() <= LONGEST) {
        // A token that is there twice counts once, in its first place, with its last id.
        let id = ids[token.as_str()];
        if std::mem::replace(&mut seen[id], true) {
            continue;
        }
        let first = merges.len();
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(left), Some(right)) = (ids.get(left), ids.get(right)) {
                // Plus zero, since the negative zero would be below it.
                merges.push((*left, *right, score(id) + 0.0));
            }
        }
        merges[first..].sort_by_key(|(left, right, _)| (*left, *right));
    }
    let key = |merge: &(usize, usize, f64)| (lengths[merge.0], lengths[merge.1]);
    merges.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| key(b).cmp(&key(a))));
    merges.into_iter().map(|(left, right, _)| (tokens[left].clone(), tokens[right].clone())).collect()
}
