//! Checks of a `tokenizer.json` that the `tokenizers` crate omits: it panics on such faults when it reads the file, or
//! a text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Returns the first fault in the parts of a tokenizer, or none.
pub(in crate::data) fn problem(bytes: &[u8]) -> Option<String> {
    let parts: Parts = match serde_json::from_slice(bytes) {
        Ok(parts) => parts,
        Err(e) => return Some(e.to_string()),
    };
    let mut found = parts.model.as_ref().and_then(Model::problem);
    for (part, check) in [
        (&parts.normalizer, charsmap as Check),
        (&parts.pre_tokenizer, pieces_of_no_length),
        (&parts.post_processor, template),
        (&parts.decoder, cut_at_the_end),
    ] {
        found = found.or_else(|| part.as_ref().and_then(|part| in_any_object(part, check)));
    }
    found
}

/// Tells what is wrong with an object.
type Check = fn(&Value) -> Option<String>;

/// The parts; those that are no objects must be absent or null.
#[derive(Deserialize)]
struct Parts {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Option<Model>,
}

/// Parts of byte-pair encoding; other models have neither merges nor a prefix that counts.
#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Longest,
    merges: Option<Vec<Merge>>,
    continuing_subword_prefix: Option<String>,
}

impl Model {
    /// Two tokens are joined in a buffer that has room for the longest, the second without its prefix.
    fn problem(&self) -> Option<String> {
        let prefix = self.continuing_subword_prefix.as_deref().unwrap_or_default();
        let bad = self.merges.iter().flatten().find(|Merge(first, second)| {
            let rest = second.strip_prefix(prefix);
            rest.is_none_or(|rest| first.len() + rest.len() > self.vocab.0)
        })?;
        Some(format!("the merge of {:?} and {:?} makes no token of the vocabulary", bad.0, bad.1))
    }
}

/// Bytes of the longest token of a vocabulary by names; 0 of one that is a list.
#[derive(Default)]
struct Longest(usize);

impl<'de> Deserialize<'de> for Longest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Vocab;
        impl<'de> Visitor<'de> for Vocab {
            type Value = Longest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Longest, A::Error> {
                let mut longest = 0;
                while let Some((Name(token), IgnoredAny)) = map.next_entry()? {
                    longest = longest.max(token.len());
                }
                Ok(Longest(longest))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Longest, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Longest(0))
            }
        }
        deserializer.deserialize_any(Vocab)
    }
}

/// A text that lies in the file as it is, where nothing in it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Two tokens that are joined: a list of both, or a text with a space between them.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge of two tokens")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                match text.split_once(' ') {
                    Some((first, second)) => Ok(Merge(first.to_owned(), second.to_owned())),
                    None => Err(E::custom(format!("{text:?} is no merge of two tokens"))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge has two tokens");
                let mut next = || list.next_element::<String>()?.ok_or_else(missing);
                let both = Merge(next()?, next()?);
                match list.next_element::<IgnoredAny>()? {
                    None => Ok(both),
                    Some(IgnoredAny) => Err(missing()),
                }
            }
        }
        deserializer.deserialize_any(Both)
    }
}

/// The first problem of an object in `value`, however deep: parts may be lists of parts.
fn in_any_object(value: &Value, check: Check) -> Option<String> {
    match value {
        Value::Object(map) => check(value).or_else(|| map.values().find_map(|value| in_any_object(value, check))),
        Value::Array(list) => list.iter().find_map(|value| in_any_object(value, check)),
        _ => None,
    }
}

/// A text is cut into pieces of a length, which cannot be 0.
fn pieces_of_no_length(part: &Value) -> Option<String> {
    (part.get("length")?.as_u64() == Some(0)).then(|| "the pre-tokenizer cuts pieces of the length 0".to_owned())
}

/// A template names tokens that it explains, and the one text.
fn template(part: &Value) -> Option<String> {
    let (single, tokens) = (part.get("single")?.as_array()?, part.get("special_tokens"));
    single.iter().find_map(|piece| {
        if let Some(id) = piece.pointer("/SpecialToken/id").and_then(Value::as_str) {
            let is_known = tokens.and_then(|tokens| tokens.get(id)).is_some();
            return (!is_known).then(|| format!("the post-processor adds {id:?}, which it does not explain"));
        }
        let is_second = piece.pointer("/Sequence/id").is_some_and(|id| id != "A");
        is_second.then(|| "the post-processor wants a second text".to_owned())
    })
}

/// Cutting at the end counts back beyond the beginning of a short token.
fn cut_at_the_end(part: &Value) -> Option<String> {
    let (_, stop) = (part.get("start")?, part.get("stop")?);
    (stop.as_u64() != Some(0)).then(|| format!("the decoder cuts {stop} characters at the end, which is not supported"))
}

/// SentencePiece's map of characters: a trie whose states and values must lie in the file.
fn charsmap(part: &Value) -> Option<String> {
    let text = part.get("precompiled_charsmap")?.as_str()?;
    let bytes = base64(text).unwrap_or_default();
    let inside = || {
        let (size, rest) = bytes.split_first_chunk()?;
        let (trie, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize / 4 * 4)?;
        let units: Vec<usize> = trie.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
        states_are_inside(&units, str::from_utf8(texts).ok()?).then_some(())
    };
    inside().is_none().then(|| "the precompiled_charsmap of the normalizer is damaged".to_owned())
}

/// Walks all states of a double array that a text can lead to.
fn states_are_inside(units: &[usize], texts: &str) -> bool {
    let offset = |unit: usize| (unit >> 10) << ((unit & (1 << 9)) >> 6);
    let Some(first) = units.first() else { return false };
    let mut seen = vec![false; units.len()];
    let mut states = vec![offset(*first)];
    while let Some(state) = states.pop() {
        for byte in 1..=255 {
            let next = state ^ byte;
            let Some(unit) = units.get(next) else { return false };
            if unit & (1 << 31 | 0xff) != byte || std::mem::replace(&mut seen[next], true) {
                continue;
            }
            let state = next ^ offset(*unit);
            if unit >> 8 & 1 == 1 {
                let value = units.get(state).map(|value| value & ((1 << 31) - 1));
                if !value.is_some_and(|value| texts.is_char_boundary(value)) {
                    return false;
                }
            }
            states.push(state);
        }
    }
    true
}

/// The bytes of a text in base64.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut n_bits) = (0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, n_bits) = (bits << 6 | u32::from(value), n_bits + 6);
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    Some(bytes)
}
