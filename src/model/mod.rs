//! Layer 3: the transformer, forward and backward, with LoRA. Hugging Face names throughout.
//!
//! Sees `kernels`, `files` and `gpu`. Never mentions optimisers or losses: it turns packed pairs into the
//! log-probabilities of their completion tokens, and a derivative of those into gradients of the adapter.

mod activations;
mod architecture;
mod families;
mod family;
mod generate;
mod layer;
mod load_in;
mod lora;
mod packed;
mod rope;
mod targets;
mod transformer;
mod weights;

pub use activations::{Activations, BatchSize, Dropout, Kept, Rows, Slot, Tensors};
pub use architecture::{
    Architecture, Attention, Group, LayerKind, LinearSpec, Mixer, Mlp, Module, Names, NormKind, Norms, QkNorm,
    QueryGrowth, Stored,
};
pub use families::fields::Fields;
pub use family::{FAMILIES, Family};
pub use generate::{Generator, MAX_STEPS, MAX_TEXTS, next_logits};
pub use load_in::{LoadIn, WeightBytes};
pub use lora::{Adapter, AdapterSettings, LoraGroup, LoraLayer, Matrices, fresh};
pub use packed::{Packed, PackedSequence};
pub use rope::{Rope, RopeScaling};
pub use targets::{Part, Target, match_targets};
pub use transformer::Model;
pub use weights::{Layer, Linear, Weight};
