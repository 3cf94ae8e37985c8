//! GGUF files: headers, values, blocks of weights, names of tensors, configurations, and writing.

pub(super) mod blocks;
pub(super) mod config;
pub(super) mod export;
pub(super) mod file;
pub(super) mod header;
pub(super) mod names;
pub(super) mod rope;
pub(super) mod value;
pub(super) mod weights;
pub(super) mod write;
