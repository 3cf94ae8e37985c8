//! A `tokenizer.json` on which the `tokenizers` crate panics is refused, and one beside it is read.

use base64::Engine as _;
use pairtune::Result;
use pairtune::data::Tokenizer;
use pollster::block_on;
use serde_json::{Value, json};

use super::{Memory, check_message};

/// A tokenizer of whole words with these parts.
fn open(parts: &[(&str, Value)]) -> Result<Tokenizer> {
    let mut tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "  a": 2, "?": 3}, "unk_token": "?"},
    });
    for (name, part) in parts {
        tokenizer[*name] = part.clone();
    }
    block_on(Tokenizer::open(&Memory(vec![("tokenizer.json", tokenizer.to_string().into_bytes())])))
}

#[track_caller]
fn check_refused(name: &str, part: &Value, words: &str) {
    let error = open(&[(name, part.clone())]).err().expect("it is refused");
    check_message(&error, &["The tokenizer cannot be read", words, "Download it again", "tokenizer.json"]);
    // Parts lie in sequences, too.
    let of = if name.starts_with("pre") { "pretokenizers" } else { "parts" };
    let nested = json!({"type": "Sequence", of: [part]});
    check_message(&open(&[(name, nested)]).err().expect("it is refused there"), &[words]);
}

#[track_caller]
fn ids(parts: &[(&str, Value)], text: &str) -> Vec<u32> {
    open(parts).expect("it is sound").encode(text, true).expect("tokens")
}

#[test]
fn merges_make_tokens_of_the_vocabulary() {
    let model = |vocab: Value, merge: Value, prefix: Value| {
        let model = json!({"type": "BPE", "vocab": vocab, "merges": [merge], "continuing_subword_prefix": prefix});
        [("model", model)]
    };
    let whole = json!({"a": 0, "b": 1, "ab": 2});
    assert_eq!(ids(&model(whole.clone(), json!(["a", "b"]), Value::Null), "ab"), [2], "a list of both");
    assert_eq!(ids(&model(whole.clone(), json!("a b"), Value::Null), "ab"), [2], "a text");
    let prefixed = json!({"a": 0, "##b": 1, "ab": 2});
    assert_eq!(ids(&model(prefixed.clone(), json!(["a", "##b"]), json!("##")), "ab"), [2], "with a prefix");
    for (vocab, merge, prefix) in [
        (json!({"a": 0, "b": 1}), json!(["a", "b"]), Value::Null),
        (json!({"a": 0, "b": 1}), json!("a b"), Value::Null),
        (whole, json!(["a", "b"]), json!("##")),
        (prefixed, json!(["a", "##b"]), json!("###")),
    ] {
        let error = open(&model(vocab, merge, prefix)).err().expect("it is refused");
        check_message(&error, &["the merge of \"a\" and", "makes no token of the vocabulary", "tokenizer.json"]);
    }
    let error = open(&model(json!({"a": 0}), json!(["a"]), Value::Null)).err().expect("it is refused");
    check_message(&error, &["a merge has two tokens", "tokenizer.json"]);
}

#[test]
fn pieces_have_a_length() {
    let part = |length: u32| json!({"type": "FixedLength", "length": length});
    assert_eq!(ids(&[("pre_tokenizer", part(1))], "ab"), [0, 1], "letters");
    check_refused("pre_tokenizer", &part(0), "pieces of the length 0");
}

#[test]
fn a_template_explains_its_tokens() {
    let part = |piece: Value, token: &str| {
        let single = [piece, json!({"Sequence": {"id": "A", "type_id": 0}})];
        let tokens = json!({token: {"id": token, "ids": [1], "tokens": ["b"]}});
        json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": tokens})
    };
    let added = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    assert_eq!(ids(&[("post_processor", part(added.clone(), "<s>"))], "a"), [1, 0], "it is added");
    check_refused("post_processor", &part(added, "</s>"), "adds \"<s>\", which it does not explain");
    let second = json!({"Sequence": {"id": "B", "type_id": 0}});
    check_refused("post_processor", &part(second, "<s>"), "wants a second text");
}

#[test]
fn nothing_is_cut_off_the_end() {
    let part = |stop: u32| json!({"type": "Strip", "content": " ", "start": 1, "stop": stop});
    let tokenizer = open(&[("decoder", part(0))]).expect("it is sound");
    assert_eq!(tokenizer.decode(&[2], false), Ok(" a".to_owned()), "one space is cut off");
    check_refused("decoder", &part(1), "cuts 1 characters at the end");
}

#[test]
fn a_map_of_characters_stays_within_itself() {
    // A trie of one state after the root, for the letter a, whose value lies at the beginning of the texts.
    let (mut units, letter) = (vec![0_u32; 1024], u32::from(b'a'));
    units[0] = 256 << 10;
    units[256 ^ 97] = 512 << 10 | 1 << 8 | letter;
    let part = |units: &[u32], texts: &[u8]| {
        let mut bytes = (4 * units.len() as u32).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(texts);
        let map = base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({"type": "Precompiled", "precompiled_charsmap": map})
    };
    let check = |units: &[u32], texts: &[u8]| check_refused("normalizer", &part(units, texts), "charsmap");
    assert_eq!(ids(&[("normalizer", part(&units, b"b\0"))], "a"), [1], "a becomes b");
    check(&units[..900], b"b\0");
    check(&units[..300], b"b\0");
    check(&[], b"");
    units[512 ^ 256 ^ 97] = 3;
    check(&units, b"b\0");
    check(&units, "b日\0".as_bytes());
    assert_eq!(ids(&[("normalizer", part(&units, b"b\0\0a"))], "a"), [0], "at the end");
}
