//! Tokenizers from GGUF metadata, on vocabularies of a few tokens. `tokenizers` and `sentencepiece` of
//! `tests/gguf_check.py` compare whole vocabularies with transformers.

use super::common::{Entry, entry, file, message, open};
use pairtune::data::GgufTokenizer;
use pairtune::error::Result;
use pairtune::files::{Array, GgufValue, Strings};

type Metadata = Vec<(String, GgufValue)>;

fn strings(list: &[&str]) -> Array {
    Array::Strings(list.iter().collect())
}

/// A vocabulary of bytes and a few words, in which `<think>` is user-defined.
fn byte_level() -> Metadata {
    let mut tokens = vec!["<|bos|>".to_owned(), "<|end|>".to_owned(), "<think>".to_owned()];
    let mut types = vec![3, 3, 4];
    for byte in (b'!'..=b'~').chain([0, 1]) {
        // The space and the newline are spelled so.
        let letter = ['Ġ', 'Ċ'].get(usize::from(byte)).copied().unwrap_or(char::from(byte));
        tokens.push(letter.to_string());
        types.push(1);
    }
    for token in ["he", "ll", "hell", "hello", "Ġhello", "ĠĠ", "world", "12", "ĊĊ"] {
        tokens.push(token.to_owned());
        types.push(1);
    }
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ hello", "Ġ Ġ", "1 2", "Ċ Ċ"];
    vec![
        entry("general.architecture", "llama"),
        entry("tokenizer.ggml.model", "gpt2"),
        entry("tokenizer.ggml.pre", "gpt-2"),
        entry("tokenizer.ggml.tokens", Array::Strings(tokens.iter().collect())),
        entry("tokenizer.ggml.token_type", Array::I32(types)),
        entry("tokenizer.ggml.merges", strings(&merges)),
        entry("tokenizer.ggml.bos_token_id", 0),
        entry("tokenizer.ggml.eos_token_id", 1),
    ]
}

fn with(mut metadata: Metadata, key: &str, value: impl Into<Entry>) -> Metadata {
    let key = if key.contains('.') { key.to_owned() } else { format!("tokenizer.ggml.{key}") };
    metadata.retain(|(other, _)| *other != key);
    metadata.push(entry(&key, value));
    metadata
}

fn without(mut metadata: Metadata, key: &str) -> Metadata {
    metadata.retain(|(other, _)| *other != format!("tokenizer.ggml.{key}"));
    metadata
}

fn build(metadata: &[(String, GgufValue)]) -> Result<GgufTokenizer> {
    GgufTokenizer::new(&open(file(metadata, &[])).expect("the file is sound"))
}

/// The tokens of a text, with those that the tokenizer adds.
fn tokens(metadata: &[(String, GgufValue)], text: &str) -> Vec<String> {
    let found = build(metadata).expect("the tokenizer can be built");
    let encoding = found.tokenizer.encode(text, true).expect("a text has tokens");
    let token = |id: &u32| found.tokenizer.id_to_token(*id).expect("the id is of a token");
    encoding.get_ids().iter().map(token).collect()
}

#[test]
fn bytes_are_merged_and_special_tokens_stay_whole() {
    let metadata = byte_level();
    assert_eq!(tokens(&metadata, "hello hello  hello"), ["hello", "Ġhello", "Ġ", "Ġhello"]);
    assert_eq!(tokens(&metadata, "<|bos|>hell<think>\n"), ["<|bos|>", "hell", "<think>", "Ċ"]);
    let found = build(&metadata).expect("the tokenizer can be built");
    let ids = found.tokenizer.encode("<think>hello <|end|>", false).expect("a text has tokens");
    let decoded = |skip: bool| found.tokenizer.decode(ids.get_ids(), skip).expect("tokens have a text");
    assert_eq!((decoded(false), decoded(true)), ("<think>hello <|end|>".to_owned(), "<think>hello ".to_owned()));
    let expected = [("bos_token", "<|bos|>"), ("eos_token", "<|end|>")].map(|(n, t)| (n.to_owned(), t.to_owned()));
    assert_eq!(found.special_tokens, expected);
    assert_eq!((found.chat_template.as_deref(), found.config().get("chat_template")), (None, None));
    let template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let found = build(&with(metadata, "tokenizer.chat_template", template)).expect("the tokenizer can be built");
    assert_eq!(found.chat_template.as_deref(), Some(template));
    assert_eq!(found.config().get("eos_token").and_then(|token| token.as_str()), Some("<|end|>"));
    let json = found.tokenizer.to_string(false).expect("it can be written");
    let again = tokenizers::Tokenizer::from_bytes(&json).expect("what is written can be read");
    let ids = |of: &tokenizers::Tokenizer| of.encode("<think> hello 12", true).map(|e| e.get_ids().to_vec()).ok();
    assert_eq!(ids(&again), ids(&found.tokenizer));
}

#[test]
fn text_is_cut_as_the_vocabulary_was_made() {
    let cut = |pre: &str, text: &str| tokens(&with(byte_level(), "pre", pre), text);
    assert_eq!(cut("gpt-2", "12\n\n1"), ["12", "Ċ", "Ċ", "1"]);
    assert_eq!(cut("default", "12"), ["12"]);
    assert_eq!(cut("smollm", "12\n\n1"), ["1", "2", "ĊĊ", "1"]);
    assert_eq!(cut("qwen2", "12\n\n1"), ["1", "2", "ĊĊ", "1"]);
    // No merges lead to this word, but some vocabularies take words whole, and begin a text with a BOS.
    assert_eq!(cut("dbrx", "world"), ["w", "o", "r", "l", "d"]);
    assert_eq!(cut("llama-bpe", "world"), ["<|bos|>", "world"]);
    assert_eq!(tokens(&without(byte_level(), "pre"), "12"), ["12"], "GPT-2's where the file does not say");
    let decomposed = build(&with(byte_level(), "pre", "qwen2")).expect("the tokenizer can be built");
    let normal = decomposed.tokenizer.get_normalizer().is_some();
    assert!(normal, "Qwen composes letters and their accents");
}

#[test]
fn bos_and_eos_are_added_as_the_file_says() {
    let both = with(with(byte_level(), "add_bos_token", true), "add_eos_token", true);
    assert_eq!(tokens(&both, "hello"), ["<|bos|>", "hello", "<|end|>"]);
    let none = with(with(byte_level(), "pre", "llama-bpe"), "add_bos_token", false);
    assert_eq!(tokens(&none, "hello"), ["hello"]);
    assert_eq!(tokens(&without(both, "bos_token_id"), "hello"), ["hello", "<|end|>"], "there is no BOS");
    let beyond = with(with(byte_level(), "add_bos_token", true), "bos_token_id", 4_000_000_000);
    assert_eq!(tokens(&beyond, "hello"), ["hello"], "an id beyond the vocabulary is none");
}

/// A vocabulary with scores: the higher, the earlier merged.
fn sentence_piece() -> Metadata {
    let mut pieces = vec![("<unk>".to_owned(), 0.0, 2), ("<s>".to_owned(), 0.0, 3), ("</s>".to_owned(), 0.0, 3)];
    pieces.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let words = ["▁a", "ab", "abc", "▁ab", "bc", "▁▁"];
    pieces.extend(words.iter().zip(0..).map(|(word, i)| ((*word).to_owned(), -(i as f32), 1)));
    pieces.extend(["▁", "a", "b", "c", "é"].iter().zip(20..).map(|(c, i)| ((*c).to_owned(), -(i as f32), 1)));
    pieces.extend([("<|user|>".to_owned(), -1000.0, 3), ("<tool>".to_owned(), -1000.0, 4)]);
    vec![
        entry("general.architecture", "llama"),
        entry("tokenizer.ggml.model", "llama"),
        entry("tokenizer.ggml.tokens", Array::Strings(pieces.iter().map(|(text, ..)| text).collect())),
        entry("tokenizer.ggml.scores", Array::F32(pieces.iter().map(|(_, score, _)| *score).collect())),
        entry("tokenizer.ggml.token_type", Array::I32(pieces.iter().map(|(.., of)| *of).collect())),
    ]
}

#[test]
fn pieces_are_merged_by_their_scores_and_fall_back_to_bytes() {
    let metadata = sentence_piece();
    assert_eq!(tokens(&metadata, "abc"), ["<s>", "▁ab", "c"], "the best score comes first");
    assert_eq!(tokens(&metadata, "é\n"), ["<s>", "▁", "é", "<0x0A>"]);
    assert_eq!(tokens(&metadata, "a<|user|>a<tool> a"), ["<s>", "▁a", "<|user|>", "a", "<tool>", "▁a"]);
    let found = build(&metadata).expect("the tokenizer can be built");
    let ids = found.tokenizer.encode("abc \u{1F600} a", true).expect("a text has tokens");
    assert_eq!(found.tokenizer.decode(ids.get_ids(), true).ok().as_deref(), Some("abc \u{1F600} a"));
    let names: Vec<&str> = found.special_tokens.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bos_token", "eos_token", "unk_token"], "ids that SentencePiece has by custom");
    let plain = with(with(metadata.clone(), "add_space_prefix", false), "add_bos_token", false);
    assert_eq!(tokens(&plain, "abc"), ["abc"], "no space before");
    let phi = with(with(metadata.clone(), "general.architecture", "phi3"), "general.name", "Phi-3 Mini");
    assert_eq!(tokens(&phi, "<|user|>\n abc"), ["<s>", "<|user|>", "▁ab", "c"], "its tokens take spaces along");
    let given = with(metadata, "merges", strings(&["a b", "ab c"]));
    assert_eq!(tokens(&given, "abc"), ["<s>", "▁", "abc"], "merges that the file gives");
}

#[test]
fn gemma_merges_in_the_order_of_its_tokens() {
    let metadata = with(sentence_piece(), "general.architecture", "gemma2");
    let all = metadata.iter().find(|(key, _)| key.ends_with("tokens")).and_then(|(_, value)| value.as_strings());
    let spaced: Strings =
        all.into_iter().flat_map(Strings::iter).flatten().map(|t| if t == "▁▁" { "  " } else { t }).collect();
    let metadata = with(metadata, "tokens", Array::Strings(spaced));
    assert_eq!(tokens(&metadata, "abc"), ["<s>", "abc"], "there is no space before");
    assert_eq!(tokens(&metadata, "c   abc"), ["<s>", "c", "▁▁", "▁ab", "c"], "runs of spaces are tokens");
}

#[test]
fn what_cannot_be_built_is_refused_by_key() {
    let bytes = byte_level();
    let pieces = sentence_piece();
    let mut broken = Strings::default();
    broken.push(b"ok");
    broken.push(&[0xff]);
    for (metadata, part) in [
        (with(bytes.clone(), "model", "bert"), "of the kind \"bert\", which is not supported"),
        (without(bytes.clone(), "model"), "missing, or not a text. Use a GGUF file with a tokenizer"),
        (with(bytes.clone(), "pre", "kimi-k2"), "cuts text as \"kimi-k2\", which is not supported"),
        (without(bytes.clone(), "merges"), "tokenizer.ggml.merges]"),
        (without(bytes.clone(), "tokens"), "tokenizer.ggml.tokens]"),
        (with(bytes.clone(), "tokens", Array::U8(vec![1])), "not a list of texts"),
        (with(bytes.clone(), "tokens", Array::Strings(Strings::default())), "The vocabulary is empty"),
        (with(bytes.clone(), "tokens", Array::Strings(broken)), "The token of id 1 is not UTF-8"),
        (with(bytes.clone(), "merges", strings(&["h e", "l"])), "The merge of number 1 is not two tokens"),
        (with(bytes.clone(), "merges", strings(&["h q", "é é"])), "cannot be built"),
        (
            with(bytes.clone(), "merges", strings(&["h e", "<|bos|> hello"])),
            "The merge of \"<|bos|>\" and \"hello\" makes no token of the vocabulary",
        ),
        (without(pieces.clone(), "scores"), "There are 0 scores for"),
        (with(pieces, "scores", Array::F32(vec![0.0; 3])), "There are 3 scores for"),
    ] {
        let refused = message(build(&metadata));
        assert!(refused.contains(part) && refused.contains("[model.gguf"), "{part}: {refused}");
    }
}

#[test]
fn a_vocabulary_of_real_size_is_built_in_seconds() {
    let mut tokens: Vec<String> = vec!["<unk>".to_owned(), "<s>".to_owned(), "</s>".to_owned()];
    tokens.extend(('a'..='z').map(String::from));
    let letter = |i: usize| char::from(b'a' + (i % 26) as u8);
    tokens.extend((0..262_000).map(|i| [i, i / 26, i / 676, i / 17_576].map(letter).iter().collect::<String>()));
    tokens.dedup();
    let scores = (0..tokens.len()).map(|i| -(i as f32)).collect();
    let metadata = [
        entry("general.architecture", "gemma3"),
        entry("tokenizer.ggml.model", "llama"),
        entry("tokenizer.ggml.tokens", Array::Strings(tokens.iter().collect())),
        entry("tokenizer.ggml.scores", Array::F32(scores)),
    ];
    let found = build(&metadata).expect("the tokenizer can be built");
    assert_eq!(found.tokenizer.get_vocab_size(true), tokens.len());
}
