//! A model as the session holds it: its files, what they say, and its weights on the device once they are needed.

use std::cell::RefCell;
use std::rc::Rc;

use crate::data::Tokenizer;
use crate::engine::compare::writing;
use crate::engine::protocol::{ChatInfo, ModelInfo, ModelSource, THINKING};
use crate::engine::run::drive;
use crate::error::Result;
use crate::files::{GgufArch, TargetModules, licence, stated_name};
use crate::gpu::{Gpu, Precision, VariantSet};
use crate::kernels;
use crate::model::{AdapterSettings, Architecture, BatchSize, Family, LoadIn, Model, WeightBytes};
use crate::platform::host::Store;
use crate::platform::{Folder, MemoryFolder, hub_name};
use crate::train::{TrainConfig, plan};

/// Files that belong together, with what was read of them. No weight is read before [`OpenModel::load`].
pub struct OpenModel {
    /// Its name.
    pub name: String,
    /// Source of its files.
    pub source: ModelSource,
    /// Its files.
    pub folder: Box<dyn Folder>,
    /// Its `config.json`.
    pub config: Architecture,
    /// Its tokenizer, with the chat template and variables that were set.
    tokenizer: RefCell<Rc<Tokenizer>>,
    /// Bytes of its weights.
    pub weight_bytes: WeightBytes,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
    /// The licence that it states.
    pub licence: Option<String>,
    /// Name of the base in its adapters: its name on the Hub or its path, as in PEFT; empty if it has neither.
    pub base: String,
    loaded: RefCell<Option<(LoadIn, Rc<Model>)>>,
    /// The kernels that were chosen for it, and how much they may round.
    tuned: RefCell<Option<(Precision, VariantSet)>>,
}

/// Positions of the rotary table, unless the model was made for fewer: longer sequences are refused.
const MAX_POSITIONS: usize = 16384;

impl OpenModel {
    /// Reads everything but the weights, and checks that it can be trained.
    pub async fn open(name: String, source: ModelSource, folder: Box<dyn Folder>) -> Result<Self> {
        let config = Model::config(folder.as_ref()).await?;
        let tokenizer = Tokenizer::open(folder.as_ref()).await?;
        tokenizer.check_vocab(config.vocab_size)?;
        let weight_bytes = Model::weight_bytes(folder.as_ref(), &config).await?;
        let eos = writing::eos_ids(folder.as_ref(), &config, &tokenizer).await;
        let licence = licence(folder.as_ref()).await;
        let base = base_of(&source, stated_name(folder.as_ref()).await);
        let (loaded, tuned) = (RefCell::default(), RefCell::default());
        let tokenizer = RefCell::new(Rc::new(tokenizer));
        Ok(Self { name, source, folder, config, tokenizer, weight_bytes, eos, licence, base, loaded, tuned })
    }

    /// The weights on the device, quantised by `load_in`, read now unless they are there; `progress` is told the bytes
    /// and may stop. Weights that lie there otherwise make way.
    ///
    /// The fastest kernels for it that the device's precision allows are chosen, or taken from the `store` if they were
    /// chosen on this device before.
    pub async fn load(
        &self,
        gpu: &Gpu,
        store: Option<&Store>,
        load_in: LoadIn,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Rc<Model>> {
        let there = self.loaded.borrow().as_ref().filter(|(so, _)| *so == load_in).map(|(_, model)| model.clone());
        let model = match there {
            Some(model) => model,
            None => {
                self.unload();
                let (config, positions, max) = (self.config.clone(), self.positions(), gpu.max_tensor_bytes());
                let folder = self.folder.as_ref();
                let model = Rc::new(Model::load(gpu, folder, config, load_in, positions, max, progress).await?);
                *self.loaded.borrow_mut() = Some((load_in, model.clone()));
                model
            }
        };
        let precision = gpu.precision();
        if self.tuned.borrow().as_ref().is_none_or(|(of, _)| *of != precision) {
            let set = self.tune(gpu, store, &model).await?;
            *self.tuned.borrow_mut() = Some((precision, set));
        }
        Ok(model)
    }

    async fn tune(&self, gpu: &Gpu, store: Option<&Store>, model: &Model) -> Result<VariantSet> {
        let path = format!("variants/{}.json", kernels::tuning_key(gpu));
        let stored = match store {
            Some(store) => store.read(&path).await.ok(),
            None => None,
        };
        let (set, new) = drive::tune(gpu, model, stored.as_deref()).await?;
        if let (Some(store), Some(bytes)) = (store, new)
            && let Err(e) = store.write(&path, &bytes).await
        {
            log::warn!("the choice of kernels is not kept: {e}");
        }
        Ok(set)
    }

    /// Its tokenizer, with what was set for conversations.
    pub fn tokenizer(&self) -> Rc<Tokenizer> {
        self.tokenizer.borrow().clone()
    }

    /// Takes its tokenizer with something else set for conversations.
    pub fn set_tokenizer(&self, tokenizer: Tokenizer) {
        *self.tokenizer.borrow_mut() = Rc::new(tokenizer);
    }

    /// Returns the chat template and its variables.
    pub fn chat(&self) -> ChatInfo {
        let tokenizer = self.tokenizer();
        let template = tokenizer.chat_template().ok().map(|template| template.source().to_owned());
        let thinks = template.as_ref().is_some_and(|text| text.contains(THINKING));
        let (own, kwargs) = (tokenizer.own_template().map(str::to_owned), tokenizer.chat().kwargs.clone());
        ChatInfo { template, own, kwargs, thinks }
    }

    /// The kernels that were chosen when it was loaded last.
    pub fn tuned(&self) -> VariantSet {
        self.tuned.borrow().as_ref().map(|(_, set)| set.clone()).unwrap_or_default()
    }

    /// Gives the weights' memory back, or forgets weights on a device that is gone.
    pub fn unload(&self) {
        *self.loaded.borrow_mut() = None;
        *self.tuned.borrow_mut() = None;
    }

    /// True if the weights are on the device.
    pub fn is_loaded(&self) -> bool {
        self.loaded.borrow().is_some()
    }

    /// The longest sequence that can be computed.
    pub fn positions(&self) -> usize {
        self.config.max_position_embeddings.min(MAX_POSITIONS)
    }

    /// Bytes on the device of the smallest sensible run.
    pub fn least_bytes(&self, load_in: LoadIn) -> u64 {
        least_bytes(&self.config, self.weight_bytes.on_device(load_in))
    }

    /// True if Ollama takes safetensors adapters of this model's family.
    pub fn ollama_takes_adapters(&self) -> bool {
        GgufArch::of_model_type(&self.config.model_type).is_some_and(GgufArch::ollama_takes_adapters)
    }

    /// Returns a summary for people.
    pub fn info(&self) -> ModelInfo {
        let bytes_each = match self.config.dtype.as_deref() {
            Some("float32") => 4,
            _ => 2,
        };
        ModelInfo {
            name: self.name.clone(),
            source: self.source.clone(),
            model_type: self.config.model_type.clone(),
            family: Family::of_type(&self.config.model_type).map(Family::label).unwrap_or_default(),
            ollama_adapter: self.ollama_takes_adapters(),
            parameters: self.weight_bytes.stored / bytes_each,
            weight_bytes: self.weight_bytes.stored,
            layers: self.config.num_hidden_layers,
            max_positions: self.config.max_position_embeddings,
            vocab_size: self.config.vocab_size,
            chat: self.chat(),
            licence: self.licence.clone(),
            least_bytes: self.least_bytes(LoadIn::Int4),
        }
    }
}

/// Returns the name of the base for a model's adapters, from the model's source and the name that it states: its name
/// on the Hub, or else its path, as in PEFT; empty if it has neither.
pub fn base_of(source: &ModelSource, stated: Option<String>) -> String {
    let (found, path) = match source {
        ModelSource::Demo => (None, None),
        ModelSource::Picked { path, .. } => (path.as_deref().and_then(hub_name), path.clone()),
        // A fetched model is stored as `org--name`.
        ModelSource::Stored { name } => (name.split_once("--").map(|(org, name)| format!("{org}/{name}")), None),
    };
    found.or(stated).or(path).unwrap_or_default()
}

/// Bytes on the device that the model in a folder needs at least, in 4 bits, by its configuration and the headers of
/// its weights.
pub(in crate::engine) async fn measure(folder: &dyn Folder) -> Result<u64> {
    let config = Model::config(folder).await?;
    let weight_bytes = Model::weight_bytes(folder, &config).await?;
    Ok(least_bytes_of(&config, &weight_bytes))
}

/// Bytes on the device that a model needs at least, in 4 bits.
pub(in crate::engine) fn least_bytes_of(config: &Architecture, weight_bytes: &WeightBytes) -> u64 {
    least_bytes(config, weight_bytes.on_device(LoadIn::Int4))
}

/// Bytes on the device of the smallest sensible run: rank 8, one pair of 256 tokens at a time, recomputing layers.
fn least_bytes(model: &Architecture, weight_bytes: u64) -> u64 {
    let mut config = TrainConfig::defaults();
    (config.r, config.target_modules) = (8, TargetModules::AllLinear);
    let size = BatchSize { rows: 256, scored: 128, sequences: 2 };
    match AdapterSettings::new(config.adapter(""), model) {
        Ok(adapter) => plan(model, weight_bytes, &adapter, size, true).total(),
        Err(_) => weight_bytes,
    }
}

/// The bundled model.
pub fn demo_model() -> Box<dyn Folder> {
    macro_rules! files {
        ($($name:literal),*) => {
            vec![$(($name.to_owned(), include_bytes!(concat!("../../../assets/demo/model/", $name)).to_vec())),*]
        };
    }
    let files =
        files!["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    Box::new(MemoryFolder { name: "demo".to_owned(), files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_names_a_base_that_others_can_find() {
        let picked = |path: &str| ModelSource::Picked { name: "m".to_owned(), path: Some(path.to_owned()) };
        let stored = |name: &str| ModelSource::Stored { name: name.to_owned() };
        let stated = || Some("org/m".to_owned());
        for (source, stated, base) in [
            (picked("/hub/models--org--m/snapshots/c1"), None, "org/m"),
            (picked("/models/m"), stated(), "org/m"),
            (picked("/models/m"), None, "/models/m"),
            (stored("org--m"), None, "org/m"),
            (stored("m"), None, ""),
            (ModelSource::Demo, None, ""),
        ] {
            assert_eq!(base_of(&source, stated), base, "{source:?}");
        }
    }
}
