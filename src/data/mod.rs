//! Preference pairs: records, chat templates, tokens, batches.
//!
//! Sees only `files` and `platform`, and nothing of the GPU. The tokens that come out are those of TRL's `DPOTrainer`;
//! a row that cannot be used is reported with its line and never stops the others.

mod batch;
mod columns;
mod file;
mod flags;
mod gguf_pre;
mod gguf_tokenizer;
mod gguf_vocab;
mod modelfile;
mod record;
mod row;
mod shapes;
mod split;
mod table;
mod template;
mod tokenizer;
mod tokenizer_parts;

pub use batch::{
    DropReason, Dropped, Sampling, TokenPair, Tokenized, micro_batches, none_left, order, steps_per_epoch, tokenize,
    tokenize_record,
};
pub use columns::{Columns, first_columns, other_purpose};
pub use file::PairsFile;
pub use flags::{AuditRow, Flags, Side, audit};
pub use gguf_tokenizer::GgufTokenizer;
pub use modelfile::Modelfile;
pub use record::{LineError, Message, PairReader, Part, Record, read_pairs};
pub use shapes::Shape;
pub use split::{SplitBy, held_out, prompt_groups, split_by_prompt};
pub use template::{Chat, ChatTemplate, TEMPLATE_FILE};
pub use tokenizer::Tokenizer;
