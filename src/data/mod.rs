//! Preference pairs and other rows: records, chat templates, tokens, batches.
//!
//! Sees only `files` and `platform`, and nothing of the GPU. The tokens that come out are those of TRL's trainers; a
//! row that cannot be used is reported with its line and never stops the others.

mod chat;
mod count;
mod examples;
mod flags;
mod kind;
mod modelfile;
mod reading;
mod record;
mod sample;
mod split;
mod tokens;

pub use chat::template::{Chat, ChatTemplate, TEMPLATE_FILE};
pub use count::{count, counted};
pub use examples::batch::{
    DropReason, Dropped, Sampling, TokenPair, Tokenized, micro_batches, order, steps_per_epoch, tokenize,
    tokenize_record,
};
pub use examples::example::{Example, Examples, prompt_example, tokenize_prompts};
pub use examples::kto::{KtoRules, kto_example, mismatch, tokenize_kto};
pub use examples::pairwise::{check_margins, orpo_example, reward_example, tokenize_orpo, tokenize_reward};
pub use examples::sft::{SftRules, sft_example, tokenize_sft};
pub use flags::{AuditRow, Flags, Side, audit};
pub use kind::{Kind, Method};
pub use modelfile::Modelfile;
pub use reading::columns::{Columns, first_columns, other_purpose};
pub use reading::fields::Fields;
pub use reading::file::PairsFile;
pub use reading::reader::{PairReader, RowReader, SampleReader};
pub use reading::shapes::Shape;
pub use record::{LineError, Message, Part, Passage, Record, read_pairs};
pub use sample::{APART, Sample};
pub use split::{Prompted, SplitBy, held_out, prompt_groups, split_by_prompt};
pub use tokens::gguf::GgufTokenizer;
pub use tokens::tokenizer::Tokenizer;
