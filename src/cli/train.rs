//! `pairtune train`: from a model, pairs and settings to an adapter folder.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pairtune::data::{Chat, Record, SplitBy, TokenPair, split_by_prompt, tokenize};
use pairtune::engine::models;
use pairtune::engine::protocol::ModelSource;
use pairtune::engine::run::{self, Host, Next, evaluation, number};
use pairtune::files;
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, AdapterSettings, Model, fresh};
use pairtune::platform::native::{DiskFolder, FileSource, available_memory, seconds};
use pairtune::platform::{Folder as _, LocalFuture, read_all};
use pairtune::train::{
    Checkpoint, Metrics, PairLogps, Place, Reference as ReferenceKind, ReferenceKey, References, Scorer, TrainConfig,
    Trainer, batch_size, check_fits, plan,
};
use pairtune::{Error, Result};
use serde_json::{Map, Value, json};

use super::args::TrainArgs;
use super::output::Output;
use super::reference::ReferenceCache;
use super::run::{INTERRUPTED, ModelFolder, open_gpu, read_adapter, read_pairs, upload_adapter, warn_dropped};
use super::run_folder::{Counters, RunFolder};
use super::score::batch_positions;

/// Trains, from the beginning or from a checkpoint.
pub(super) async fn train(args: &TrainArgs, out: &mut Output) -> Result<()> {
    let asked_to_stop = watch_ctrl_c()?;
    let stop = || asked_to_stop.load(Ordering::SeqCst);

    // Settings, and everything that can be wrong without a GPU.
    let given = given_settings(args).await?;
    let checkpoint = match &args.resume {
        Some(path) => Some(Checkpoint::read(&DiskFolder::open(path)?).await?),
        None => None,
    };
    let mut config = match &checkpoint {
        Some(checkpoint) => resumed_config(&checkpoint.place, &given)?,
        None => TrainConfig::from_map(&given, &settings_origin(args))?,
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
    let (train_pairs, eval_pairs) = tokenized_pairs(args, &config, split, &folder, out).await?;

    // The device, and whether the run fits it, before any weight is read.
    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let batch = config.per_device_train_batch_size;
    let size = batch_size(&train_pairs, batch);
    let weights = folder.weight_bytes.on_device(config.load_in);
    let memory = plan(&folder.config, weights, &start.settings, size, config.gradient_checkpointing);
    check_fits(&memory, memory_limit(args.memory_limit, &gpu)?)?;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    out.note(format_args!("Memory on the device: about {} MiB", mib(memory.total())));
    let longest = batch_positions(&train_pairs).max(batch_positions(&eval_pairs));
    let model = folder.load(&gpu, config.load_in, longest, out).await?;
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
    let key = |pairs: &[TokenPair]| {
        ReferenceKey::new(&model, &folder.tokenizer.fingerprint(), pairs, initial_bytes.as_deref())
    };
    let data = key(&train_pairs);
    let cache = ReferenceCache { gpu: &gpu, model: &model, batch, cached: !args.no_cache };
    let eval_reference = match eval_pairs.is_empty() {
        true => Vec::new(),
        false => cache.logps(initial.as_ref(), &eval_pairs, &key(&eval_pairs), &stop, out).await?,
    };
    let reference = References { known: cache.known(&data, train_pairs.len(), out), adapter: initial };
    let held_out = HeldOut { gpu: &gpu, model: &model, pairs: &eval_pairs, reference: &eval_reference, batch };

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
    let mut trainer = Trainer::new(&gpu, &model, config.clone(), adapter, train_pairs, reference)?;
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
        gpu: &gpu,
        data: &data,
        chat: tokenizer.chat(),
        cache: &cache,
        initial: start.initial.as_ref().map(|(_, path)| path.as_path()),
        split,
    };
    steps(&mut trainer, &mut run, &saver, &stop, args, out).await?;

    // The end: the adapter alone is kept on the device for the last evaluation.
    let (step, n_tokens) = (trainer.step, trainer.n_tokens);
    let counters = Counters::of(&trainer, run.epoch());
    let adapter = only_adapter(trainer);
    let share = |metrics: &Metrics| format!("{:.1} %", 100.0 * number(metrics, "eval_preference_accuracy"));
    let mut shares: Vec<String> = run.first_evaluation().map(share).into_iter().collect();
    if let Some(after) = held_out.evaluate(&adapter, &config, step, run.epoch(), out).await? {
        shares.push(share(&after));
        run.add_evaluation(after);
        let (shares, n) = (shares.join(" -> "), eval_pairs.len());
        out.result(format_args!("held-out preference accuracy {shares} ({n} pairs)"));
    }
    run.finish(&adapter.get(&gpu).await?, counters)?;
    let output = args.output.display().to_string();
    let seconds = seconds() - began;
    out.result(format_args!("{step} steps in {seconds:.1} s; the adapter is in {output}"));
    out.event(&json!({"event": "done", "output": output, "step": step, "num_tokens": n_tokens, "seconds": seconds}));
    Ok(())
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
    let mut terminal = Terminal { run, saver, stop, args, out, began, tokens_before };
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
}

impl Host for Terminal<'_> {
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
        let initial = self.initial.map(|path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
        let initial = initial.map(|path| path.display().to_string());
        let mut checkpoint = Checkpoint::take(self.gpu, trainer, &self.data.0, self.chat, initial.as_deref()).await?;
        checkpoint.place.split = self.split;
        let path = run.save_checkpoint(&checkpoint, Counters::of(trainer, run.epoch()))?;
        out.event(&json!({"event": "checkpoint", "step": trainer.step, "path": path.display().to_string()}));
        Ok(path)
    }
}

/// Held-out pairs, scored before the first step and after the last.
struct HeldOut<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    pairs: &'a [TokenPair],
    reference: &'a [PairLogps],
    batch: usize,
}

impl HeldOut<'_> {
    /// The metrics of an adapter; none if no pairs are held out.
    async fn evaluate(
        &self,
        adapter: &Adapter,
        config: &TrainConfig,
        step: usize,
        epoch: f64,
        out: &mut Output,
    ) -> Result<Option<Metrics>> {
        if self.pairs.is_empty() {
            return Ok(None);
        }
        let scorer = Scorer::new(self.gpu, self.model, Some(&adapter.settings), self.pairs, self.batch)?;
        let total = self.pairs.len() as u64;
        out.begin_steps("evaluate", total);
        let policy = scorer
            .score(self.pairs, Some(adapter), &mut |done| {
                out.advance(done as u64, total, "pairs");
                true
            })
            .await?;
        out.end();
        let mut metrics = Metrics::from_iter([("step".to_owned(), json!(step)), ("epoch".to_owned(), json!(epoch))]);
        metrics.extend(evaluation(config, self.pairs, &policy, self.reference));
        let mut event = Map::from_iter([("event".to_owned(), json!("eval"))]);
        event.extend(metrics.clone());
        out.event(&Value::Object(event));
        out.note(format_args!(
            "evaluation at step {step}: preference accuracy {:.3}, reward accuracy {:.3}, reward margin {:.4}",
            number(&metrics, "eval_preference_accuracy"),
            number(&metrics, "eval_rewards/accuracies"),
            number(&metrics, "eval_rewards/margins")
        ));
        Ok(Some(metrics))
    }
}

/// The adapter that a run begins or goes on with.
struct Start {
    settings: AdapterSettings,
    values: files::Adapter,
    /// The adapter folder that the run began with, if it did.
    initial: Option<(files::Adapter, PathBuf)>,
}

impl Start {
    /// From the adapter folder, else a fresh one; after a checkpoint, from there.
    async fn read(
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
            Some(path) => Some((read_adapter(&path, &folder.config).await?, path)),
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
        config.take_adapter(&values.config, given, &settings_origin(args))?;
        settings.dropout = config.dropout() as f32;
        settings.config.base_model_name_or_path.get_or_insert(base);
        Ok(Self { settings, values: values.clone(), initial: Some((values, path)) })
    }
}

/// What the adapter says it belongs to: the model's name on the Hub, or else its whole path, as PEFT has it.
async fn base_of(model: &Path, folder: &DiskFolder) -> String {
    let path = std::path::absolute(model).unwrap_or_else(|_| model.to_owned()).display().to_string();
    let source = ModelSource::Picked { name: String::new(), path: Some(path) };
    models::base_of(&source, files::stated_name(folder).await)
}

/// The config file's settings, overridden by flags.
async fn given_settings(args: &TrainArgs) -> Result<Map<String, Value>> {
    let mut given = match &args.config {
        None => Map::new(),
        Some(path) => serde_json::from_slice(&read_all(&FileSource::open(path)?).await?).map_err(|e| {
            let fix = "Write the settings as one flat JSON object, such as {\"beta\": 0.1}";
            Error::input(format!("This is not a JSON object: {e}"), fix, path.display().to_string())
        })?,
    };
    given.extend(args.settings.to_map());
    Ok(given)
}

/// What messages call the place that settings came from.
fn settings_origin(args: &TrainArgs) -> String {
    args.config.as_ref().map_or_else(|| "command line".to_owned(), |path| path.display().to_string())
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

/// Pairs to train on and pairs held out.
async fn tokenized_pairs(
    args: &TrainArgs,
    config: &TrainConfig,
    split: SplitBy,
    folder: &ModelFolder,
    out: &Output,
) -> Result<(Vec<TokenPair>, Vec<TokenPair>)> {
    let columns = args.columns.as_ref();
    let records = read_pairs(&args.pairs, columns, out).await?.records;
    let (train, held_out) = match &args.eval_pairs {
        Some(path) => (records, read_pairs(path, columns, out).await?.records),
        None => split_by_prompt(records, split, config.eval_split, config.seed)?,
    };
    let tokens = |records: &[Record]| -> Result<Vec<TokenPair>> {
        let tokenized = tokenize(records, &folder.tokenizer, config.max_length)?;
        warn_dropped(&tokenized, config.max_length, out);
        Ok(tokenized.pairs)
    };
    let train = tokens(&train)?;
    let held_out = if held_out.is_empty() { Vec::new() } else { tokens(&held_out)? };
    let cut = train.iter().filter(|pair| pair.untruncated.iter().any(|&len| len > config.max_length)).count();
    if cut > 0 {
        out.warn(format_args!(
            "pairs that are longer than max_length ({}) and lose their end: {cut}",
            config.max_length
        ));
    }
    out.note(format_args!("Pairs: {} to train on, {} held out", train.len(), held_out.len()));
    Ok((train, held_out))
}

/// Bytes that a run may take: the limit that was given, or what is free if the "GPU" is the CPU.
fn memory_limit(gib: Option<f64>, gpu: &Gpu) -> Result<Option<u64>> {
    match gib {
        Some(gib) if gib.is_finite() && gib > 0.0 => Ok(Some((gib * f64::from(1 << 30)) as u64)),
        Some(gib) => Err(Error::input(format!("The memory limit is {gib} GiB"), "Give a number above 0", "")),
        None if gpu.report().is_software() => Ok(available_memory()),
        None => Ok(None),
    }
}

/// Everything that decides what an adapter computes, for the hash of the reference.
async fn adapter_bytes(path: &Path) -> Result<Vec<u8>> {
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
        ("--pairs", Some(args.pairs.as_path())),
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
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The first Ctrl-C asks the run to stop after its step; the second ends the program.
fn watch_ctrl_c() -> Result<Arc<AtomicBool>> {
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
