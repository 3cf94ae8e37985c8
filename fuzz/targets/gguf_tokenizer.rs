//! The tokenizer of a GGUF file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune_fuzz::use_tokenizer;

fuzz_target!(|bytes: &[u8]| use_tokenizer(&[("model.gguf", bytes)]));
