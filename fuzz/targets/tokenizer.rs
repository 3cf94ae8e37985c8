//! A `tokenizer.json`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune_fuzz::use_tokenizer;

const CONFIG: &[u8] =
    br#"{"eos_token": "</s>", "added_tokens_decoder": {"3": {"content": "<|im_end|>", "special": true}}}"#;

fuzz_target!(|bytes: &[u8]| use_tokenizer(&[("tokenizer.json", bytes), ("tokenizer_config.json", CONFIG)]));
