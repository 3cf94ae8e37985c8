//! `pairtune export --to trl`: a folder that trains on in TRL, from a run or from settings.

use std::path::{Path, PathBuf};

use pairtune::data::{Chat, SplitBy};
use pairtune::engine::export::trl::{TrlExport, check_method, replay_rows, trl_files, trl_rows};
use pairtune::files::{Adapter, gguf_in};
use pairtune::platform::native::{DiskFolder, FileSource, make_folder, write_atomic};
use pairtune::platform::{Folder as _, read_all};
use pairtune::train::{Checkpoint, METHOD, Options, Replay, Rows, TrainConfig};
use pairtune::{Error, Result};
use serde_json::{Map, Value};

use super::args::ExportArgs;
use super::data::read_rows;
use super::output::Output;
use super::run::{ModelFolder, read_any_adapter, warn_dropped};
use super::settings::SettingsArgs;
use super::training::rewards::Rewards;
use super::training::run_folder::SETTINGS;
use super::training::start::{base_of, given_settings};

/// Writes the folder.
pub(super) async fn export_trl(args: &ExportArgs, out: &Output) -> Result<()> {
    check_free(args)?;
    let given = Given::read(args).await?;
    let mut config = TrainConfig::from_map(&given.settings, &given.at)?;
    check_method(config.method())?;
    let mut folder = ModelFolder::open(&args.model).await?;
    if gguf_in(&folder.folder).is_some() {
        return Err(Error::input(
            "TRL trains no model that is a GGUF file",
            "Name the folder of the model that it was made from (safetensors)",
            args.model.display().to_string(),
        ));
    }
    let from = args.adapter.clone().or_else(|| args.trl.run.clone());
    let chat = match given.chat {
        Some(chat) => chat,
        None => ModelFolder::chat_of(from.as_deref(), out).await?,
    };
    folder.set_chat(&args.chat, chat).await?;
    let adapter = match &from {
        Some(path) => Some(adapter_at(path, &mut config, &given.asked, &given.at, &folder).await?),
        None => None,
    };
    let (train, held_out, rollouts) = rows(args, &config, &folder, out).await?;
    let (n_train, n_held_out) = (train.len(), held_out.len());
    let model = model_name(&args.model, &folder).await;
    let tokenizer = &folder.tokenizer;
    let rewards = Rewards::of(&args.trl.reward, &args.trl.reward_model, &given.rewards)?;
    let export = TrlExport {
        config: &config,
        model: &model,
        adapter: adapter.as_ref(),
        chat: tokenizer.chat().files(tokenizer.own_template()),
        train,
        held_out,
        rewards: rewards.rules.iter().map(ToString::to_string).collect(),
        reward_models: rewards.models.iter().map(|path| whole(path)).collect(),
        rollouts,
    };
    if config.method().is_online() && export.rollouts.is_none() && rewards.rules.is_empty() && rewards.models.is_empty()
    {
        out.warn("nothing says what answers are worth: put a function into rewards.py before the run");
    }
    for (name, bytes) in trl_files(&export)? {
        let path = args.output.join(name);
        make_folder(path.parent().unwrap_or(&args.output))?;
        write_atomic(&path, &bytes)?;
    }
    let path = args.output.display();
    out.result(format_args!(
        "{path}: {} for TRL with {n_train} rows, {n_held_out} held out; README.md there says how to start it",
        config.method()
    ));
    Ok(())
}

/// Refuses a folder that holds something, so that nothing is lost by mistake.
fn check_free(args: &ExportArgs) -> Result<()> {
    let holds = std::fs::read_dir(&args.output).is_ok_and(|mut entries| entries.next().is_some());
    if holds && !args.overwrite {
        return Err(Error::input(
            "The output folder is not empty",
            "Name another folder, or write over what is there with --overwrite",
            args.output.display().to_string(),
        ));
    }
    Ok(())
}

/// The settings of a run and of a config file.
struct Given {
    /// All of them.
    settings: Map<String, Value>,
    /// Settings that this command asks for.
    asked: Map<String, Value>,
    /// Source of the settings, for messages.
    at: String,
    /// Settings for conversations, if a checkpoint has them.
    chat: Option<Chat>,
    /// Rewards of answers, if a checkpoint has them.
    rewards: Vec<String>,
}

impl Given {
    async fn read(args: &ExportArgs) -> Result<Self> {
        let trl = &args.trl;
        if trl.run.is_none() && trl.config.is_none() {
            return Err(Error::input(
                "There are no settings to export",
                "Name the output folder of a run, or a file of settings with --config",
                "command line",
            ));
        }
        if trl.data.is_none() && trl.rollouts.is_none() {
            return Err(Error::input("There are no rows to export", "Name a file with --data", "command line"));
        }
        let mut asked = config_file(trl.config.as_deref()).await?;
        if let Some(method) = trl.method {
            asked.insert(METHOD.to_owned(), method.name().into());
        }
        let at = trl.config.as_ref().or(trl.run.as_ref()).map_or_else(String::new, |path| path.display().to_string());
        let mut given = Self { settings: Map::new(), asked, at, chat: None, rewards: Vec::new() };
        if let Some(run) = &trl.run {
            given.take_run(run).await?;
        }
        // DPO is not named.
        let method = |map: &Map<String, Value>| map.get(METHOD).cloned().unwrap_or_else(|| "dpo".into());
        if given.asked.contains_key(METHOD) && method(&given.asked) != method(&given.settings) {
            given.settings.clear();
        }
        given.settings.extend(given.asked.clone());
        Ok(given)
    }

    /// Takes the settings and the rewards of a run's folder, from its own file of settings and its latest checkpoint.
    /// Folders of older versions have only the checkpoint.
    async fn take_run(&mut self, run: &Path) -> Result<()> {
        let folder = DiskFolder::open(run)?;
        let step = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse::<u64>().ok();
        let entries = std::fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.path());
        let place = match entries.filter(|path| step(path).is_some()).max_by_key(step) {
            Some(path) => Checkpoint::place(&DiskFolder::open(&path)?).await,
            None => Checkpoint::place(&folder).await,
        };
        if let Ok(place) = &place {
            self.rewards = place.rewards.clone();
        }
        if folder.files().iter().any(|file| file == SETTINGS) {
            self.settings = config_file(Some(&run.join(SETTINGS))).await?;
            return Ok(());
        }
        let place = place.map_err(|_| {
            Error::input(
                format!("The folder does not say which settings its run had: it has no {SETTINGS} and no checkpoint"),
                "Give them with --config FILE, and name the folder with --adapter",
                run.display().to_string(),
            )
        })?;
        (self.settings, self.chat) = (place.config, Some(place.chat));
        Ok(())
    }
}

/// The settings of a file; none without one.
async fn config_file(path: Option<&Path>) -> Result<Map<String, Value>> {
    given_settings(path, &SettingsArgs::default()).await
}

/// The adapter to start from, whose settings the run takes over.
async fn adapter_at(
    path: &Path,
    config: &mut TrainConfig,
    asked: &Map<String, Value>,
    at: &str,
    folder: &ModelFolder,
) -> Result<Adapter> {
    let (values, _) = read_any_adapter(path, &folder.config).await?;
    let wanted = config.adapter("").task;
    if values.config.task != wanted {
        return Err(Error::input(
            format!("The adapter is for another task than {} trains", config.method()),
            "Name another adapter, or another method",
            path.display().to_string(),
        ));
    }
    config.take_adapter(&values.config, asked, at)?;
    Ok(values)
}

/// Reads the rows to train on, the held-out rows, and the answers to replay.
async fn rows(
    args: &ExportArgs,
    config: &TrainConfig,
    folder: &ModelFolder,
    out: &Output,
) -> Result<(Vec<Value>, Vec<Value>, Option<Vec<u8>>)> {
    let (trl, method) = (&args.trl, config.method());
    if let Some(path) = &trl.rollouts {
        let (true, Options::Grpo(_, online, _) | Options::Rloo(online, _)) = (method.is_online(), &config.options)
        else {
            return Err(Error::input(
                format!("{method} takes no answers that were recorded before"),
                "Give --data, or use grpo or rloo",
                "command line, --rollouts",
            ));
        };
        let bytes = read_all(&FileSource::open(path)?).await?;
        let replay = Replay::read(&bytes, &path.display().to_string())?;
        let prompts: Vec<String> =
            replay.prompts().map(|ids| folder.tokenizer.decode(ids, false)).collect::<Result<_>>()?;
        return Ok((replay_rows(&prompts, online.num_generations), Vec::new(), Some(bytes)));
    }
    let Some(file) = &trl.data else { return Err(Error::input("There are no rows", "Give --data", "command line")) };
    let rows = read_rows(trl.columns.as_ref(), file, method, out).await?;
    let (train, held_out) = match &trl.eval_data {
        Some(path) => (rows, Some(read_rows(trl.columns.as_ref(), path, method, out).await?)),
        None => {
            let (train, held_out) = rows.split(SplitBy::Similar, config.eval_split, config.seed)?;
            (train, Some(held_out).filter(|rows| !rows.is_empty()))
        }
    };
    let written = |rows: &Rows| -> Result<Vec<Value>> {
        let tokens = rows.tokenize(&folder.tokenizer, config)?;
        warn_dropped(&tokens.dropped, config.max_length, out);
        trl_rows(rows, method, &tokens.examples)
    };
    let held_out = held_out.as_ref().map_or(Ok(Vec::new()), written)?;
    Ok((written(&train)?, held_out, None))
}

/// The model's folder, or its name on the Hub where its path is that of the Hub's cache.
async fn model_name(model: &Path, folder: &ModelFolder) -> String {
    let path = whole(model);
    if path.contains("/snapshots/") { base_of(model, &folder.folder).await } else { path }
}

/// A path from the root.
fn whole(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
