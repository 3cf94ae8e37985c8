//! Hugging Face files: weights, adapters, trainer state. Bytes in, structs out.
//!
//! Sees only `platform`: nothing here opens a path, and nothing here knows of tokens, models or the GPU. Whatever
//! bytes come in, the answer is a struct that was checked or an error that says what, how to fix it, and where.

mod adapter;
mod archive;
mod foreign;
mod gguf;
mod hf_config;
mod merge;
mod model_card;
mod model_files;
mod parquet;
mod patterns;
mod safetensors;
mod tensorboard;
mod trainer_state;
mod unpack;

pub use self::safetensors::{Dtype, Tensor, TensorFiles, TensorInfo, parse, serialize_f32, to_f32};
pub use adapter::{Adapter, AdapterConfig, LORA_A, LORA_B, LORA_MAGNITUDE, PEFT_PREFIX, SCORE, TargetModules, Task};
pub use archive::{MAX_ARCHIVE_BYTES, check_archive_size, pack, unpack};
pub use gguf::blocks::GgmlType;
pub use gguf::config::gguf_config;
pub use gguf::export::{GgufModel, HfTensor};
pub use gguf::file::{Gguf, GgufTensor};
pub use gguf::names::{Change, GgufArch, Mapped};
pub use gguf::rope::{Llama3Scaling, RopeFactors};
pub use gguf::value::{Array, Strings, Value as GgufValue};
pub use gguf::weights::GgufWeights;
pub use gguf::write::{GgufLayout, encode, write_gguf};
pub use hf_config::{licence, stated_name};
pub use merge::merge_model;
pub use model_card::ModelCard;
pub use model_files::{ModelFiles, Stored, StoredMatrix, gguf_in};
pub use parquet::{Parquet, Row, RowGroup};
pub use patterns::{Matcher, Scales};
pub use tensorboard::{crc32c, event_file, event_file_name, metrics_csv, metrics_jsonl};
pub use trainer_state::TrainerState;
pub use unpack::{Packing, Unpacker};
