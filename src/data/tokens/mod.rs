//! Tokenizers: those of `tokenizer.json`, and those in the metadata of GGUF files.

pub(super) mod gguf;
pub(super) mod gguf_pre;
pub(super) mod gguf_vocab;
pub(super) mod parts;
pub(super) mod tokenizer;
