//! `pairtune train`: from a model, pairs and settings to an adapter folder.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use pairtune::data::{Example, Method, SplitBy, Tokenizer, counted};
use pairtune::engine::compare::writing::eos_ids;
use pairtune::engine::run::drive::{self, upload_adapter};
use pairtune::files::{self, Task};
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, BatchSize, Model};
use pairtune::platform::native::{DiskFolder, FileSource, seconds, write_atomic};
use pairtune::platform::read_all;
use pairtune::train::{
    Checkpoint, METHOD, Metrics, OnlineRun, Reference as ReferenceKind, ReferenceKey, References, Replay,
    RolloutSource, Rows, TrainConfig, Trainer, answers_size, batch_size_of, check_fits, plan_run,
};
use pairtune::{Error, Result};
use serde_json::json;

use super::reference::ReferenceCache;
use super::rewards::{Judge, Rewards, writer};
use super::run_folder::{Counters, RunFolder};
use super::start::{
    Start, adapter_bytes, base_of, given_settings, memory_limit, resumed_config, same_folder, settings_origin,
    warn_passes,
};
use super::watch::{HeldOut, PREFERENCE_ACCURACY, Saver, headline, steps, that_of_the_best, watch_ctrl_c};
use crate::cli::args::TrainArgs;
use crate::cli::data::{Data, read_rows};
use crate::cli::output::Output;
use crate::cli::run::{ModelFolder, open_gpu, read_any_adapter};

/// Trains, from the beginning or from a checkpoint.
pub(in crate::cli) async fn train(args: &TrainArgs, out: &mut Output) -> Result<()> {
    let asked_to_stop = watch_ctrl_c()?;
    let stop = || asked_to_stop.load(Ordering::SeqCst);
    let prepared = Prepared::read(args, out).await?;
    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let (model, judges) = prepared.load(&gpu, args, out).await?;
    let initial = prepared.initial(&gpu)?;
    let initial_bytes = match (&initial, &prepared.start.initial) {
        (Some(_), Some((_, path))) => Some(adapter_bytes(path).await?),
        _ => None,
    };
    let Prepared { checkpoint, config, folder, start, split, rewards, input, value_path } = prepared;

    let key = |examples: &[Example]| {
        ReferenceKey::new(&model, &folder.tokenizer.fingerprint(), &config, examples, initial_bytes.as_deref())
    };
    let (train, held_out) = input.examples();
    let data = key(train);
    let cache = ReferenceCache { gpu: &gpu, model: &model, config: &config, cached: !args.no_cache };
    let eval_reference = match held_out.is_empty() || !config.has_reference() {
        true => Vec::new(),
        false => cache.logps(initial.as_ref(), held_out, &key(held_out), &stop, out).await?,
    };
    let known = match config.has_reference() && !train.is_empty() {
        true => cache.known(&data, train.len(), out),
        false => vec![None; train.len()],
    };
    let held_out = held_out.to_vec();
    let held_out = HeldOut { gpu: &gpu, model: &model, examples: &held_out, reference: &eval_reference };

    let from = args.adapter.as_ref().or(args.resume.as_ref()).unwrap_or(&args.model).display().to_string();
    let adapter = upload_adapter(&gpu, &folder.config, start.settings.clone(), &start.values, &from)?;
    if start.initial.is_none() && checkpoint.is_none() {
        model.measure(&gpu, &adapter);
    }
    // A resumed run no longer has its first adapter, so only its history can tell how that one did.
    let before = match &checkpoint {
        Some(_) => None,
        None => held_out.evaluate(&adapter, &config, 0, 0.0, out).await?,
    };
    let value = value_model(value_path.as_deref(), args, &config, &gpu, &folder).await?;
    let on = On { gpu: &gpu, model: &model, config: &config, folder: &folder };
    let reference = References { known, adapter: initial };
    let mut trainer = on.trainer(input, adapter, reference, &judges, value).await?;
    if args.write_first_gradients.is_some() {
        trainer.keep_gradients();
    }
    if let (Some(checkpoint), Some(path)) = (&checkpoint, &args.resume) {
        checkpoint.restore(&gpu, &mut trainer, &data.0, &path.display().to_string())?;
        out.note(format_args!("Resuming after step {} of {}", trainer.step, trainer.n_steps));
    }
    let tokenizer = &folder.tokenizer;
    let mut run = run_folder(args, &config, &folder, before, out).await?;
    if args.evaluation.eval_steps > 0 && held_out.examples.is_empty() {
        out.warn("no held-out rows are scored in this run, so --eval-steps does nothing");
    }
    let began = seconds();
    let saver = Saver {
        tokenizer,
        rewards: &rewards,
        value: value_path.as_deref(),
        gpu: &gpu,
        data: &data,
        chat: tokenizer.chat(),
        cache: &cache,
        initial: start.initial.as_ref().map(|(_, path)| path.as_path()),
        split,
    };
    let ended = steps(&mut trainer, &mut run, &saver, &held_out, &stop, args, out).await;
    if let Some(path) = &args.write_first_gradients {
        write_gradients(path, &trainer.kept_gradients())?;
    }
    ended?;
    finish(trainer, run, &held_out, began, args, out).await
}

/// The folder that a run writes, with what a checkpoint has of it, or with the evaluation before the first step.
async fn run_folder(
    args: &TrainArgs,
    config: &TrainConfig,
    folder: &ModelFolder,
    before: Option<Metrics>,
    out: &Output,
) -> Result<RunFolder> {
    let licence = files::licence(&folder.folder).await;
    let chat = folder.tokenizer.chat().files(folder.tokenizer.own_template());
    let resume = args.resume.as_deref();
    let mut run = RunFolder::create(&args.output, resume, config.to_map(), licence, chat, args.evaluation)?;
    if let Some(before) = before {
        run.add_evaluation(before)?;
    }
    if let Some(checkpoint) = resume
        && let Some(step) = run.take_best(checkpoint).await?
    {
        out.warn(format_args!("the adapter of the best evaluation, of step {step}, is gone: a later one is the best"));
    }
    Ok(run)
}

/// Settings, files and rows of a run: everything that can be wrong without a GPU.
struct Prepared {
    checkpoint: Option<Checkpoint>,
    config: TrainConfig,
    folder: ModelFolder,
    start: Start,
    split: SplitBy,
    rewards: Rewards,
    input: Input,
    /// The folder of PPO's value model, if it does not begin with a fresh one.
    value_path: Option<PathBuf>,
}

impl Prepared {
    async fn read(args: &TrainArgs, out: &mut Output) -> Result<Self> {
        let mut given = given_settings(args.config.as_deref(), &args.settings).await?;
        if let Some(method) = args.method {
            given.insert(METHOD.to_owned(), method.name().into());
        }
        let checkpoint = match &args.resume {
            Some(path) => Some(Checkpoint::read(&DiskFolder::open(path)?).await?),
            None => None,
        };
        let mut config = match &checkpoint {
            Some(checkpoint) => resumed_config(&checkpoint.place, &given)?,
            None => TrainConfig::from_map(&given, &settings_origin(args.config.as_deref()))?,
        };
        // A run may grow in its own folder.
        let its_own = args.resume.as_ref().is_some_and(|path| same_folder(&path.join(".."), &args.output));
        if !its_own && !args.overwrite {
            RunFolder::check_free(&args.output)?;
        }
        let mut folder = ModelFolder::open(&args.model).await?;
        let place = checkpoint.as_ref().map(|checkpoint| &checkpoint.place);
        let chat = match place {
            Some(place) => place.chat.clone(),
            None => ModelFolder::chat_of(args.adapter.as_deref(), out).await?,
        };
        folder.set_chat(&args.chat, chat).await?;
        let start = Start::read(args, checkpoint.as_ref(), &given, &mut config, &folder).await?;
        let split = place.map_or(SplitBy::Similar, |place| place.split);
        let recorded = place.map(|place| place.rewards.clone()).unwrap_or_default();
        let rewards = Rewards::of(&args.reward, &args.reward_model, &recorded)?;
        let input = Input::read(args, &config, split, &folder, rewards.clone(), out).await?;
        let recorded = place.and_then(|place| place.value_adapter.as_ref()).map(PathBuf::from);
        let value_path = args.value_adapter.clone().or(recorded);
        Ok(Self { checkpoint, config, folder, start, split, rewards, input, value_path })
    }

    /// The model on the device, and the reward models in memory; an error, before any weight is read, if the run does
    /// not fit the device.
    async fn load(&self, gpu: &Gpu, args: &TrainArgs, out: &mut Output) -> Result<(Model, Vec<Judge>)> {
        let Self { config, folder, input, .. } = self;
        let longest = input.longest_answer(config, &folder.tokenizer)?;
        let size = input.batch_size(config, longest);
        let weights = folder.weight_bytes.on_device(config.load_in);
        let judges = match input {
            Input::Prompts(_, rewards) => rewards.judges(&folder.config).await?,
            Input::Examples(_) | Input::Answers(_) => Vec::new(),
        };
        let judged: Vec<_> = judges.iter().map(|judge| (judge.name.clone(), judge.bytes(&folder.config))).collect();
        let mut memory = plan_run(config, &folder.config, weights, &self.start.settings, size).with_judges(&judged);
        if let Some(size) = input.scored_size(config).filter(|_| args.evaluation.eval_steps > 0) {
            memory = memory.with_scoring(&folder.config, &self.start.settings, size);
        }
        check_fits(&memory, memory_limit(args.memory_limit, gpu)?)?;
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let models: Vec<String> =
            memory.models(config, &judged).into_iter().map(|(name, bytes)| format!("{name} {}", mib(bytes))).collect();
        out.note(format_args!("Memory on the device: about {} MiB ({})", mib(memory.total()), models.join(", ")));
        gpu.allow(config.precision());
        let model = folder.load(gpu, config.load_in, input.positions(longest), out).await?;
        let place = self.checkpoint.as_ref().map(|checkpoint| &checkpoint.place);
        if let Some(warning) = place.and_then(|place| drive::adopt(gpu, &place.variants)) {
            out.warn(format_args!("{warning}"));
        }
        Ok((model, judges))
    }

    /// The adapter that is the policy's reference, on the device; none if that is the base model.
    fn initial(&self, gpu: &Gpu) -> Result<Option<Adapter>> {
        let (Some((values, path)), ReferenceKind::InitialAdapter) = (&self.start.initial, self.config.reference) else {
            return Ok(None);
        };
        let from = path.display().to_string();
        upload_adapter(gpu, &self.folder.config, self.start.settings.clone(), values, &from).map(Some)
    }
}

/// A model on a device, with its files and the settings of a run.
struct On<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    config: &'a TrainConfig,
    folder: &'a ModelFolder,
}

impl<'a> On<'a> {
    async fn trainer(
        &self,
        input: Input,
        adapter: Adapter,
        reference: References,
        judges: &[Judge],
        value: Option<Adapter>,
    ) -> Result<Trainer<'a>> {
        let Self { gpu, model, config, folder } = *self;
        let source: Box<dyn RolloutSource + 'a> = match input {
            Input::Examples(Data { train, .. }) => {
                return Trainer::new(gpu, model, config.clone(), adapter, train, reference);
            }
            Input::Prompts(rows, rewards) => {
                let models = judges.iter().map(|judge| judge.upload(gpu, folder).map(Rc::new));
                let models = models.collect::<Result<_>>()?;
                Box::new(writer(rows, config, folder, rewards.rules, models).await?)
            }
            Input::Answers(replay) => Box::new(replay),
        };
        let eos = folder.tokenizer.eos_id();
        let mut ends = eos_ids(&folder.folder, &folder.config, &folder.tokenizer).await;
        ends.extend(folder.tokenizer.pad_id());
        let online = OnlineRun { source, reference: reference.adapter, value, ends, eos };
        Trainer::online(gpu, model, config.clone(), adapter, online)
    }
}

/// Evaluates what a run ended with, and writes it: the adapter alone is kept on the device for that.
async fn finish(
    trainer: Trainer<'_>,
    mut run: RunFolder,
    held_out: &HeldOut<'_>,
    began: f64,
    args: &TrainArgs,
    out: &mut Output,
) -> Result<()> {
    let (step, n_tokens, config) = (trainer.step, trainer.n_tokens, trainer.config.clone());
    let value = match trainer.value() {
        Some(value) => Some(value.get(held_out.gpu).await?),
        None => None,
    };
    let counters = Counters::of(&trainer, run.epoch());
    let adapter = only_adapter(trainer);
    let mut told: Vec<String> = run.first_evaluation().map(headline).into_iter().collect();
    let last = adapter.get(held_out.gpu).await?;
    // A run that stopped early was evaluated at this step.
    let after = match run.evaluation_at(step) {
        Some(_) => None,
        None => held_out.evaluate(&adapter, &config, step, run.epoch(), out).await?,
    };
    if let Some(after) = after
        && run.add_evaluation(after)?
    {
        run.keep_best(last.clone());
    }
    let best = run.best();
    let best_step = run.best_step();
    let kept = best.map(|(evaluation, _)| evaluation).or_else(|| run.evaluation_at(step));
    if let Some(after) = kept.filter(|_| !held_out.examples.is_empty()) {
        told.push(headline(after));
        let (what, noun) = match after.contains_key(PREFERENCE_ACCURACY) {
            true => ("accuracy", "pair"),
            false => ("loss", "row"),
        };
        let (told, n) = (told.join(" -> "), counted(held_out.examples.len(), noun));
        out.result(format_args!("held-out {what} {told} ({n})"));
    }
    if let Some(best) = best_step.filter(|best| *best != step) {
        out.result(that_of_the_best(best));
    }
    run.finish(&last, counters)?;
    if let Some(value) = value {
        run.write_value(&value)?;
    }
    let output = args.output.display().to_string();
    let seconds = seconds() - began;
    out.result(format_args!("{step} steps in {seconds:.1} s; the adapter is in {output}"));
    let mut done = json!({"event": "done", "output": output, "step": step, "num_tokens": n_tokens, "seconds": seconds});
    if let Some(best) = best_step {
        done["best_step"] = best.into();
    }
    out.event(&done);
    Ok(())
}

/// Data that a run trains on.
enum Input {
    /// Rows of a file.
    Examples(Data),
    /// Answers of the policy that were written before.
    Answers(Replay),
    /// Prompts that it is to answer, and what it is given for that.
    Prompts(Rows, Rewards),
}

impl Input {
    async fn read(
        args: &TrainArgs,
        config: &TrainConfig,
        split: SplitBy,
        folder: &ModelFolder,
        rewards: Rewards,
        out: &Output,
    ) -> Result<Self> {
        match (&args.data, &args.rollouts, config.method().is_online()) {
            (_, Some(path), true) => {
                let file = path.display().to_string();
                Ok(Self::Answers(Replay::read(&read_all(&FileSource::open(path)?).await?, &file)?))
            }
            (Some(file), None, false) => {
                let data = Data::read(args, file, config, split, folder, out).await?;
                if let Some(path) = &args.write_tokens {
                    data.write_tokens(config.method(), path)?;
                }
                warn_passes(config, data.train.len(), out);
                Ok(Self::Examples(data))
            }
            (Some(file), None, true) => {
                let rows = read_rows(args.columns.as_ref(), file, config.method(), out).await?;
                let (rows, _) = rows.split(split, config.eval_split, config.seed)?;
                Ok(Self::Prompts(rows, rewards))
            }
            _ => Err(Error::input(
                format!("{} takes no answers that were sampled before", config.method()),
                "Give --data, or use grpo, rloo or ppo",
                "command line, --rollouts",
            )),
        }
    }

    /// Examples to train on and those held out; none where answers are written.
    fn examples(&self) -> (&[Example], &[Example]) {
        match self {
            Self::Examples(data) => (&data.train, &data.held_out),
            Self::Answers(_) | Self::Prompts(..) => (&[], &[]),
        }
    }

    /// Tokens of the longest prompt, and of the longest answer.
    fn longest_answer(&self, config: &TrainConfig, tokenizer: &Tokenizer) -> Result<[usize; 2]> {
        match self {
            Self::Examples(_) => Ok([0, 0]),
            Self::Answers(replay) => Ok(replay.longest()),
            Self::Prompts(rows, _) => {
                let prompts = rows.tokenize(tokenizer, config)?.examples;
                let longest = prompts.iter().flat_map(|prompt| &prompt.sequences).map(Vec::len).max();
                Ok([longest.unwrap_or(0), config.answers().map_or(0, |[_, longest]| longest)])
            }
        }
    }

    /// The largest micro-batch.
    fn batch_size(&self, config: &TrainConfig, longest: [usize; 2]) -> BatchSize {
        let batch = config.per_device_train_batch_size;
        match self {
            Self::Examples(data) => batch_size_of(config, &data.train, batch),
            Self::Answers(_) | Self::Prompts(..) => answers_size(config, longest),
        }
    }

    /// The largest batch of held-out rows; none if none are scored.
    fn scored_size(&self, config: &TrainConfig) -> Option<BatchSize> {
        let (_, held_out) = self.examples();
        let batch = config.per_device_train_batch_size;
        (!held_out.is_empty()).then(|| batch_size_of(config, held_out, batch))
    }

    /// Tokens of the longest sequence.
    fn positions(&self, longest: [usize; 2]) -> usize {
        match self {
            Self::Examples(data) => data.longest(),
            // A template may close an answer with more than its end.
            Self::Answers(_) | Self::Prompts(..) => longest.iter().sum::<usize>() + 16,
        }
    }
}

/// PPO's value model: from its folder, or with a fresh adapter like the policy's and a fresh head.
async fn value_model(
    path: Option<&Path>,
    args: &TrainArgs,
    config: &TrainConfig,
    gpu: &Gpu,
    folder: &ModelFolder,
) -> Result<Option<Adapter>> {
    if config.method() != Method::Ppo {
        return Ok(None);
    }
    let (values, settings, from) = match path {
        Some(path) => {
            let (values, settings) = read_any_adapter(path, &folder.config).await?;
            if values.config.task != Task::SeqCls {
                return Err(Error::input(
                    "This adapter writes texts, but a value model scores them (task_type SEQ_CLS)",
                    "Name the adapter of a reward or value model",
                    path.display().to_string(),
                ));
            }
            (values, settings, path.display().to_string())
        }
        None => {
            let base = base_of(&args.model, &folder.folder).await;
            let (settings, values) = config.value_model(&base, &folder.config)?;
            (values, settings, "a fresh value model".to_owned())
        }
    };
    Ok(Some(upload_adapter(gpu, &folder.config, settings, &values, &from)?))
}

/// Writes gradients under the names of their tensors; of two adapters, policy and value model, with which they are of.
fn write_gradients(path: &Path, gradients: &[files::Adapter]) -> Result<()> {
    match gradients {
        [] => Ok(()),
        [policy] => write_atomic(path, &policy.tensor_file()),
        [policy, value, ..] => {
            let named = |name: &str, adapter: &files::Adapter| {
                let tensors = adapter.tensors.iter();
                tensors.map(|(key, tensor)| (format!("{name}.{key}"), tensor.clone())).collect::<Vec<_>>()
            };
            let tensors = named("policy", policy).into_iter().chain(named("value", value)).collect();
            write_atomic(path, &files::Adapter { config: policy.config.clone(), tensors }.tensor_file())
        }
    }
}

/// Gives the memory of everything but the adapter back.
fn only_adapter(trainer: Trainer<'_>) -> Adapter {
    trainer.adapter
}
