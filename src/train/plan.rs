//! Memory of a run by component, from the settings alone and from the table that the allocation uses.

use serde::Serialize;

use super::settings::config::{Reference, TrainConfig};
use crate::data::Method;
use crate::error::{Error, Result};
use crate::model::{AdapterSettings, Architecture, BatchSize, Tensors};

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The base model, in its format on the device.
    pub weights: u64,
    /// Parameters, gradients and both moments of the adapter in training.
    pub adapter: u64,
    /// The same for the value model's adapter (PPO).
    pub value_model: u64,
    /// Adapters that are not trained: the one that is the reference, and reward models.
    pub frozen: u64,
    /// Everything that a batch needs besides its logits.
    pub activations: u64,
    /// The logits that exist at the same time.
    pub logits: u64,
}

impl Memory {
    /// Sum of all components. Like every sum in this file it saturates at `u64::MAX`.
    pub fn total(&self) -> u64 {
        sum([self.weights, self.adapter, self.value_model, self.frozen, self.activations, self.logits])
    }

    /// All adapters, with their gradients and moments.
    pub fn adapters(&self) -> u64 {
        sum([self.adapter, self.value_model, self.frozen])
    }

    /// Adds reward models, given by name and bytes.
    #[must_use]
    pub fn with_judges(self, judges: &[(String, u64)]) -> Self {
        Self { frozen: sum(judges.iter().map(|(_, bytes)| *bytes).chain([self.frozen])), ..self }
    }

    /// Adds what scoring batches of this size takes while the trainer keeps what it has.
    #[must_use]
    pub fn with_scoring(self, model: &Architecture, adapter: &AdapterSettings, size: BatchSize) -> Self {
        let scoring = plan(model, self.weights, adapter, size, true);
        let activations = sum([self.activations, scoring.activations]);
        Self { activations, logits: sum([self.logits, scoring.logits]), ..self }
    }

    /// The models of a run with these settings, by name: one base and the adapters on it, reward models last.
    pub fn models(&self, config: &TrainConfig, judges: &[(String, u64)]) -> Vec<(String, u64)> {
        let trained = match config.method() {
            Method::Reward => "reward model",
            method if method.is_online() => "policy",
            _ => "tuned model",
        };
        let mut models = vec![("base model".to_owned(), self.weights), (trained.to_owned(), self.adapter)];
        if config.method() == Method::Ppo {
            models.push(("value model".to_owned(), self.value_model));
        }
        if config.has_reference() {
            models.push(("reference".to_owned(), reference(config, self.adapter)));
        }
        models.extend(judges.iter().map(|(name, bytes)| (format!("reward model {name}"), *bytes)));
        models
    }
}

/// Bytes of the reference. The base model needs none: it is the policy with the adapter switched off.
fn reference(config: &TrainConfig, adapter: u64) -> u64 {
    if config.has_reference() && config.reference == Reference::InitialAdapter { adapter / 4 } else { 0 }
}

/// Bytes of an adapter that is not trained.
pub fn frozen_bytes(adapter: &AdapterSettings, model: &Architecture) -> u64 {
    let layers = (adapter.layers().len() as u64).saturating_mul(adapter.layer_len(model));
    sum([layers.saturating_mul(4), adapter.norms_len(model).saturating_mul(4)])
}

/// Memory of a run with these settings. PPO's value model is an adapter like the policy's, and both use the same
/// activations.
pub fn plan_run(
    config: &TrainConfig,
    model: &Architecture,
    weight_bytes: u64,
    adapter: &AdapterSettings,
    size: BatchSize,
) -> Memory {
    let memory = plan(model, weight_bytes, adapter, size, config.gradient_checkpointing);
    let value_model = if config.method() == Method::Ppo { memory.adapter } else { 0 };
    Memory { value_model, frozen: reference(config, memory.adapter), ..memory }
}

/// Memory of training with this adapter at this batch size.
pub fn plan(
    config: &Architecture,
    weight_bytes: u64,
    adapter: &AdapterSettings,
    size: BatchSize,
    checkpointing: bool,
) -> Memory {
    let slots = Tensors::slots(config, Some(adapter), checkpointing);
    let logits = slots.logits.bytes(size);
    let others = slots.list().into_iter().filter(|slot| *slot != slots.logits);
    let activations = sum(others.map(|slot| slot.bytes(size)));
    let layers = adapter.layers().len() as u64;
    let parameters = layers.saturating_mul(adapter.layer_len(config)).saturating_mul(16);
    let adapter = sum([parameters, adapter.norms_len(config).saturating_mul(4)]);
    Memory { weights: weight_bytes, adapter, value_model: 0, frozen: 0, activations, logits }
}

fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

/// Returns an error with the sizes if the memory exceeds `limit` bytes.
pub fn check_fits(memory: &Memory, limit: Option<u64>) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    if memory.total() <= limit {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let fix = if memory.weights > limit {
        "The weights alone do not fit: use a smaller model, or a device with more memory"
    } else {
        "Lower per_device_train_batch_size or max_length, or set gradient_checkpointing"
    };
    Err(Error::device(
        format!(
            "The run needs about {} MiB, but the device has {} MiB (weights {} MiB, adapter and optimiser {} MiB, \
             activations {} MiB, logits {} MiB)",
            mib(memory.total()),
            mib(limit),
            mib(memory.weights),
            mib(memory.adapters()),
            mib(memory.activations),
            mib(memory.logits)
        ),
        fix,
    ))
}
