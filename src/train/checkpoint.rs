//! State that a run needs to continue with the same numbers: adapter, moments, position.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::online::rollouts::AnswersState;
use super::trainer::Trainer;
use crate::data::{Chat, SplitBy};
use crate::error::{Error, Result};
use crate::files::{self, serialize_f32};
use crate::gpu::{Gpu, VariantSet};
use crate::model::Matrices;

/// A run between two steps. The order of the pairs and the learning rate follow from the settings and the step.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The adapter, in PEFT's form.
    pub adapter: files::Adapter,
    /// Adam's first and second moments.
    pub moments: Moments,
    /// Position of the run.
    pub place: Place,
    /// State of the answers, for a run that trains on answers.
    pub answers: Option<AnswersState>,
    /// The value model's matrices and their moments (PPO only).
    pub value: Option<[Matrices; 3]>,
}

/// Adam's first and second moments as a file holds them.
#[derive(Debug, Clone)]
pub enum Moments {
    /// Each matrix by its PEFT key.
    Named([Matrices; 2]),
    /// Flat, in the order of versions before 0.2.
    Old([Vec<f32>; 2]),
}

/// Position of a run, and everything it must be continued with.
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
    /// The kernels that the run was computed with; empty in versions before 0.2, whose kernels all gave the same bits.
    #[serde(default)]
    pub variants: VariantSet,
    /// Rule by which a share of the pairs was held out, if one was. Versions before 0.2 kept only equal prompts
    /// together.
    #[serde(default)]
    pub split: SplitBy,
    /// Settings for conversations.
    #[serde(default)]
    pub chat: Chat,
    /// Rewards of a run that writes answers: rules, and the folders of reward models.
    #[serde(default)]
    pub rewards: Vec<String>,
    /// The folder of the value model that PPO began with, if it had one.
    #[serde(default)]
    pub value_adapter: Option<String>,
}

const MOMENTS: &str = "optimizer.safetensors";
const PLACE: &str = "progress.json";
/// Name of `progress.json` before version 0.2. A run's record still has the same name.
const OLD_PLACE: &str = "run.json";
/// Format number of `progress.json`; a file without a number has the first format.
const FORMAT: u64 = 2;
/// Answers that are not used up, and the number of batches before them.
const ANSWERS: &str = "answers.json";
/// PPO's value model.
const VALUE: &str = "value.safetensors";
/// Prefixes of the keys in the value model's file: its matrices and their two moments.
const VALUE_NAMES: [&str; 3] = ["adapter", "exp_avg", "exp_avg_sq"];
/// Prefixes of the moments' keys in the optimizer's file, as in torch.
const NAMES: [&str; 2] = ["exp_avg", "exp_avg_sq"];
/// Names of the moments in versions before 0.2.
const OLD_NAMES: [&str; 2] = ["m", "v"];

impl Checkpoint {
    /// Reads a run's state from the device. `data` is the hash of what the run trains on, `chat` its conversation
    /// settings.
    pub async fn take(
        gpu: &Gpu,
        trainer: &Trainer<'_>,
        data: &str,
        chat: &Chat,
        initial_adapter: Option<&str>,
    ) -> Result<Self> {
        let place = Place {
            step: trainer.step,
            n_tokens: trainer.n_tokens,
            config: trainer.config.to_map(),
            data: data.to_owned(),
            initial_adapter: initial_adapter.map(str::to_owned),
            variants: gpu.variant_set(),
            split: SplitBy::Similar,
            chat: chat.clone(),
            rewards: Vec::new(),
            value_adapter: None,
        };
        let value = match trainer.value_and_moments() {
            Some((value, optimizer)) => {
                let [m, v] = optimizer.read(gpu, value).await?;
                Some([value.get(gpu).await?.tensors, m, v])
            }
            None => None,
        };
        let answers = trainer.answers_state();
        let moments = Moments::Named(trainer.optimizer.read(gpu, &trainer.adapter).await?);
        Ok(Self { adapter: trainer.adapter.get(gpu).await?, moments, place, answers, value })
    }

    /// Restores the state into a run that was made with the same settings and pairs.
    pub fn restore(&self, gpu: &Gpu, trainer: &mut Trainer<'_>, data: &str, from: &str) -> Result<()> {
        let other = || {
            Error::input(
                "The checkpoint belongs to another model, other pairs or other settings of tokenisation",
                "Resume with the model and the pairs the run was started with",
                from,
            )
        };
        if self.place.data != data {
            return Err(other());
        }
        let moments = match &self.moments {
            Moments::Named(moments) => moments.clone(),
            Moments::Old(moments) => {
                let [m, v] = moments.each_ref().map(|values| trainer.from_old_layout(values));
                [m.ok_or_else(other)?, v.ok_or_else(other)?]
            }
        };
        trainer.adapter.set(gpu, &self.adapter, from)?;
        trainer.optimizer.write(gpu, &trainer.adapter, &moments, from)?;
        if let Some(state) = &self.answers {
            trainer.restore_answers(state);
        }
        if let (Some([matrices, m, v]), Some((value, optimizer))) = (&self.value, trainer.value_and_moments()) {
            value.check(matrices, from)?;
            value.write(gpu, &value.params, matrices);
            optimizer.write(gpu, value, &[m.clone(), v.clone()], from)?;
        }
        trainer.step = self.place.step;
        trainer.n_tokens = self.place.n_tokens;
        Ok(())
    }

    /// Returns the files besides the adapter's: moments, position, and answers and value model if there are any.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let tensors: Vec<(String, Vec<usize>, &[f32])> = match &self.moments {
            Moments::Named(moments) => {
                let named = moments.iter().zip(NAMES).flat_map(|(matrices, name)| {
                    matrices.iter().map(move |(key, t)| (format!("{name}.{key}"), t.shape.clone(), t.data.as_slice()))
                });
                named.collect()
            }
            Moments::Old(moments) => {
                let named = moments.iter().zip(OLD_NAMES);
                named.map(|(values, name)| (name.to_owned(), vec![values.len()], values.as_slice())).collect()
            }
        };
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let place = with_format(&self.place, FORMAT);
        let mut files = vec![(MOMENTS.to_owned(), serialize_f32(&tensors, &metadata)), (PLACE.to_owned(), place)];
        if let Some(state) = &self.answers {
            files.push((ANSWERS.to_owned(), serde_json::to_vec(state).unwrap_or_default()));
        }
        if let Some(value) = &self.value {
            let named = value.iter().zip(VALUE_NAMES).flat_map(|(matrices, name)| {
                matrices.iter().map(move |(key, t)| (format!("{name}.{key}"), t.shape.clone(), t.data.as_slice()))
            });
            files.push((VALUE.to_owned(), serialize_f32(&named.collect::<Vec<_>>(), &metadata)));
        }
        files
    }

    /// Reads a checkpoint folder; an error says which file is missing or damaged.
    pub async fn read(folder: &dyn crate::platform::Folder) -> Result<Self> {
        let place = Self::place(folder).await?;
        let adapter = files::Adapter::read(folder).await?;
        let source = folder.open(MOMENTS)?;
        let mut tensors = files::parse(source.name(), &crate::platform::read_all(source.as_ref()).await?)?;
        let old = OLD_NAMES.map(|name| tensors.remove(name).map(|tensor| tensor.data));
        let moments = match old {
            [Some(m), Some(v)] => Moments::Old([m, v]),
            _ => Moments::Named(NAMES.map(|name| named(&tensors, name))),
        };
        let has = |name: &str| folder.files().iter().any(|file| file == name);
        let answers = match has(ANSWERS) {
            true => {
                let source = folder.open(ANSWERS)?;
                let bytes = crate::platform::read_all(source.as_ref()).await?;
                Some(serde_json::from_slice(&bytes).map_err(|e| damaged(&e, source.name()))?)
            }
            false => None,
        };
        let value = match has(VALUE) {
            true => {
                let source = folder.open(VALUE)?;
                let tensors = files::parse(source.name(), &crate::platform::read_all(source.as_ref()).await?)?;
                Some(VALUE_NAMES.map(|name| named(&tensors, name)))
            }
            false => None,
        };
        Ok(Self { adapter, moments, place, answers, value })
    }

    /// Reads only the position of the run.
    pub async fn place(folder: &dyn crate::platform::Folder) -> Result<Place> {
        let files = folder.files();
        let Some(name) = [PLACE, OLD_PLACE].into_iter().find(|name| files.iter().any(|file| file == name)) else {
            return Err(Error::input(
                format!("This is no checkpoint: it has no {PLACE}"),
                "Name a folder checkpoint-<step> that pairtune wrote",
                folder.name(),
            ));
        };
        let source = folder.open(name)?;
        let bytes = crate::platform::read_all(source.as_ref()).await?;
        read_format(&bytes, FORMAT, source.name())?;
        serde_json::from_slice(&bytes).map_err(|e| damaged(&e, source.name()))
    }
}

fn damaged(e: &serde_json::Error, file: &str) -> Error {
    Error::input(format!("The file is damaged: {e}"), "Use another checkpoint", file)
}

/// Returns the tensors whose key begins with `name` and a dot, under the rest of the key.
fn named(tensors: &BTreeMap<String, files::Tensor>, name: &str) -> Matrices {
    let named = tensors.iter().filter_map(|(key, tensor)| {
        let key = key.strip_prefix(name)?.strip_prefix('.')?;
        Some((key.to_owned(), tensor.clone()))
    });
    named.collect()
}

/// Serialises an object as JSON, with its format number.
pub fn with_format(value: &impl Serialize, format: u64) -> Vec<u8> {
    let mut map = Map::from_iter([("format".to_owned(), format.into())]);
    if let Ok(Value::Object(fields)) = serde_json::to_value(value) {
        map.extend(fields);
    }
    serde_json::to_vec_pretty(&map).unwrap_or_default()
}

/// Returns an error if a file's format is newer than `known`, the newest that this version reads.
pub fn read_format(bytes: &[u8], known: u64, at: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Format {
        format: Option<u64>,
    }
    match serde_json::from_slice::<Format>(bytes) {
        Ok(Format { format: Some(format) }) if format > known => Err(Error::input(
            format!("The file has format {format}, but this version of pairtune knows formats up to {known}"),
            "Use the newer version of pairtune that wrote it",
            at,
        )),
        _ => Ok(()),
    }
}
