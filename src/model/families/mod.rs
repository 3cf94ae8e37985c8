//! One file for each model family: it reads the family's config into one `Architecture`. Common parts are in `usual`.

pub(super) mod exaone4;
pub(super) mod fields;
pub(super) mod gemma;
pub(super) mod gpt2;
pub(super) mod gpt_neox;
pub(super) mod granite;
pub(super) mod hunyuan;
pub(super) mod lfm2;
pub(super) mod llama;
pub(super) mod mistral;
pub(super) mod olmo;
pub(super) mod phi3;
pub(super) mod qwen;
pub(super) mod smollm3;
mod usual;
