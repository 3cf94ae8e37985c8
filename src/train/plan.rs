//! Memory of a run by component, from the settings alone and from the table that the allocation uses.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::model::{AdapterSettings, Architecture, BatchSize, Slot, Tensors};

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The base model, as it lies on the device.
    pub weights: u64,
    /// Parameters, gradients and both moments.
    pub adapter: u64,
    /// What a batch needs beside its logits.
    pub activations: u64,
    /// The logits that exist at a time.
    pub logits: u64,
}

impl Memory {
    /// All of it; as every sum here `u64::MAX` if that is less.
    pub fn total(&self) -> u64 {
        sum([self.weights, self.adapter, self.activations, self.logits])
    }
}

/// Memory of training with this adapter at this batch size.
pub fn plan(
    config: &Architecture,
    weight_bytes: u64,
    adapter: &AdapterSettings,
    size: BatchSize,
    checkpointing: bool,
) -> Memory {
    let slots = Tensors::slots(config, Some(adapter), checkpointing).list();
    let (logits, others): (Vec<Slot>, Vec<Slot>) = slots.iter().partition(|slot| slot.name == "logits");
    let bytes = |slots: &[Slot]| sum(slots.iter().map(|slot| slot.bytes(size)));
    let (activations, logits) = (bytes(&others), bytes(&logits));
    let layers = adapter.layers().len() as u64;
    let parameters = layers.saturating_mul(adapter.layer_len(config)).saturating_mul(16);
    let adapter = sum([parameters, adapter.norms_len(config).saturating_mul(4)]);
    Memory { weights: weight_bytes, adapter, activations, logits }
}

fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

/// Refuses what does not fit `limit` bytes, with the sizes.
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
            mib(memory.adapter),
            mib(memory.activations),
            mib(memory.logits)
        ),
        fix,
    ))
}
