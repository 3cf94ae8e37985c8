//! What a run needs to continue with the same numbers: adapter, moments, place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::files::{self, serialize_f32};
use crate::gpu::Gpu;

/// A run between two steps. The order of the pairs and the learning rate follow from the settings and the step.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The adapter, in PEFT's form.
    pub adapter: files::Adapter,
    /// Adam's first and second moments.
    pub moments: [Vec<f32>; 2],
    /// Where the run stands.
    pub place: Place,
}

/// Where a run stands, and what it must be continued with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Optimiser steps done.
    pub step: usize,
    /// Tokens trained on.
    pub n_tokens: u64,
    /// The run's settings.
    pub config: Map<String, Value>,
    /// Hash of model, tokenizer and pairs.
    pub data: String,
    /// The initial adapter's folder, if the run had one.
    pub initial_adapter: Option<String>,
}

const MOMENTS: &str = "optimizer.safetensors";
const PLACE: &str = "run.json";

impl Checkpoint {
    /// Reads a run's state from the device.
    pub async fn take(gpu: &Gpu, trainer: &Trainer<'_>, data: &str, initial_adapter: Option<&str>) -> Result<Self> {
        let place = Place {
            step: trainer.step,
            n_tokens: trainer.n_tokens,
            config: trainer.config.to_map(),
            data: data.to_owned(),
            initial_adapter: initial_adapter.map(str::to_owned),
        };
        Ok(Self { adapter: trainer.adapter.get(gpu).await?, moments: trainer.optimizer.read(gpu).await?, place })
    }

    /// Puts the state into a run that was made with the same settings and pairs.
    pub fn restore(&self, gpu: &Gpu, trainer: &mut Trainer<'_>, data: &str, from: &str) -> Result<()> {
        let expected: usize = trainer.adapter.params.iter().map(|p| p.len() as usize).sum();
        if self.place.data != data || self.moments.iter().any(|m| m.len() != expected) {
            return Err(Error::input(
                "The checkpoint belongs to another model, other pairs or other settings of tokenisation",
                "Resume with the model and the pairs the run was started with",
                from,
            ));
        }
        trainer.adapter.set(gpu, &self.adapter, from)?;
        let [m, v] = &self.moments;
        trainer.optimizer.write(gpu, [m, v]);
        trainer.step = self.place.step;
        trainer.n_tokens = self.place.n_tokens;
        Ok(())
    }

    /// The files beside the adapter's: moments and place.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let [m, v] = &self.moments;
        let tensors = [("m".to_owned(), vec![m.len()], m.as_slice()), ("v".to_owned(), vec![v.len()], v.as_slice())];
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let place = serde_json::to_vec_pretty(&self.place).unwrap_or_default();
        vec![(MOMENTS.to_owned(), serialize_f32(&tensors, &metadata)), (PLACE.to_owned(), place)]
    }

    /// Reads a checkpoint folder; an error says which file is missing or damaged.
    pub async fn read(folder: &dyn crate::platform::Folder) -> Result<Self> {
        let place = Self::place(folder).await?;
        let adapter = files::Adapter::read(folder).await?;
        let source = folder.open(MOMENTS)?;
        let mut tensors = files::parse(source.name(), &crate::platform::read_all(source.as_ref()).await?)?;
        let mut moment = |name: &str| {
            tensors.remove(name).map(|tensor| tensor.data).ok_or_else(|| {
                Error::input(format!("There is no tensor \"{name}\""), "Use another checkpoint", source.name())
            })
        };
        Ok(Self { adapter, moments: [moment("m")?, moment("v")?], place })
    }

    /// Reads only where the run stands.
    pub async fn place(folder: &dyn crate::platform::Folder) -> Result<Place> {
        if !folder.files().iter().any(|file| file == PLACE) {
            return Err(Error::input(
                format!("This is no checkpoint: it has no {PLACE}"),
                "Name a folder checkpoint-<step> that pairtune wrote",
                folder.name(),
            ));
        }
        let source = folder.open(PLACE)?;
        serde_json::from_slice(&crate::platform::read_all(source.as_ref()).await?)
            .map_err(|e| Error::input(format!("The file is damaged: {e}"), "Use another checkpoint", source.name()))
    }
}
