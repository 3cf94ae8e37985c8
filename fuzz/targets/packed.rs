//! Text packed by gzip or zstd.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune_fuzz::read_pairs_file;

fuzz_target!(|bytes: &[u8]| read_pairs_file("pairs.jsonl.zst", bytes));
