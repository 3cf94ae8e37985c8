//! Exports: files for other programs.

pub mod files;
pub mod gguf;
pub mod trl;
