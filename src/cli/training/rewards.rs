//! Rewards of a run that writes answers: the rules and reward models that the arguments name, or else the checkpoint's.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use pairtune::data::Sample;
use pairtune::engine::compare::writing::eos_ids;
use pairtune::engine::run::answers::{Writer, Writing};
use pairtune::engine::run::drive::upload_adapter;
use pairtune::engine::run::rewards::{RewardModel, Rule};
use pairtune::files::{Adapter, Task};
use pairtune::gpu::Gpu;
use pairtune::model::{AdapterSettings, Architecture};
use pairtune::train::{Rows, TrainConfig, frozen_bytes};
use pairtune::{Error, Result};

use crate::cli::run::{ModelFolder, read_any_adapter};

/// Prefix of a reward model in a checkpoint.
const MODEL: &str = "model:";

/// Rules, and the folders of reward models.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Rewards {
    pub(in crate::cli) rules: Vec<Rule>,
    pub(in crate::cli) models: Vec<PathBuf>,
}

impl Rewards {
    /// Reads the rewards of the arguments or, if there are none, of the checkpoint.
    pub(in crate::cli) fn of(rules: &[String], models: &[PathBuf], recorded: &[String]) -> Result<Self> {
        if !rules.is_empty() || !models.is_empty() {
            return Self::parse(rules, models.to_vec());
        }
        let (models, rules): (Vec<&String>, Vec<&String>) = recorded.iter().partition(|name| name.starts_with(MODEL));
        let models = models.iter().filter_map(|name| name.strip_prefix(MODEL)).map(PathBuf::from).collect();
        Self::parse(&rules.into_iter().cloned().collect::<Vec<_>>(), models)
    }

    /// The reward models, each read once.
    pub(in crate::cli) async fn judges(&self, model: &Architecture) -> Result<Vec<Judge>> {
        let mut judges = Vec::with_capacity(self.models.len());
        for path in &self.models {
            judges.push(Judge::read(path, model).await?);
        }
        Ok(judges)
    }

    fn parse(rules: &[String], models: Vec<PathBuf>) -> Result<Self> {
        let rules = rules.iter().map(|rule| {
            rule.parse().map_err(|what: String| Error::input(what, "Correct the rule", "command line, --reward"))
        });
        Ok(Self { rules: rules.collect::<Result<_>>()?, models })
    }

    /// Returns them as a checkpoint keeps them, with absolute paths, since a run may be resumed from elsewhere.
    pub(in crate::cli) fn recorded(&self) -> Vec<String> {
        let whole = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let models = self.models.iter().map(|path| format!("{MODEL}{}", whole(path).display()));
        self.rules.iter().map(Rule::to_string).chain(models).collect()
    }
}

/// A reward model in memory.
pub(in crate::cli) struct Judge {
    /// Its folder's name.
    pub(in crate::cli) name: String,
    settings: AdapterSettings,
    values: Adapter,
    from: String,
}

impl Judge {
    /// Reads one; an error if the adapter does not score.
    pub(in crate::cli) async fn read(path: &Path, model: &Architecture) -> Result<Self> {
        let (values, settings) = read_any_adapter(path, model).await?;
        let from = path.display().to_string();
        if values.config.task != Task::SeqCls {
            return Err(Error::input(
                "This adapter writes texts, but a reward model scores them (task_type SEQ_CLS)",
                "Train one with --method reward",
                from,
            ));
        }
        let name = path.file_name().map_or_else(|| "reward".to_owned(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, settings, values, from })
    }

    /// Bytes that it takes on the device.
    pub(in crate::cli) fn bytes(&self, model: &Architecture) -> u64 {
        frozen_bytes(&self.settings, model)
    }

    /// Puts it on the device.
    pub(in crate::cli) fn upload(&self, gpu: &Gpu, folder: &ModelFolder) -> Result<RewardModel> {
        let adapter = upload_adapter(gpu, &folder.config, self.settings.clone(), &self.values, &self.from)?;
        Ok(RewardModel { name: self.name.clone(), adapter })
    }
}

/// A source of answers to the prompts of some rows.
pub(in crate::cli) async fn writer<'a>(
    rows: Rows,
    config: &TrainConfig,
    folder: &'a ModelFolder,
    rules: Vec<Rule>,
    models: Vec<Rc<RewardModel>>,
) -> Result<Writer<'a>> {
    let samples = match rows {
        Rows::Pairs(pairs) => pairs.iter().map(Sample::prompt_of).collect(),
        Rows::Samples(samples) => samples,
    };
    let eos = eos_ids(&folder.folder, &folder.config, &folder.tokenizer).await;
    Writer::new(samples, &folder.tokenizer, eos, Writing::of(config), rules, models)
}
