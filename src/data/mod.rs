//! Preference pairs and other rows: records, chat templates, tokens, batches.
//!
//! Sees only `files` and `platform`, and nothing of the GPU. The tokens that come out are those of TRL's trainers; a
//! row that cannot be used is reported with its line and never stops the others.

mod batch;
mod columns;
mod count;
mod encode;
mod example;
mod fields;
mod file;
mod flags;
mod gguf_pre;
mod gguf_tokenizer;
mod gguf_vocab;
mod kind;
mod kto;
mod modelfile;
mod pairwise;
mod reader;
mod record;
mod row;
mod sample;
mod sft;
mod shapes;
mod split;
mod table;
mod template;
mod template_parts;
mod tokenizer;
mod tokenizer_parts;
mod training_templates;

pub use batch::{
    DropReason, Dropped, Sampling, TokenPair, Tokenized, micro_batches, order, steps_per_epoch, tokenize,
    tokenize_record,
};
pub use columns::{Columns, first_columns, other_purpose};
pub use count::{count, counted};
pub use example::{Example, Examples, prompt_example, tokenize_prompts};
pub use fields::Fields;
pub use file::PairsFile;
pub use flags::{AuditRow, Flags, Side, audit};
pub use gguf_tokenizer::GgufTokenizer;
pub use kind::{Kind, Method};
pub use kto::{KtoRules, kto_example, mismatch, tokenize_kto};
pub use modelfile::Modelfile;
pub use pairwise::{check_margins, orpo_example, reward_example, tokenize_orpo, tokenize_reward};
pub use reader::{PairReader, RowReader, SampleReader};
pub use record::{LineError, Message, Part, Record, read_pairs};
pub use sample::{APART, Sample};
pub use sft::{SftRules, sft_example, tokenize_sft};
pub use shapes::Shape;
pub use split::{Prompted, SplitBy, held_out, prompt_groups, split_by_prompt};
pub use template::{Chat, ChatTemplate, TEMPLATE_FILE};
pub use tokenizer::Tokenizer;
