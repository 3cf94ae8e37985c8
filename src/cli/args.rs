//! What can be typed: commands, their flags, and one flag per training setting.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pairtune::data::Columns;
use pairtune::engine::gguf::GgufKind;
use pairtune::files::GgmlType;
use pairtune::gpu::AdapterChoice;
use pairtune::model::LoadIn;
use serde::Serialize;
use serde_json::{Map, Value};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "pairtune", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  pairtune train --model SmolLM2-135M --pairs pairs.jsonl --output tuned --eval-split 0.1
  pairtune generate --model SmolLM2-135M --adapter tuned --prompt \"How do I reset it?\"
  pairtune merge --model SmolLM2-135M --adapter tuned --output merged
  pairtune export --model SmolLM2-135M --adapter tuned --outtype q8_0 --output tuned.gguf

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.";

/// How columns are named.
const COLUMNS: &str = "prompt=NAME,chosen=NAME,rejected=NAME,system=NAME";

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train a LoRA adapter on preference pairs
    Train(Box<TrainArgs>),
    /// Write the log-probabilities of pairs
    Score(ScoreArgs),
    /// Let the model answer a prompt
    Generate(GenerateArgs),
    /// Write the model with an adapter added to its weights, as they are stored
    Merge(MergeArgs),
    /// Write a GGUF file for llama.cpp and Ollama: the model with an adapter added, or the adapter by itself
    Export(ExportArgs),
    /// Check the GPU: every kernel against its CPU twin, and its speed
    Doctor(DoctorArgs),
    /// Measure the GPU: kernels at the shapes of real models, training steps, texts
    Bench(BenchArgs),
    /// Open the app, as no command does where there is a display
    App(AppArgs),
}

/// `pairtune app`
#[derive(Debug, Default, Args)]
pub(super) struct AppArgs {
    /// Folder of runs and kept models, instead of the system's place
    #[arg(long, value_name = "FOLDER")]
    pub(super) data_dir: Option<PathBuf>,
    /// Model folder to open at the start
    #[arg(long, value_name = "DIR")]
    pub(super) model: Option<PathBuf>,
    /// Pairs file to open at the start
    #[arg(long, value_name = "FILE")]
    pub(super) pairs: Option<PathBuf>,
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
}

impl AppArgs {
    /// What the window opens on; paths from the root, so that they are found again.
    pub(super) fn window(self) -> Window {
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path).display().to_string();
        let adapter = self.gpu.choice().name;
        let store = self.data_dir.map(|path| path.display().to_string()).unwrap_or_default();
        Window { store, adapter, model: self.model.map(whole), pairs: self.pairs.map(whole) }
    }
}

/// What a window opens on.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Folder of runs, empty for the system's place.
    pub(crate) store: String,
    /// Part of the name of the GPU to use.
    pub(crate) adapter: Option<String>,
    /// Folder of a model.
    pub(crate) model: Option<String>,
    /// A pairs file.
    pub(crate) pairs: Option<String>,
}

/// Which GPU to use.
#[derive(Debug, Default, Args)]
pub(super) struct GpuArgs {
    /// Part of the name of the GPU to use (or PAIRTUNE_ADAPTER)
    #[arg(long, value_name = "SUBSTRING")]
    adapter_name: Option<String>,
}

impl GpuArgs {
    /// The flag, or else the environment variable.
    pub(super) fn choice(&self) -> AdapterChoice {
        let from_environment = || std::env::var("PAIRTUNE_ADAPTER").ok().filter(|name| !name.is_empty());
        AdapterChoice { name: self.adapter_name.clone().or_else(from_environment) }
    }
}

/// How conversations become text.
#[derive(Debug, Default, Args)]
pub(super) struct ChatArgs {
    /// Chat template instead of the model's own, a Jinja file
    #[arg(long, value_name = "FILE")]
    pub(super) chat_template_path: Option<PathBuf>,
    /// Variables of the chat template as a JSON object: {"enable_thinking": false}
    #[arg(long, value_name = "JSON")]
    pub(super) chat_template_kwargs: Option<String>,
}

/// `pairtune train`.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Model folder: config.json, tokenizer.json, model.safetensors
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// Preference pairs: JSON Lines, a JSON array, CSV, TSV or Parquet; gzip or zstd may pack the text
    #[arg(long, value_name = "FILE")]
    pub(super) pairs: PathBuf,
    /// The columns to read, instead of a guess
    #[arg(long, value_name = COLUMNS)]
    pub(super) columns: Option<Columns>,
    /// Folder for the adapter, metrics and checkpoints
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// PEFT folder to start from; a fresh adapter if absent
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// Settings as a flat JSON object; a flag beats the file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Checkpoint folder to continue; its settings are used
    #[arg(long, value_name = "DIR")]
    pub(super) resume: Option<PathBuf>,
    /// Held-out pairs, instead of --eval-split
    #[arg(long, value_name = "FILE", conflicts_with = "eval_split")]
    pub(super) eval_pairs: Option<PathBuf>,
    /// Replace the run that the output folder holds
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Compute the reference log-probabilities even if they are cached
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Refuse to train if it needs more memory than this
    #[arg(long, value_name = "GIB")]
    pub(super) memory_limit: Option<f64>,
    /// Progress on stdout, one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    /// How conversations become text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
    /// The settings that were given as flags.
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
}

/// One flag per key of `train::KEYS`, all optional; names and meaning are those of TRL and PEFT.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Settings (as in TRL and PEFT)")]
pub(super) struct SettingsArgs {
    /// How hard the loss pushes away from the reference
    #[arg(long)]
    beta: Option<f64>,
    /// One loss or several: sigmoid,sft
    #[arg(long, value_delimiter = ',')]
    loss_type: Option<Vec<String>>,
    /// One weight per loss type: 1.0,0.5
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    loss_weights: Option<Vec<f64>>,
    /// Share of labels taken to be wrong (loss type robust)
    #[arg(long)]
    label_smoothing: Option<f64>,
    /// Peak learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
    /// linear, cosine, constant or constant_with_warmup
    #[arg(long, value_name = "NAME")]
    lr_scheduler_type: Option<String>,
    /// Steps of linear warm-up; below 1, a share of all steps
    #[arg(long)]
    warmup_steps: Option<f64>,
    /// Decoupled weight decay
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Decay of Adam's first moment
    #[arg(long = "adam-beta1", value_name = "ADAM_BETA1")]
    adam_beta1: Option<f64>,
    /// Decay of Adam's second moment
    #[arg(long = "adam-beta2", value_name = "ADAM_BETA2")]
    adam_beta2: Option<f64>,
    /// Added to the root of Adam's second moment
    #[arg(long)]
    adam_epsilon: Option<f64>,
    /// Largest gradient norm; 0 switches clipping off
    #[arg(long)]
    max_grad_norm: Option<f64>,
    /// Pairs of a micro-batch
    #[arg(long, value_name = "PAIRS")]
    per_device_train_batch_size: Option<usize>,
    /// Micro-batches of an optimiser step
    #[arg(long, value_name = "BATCHES")]
    gradient_accumulation_steps: Option<usize>,
    /// Longest sequence in tokens; longer ones lose their end
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
    /// Optimiser steps of the run; -1 for --num-train-epochs
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true)]
    max_steps: Option<i64>,
    /// Passes over the pairs
    #[arg(long, value_name = "EPOCHS")]
    num_train_epochs: Option<f64>,
    /// Seeds the order of the pairs, the split and a fresh adapter
    #[arg(long)]
    seed: Option<u64>,
    /// Order of the pairs: random or sequential
    #[arg(long, value_name = "NAME")]
    train_sampling_strategy: Option<String>,
    /// Rank of the adapter
    #[arg(long)]
    r: Option<usize>,
    /// Numerator of the adapter's scale
    #[arg(long)]
    lora_alpha: Option<f64>,
    /// Modules that get an adapter: q_proj,v_proj or all-linear
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    target_modules: Option<Vec<String>>,
    /// Scale by lora_alpha / sqrt(r)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    use_rslora: Option<bool>,
    /// DoRA: train the length of each row of an adapted weight too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    use_dora: Option<bool>,
    /// Share of the adapter's inputs that training drops, with disable_dropout false
    #[arg(long, value_name = "SHARE")]
    lora_dropout: Option<f64>,
    /// Train without dropout, as TRL does by default
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disable_dropout: Option<bool>,
    /// What the policy is measured against: base or initial_adapter
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Share of the pairs that is held out, whole prompts kept apart
    #[arg(long, value_name = "SHARE")]
    eval_split: Option<f64>,
    /// The base's linear layers on the GPU: stored, int8, int4 or nf4, quantised as they are loaded
    #[arg(long, value_name = "FORMAT")]
    load_in: Option<String>,
    /// Less memory for more time: run layers forward again in the backward pass
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    gradient_checkpointing: Option<bool>,
    /// Steps between checkpoints; 0 for none
    #[arg(long, value_name = "STEPS")]
    save_steps: Option<usize>,
}

impl SettingsArgs {
    /// The flags that were given, as a config file would have them.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let mut map = match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            other => unreachable!("settings are an object: {other:?}"),
        };
        map.retain(|_, value| !value.is_null());
        // A list of one name may also be the word "all-linear".
        if let Some(Value::Array(names)) = map.get("target_modules")
            && let [name] = names.as_slice()
        {
            let name = name.clone();
            map.insert("target_modules".to_owned(), name);
        }
        map
    }
}

/// `pairtune score`.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// Preference pairs: JSON Lines, a JSON array, CSV, TSV or Parquet; gzip or zstd may pack the text
    #[arg(long, value_name = "FILE")]
    pub(super) pairs: PathBuf,
    /// The columns to read, instead of a guess
    #[arg(long, value_name = COLUMNS)]
    pub(super) columns: Option<Columns>,
    /// PEFT folder to score with
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// The model's linear layers on the GPU: stored, int8, int4 or nf4, quantised as they are loaded
    #[arg(long, value_name = "FORMAT", default_value = "stored")]
    pub(super) load_in: LoadIn,
    /// Longest sequence in tokens; longer ones lose their end
    #[arg(long, value_name = "TOKENS", default_value_t = 1024)]
    pub(super) max_length: usize,
    /// JSON Lines file to write, one object per kept pair
    #[arg(long, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Pairs at a time
    #[arg(long, value_name = "PAIRS", default_value_t = 4)]
    pub(super) batch_size: usize,
    /// How conversations become text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
}

/// `pairtune generate`.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// PEFT folder to generate with
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// The model's linear layers on the GPU: stored, int8, int4 or nf4, quantised as they are loaded
    #[arg(long, value_name = "FORMAT", default_value = "stored")]
    pub(super) load_in: LoadIn,
    /// What to answer or, without a chat template, what to continue
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: String,
    /// Tokens of the answer at most
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    pub(super) max_new_tokens: usize,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.7)]
    pub(super) temperature: f32,
    /// Draws from the likeliest tokens only, this many; 0 from all
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub(super) top_k: u32,
    /// Draws from the likeliest tokens that together have this probability
    #[arg(long, value_name = "PROBABILITY", default_value_t = 1.0)]
    pub(super) top_p: f32,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 42)]
    pub(super) seed: u64,
    /// Continue the prompt as it is, even if the model has a chat template
    #[arg(long)]
    pub(super) raw: bool,
    /// One JSON object at the end instead of text as it comes
    #[arg(long)]
    pub(super) json: bool,
    /// How conversations become text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
}

/// `pairtune merge`.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// PEFT folder to add to it
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: PathBuf,
    /// Folder for the merged model
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Replace the model that the output folder holds
    #[arg(long)]
    pub(super) overwrite: bool,
}

/// `pairtune export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Model folder, or a GGUF file
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// PEFT folder to add to it; without one the model is written as it is
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// GGUF file to write; Ollama's Modelfile comes beside it
    #[arg(long, value_name = "FILE.gguf")]
    pub(super) output: PathBuf,
    /// Type of the weights; or lora: the adapter by itself
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub(super) outtype: OutType,
    /// Replace the file if it is there
    #[arg(long)]
    pub(super) overwrite: bool,
}

/// What `pairtune export` writes, in the words of llama.cpp's converter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum OutType {
    /// 32 bits a weight
    F32,
    /// 16 bits a weight
    F16,
    /// 16 bits a weight, with the range of 32
    Bf16,
    /// 8.5 bits a weight
    #[value(name = "q8_0")]
    Q8,
    /// 4.5 bits a weight
    #[value(name = "q4_0")]
    Q4,
    /// The adapter by itself, for the base model in any type
    Lora,
}

impl OutType {
    /// What the engine calls it.
    pub(super) fn kind(self) -> GgufKind {
        match self {
            Self::F32 => GgufKind::Model(GgmlType::F32),
            Self::F16 => GgufKind::Model(GgmlType::F16),
            Self::Bf16 => GgufKind::Model(GgmlType::BF16),
            Self::Q8 => GgufKind::Model(GgmlType::Q8_0),
            Self::Q4 => GgufKind::Model(GgmlType::Q4_0),
            Self::Lora => GgufKind::Lora,
        }
    }
}

/// `pairtune doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// Write every shader as it is compiled into this folder, and do nothing else (needs no GPU)
    #[arg(long, value_name = "DIR", conflicts_with = "adapter_name")]
    pub(super) shaders: Option<PathBuf>,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
}

/// `pairtune bench`
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// Write the results to this file, too, with version and date
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};
    use pairtune::train::{KEYS, TrainConfig};
    use serde_json::json;

    use super::*;

    fn settings(flags: &[&str]) -> Map<String, Value> {
        let line = ["pairtune", "train", "--model", "m", "--pairs", "p", "--output", "o"].iter().chain(flags);
        match Cli::try_parse_from(line).expect("the flags are right").command {
            Some(Command::Train(args)) => args.settings.to_map(),
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn every_setting_is_a_flag() {
        let mut cli = Cli::command();
        cli.build();
        let train = cli.find_subcommand("train").expect("there is a train command");
        let flags: Vec<&str> = train.get_arguments().filter_map(|arg| arg.get_long()).collect();
        for key in KEYS {
            assert!(flags.contains(&key.replace('_', "-").as_str()), "{key} has no flag");
        }
    }

    #[test]
    fn the_app_is_opened_with_a_model_and_pairs() {
        let line = ["pairtune", "app", "--model", "models/m", "--pairs", "tone.jsonl"];
        let command = Cli::try_parse_from(line).expect("the flags are right").command;
        let Some(Command::App(args)) = command else { panic!("another command: {command:?}") };
        let window = args.window();
        let here = std::env::current_dir().expect("a folder").join("models/m");
        assert_eq!(window.model, Some(here.display().to_string()), "from the root, so that it is found again");
        assert!(window.pairs.is_some_and(|path| path.ends_with("tone.jsonl")), "the pairs too");
        assert_eq!(AppArgs::default().window().model, None, "nothing by itself");
    }

    #[test]
    fn flags_become_settings_of_the_right_type() {
        let map = settings(&[
            "--loss-type=sigmoid,sft",
            "--loss-weights=1.0,0.5",
            "--target-modules=q_proj,v_proj",
            "--use-rslora",
            "--max-steps",
            "-1",
            "--gradient-checkpointing",
            "false",
        ]);
        let want = json!({
            "loss_type": ["sigmoid", "sft"],
            "loss_weights": [1.0, 0.5],
            "max_steps": -1,
            "target_modules": ["q_proj", "v_proj"],
            "use_rslora": true,
            "gradient_checkpointing": false,
        });
        assert_eq!(Value::Object(map.clone()), want, "the settings");
        TrainConfig::from_map(&map, "flags").expect("the library takes them");
        assert_eq!(
            settings(&["--target-modules=all-linear"]).get("target_modules"),
            Some(&json!("all-linear")),
            "a word"
        );
    }
}
