//! GGUF files: header, types, config, names, tokenizer, writing; and models that are opened from them.

mod blocks;
mod common;
mod config;
mod export;
mod file;
mod tokenizer;
mod write;
