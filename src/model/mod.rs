//! Layer 3: the transformer, forward and backward, with LoRA. Hugging Face names throughout.
//!
//! Sees `kernels`, `files` and `gpu`. Never mentions optimisers or losses: it turns packed pairs into the
//! log-probabilities of their completion tokens, and a derivative of those into gradients of the adapter.

mod activations;
mod generate;
mod layer;
mod lora;
mod packed;
mod transformer;
mod weights;

pub use activations::{Activations, BatchSize, Kept, Rows, Slot, Tensors};
pub use generate::{Generator, MAX_STEPS, MAX_TEXTS, next_logits};
pub use lora::{Adapter, AdapterSettings, Group, LoraGroup, LoraLayer, Matrices, Module, fresh, match_targets};
pub use packed::{Packed, PackedPair};
pub use transformer::Model;
pub use weights::{Layer, Linear, Weight};
