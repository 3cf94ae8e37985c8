//! Hugging Face files: weights, model config, adapters, trainer state. Bytes in, structs out.
//!
//! Sees only `platform`: nothing here opens a path, and nothing here knows of tokens, models or the GPU. Whatever
//! bytes come in, the answer is a struct that was checked or an error that says what, how to fix it, and where.

mod adapter;
mod archive;
mod foreign;
mod hf_config;
mod merge;
mod parquet;
mod safetensors;
mod tensorboard;
mod trainer_state;
mod unpack;

pub use self::safetensors::{Dtype, Tensor, TensorFiles, TensorInfo, parse, serialize_f32, to_f32};
pub use adapter::{Adapter, AdapterConfig, ModelCard, TargetModules};
pub use archive::{MAX_ARCHIVE_BYTES, check_archive_size, pack, unpack};
pub use hf_config::{ModelConfig, Rope, RopeScaling, licence, stated_name};
pub use merge::{merge_model, merge_rows};
pub use parquet::{Parquet, Row, RowGroup};
pub use tensorboard::{crc32c, event_file, event_file_name, metrics_csv, metrics_jsonl};
pub use trainer_state::TrainerState;
pub use unpack::{Packing, Unpacker};
