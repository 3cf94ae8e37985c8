//! `pairtune train`: from a model, pairs and settings to an adapter folder.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pairtune::data::{Chat, Example, Method, SplitBy, Tokenizer};
use pairtune::engine::models;
use pairtune::engine::protocol::ModelSource;
use pairtune::engine::run::{self, Host, Next, number};
use pairtune::engine::warnings::many_passes;
use pairtune::engine::writing::eos_ids;
use pairtune::files::{self, AdapterConfig, SCORE, Task};
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, AdapterSettings, BatchSize, Model, fresh};
use pairtune::platform::native::{DiskFolder, FileSource, available_memory, seconds, write_atomic};
use pairtune::platform::{Folder as _, LocalFuture, read_all};
use pairtune::train::{
    Checkpoint, Judged, METHOD, Metrics, OnlineRun, PairLogps, Place, Reference as ReferenceKind, ReferenceKey,
    References, Replay, RolloutSource, Rows, Scorer, TrainConfig, Trainer, answers_size, batch_size_of, check_fits,
    evaluation, plan_run,
};
use pairtune::{Error, Result};
use serde_json::{Map, Value, json};

use super::args::TrainArgs;
use super::data::{Data, read_rows};
use super::output::Output;
use super::reference::ReferenceCache;
use super::rewards::{Rewards, writer};
use super::run::{INTERRUPTED, ModelFolder, open_gpu, read_any_adapter, upload_adapter};
use super::run_folder::{Counters, RunFolder};
use super::settings::SettingsArgs;

/// Trains, from the beginning or from a checkpoint.
pub(super) async fn train(args: &TrainArgs, out: &mut Output) -> Result<()> {
    let asked_to_stop = watch_ctrl_c()?;
    let stop = || asked_to_stop.load(Ordering::SeqCst);

    // Settings, and everything that can be wrong without a GPU.
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
    let chat = match &checkpoint {
        Some(checkpoint) => checkpoint.place.chat.clone(),
        None => ModelFolder::chat_of(args.adapter.as_deref(), out).await?,
    };
    folder.set_chat(&args.chat, chat).await?;
    let start = Start::read(args, checkpoint.as_ref(), &given, &mut config, &folder).await?;
    let split = checkpoint.as_ref().map_or(SplitBy::Similar, |checkpoint| checkpoint.place.split);
    let recorded = checkpoint.as_ref().map(|checkpoint| checkpoint.place.rewards.clone()).unwrap_or_default();
    let rewards = Rewards::of(&args.reward, &args.reward_model, &recorded)?;
    let input = Input::read(args, &config, split, &folder, rewards.clone(), out).await?;

    let recorded =
        checkpoint.as_ref().and_then(|checkpoint| checkpoint.place.value_adapter.as_ref()).map(PathBuf::from);
    let value_path = args.value_adapter.clone().or(recorded);

    // The device, and whether the run fits it, before any weight is read.
    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let longest = input.longest_answer(&config, &folder.tokenizer)?;
    let size = input.batch_size(&config, longest);
    let weights = folder.weight_bytes.on_device(config.load_in);
    let memory = plan_run(&config, &folder.config, weights, &start.settings, size);
    check_fits(&memory, memory_limit(args.memory_limit, &gpu)?)?;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let models: Vec<String> =
        memory.models(&config).into_iter().map(|(name, bytes)| format!("{name} {}", mib(bytes))).collect();
    out.note(format_args!("Memory on the device: about {} MiB ({})", mib(memory.total()), models.join(", ")));
    let model = folder.load(&gpu, config.load_in, input.positions(longest), out).await?;
    if let Some(warning) = checkpoint.as_ref().and_then(|checkpoint| run::adopt(&gpu, &checkpoint.place.variants)) {
        out.warn(format_args!("{warning}"));
    }

    // What the policy is measured against.
    let initial = match (&start.initial, config.reference) {
        (Some((values, path)), ReferenceKind::InitialAdapter) => {
            let from = path.display().to_string();
            Some(upload_adapter(&gpu, &folder.config, start.settings.clone(), values, &from)?)
        }
        _ => None,
    };
    let initial_bytes = match (&initial, &start.initial) {
        (Some(_), Some((_, path))) => Some(adapter_bytes(path).await?),
        _ => None,
    };
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
    let held_out = held_out.to_vec();
    let held_out = HeldOut { gpu: &gpu, model: &model, examples: &held_out, reference: &eval_reference };

    // The run.
    let from = args.adapter.as_ref().or(args.resume.as_ref()).unwrap_or(&args.model).display().to_string();
    let adapter = upload_adapter(&gpu, &folder.config, start.settings.clone(), &start.values, &from)?;
    if start.initial.is_none() && checkpoint.is_none() {
        model.measure(&gpu, &adapter);
    }
    // What a resumed run began with is gone: its history tells how it did, or nothing does.
    let before = match &checkpoint {
        Some(_) => None,
        None => held_out.evaluate(&adapter, &config, 0, 0.0, out).await?,
    };
    let mut trainer = match input {
        Input::Examples(Data { train, .. }) => {
            let known = match config.has_reference() {
                true => cache.known(&data, train.len(), out),
                false => vec![None; train.len()],
            };
            let reference = References { known, adapter: initial };
            Trainer::new(&gpu, &model, config.clone(), adapter, train, reference)?
        }
        Input::Answers(_) | Input::Prompts(..) => {
            let source: Box<dyn RolloutSource + '_> = match input {
                Input::Prompts(rows, rewards) => {
                    let models = rewards.models(&gpu, &folder).await?;
                    Box::new(writer(rows, &config, &folder, rewards.rules, models).await?)
                }
                Input::Answers(replay) => Box::new(replay),
                Input::Examples(_) => unreachable!("examples are not answers"),
            };
            let value = value_model(value_path.as_deref(), args, &config, &gpu, &folder).await?;
            let eos = folder.tokenizer.eos_id();
            let mut ends = eos_ids(&folder.folder, &folder.config, &folder.tokenizer).await;
            ends.extend(folder.tokenizer.pad_id());
            let online = OnlineRun { source, reference: initial, value, ends, eos };
            Trainer::online(&gpu, &model, config.clone(), adapter, online)?
        }
    };
    if args.write_first_gradients.is_some() {
        trainer.keep_gradients();
    }
    if let (Some(checkpoint), Some(path)) = (&checkpoint, &args.resume) {
        checkpoint.restore(&gpu, &mut trainer, &data.0, &path.display().to_string())?;
        out.note(format_args!("Resuming after step {} of {}", trainer.step, trainer.n_steps));
    }
    let licence = files::licence(&folder.folder).await;
    let tokenizer = &folder.tokenizer;
    let chat = tokenizer.chat().files(tokenizer.own_template());
    let mut run = RunFolder::create(&args.output, args.resume.as_deref(), config.to_map(), licence, chat)?;
    if let Some(before) = before {
        run.add_evaluation(before);
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
    let ended = steps(&mut trainer, &mut run, &saver, &stop, args, out).await;
    if let Some(path) = &args.write_first_gradients {
        write_gradients(path, &trainer.kept_gradients())?;
    }
    ended?;

    // The end: the adapter alone is kept on the device for the last evaluation.
    let (step, n_tokens) = (trainer.step, trainer.n_tokens);
    let value = match trainer.value() {
        Some(value) => Some(value.get(&gpu).await?),
        None => None,
    };
    let counters = Counters::of(&trainer, run.epoch());
    let adapter = only_adapter(trainer);
    let mut told: Vec<String> = run.first_evaluation().map(headline).into_iter().collect();
    if let Some(after) = held_out.evaluate(&adapter, &config, step, run.epoch(), out).await? {
        told.push(headline(&after));
        let (what, noun) = match after.contains_key(PREFERENCE_ACCURACY) {
            true => ("preference accuracy", "pairs"),
            false => ("loss", "rows"),
        };
        run.add_evaluation(after);
        let (told, n) = (told.join(" -> "), held_out.examples.len());
        out.result(format_args!("held-out {what} {told} ({n} {noun})"));
    }
    run.finish(&adapter.get(&gpu).await?, counters)?;
    if let Some(value) = value {
        run.write_value(&value)?;
    }
    let output = args.output.display().to_string();
    let seconds = seconds() - began;
    out.result(format_args!("{step} steps in {seconds:.1} s; the adapter is in {output}"));
    out.event(&json!({"event": "done", "output": output, "step": step, "num_tokens": n_tokens, "seconds": seconds}));
    Ok(())
}

/// What a run trains on.
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
            let adapter = AdapterConfig { task: Task::SeqCls, ..config.adapter(&base) };
            let settings = config.adapter_settings(adapter, &folder.config)?;
            (fresh(&settings, &folder.config, config.seed.wrapping_add(1)), settings, "a fresh value model".to_owned())
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

/// Takes the steps that are left, and saves on the way.
async fn steps(
    trainer: &mut Trainer<'_>,
    run: &mut RunFolder,
    saver: &Saver<'_>,
    stop: &dyn Fn() -> bool,
    args: &TrainArgs,
    out: &mut Output,
) -> Result<()> {
    out.begin_steps("train", trainer.n_steps as u64);
    out.skip_to(trainer.step as u64);
    let (began, tokens_before) = (seconds(), trainer.n_tokens);
    let method = trainer.config.method();
    let mut terminal = Terminal { run, saver, stop, args, out, began, tokens_before, method };
    let ended = run::steps(trainer, &mut terminal).await;
    saver.cache.keep(saver.data, trainer.reference(), out);
    if let Err(Error::Diverged { .. }) = ended {
        // The adapter is as it was after the last good step.
        let adapter = trainer.adapter.get(saver.gpu).await?;
        run.finish(&adapter, Counters::of(trainer, run.epoch()))?;
    }
    if ended? == Next::End {
        return Err(Error::Cancelled);
    }
    out.end();
    Ok(())
}

/// A run that is watched from a terminal.
struct Terminal<'a> {
    run: &'a mut RunFolder,
    saver: &'a Saver<'a>,
    stop: &'a dyn Fn() -> bool,
    args: &'a TrainArgs,
    out: &'a mut Output,
    began: f64,
    tokens_before: u64,
    method: Method,
}

impl Host for Terminal<'_> {
    fn answers(&mut self, answers: Vec<Judged>, rewards: &[String]) -> Result<()> {
        let per_token = self.method == Method::Ppo;
        let lines: Vec<Value> = answers.iter().map(|answer| answer.to_json(rewards, per_token)).collect();
        for (answer, line) in answers.iter().zip(&lines) {
            let text = |ids: &[u32]| self.saver.tokenizer.decode(ids, true);
            self.out.event(&json!({
                "event": "rollout",
                "prompt": text(&answer.rollout.prompt)?,
                "completion": text(&answer.rollout.completion)?,
                "rewards": rewards.iter().cloned().zip(answer.rollout.rewards.iter().map(|reward| json!(reward)))
                    .collect::<Map<String, Value>>(),
                "advantages": line["advantages"],
            }));
        }
        self.run.add_rollouts(&lines)
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            let total = trainer.n_steps as u64;
            self.run.add_step(metrics)?;
            let tokens_per_sec = (trainer.n_tokens - self.tokens_before) as f64 / (seconds() - self.began);
            let text = format!(
                "loss {:.4} accuracy {:.2} {tokens_per_sec:.0} tokens/s",
                number(metrics, "loss"),
                number(metrics, "rewards/accuracies")
            );
            self.out.advance(trainer.step as u64, total, &text);
            let mut event = Map::from_iter([("event".to_owned(), json!("step"))]);
            event.extend(metrics.clone());
            event.insert("n_steps".to_owned(), json!(total));
            event.insert("tokens_per_sec".to_owned(), json!(tokens_per_sec));
            self.out.event(&Value::Object(event));

            let save_steps = trainer.config.save_steps;
            let interrupted = (self.stop)() && !trainer.done();
            if interrupted || (save_steps > 0 && trainer.step.is_multiple_of(save_steps)) {
                let path = self.saver.save(trainer, self.run, self.out).await?;
                if interrupted {
                    self.out.note(format_args!("Step {} of {total} is saved. Continue with:", trainer.step));
                    self.out.note(format_args!("  {}", resume_command(self.args, &path)));
                    return Ok(Next::End);
                }
            }
            Ok(Next::GoOn)
        })
    }
}

/// What a checkpoint needs beside the trainer.
struct Saver<'a> {
    tokenizer: &'a Tokenizer,
    rewards: &'a Rewards,
    value: Option<&'a Path>,
    gpu: &'a Gpu,
    data: &'a ReferenceKey,
    chat: &'a Chat,
    cache: &'a ReferenceCache<'a>,
    initial: Option<&'a Path>,
    split: SplitBy,
}

impl Saver<'_> {
    async fn save(&self, trainer: &Trainer<'_>, run: &RunFolder, out: &Output) -> Result<PathBuf> {
        // The path must still hold when the run is resumed from elsewhere.
        let initial = self.initial.map(whole_path);
        let mut checkpoint = Checkpoint::take(self.gpu, trainer, &self.data.0, self.chat, initial.as_deref()).await?;
        checkpoint.place.split = self.split;
        checkpoint.place.rewards = self.rewards.recorded();
        checkpoint.place.value_adapter = self.value.map(whole_path);
        let path = run.save_checkpoint(&checkpoint, Counters::of(trainer, run.epoch()))?;
        out.event(&json!({"event": "checkpoint", "step": trainer.step, "path": path.display().to_string()}));
        Ok(path)
    }
}

/// A path from the root, if there is such a place.
fn whole_path(path: &Path) -> String {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Held-out examples, scored before the first step and after the last.
struct HeldOut<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    examples: &'a [Example],
    reference: &'a [PairLogps],
}

impl HeldOut<'_> {
    /// The metrics of an adapter; none if nothing is held out.
    async fn evaluate(
        &self,
        adapter: &Adapter,
        config: &TrainConfig,
        step: usize,
        epoch: f64,
        out: &mut Output,
    ) -> Result<Option<Metrics>> {
        if self.examples.is_empty() {
            return Ok(None);
        }
        let scorer = Scorer::for_run(self.gpu, self.model, config, Some(&adapter.settings), self.examples)?;
        let total = self.examples.len() as u64;
        out.begin_steps("evaluate", total);
        let sums = scorer
            .sums(self.examples, Some(adapter), &mut |done| {
                out.advance(done as u64, total, "rows");
                true
            })
            .await?;
        out.end();
        let mut metrics = Metrics::from_iter([("step".to_owned(), json!(step)), ("epoch".to_owned(), json!(epoch))]);
        metrics.extend(evaluation(self.gpu, config, self.examples, &sums, self.reference).await?);
        let mut event = Map::from_iter([("event".to_owned(), json!("eval"))]);
        event.extend(metrics.clone());
        out.event(&Value::Object(event));
        let told = TOLD.iter().filter(|(name, _)| metrics.contains_key(*name));
        let told: Vec<String> = told.map(|(name, what)| format!("{what} {:.4}", number(&metrics, name))).collect();
        out.note(format_args!("evaluation at step {step}: {}", told.join(", ")));
        Ok(Some(metrics))
    }
}

const PREFERENCE_ACCURACY: &str = "eval_preference_accuracy";

/// An evaluation in one figure: the share of pairs won, or the loss of other rows.
fn headline(metrics: &Metrics) -> String {
    match metrics.contains_key(PREFERENCE_ACCURACY) {
        true => format!("{:.1} %", 100.0 * number(metrics, PREFERENCE_ACCURACY)),
        false => format!("{:.4}", number(metrics, "eval_loss")),
    }
}

/// What is said of an evaluation, if there is such a value.
const TOLD: [(&str, &str); 6] = [
    ("eval_loss", "loss"),
    ("eval_preference_accuracy", "preference accuracy"),
    ("eval_rewards/accuracies", "reward accuracy"),
    ("eval_rewards/margins", "reward margin"),
    ("eval_mean_token_accuracy", "token accuracy"),
    ("eval_margin", "margin"),
];

/// The adapter that a run begins or goes on with.
pub(super) struct Start {
    pub(super) settings: AdapterSettings,
    pub(super) values: files::Adapter,
    /// The adapter folder that the run began with, if it did.
    pub(super) initial: Option<(files::Adapter, PathBuf)>,
}

impl Start {
    /// The adapter in a folder; what scores needs a head, which a writing adapter gets.
    async fn adapter_at(
        path: &Path,
        config: &TrainConfig,
        folder: &ModelFolder,
    ) -> Result<(files::Adapter, AdapterSettings)> {
        let (mut values, settings) = read_any_adapter(path, &folder.config).await?;
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
        values.config.task = wanted;
        let settings = AdapterSettings::new(values.config.clone(), &folder.config)?;
        let mut head = fresh(&settings, &folder.config, config.seed).tensors;
        values.tensors.extend(head.remove_entry(SCORE));
        Ok((values, settings))
    }

    /// From the adapter folder, else a fresh one; after a checkpoint, from there.
    pub(super) async fn read(
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

/// What the adapter says it belongs to: the model's name on the Hub, or else its whole path, as PEFT has it.
pub(super) async fn base_of(model: &Path, folder: &DiskFolder) -> String {
    let path = std::path::absolute(model).unwrap_or_else(|_| model.to_owned()).display().to_string();
    let source = ModelSource::Picked { name: String::new(), path: Some(path) };
    models::base_of(&source, files::stated_name(folder).await)
}

/// The config file's settings, overridden by flags.
pub(super) async fn given_settings(config: Option<&Path>, flags: &SettingsArgs) -> Result<Map<String, Value>> {
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

/// What messages call the place that settings came from.
pub(super) fn settings_origin(config: Option<&Path>) -> String {
    config.map_or_else(|| "command line".to_owned(), |path| path.display().to_string())
}

/// A checkpoint's settings; an error names those that were given again and differ. When to save may change.
fn resumed_config(place: &Place, given: &Map<String, Value>) -> Result<TrainConfig> {
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
pub(super) fn warn_passes(config: &TrainConfig, n_pairs: usize, out: &Output) {
    if let Some(warning) = many_passes(n_pairs, config.passes(n_pairs)) {
        out.warn(warning.text);
    }
}

/// Bytes that a run may take: the limit that was given, or what is free if the "GPU" is the CPU.
pub(super) fn memory_limit(gib: Option<f64>, gpu: &Gpu) -> Result<Option<u64>> {
    match gib {
        Some(gib) if gib.is_finite() && gib > 0.0 => Ok(Some((gib * f64::from(1 << 30)) as u64)),
        Some(gib) => Err(Error::input(format!("The memory limit is {gib} GiB"), "Give a number above 0", "")),
        None if gpu.report().is_software() => Ok(available_memory()),
        None => Ok(None),
    }
}

/// Everything that decides what an adapter computes, for the hash of the reference.
pub(super) async fn adapter_bytes(path: &Path) -> Result<Vec<u8>> {
    let folder = DiskFolder::open(path)?;
    let mut bytes = Vec::new();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        bytes.extend(read_all(folder.open(file)?.as_ref()).await?);
    }
    Ok(bytes)
}

/// True if both are there, and the same.
fn same_folder(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// Gives the memory of everything but the adapter back.
fn only_adapter(trainer: Trainer<'_>) -> Adapter {
    trainer.adapter
}

/// The command that continues an interrupted run.
fn resume_command(args: &TrainArgs, checkpoint: &Path) -> String {
    let mut words = vec!["pairtune train".to_owned()];
    let paths = [
        ("--model", Some(args.model.as_path())),
        ("--data", args.data.as_deref()),
        ("--eval-pairs", args.eval_pairs.as_deref()),
        ("--output", Some(args.output.as_path())),
        ("--resume", Some(checkpoint)),
    ];
    for (flag, path) in paths {
        if let Some(path) = path {
            words.push(format!("{flag} {}", quoted(&path.display().to_string())));
        }
    }
    if let Some(columns) = &args.columns {
        words.push(format!("--columns {}", quoted(&columns.to_string())));
    }
    words.join(" ")
}

/// A word as a POSIX shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The first Ctrl-C asks the run to stop after its step; the second ends the program.
pub(super) fn watch_ctrl_c() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    let watching = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        drop(writeln!(stderr(), "Stopping after this step (Ctrl-C again stops at once)"));
    });
    watching.map_err(|e| Error::device(format!("Ctrl-C cannot be watched: {e}"), "Start pairtune from a terminal"))?;
    Ok(asked)
}
