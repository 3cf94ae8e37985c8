//! Preference pairs: records, chat templates, tokens, batches.
//!
//! Sees only `files` and `platform`, and nothing of the GPU. The tokens that come out are those of TRL's `DPOTrainer`;
//! a row that cannot be used is reported with its line and never stops the others.

mod batch;
mod columns;
mod flags;
mod gguf_pre;
mod gguf_tokenizer;
mod record;
mod table;
mod template;
mod tokenizer;

pub use batch::{
    DropReason, Dropped, Sampling, TokenPair, Tokenized, held_out_rows, micro_batches, none_left, order,
    split_by_prompt, steps_per_epoch, tokenize, tokenize_record,
};
pub use columns::{Columns, first_columns, other_purpose};
pub use flags::{AuditRow, Flags, Side, audit};
pub use gguf_tokenizer::GgufTokenizer;
pub use record::{LineError, Message, PairReader, Part, Record, read_pairs};
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
