//! `pairtune sweep`: the same training with several values of beta or of the learning rate, on one copy of the weights.

use std::path::Path;
use std::sync::atomic::Ordering;

use pairtune::data::{Example, Method, SplitBy, TokenPair, tokenize};
use pairtune::engine::compare::writing::eos_ids;
use pairtune::engine::race::HELD_OUT;
use pairtune::engine::run::drive::{number, upload_adapter};
use pairtune::engine::run::warnings::few_held_out;
use pairtune::engine::sweep::{
    ANSWER_TOKENS, Host, Meter, Over, Point, Run, Sweep, check_method, check_values, short, value_of,
};
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, Model};
use pairtune::platform::LocalFuture;
use pairtune::platform::native::make_folder;
use pairtune::train::{
    METHOD, Metrics, PairLogps, Reference, ReferenceKey, Rows, TrainConfig, Trainer, batch_size_of, check_fits,
    plan_run,
};
use pairtune::{Error, Result};
use serde_json::{Map, Value, json};

use super::report::{FILE, Report};
use crate::cli::args::{SweepArgs, TrainArgs};
use crate::cli::data::read_rows;
use crate::cli::output::Output;
use crate::cli::run::{ModelFolder, open_gpu, warn_dropped};
use crate::cli::settings::SettingsArgs;
use crate::cli::training::reference::ReferenceCache;
use crate::cli::training::start::{Start, adapter_bytes, given_settings, memory_limit, settings_origin, warn_passes};
use crate::cli::training::watch::watch_ctrl_c;

/// The swept setting and its values, and the settings of all runs.
struct Setup {
    over: Over,
    /// In rising order.
    values: Vec<f64>,
    /// Settings that were given, without the swept one.
    given: Map<String, Value>,
    /// Settings with the value that a run without the sweep would have.
    config: TrainConfig,
}

/// Runs the sweep and writes what it found.
pub(in crate::cli) async fn sweep(args: &SweepArgs, out: &mut Output) -> Result<()> {
    let asked_to_stop = watch_ctrl_c()?;
    let stop = || asked_to_stop.load(Ordering::SeqCst);
    let mut setup = Setup::read(args).await?;
    check_free(&args.output, args.overwrite)?;
    let mut folder = ModelFolder::open(&args.model).await?;
    folder.set_chat(&args.chat, ModelFolder::chat_of(args.adapter.as_deref(), out).await?).await?;
    let as_train = TrainArgs {
        model: args.model.clone(),
        adapter: args.adapter.clone(),
        config: args.config.clone(),
        ..TrainArgs::default()
    };
    let start = Start::read(&as_train, None, &setup.given, &mut setup.config, &folder).await?;
    let pairs = Pairs::read(args, &setup.config, &folder, out).await?;

    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let model = load(args, &setup.config, &pairs, &start, &gpu, &mut folder, out).await?;
    let from = args.adapter.as_ref().unwrap_or(&args.model).display().to_string();
    let first = match &start.initial {
        Some((values, _)) => Some(upload_adapter(&gpu, &folder.config, start.settings.clone(), values, &from)?),
        None => None,
    };
    let reference = reference(args, &setup.config, &pairs.train, &gpu, &model, &folder, first.as_ref(), &stop, out);
    let reference = reference.await?;
    let eos = eos_ids(&folder.folder, &folder.config, &folder.tokenizer).await;
    let config = &setup.config;
    let meter = Meter::new(&gpu, &model, config, &pairs.held_out, first.as_ref(), eos, &mut || stop()).await?;
    let sweep = Sweep {
        gpu: &gpu,
        model: &model,
        over: setup.over,
        config,
        settings: &start.settings,
        values: &start.values,
        is_fresh: start.initial.is_none(),
        from: &from,
        train: &pairs.train,
        reference,
        meter,
    };

    make_folder(&args.output)?;
    let report = Report::new(args, setup.over, &setup.values, config, &gpu, [pairs.train.len(), pairs.held_out.len()]);
    let mut watch = Watch { over: setup.over, report, stop: &stop, out };
    let runs = sweep.run(&setup.values, &mut watch).await?;
    let Watch { report, out, .. } = watch;
    report.tell(out);
    if runs.len() < setup.values.len() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Refuses a folder that already holds a sweep.
fn check_free(output: &Path, overwrite: bool) -> Result<()> {
    match output.join(FILE).exists() && !overwrite {
        false => Ok(()),
        true => Err(Error::input(
            format!("The output folder already holds a sweep ({FILE})"),
            "Name another folder, or replace the sweep with --overwrite",
            output.display().to_string(),
        )),
    }
}

impl Setup {
    async fn read(args: &SweepArgs) -> Result<Self> {
        let mut flags = args.settings.to_map();
        let mut lists: Vec<(Over, Vec<f64>)> = Vec::new();
        for over in Over::ALL {
            let Some(Value::Array(values)) = flags.remove(over.key()) else { continue };
            match values.as_slice() {
                [value] => drop(flags.insert(over.key().to_owned(), value.clone())),
                values => lists.push((over, values.iter().filter_map(Value::as_f64).collect())),
            }
        }
        let mut given = given_settings(args.config.as_deref(), &SettingsArgs::of(flags)).await?;
        if let Some(method) = args.method {
            given.insert(METHOD.to_owned(), method.name().into());
        }
        if args.eval_pairs.is_none() {
            given.entry("eval_split").or_insert(json!(HELD_OUT));
        }
        let at = settings_origin(args.config.as_deref());
        let config = TrainConfig::from_map(&given, &at)?;
        check_method(config.method(), "command line, --method")?;
        let (over, mut values) = match (lists.as_slice(), args.over) {
            ([(over, values)], named) if named.is_none_or(|named| named == *over) => (*over, values.clone()),
            ([], Some(over)) => (over, over.around(value_of(&config, over))),
            ([], None) => {
                let fix = "Give --beta 0.05,0.1,0.3 or --learning-rate 5e-6,2e-5,1e-4, or let --over beta choose";
                return Err(Error::input("Nothing differs from run to run", fix, "command line"));
            }
            _ => {
                let fix = "Give several values of one setting, and name no other with --over";
                return Err(Error::input("beta and learning_rate cannot both be swept", fix, "command line"));
            }
        };
        values.sort_by(f64::total_cmp);
        check_values(over, &values, &format!("command line, --{}", over.key().replace('_', "-")))?;
        // A config file's own value of what is swept counts no more.
        given.remove(over.key());
        for value in &values {
            let mut given = given.clone();
            given.insert(over.key().to_owned(), json!(value));
            TrainConfig::from_map(&given, &at)?;
        }
        Ok(Self { over, values, given, config })
    }
}

/// The pairs of all runs.
struct Pairs {
    /// Pairs in the form that the method trains on.
    train: Vec<Example>,
    /// Pairs in the form on which all methods are measured.
    held_out: Vec<TokenPair>,
}

impl Pairs {
    async fn read(args: &SweepArgs, config: &TrainConfig, folder: &ModelFolder, out: &Output) -> Result<Self> {
        let columns = args.columns.as_ref();
        let rows = read_rows(columns, &args.data, Method::Dpo, out).await?;
        let (train, held_out) = match &args.eval_pairs {
            Some(path) => (rows, read_rows(columns, path, Method::Dpo, out).await?),
            None => rows.split(SplitBy::Similar, config.eval_split, config.seed)?,
        };
        let Rows::Pairs(held_out) = held_out else { unreachable!("DPO reads pairs") };
        if held_out.is_empty() {
            let fix = "Give more pairs, a larger --eval-split, or --eval-pairs";
            return Err(Error::input(
                "No pairs are held out to compare the values by",
                fix,
                args.data.display().to_string(),
            ));
        }
        let train = train.tokenize(&folder.tokenizer, config)?;
        let held_out = tokenize(&held_out, &folder.tokenizer, config.max_length)?;
        warn_dropped(&train.dropped, config.max_length, out);
        warn_dropped(&held_out.dropped, config.max_length, out);
        let pairs = Self { train: train.examples, held_out: held_out.pairs };
        out.note(format_args!("Pairs: {} to train on, {} held out", pairs.train.len(), pairs.held_out.len()));
        if let Some(warning) = few_held_out(pairs.held_out.len()) {
            out.warn(warning.text);
        }
        warn_passes(config, pairs.train.len(), out);
        Ok(pairs)
    }

    /// Tokens of the longest sequence that may come.
    fn longest(&self) -> usize {
        let train = self.train.iter().flat_map(|example| &example.sequences).map(Vec::len);
        let held_out = self
            .held_out
            .iter()
            .flat_map(|pair| [pair.chosen.len(), pair.rejected.len(), pair.prompt_len + ANSWER_TOKENS]);
        train.chain(held_out).max().unwrap_or(1)
    }
}

/// The weights on the device, if a run fits beside them.
async fn load(
    args: &SweepArgs,
    config: &TrainConfig,
    pairs: &Pairs,
    start: &Start,
    gpu: &Gpu,
    folder: &mut ModelFolder,
    out: &mut Output,
) -> Result<Model> {
    let size = batch_size_of(config, &pairs.train, config.per_device_train_batch_size);
    let weights = folder.weight_bytes.on_device(config.load_in);
    let memory = plan_run(config, &folder.config, weights, &start.settings, size);
    check_fits(&memory, memory_limit(args.memory_limit, gpu)?)?;
    out.note(format_args!("Memory on the device: about {} MiB", memory.total().div_ceil(1 << 20)));
    gpu.allow(config.precision());
    folder.load(gpu, config.load_in, pairs.longest(), out).await
}

/// Log-probabilities of the reference, which all runs share; nothing is known where the method has none.
async fn reference(
    args: &SweepArgs,
    config: &TrainConfig,
    train: &[Example],
    gpu: &Gpu,
    model: &Model,
    folder: &ModelFolder,
    first: Option<&Adapter>,
    stop: &dyn Fn() -> bool,
    out: &mut Output,
) -> Result<Vec<Option<PairLogps>>> {
    if !config.has_reference() {
        return Ok(vec![None; train.len()]);
    }
    let adapter = first.filter(|_| config.reference == Reference::InitialAdapter);
    let bytes = match (&adapter, &args.adapter) {
        (Some(_), Some(path)) => Some(adapter_bytes(path).await?),
        _ => None,
    };
    let key = ReferenceKey::new(model, &folder.tokenizer.fingerprint(), config, train, bytes.as_deref());
    let cache = ReferenceCache { gpu, model, config, cached: !args.no_cache };
    let logps = cache.logps(adapter, train, &key, stop, out).await?;
    Ok(logps.into_iter().map(Some).collect())
}

/// Shows the runs of a sweep, and reports each.
struct Watch<'a> {
    over: Over,
    report: Report,
    stop: &'a dyn Fn() -> bool,
    out: &'a mut Output,
}

impl Watch<'_> {
    fn event(&self, name: &str, value: f64, more: Map<String, Value>) {
        let mut event = Map::from_iter([("event".to_owned(), json!(name)), (self.over.key().to_owned(), json!(value))]);
        event.extend(more);
        self.out.event(&Value::Object(event));
    }
}

impl Host for Watch<'_> {
    fn begins(&mut self, value: f64, n_steps: usize) {
        self.out.begin_steps(&format!("{} {}", self.over, short(value)), n_steps as u64);
    }

    fn after_step<'a>(
        &'a mut self,
        value: f64,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<()>> {
        let loss = number(metrics, "loss");
        self.out.advance(trainer.step as u64, trainer.n_steps as u64, &format!("loss {loss:.4}"));
        // The learning rate of a step is not the peak that is swept.
        let mut more = metrics.clone();
        if self.over == Over::LearningRate
            && let Some(rate) = more.remove("learning_rate")
        {
            more.insert("learning_rate_of_step".to_owned(), rate);
        }
        more.insert("n_steps".to_owned(), json!(trainer.n_steps));
        self.event("step", value, more);
        Box::pin(async { Ok(()) })
    }

    fn measured(&mut self, value: f64, point: &Point) {
        if let Ok(Value::Object(point)) = serde_json::to_value(point) {
            self.event("measure", value, point);
        }
    }

    fn ended<'a>(&'a mut self, run: &'a Run, _trainer: &'a Trainer<'_>) -> LocalFuture<'a, Result<()>> {
        self.out.end();
        let reported = self.report.add(run.clone(), self.out);
        Box::pin(async { reported })
    }

    fn stops(&mut self) -> bool {
        (self.stop)()
    }
}
