//! The command line: each command reads its inputs, drives the library, and says how it goes.
//!
//! Everything that touches paths, clocks, signals and terminals is here; the library below knows none of them.

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use pairtune::data::{
    Chat, Columns, DropReason, Dropped, LineError, PairsFile, Record, TEMPLATE_FILE, Tokenizer, other_purpose,
};
use pairtune::engine::run::drive;
use pairtune::files;
use pairtune::gpu::{AdapterChoice, Gpu};
use pairtune::kernels;
use pairtune::model::{AdapterSettings, Architecture, LoadIn, Model, WeightBytes};
use pairtune::platform::native::{DiskFolder, FileSource};
use pairtune::platform::{ByteSource as _, read_all};
use pairtune::{Error, ErrorCode, Result};
use serde_json::json;

use super::args::{AppArgs, ChatArgs, Cli, Command, Window};
use super::output::Output;
use super::training::reference::{cache_file, keep};

/// Exit code of a run that was interrupted, as shells count it: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// Exit code for a setting that is not there, as clap has it for a flag.
const USAGE: u8 = 2;

/// Opens the app.
type OpenWindow = fn(Window) -> Result<()>;

/// Parses the command line and runs the command, or opens the app; every error ends here.
pub(crate) fn main(open_window: OpenWindow) -> ExitCode {
    let cli = Cli::parse();
    // Drivers and wgpu are chatty below errors; our own log begins at warnings.
    let filter = env_logger::Env::default().default_filter_or("warn,wgpu_core=error,wgpu_hal=error,naga=error");
    env_logger::Builder::from_env(filter).init();
    let command = match cli.command {
        Some(command) => command,
        None if has_display() => Command::App(AppArgs::default()),
        None => {
            return match Cli::command().print_long_help() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    let (out, result) = match command {
        Command::App(args) => (Output::new(false), open_window(args.window())),
        command => pollster::block_on(run(command)),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    out.event(&json!({"event": "error", "message": error.to_string()}));
    match error {
        Error::Cancelled => {
            out.note(error);
            ExitCode::from(INTERRUPTED)
        }
        error => {
            out.note(format_args!("error: {error}"));
            match error {
                error if error.code() == ErrorCode::Unknown => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// True if a window can be shown: on Linux a session says where. A build without the app has none.
fn has_display() -> bool {
    let session = || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    cfg!(feature = "app") && (!cfg!(target_os = "linux") || session())
}

async fn run(command: Command) -> (Output, Result<()>) {
    let mut out = Output::new(match &command {
        Command::Train(args) => args.json,
        Command::Race(args) => args.json,
        Command::Sweep(args) => args.json,
        _ => false,
    });
    let result = match command {
        Command::Train(args) => super::training::train::train(&args, &mut out).await,
        Command::Race(args) => super::trials::race::race(&args, &mut out).await,
        Command::Sweep(args) => super::trials::sweep::sweep(&args, &mut out).await,
        Command::Score(args) => super::score::score(&args, &mut out).await,
        Command::Generate(args) => super::generate::generate(&args, &mut out).await,
        Command::Merge(args) => super::merge::merge(&args, &mut out).await,
        Command::Export(args) => super::export::export(&args, &mut out).await,
        Command::Doctor(args) => super::doctor::doctor(&args, &mut out).await,
        Command::Bench(args) => super::bench::bench(&args, &mut out).await,
        Command::App(_) => Ok(()),
    };
    out.end();
    (out, result)
}

/// A model folder whose config, tokenizer and weight headers were read and agree; no weight was.
pub(super) struct ModelFolder {
    pub(super) folder: DiskFolder,
    pub(super) config: Architecture,
    pub(super) tokenizer: Tokenizer,
    /// Bytes of the weights.
    pub(super) weight_bytes: WeightBytes,
}

impl ModelFolder {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let folder = DiskFolder::open(path)?;
        let config = Model::config(&folder).await?;
        let tokenizer = Tokenizer::open(&folder).await?;
        tokenizer.check_vocab(config.vocab_size)?;
        let weight_bytes = Model::weight_bytes(&folder, &config).await?;
        Ok(Self { folder, config, tokenizer, weight_bytes })
    }

    /// Sets how conversations become text: by the flags, or else as `otherwise`.
    pub(super) async fn set_chat(&mut self, args: &ChatArgs, mut otherwise: Chat) -> Result<()> {
        if let Some(path) = &args.chat_template_path {
            let bytes = read_all(&FileSource::open(path)?).await?;
            otherwise.template = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        if let Some(kwargs) = &args.chat_template_kwargs {
            otherwise.kwargs = serde_json::from_str(kwargs).map_err(|e| {
                let fix = "Give an object, such as {\"enable_thinking\": false}";
                Error::input(format!("This is not a JSON object: {e}"), fix, "--chat-template-kwargs")
            })?;
        }
        self.tokenizer = self.tokenizer.with_chat(otherwise)?;
        Ok(())
    }

    /// Reads the chat template of an adapter's folder, as transformers does.
    pub(super) async fn chat_of(adapter: Option<&Path>, out: &Output) -> Result<Chat> {
        let Some(path) = adapter else { return Ok(Chat::default()) };
        let folder = DiskFolder::open(path)?;
        let template = Chat::template_in(&folder).await?;
        if template.is_some() {
            out.note(format_args!("Chat template: {TEMPLATE_FILE} of {}", path.display()));
        }
        Ok(Chat { template, ..Chat::default() })
    }

    /// The weights on the device, quantised by `load_in`, with room for sequences of `positions` tokens.
    pub(super) async fn load(&self, gpu: &Gpu, load_in: LoadIn, positions: usize, out: &mut Output) -> Result<Model> {
        let made_for = self.config.max_position_embeddings;
        if positions > made_for {
            out.warn(format_args!(
                "the longest sequence may have {positions} tokens, but the model was made for {made_for}; \
                 what it says beyond them may be of no use"
            ));
        }
        if load_in != LoadIn::Stored && self.weight_bytes.on_device(load_in) == self.weight_bytes.stored {
            out.warn(
                "no weight is quantised: the linear layers are stored in blocks, or their rows are no multiple of 64",
            );
        }
        let total = self.weight_bytes.stored;
        out.begin_bytes("load", total);
        let config = self.config.clone();
        let model = Model::load(gpu, &self.folder, config, load_in, positions, gpu.max_tensor_bytes(), &mut |done| {
            out.advance(done, total, "");
            true
        })
        .await;
        out.end();
        let model = model?;
        // The fastest kernels for it, chosen once on each device.
        let file = cache_file("variants", &kernels::tuning_key(gpu));
        let stored = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let (_, new) = drive::tune(gpu, &model, stored.as_deref()).await?;
        if let (Some(file), Some(bytes)) = (file, new) {
            keep(&file, &bytes, out);
        }
        Ok(model)
    }
}

/// The chosen GPU, named on stderr.
pub(super) async fn open_gpu(choice: &AdapterChoice, out: &Output) -> Result<Gpu> {
    let gpu = Gpu::new(choice).await?;
    let report = gpu.report();
    out.note(format_args!("GPU: {} ({}, {})", report.name, report.backend, report.device_type));
    Ok(gpu)
}

/// An adapter folder's adapter, which fits this model, with the modules that it targets.
pub(super) async fn read_adapter(path: &Path, config: &Architecture) -> Result<(files::Adapter, AdapterSettings)> {
    let (adapter, settings) = read_any_adapter(path, config).await?;
    match adapter.config.task {
        files::Task::CausalLm => Ok((adapter, settings)),
        files::Task::SeqCls => Err(Error::input(
            "This adapter scores texts (task_type SEQ_CLS) and writes none",
            "Name the adapter of a model that writes; pairtune score and --reward-model take this one",
            path.display().to_string(),
        )),
    }
}

/// The same of an adapter that writes or scores.
pub(super) async fn read_any_adapter(path: &Path, config: &Architecture) -> Result<(files::Adapter, AdapterSettings)> {
    let adapter = files::Adapter::read(&DiskFolder::open(path)?).await?;
    let settings = AdapterSettings::new(adapter.config.clone(), config)?;
    settings.check(config, &adapter, &path.display().to_string())?;
    Ok((adapter, settings))
}

/// Bad rows that are shown one by one; the others are counted.
pub(super) const SHOWN: usize = 10;

/// The pairs of a file, and the rows that cannot be used.
pub(super) struct Pairs {
    pub(super) records: Vec<Record>,
    /// The first of the `n_errors` rows.
    pub(super) errors: Vec<LineError>,
    pub(super) n_errors: usize,
}

/// Reads pairs piece by piece; rows that cannot be used are warned of and counted, the others are used. Columns that
/// are not given are guessed by their names.
pub(super) async fn read_pairs(path: &Path, columns: Option<&Columns>, out: &Output) -> Result<Pairs> {
    let source = FileSource::open(path)?;
    let file = PairsFile::open(&source).await?;
    let names = file.columns();
    let columns = columns.cloned().unwrap_or_else(|| Columns::guess(names));
    if let Some(shape) = file.shape() {
        out.note(format_args!("{}: {}", source.name(), shape.what()));
    }
    if columns.are_renamed() {
        out.note(format_args!("{}: columns {columns}", source.name()));
    }
    let reader = file.read(&columns, u64::MAX, &mut |_, _| true).await?;
    let n_errors = reader.n_errors();
    let (records, errors) = reader.finish().map_err(|e| match other_purpose(names) {
        Some([what, fix]) => Error::input(what, fix, source.name()),
        None => e,
    })?;
    for error in errors.iter().take(SHOWN) {
        out.warn(format_args!("{}: {error}", source.name()));
    }
    if n_errors > SHOWN {
        out.warn(format_args!("{}: rows that cannot be used: {n_errors} in all", source.name()));
    }
    Ok(Pairs { records, errors, n_errors })
}

/// Says which rows were skipped in tokenisation, and why.
pub(super) fn warn_dropped(dropped: &[Dropped], max_length: usize, out: &Output) {
    // The reasons that name no row, each once, in the order in which they came.
    let mut whys: Vec<String> = Vec::new();
    let why = |row: &Dropped| match &row.reason {
        DropReason::PromptTooLong => format!("the prompt alone exceeds max length ({max_length} tokens)"),
        DropReason::Template(_) => "the chat template rejects them".to_owned(),
        DropReason::Empty => "they have no tokens".to_owned(),
        other => other.to_string(),
    };
    for row in dropped {
        let why = why(row);
        if !whys.contains(&why) {
            whys.push(why);
        }
    }
    for reason in whys {
        let rows: Vec<usize> = dropped.iter().filter(|row| why(row) == reason).map(|row| row.row).collect();
        out.warn(format_args!("rows skipped: {} (rows {}); {reason}", rows.len(), listed(&rows)));
    }
}

/// The first few of some rows or lines.
pub(super) fn listed(numbers: &[usize]) -> String {
    let first: Vec<String> = numbers.iter().take(SHOWN).map(usize::to_string).collect();
    let more = if numbers.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}
