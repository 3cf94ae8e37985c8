//! pairtune: preference tuning (DPO with LoRA) of Hugging Face models in WebGPU compute shaders, natively and in the
//! browser by the same code.
//!
//! The layers, from the bottom up. Each sees only those before it; `ARCHITECTURE.md` says what each must not know:
//!
//! * [`error`], [`platform`]: what can go wrong; files as ranges of bytes.
//! * [`gpu`], [`kernels`]: the only user of wgpu; one function per shader in `shaders/`.
//! * [`mod@reference`], [`doctor`]: the kernels once more in f64, and the comparison of both on the device at hand.
//! * [`files`], [`data`]: Hugging Face files; pairs, chat templates, tokens, batches.
//! * [`model`], [`train`]: the transformer forward and backward; the loss, the optimiser, the loop.
//!
//! * [`mod@bench`]: how fast all of it is on the device at hand.
//! * [`engine`], [`link`]: a session behind a protocol of plain data; the thread or worker that it lives in.
//! * [`app`]: what people see, natively and in the browser.
//!
//! The ways in are [`train::Trainer`], a value that takes one optimiser step at a time, and [`engine::Session`], which
//! takes a person's commands.

#[cfg(feature = "app")]
pub mod app;
pub mod bench;
pub mod data;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod files;
pub mod gpu;
pub mod kernels;
pub mod link;
pub mod model;
pub mod platform;
pub mod reference;
pub mod train;

pub use error::{Error, ErrorCode, Result};
