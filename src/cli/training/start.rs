//! Start of a training run: its settings, and the adapter that it begins or goes on with.

use std::path::{Path, PathBuf};

use pairtune::engine::model::open_model;
use pairtune::engine::protocol::ModelSource;
use pairtune::engine::run::warnings::many_passes;
use pairtune::files::{self, Task};
use pairtune::gpu::Gpu;
use pairtune::model::{AdapterSettings, fresh};
use pairtune::platform::native::{DiskFolder, FileSource, available_memory};
use pairtune::platform::{Folder as _, read_all};
use pairtune::train::{Checkpoint, Place, Reference as ReferenceKind, TrainConfig};
use pairtune::{Error, Result};
use serde_json::{Map, Value};

use crate::cli::args::TrainArgs;
use crate::cli::output::Output;
use crate::cli::run::{ModelFolder, read_any_adapter};
use crate::cli::settings::SettingsArgs;

/// The adapter that a run begins or goes on with.
pub(in crate::cli) struct Start {
    pub(in crate::cli) settings: AdapterSettings,
    pub(in crate::cli) values: files::Adapter,
    /// The adapter folder that the run began with, if it did.
    pub(in crate::cli) initial: Option<(files::Adapter, PathBuf)>,
}

impl Start {
    /// The adapter in a folder; what scores needs a head, which a writing adapter gets.
    async fn adapter_at(
        path: &Path,
        config: &TrainConfig,
        folder: &ModelFolder,
    ) -> Result<(files::Adapter, AdapterSettings)> {
        let (values, settings) = read_any_adapter(path, &folder.config).await?;
        let wanted = config.adapter("").task;
        if values.config.task == wanted {
            return Ok((values, settings));
        }
        if wanted == Task::CausalLm {
            return Err(Error::input(
                "This adapter scores texts (task_type SEQ_CLS), but the method trains a model that writes",
                "Name another adapter, or train with --method reward",
                path.display().to_string(),
            ));
        }
        let values = config.with_head(values, &folder.config)?;
        let settings = AdapterSettings::new(values.config.clone(), &folder.config)?;
        Ok((values, settings))
    }

    /// Reads the start from the adapter folder, else makes a fresh adapter; after a checkpoint, goes on from there.
    pub(in crate::cli) async fn read(
        args: &TrainArgs,
        checkpoint: Option<&Checkpoint>,
        given: &Map<String, Value>,
        config: &mut TrainConfig,
        folder: &ModelFolder,
    ) -> Result<Self> {
        let recorded = checkpoint.and_then(|checkpoint| checkpoint.place.initial_adapter.as_ref()).map(PathBuf::from);
        let path = args.adapter.clone().or(recorded);
        // A resumed run needs its first adapter only as the reference.
        let path = path.filter(|_| checkpoint.is_none() || config.reference == ReferenceKind::InitialAdapter);
        let initial = match path {
            Some(path) => Some((Self::adapter_at(&path, config, folder).await?, path)),
            None => None,
        };
        if let Some(checkpoint) = checkpoint {
            let settings = config.adapter_settings(checkpoint.adapter.config.clone(), &folder.config)?;
            let initial = initial.map(|((values, _), path)| (values, path));
            return Ok(Self { settings, values: checkpoint.adapter.clone(), initial });
        }
        let base = base_of(&args.model, &folder.folder).await;
        let Some(((values, mut settings), path)) = initial else {
            let settings = config.adapter_settings(config.adapter(&base), &folder.config)?;
            let values = fresh(&settings, &folder.config, config.seed);
            return Ok(Self { settings, values, initial: None });
        };
        config.take_adapter(&values.config, given, &settings_origin(args.config.as_deref()))?;
        settings.dropout = config.dropout() as f32;
        settings.config.base_model_name_or_path.get_or_insert(base);
        Ok(Self { settings, values: values.clone(), initial: Some((values, path)) })
    }
}

/// Name of the base model in the adapter: its name on the Hub, or else its whole path, as PEFT has it.
pub(in crate::cli) async fn base_of(model: &Path, folder: &DiskFolder) -> String {
    let path = std::path::absolute(model).unwrap_or_else(|_| model.to_owned()).display().to_string();
    let source = ModelSource::Picked { name: String::new(), path: Some(path) };
    open_model::base_of(&source, files::stated_name(folder).await)
}

/// The config file's settings, overridden by flags.
pub(in crate::cli) async fn given_settings(config: Option<&Path>, flags: &SettingsArgs) -> Result<Map<String, Value>> {
    let mut given = match config {
        None => Map::new(),
        Some(path) => serde_json::from_slice(&read_all(&FileSource::open(path)?).await?).map_err(|e| {
            let fix = "Write the settings as one flat JSON object, such as {\"beta\": 0.1}";
            Error::input(format!("This is not a JSON object: {e}"), fix, path.display().to_string())
        })?,
    };
    given.extend(flags.to_map());
    Ok(given)
}

/// Source of the settings, for messages.
pub(in crate::cli) fn settings_origin(config: Option<&Path>) -> String {
    config.map_or_else(|| "command line".to_owned(), |path| path.display().to_string())
}

/// Returns a checkpoint's settings; an error names those that were given again and differ. `save_steps` may change.
pub(in crate::cli) fn resumed_config(place: &Place, given: &Map<String, Value>) -> Result<TrainConfig> {
    const FREE: &str = "save_steps";
    let asked = TrainConfig::from_map(given, "command line")?.to_map();
    let mut map = place.config.clone();
    let differing: Vec<&str> =
        given.keys().map(String::as_str).filter(|key| *key != FREE && asked.get(*key) != map.get(*key)).collect();
    if !differing.is_empty() {
        return Err(Error::input(
            format!("A resumed run keeps its settings, but these differ: {}", differing.join(", ")),
            "Leave them out, or start a new run with --adapter",
            "command line",
        ));
    }
    if let Some(value) = given.get(FREE) {
        map.insert(FREE.to_owned(), value.clone());
    }
    TrainConfig::from_map(&map, "run.json")
}

/// Warns of pairs that are seen so often that they are learnt by heart.
pub(in crate::cli) fn warn_passes(config: &TrainConfig, n_pairs: usize, out: &Output) {
    if let Some(warning) = many_passes(n_pairs, config.passes(n_pairs)) {
        out.warn(warning.text);
    }
}

/// Bytes that a run may take: the limit that was given, or what is free if the "GPU" is the CPU.
pub(in crate::cli) fn memory_limit(gib: Option<f64>, gpu: &Gpu) -> Result<Option<u64>> {
    match gib {
        Some(gib) if gib.is_finite() && gib > 0.0 => Ok(Some((gib * f64::from(1 << 30)) as u64)),
        Some(gib) => Err(Error::input(format!("The memory limit is {gib} GiB"), "Give a number above 0", "")),
        None if gpu.report().is_software() => Ok(available_memory()),
        None => Ok(None),
    }
}

/// Everything that decides what an adapter computes, for the hash of the reference.
pub(in crate::cli) async fn adapter_bytes(path: &Path) -> Result<Vec<u8>> {
    let folder = DiskFolder::open(path)?;
    let mut bytes = Vec::new();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        bytes.extend(read_all(folder.open(file)?.as_ref()).await?);
    }
    Ok(bytes)
}

/// True if both are there, and the same.
pub(in crate::cli) fn same_folder(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}
