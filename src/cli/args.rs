//! Commands and their flags; the flags of training settings are in `settings`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pairtune::data::{Columns, Method};
use pairtune::engine::export::gguf::GgufKind;
use pairtune::engine::sweep::Over;
use pairtune::files::GgmlType;
use pairtune::gpu::AdapterChoice;
use pairtune::model::LoadIn;

use super::settings::SettingsArgs;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "pairtune", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Cli {
    /// The command; none opens the window or prints the help.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  pairtune train --model SmolLM2-135M --pairs pairs.jsonl --output tuned --eval-split 0.1
  pairtune generate --model SmolLM2-135M --adapter tuned --prompt \"How do I reset it?\"
  pairtune merge --model SmolLM2-135M --adapter tuned --output merged
  pairtune export --model SmolLM2-135M --adapter tuned --outtype q8_0 --output tuned.gguf
  pairtune export --to trl tuned --model SmolLM2-135M --data pairs.jsonl --output in-trl

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.";

/// Form in which columns are given.
const COLUMNS: &str = "prompt=NAME,chosen=NAME,rejected=NAME,system=NAME";

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train a LoRA adapter: by DPO on preference pairs, or by another method on what that takes
    Train(Box<TrainArgs>),
    /// Set DPO beside RLHF on the same model, pairs and held-out prompts
    Race(Box<RaceArgs>),
    /// Train with several values of beta or of the learning rate, and say which are too low and too high
    Sweep(Box<SweepArgs>),
    /// Write the log-probabilities of pairs
    Score(ScoreArgs),
    /// Let the model answer a prompt
    Generate(GenerateArgs),
    /// Write the model with an adapter added to its weights, as they are stored
    Merge(MergeArgs),
    /// Write a GGUF file for llama.cpp and Ollama, the model with an adapter added or the adapter by itself; or a
    /// folder that trains on in TRL
    Export(Box<ExportArgs>),
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
    /// Returns the options that the window starts with; paths are absolute, so that they are found again.
    pub(super) fn window(self) -> Window {
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path).display().to_string();
        let adapter = self.gpu.choice().name;
        let store = self.data_dir.map(|path| path.display().to_string()).unwrap_or_default();
        Window { store, adapter, model: self.model.map(whole), pairs: self.pairs.map(whole) }
    }
}

/// Options that a window starts with.
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

/// Choice of the GPU.
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

/// Settings for turning conversations into text.
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
#[derive(Debug, Default, Args)]
pub(super) struct TrainArgs {
    /// Model folder: config.json, tokenizer.json, model.safetensors
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// Training method: dpo, sft, reward, kto, orpo, cpo, grpo, rloo or ppo; dpo if the config names none
    #[arg(long, value_name = "NAME")]
    pub(super) method: Option<Method>,
    /// Preference pairs, or examples, thumbs or prompts, as the method takes them: JSON Lines, a JSON array, CSV, TSV
    /// or Parquet; gzip or zstd may pack the text
    #[arg(long, visible_alias = "pairs", value_name = "FILE", required_unless_present = "rollouts")]
    pub(super) data: Option<PathBuf>,
    /// Answers with rewards that were sampled before, one JSON object a line: nothing is sampled, they are replayed
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(super) rollouts: Option<PathBuf>,
    /// PEFT folder of a reward model that scores the policy's answers; may be given more than once
    #[arg(long, value_name = "DIR")]
    pub(super) reward_model: Vec<PathBuf>,
    /// A rule that scores them: length:TOKENS, regex:PATTERN, contains:TEXT, json, equals or equals:COLUMN
    #[arg(long, value_name = "RULE")]
    pub(super) reward: Vec<String>,
    /// PEFT folder of the value model to start from (ppo); a fresh one if absent
    #[arg(long, value_name = "DIR")]
    pub(super) value_adapter: Option<PathBuf>,
    /// Write the tokens that reach the model, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(super) write_tokens: Option<PathBuf>,
    /// Write the gradients of the first optimiser step, before clipping
    #[arg(long, value_name = "FILE")]
    pub(super) write_first_gradients: Option<PathBuf>,
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
    /// Evaluations during training.
    #[command(flatten)]
    pub(super) evaluation: EvaluationArgs,
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
    /// Settings for turning conversations into text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
    /// The settings that were given as flags.
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
}

/// Evaluations of `pairtune train` on its way, and what they decide.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct EvaluationArgs {
    /// Steps between evaluations of the held-out rows; 0 for only before and after
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    pub(super) eval_steps: usize,
    /// Held-out rows of the run at most, spread over the file; 0 for all. The others are neither scored nor trained on
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    pub(super) max_eval_pairs: usize,
    /// End with the adapter of the best evaluation, instead of the last adapter
    #[arg(long, requires = "eval_steps")]
    pub(super) load_best_model_at_end: bool,
    /// Stop once so many evaluations in a row were no better than the best; 0 for never
    #[arg(long, value_name = "EVALUATIONS", default_value_t = 0, requires = "eval_steps")]
    pub(super) early_stopping_patience: usize,
}

impl EvaluationArgs {
    /// True at the steps after which an evaluation is due, of `n_steps`.
    pub(super) fn is_due(self, step: usize, n_steps: usize) -> bool {
        self.eval_steps > 0 && step > 0 && step < n_steps && step.is_multiple_of(self.eval_steps)
    }

    /// The flags that say the same.
    pub(super) fn words(self) -> Vec<String> {
        let number = |flag: &str, value: usize| (value > 0).then(|| format!("{flag} {value}"));
        let flags = [
            number("--max-eval-pairs", self.max_eval_pairs),
            number("--eval-steps", self.eval_steps),
            self.load_best_model_at_end.then(|| "--load-best-model-at-end".to_owned()),
            number("--early-stopping-patience", self.early_stopping_patience),
        ];
        flags.into_iter().flatten().collect()
    }
}

/// `pairtune race`.
#[derive(Debug, Args)]
pub(super) struct RaceArgs {
    /// Model folder: config.json, tokenizer.json, model.safetensors
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// Preference pairs
    #[arg(long, visible_alias = "pairs", value_name = "FILE")]
    pub(super) data: PathBuf,
    /// The columns to read, instead of a guess
    #[arg(long, value_name = COLUMNS)]
    pub(super) columns: Option<Columns>,
    /// Folder for the table, the figure, the records and the adapters
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Methods to compare DPO with, after fine-tuning and a reward model: ppo, rloo or grpo, or several: ppo,rloo
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) against: Vec<Method>,
    /// Settings of all stages as a JSON object, and of one under its name: {"r": 8, "ppo": {"kl_coef": 0.1}}
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Held-out pairs, instead of a share of the others
    #[arg(long, value_name = "FILE", conflicts_with = "eval_split")]
    pub(super) eval_pairs: Option<PathBuf>,
    /// Progress on stdout, one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    /// Settings for turning conversations into text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
    /// The settings that were given as flags.
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
}

/// `pairtune sweep`.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Model folder: config.json, tokenizer.json, model.safetensors
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// Training method: dpo, orpo, cpo or kto; dpo if the config names none
    #[arg(long, value_name = "NAME")]
    pub(super) method: Option<Method>,
    /// Preference pairs: JSON Lines, a JSON array, CSV, TSV or Parquet; gzip or zstd may pack the text
    #[arg(long, visible_alias = "pairs", value_name = "FILE")]
    pub(super) data: PathBuf,
    /// The columns to read, instead of a guess
    #[arg(long, value_name = COLUMNS)]
    pub(super) columns: Option<Columns>,
    /// Folder for the measurements and the figure
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// The setting that differs from run to run, with values around the usual one: beta or learning_rate; or give
    /// several values to --beta or --learning-rate
    #[arg(long, value_name = "NAME")]
    pub(super) over: Option<Over>,
    /// PEFT folder to start from; a fresh adapter if absent
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// Settings as a flat JSON object; a flag beats the file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Held-out pairs, instead of --eval-split, which is 0.2 if it is not given
    #[arg(long, value_name = "FILE", conflicts_with = "eval_split")]
    pub(super) eval_pairs: Option<PathBuf>,
    /// Replace the sweep that the output folder holds
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
    /// Settings for turning conversations into text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The GPU.
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
    /// The settings that were given as flags.
    #[command(flatten)]
    pub(super) settings: SettingsArgs<true>,
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
    /// Max length of a sequence in tokens; longer ones are truncated
    #[arg(long, value_name = "TOKENS", default_value_t = 1024)]
    pub(super) max_length: usize,
    /// JSON Lines file to write, one object per kept pair
    #[arg(long, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Pairs at a time
    #[arg(long, value_name = "PAIRS", default_value_t = 4)]
    pub(super) batch_size: usize,
    /// Settings for turning conversations into text.
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
    /// Text to answer or, without a chat template, to continue
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
    /// Settings for turning conversations into text.
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
    /// Target: gguf, a file for llama.cpp and Ollama; or trl, a folder that trains on in TRL on many GPUs
    #[arg(long, value_name = "WHAT", default_value = "gguf")]
    pub(super) to: ExportTo,
    /// Model folder, or a GGUF file
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// PEFT folder to add to it, without one the model is written as it is; for trl the adapter to start from
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// GGUF file to write, Ollama's Modelfile comes beside it; for trl a folder
    #[arg(long, value_name = "FILE.gguf")]
    pub(super) output: PathBuf,
    /// Type of the weights; or lora: the adapter by itself
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub(super) outtype: OutType,
    /// Replace the file, or what is in the folder, if it is there
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Settings for turning conversations into text.
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// Arguments for TRL.
    #[command(flatten)]
    pub(super) trl: TrlArgs,
}

/// Target of `pairtune export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportTo {
    /// llama.cpp and Ollama
    Gguf,
    /// TRL on accelerate: one GPU, several, DeepSpeed or FSDP
    Trl,
}

/// Arguments of `pairtune export --to trl` other than model, adapter and output.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "With --to trl")]
pub(super) struct TrlArgs {
    /// Output folder of pairtune train, or a checkpoint: its settings, adapter and chat template
    #[arg(value_name = "RUN")]
    pub(super) run: Option<PathBuf>,
    /// Settings as a flat JSON object; they beat those of RUN
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Training method; by default that of the settings. If it is not RUN's, only the adapter of RUN is used
    #[arg(long, value_name = "NAME")]
    pub(super) method: Option<Method>,
    /// Rows to train on, as pairtune train takes them
    #[arg(long, visible_alias = "pairs", value_name = "FILE")]
    pub(super) data: Option<PathBuf>,
    /// Held-out rows, instead of a share of the data
    #[arg(long, visible_alias = "eval-pairs", value_name = "FILE", requires = "data")]
    pub(super) eval_data: Option<PathBuf>,
    /// The columns to read, instead of a guess
    #[arg(long, value_name = COLUMNS)]
    pub(super) columns: Option<Columns>,
    /// Answers with rewards that were recorded, to be replayed (grpo, rloo)
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(super) rollouts: Option<PathBuf>,
    /// Reward of answers by a rule (grpo, rloo), perhaps several: length:TOKENS, regex:PATTERN, contains:TEXT, json,
    /// equals or equals:COLUMN
    #[arg(long, value_name = "RULE")]
    pub(super) reward: Vec<String>,
    /// Folder of a reward model (grpo, rloo): an adapter with a head on the same base, or a whole model; perhaps
    /// several
    #[arg(long, value_name = "DIR")]
    pub(super) reward_model: Vec<PathBuf>,
}

impl TrlArgs {
    /// True if nothing was given.
    pub(super) fn is_empty(&self) -> bool {
        let files = [&self.run, &self.config, &self.data, &self.eval_data, &self.rollouts];
        let none = files.into_iter().all(Option::is_none) && self.method.is_none() && self.columns.is_none();
        none && self.reward.is_empty() && self.reward_model.is_empty()
    }
}

/// Output types of `pairtune export`, in the words of llama.cpp's converter.
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
    /// The engine's name for the type.
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
    use pairtune::train::{TrainConfig, all_settings};
    use serde_json::{Map, Value, json};

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
        for setting in all_settings() {
            let key = setting.key;
            assert!(flags.contains(&key.replace('_', "-").as_str()), "{key} has no flag");
        }
    }

    #[test]
    fn a_sweep_takes_several_values_of_what_it_can_be_over() {
        let line = ["pairtune", "sweep", "--model", "m", "--data", "p", "--output", "o", "--over", "learning-rate"];
        let flags = ["--beta", "0.1,0.3", "--learning-rate", "1e-4", "--adam-beta1", "0.8"];
        let command = Cli::try_parse_from(line.iter().chain(&flags)).expect("the flags are right").command;
        let Some(Command::Sweep(args)) = command else { panic!("another command: {command:?}") };
        let want = json!({"beta": [0.1, 0.3], "learning_rate": [1e-4], "adam_beta1": 0.8});
        assert_eq!(Value::Object(args.settings.to_map()), want, "the settings");
        assert_eq!(args.over, Some(Over::LearningRate), "by its flag's name, too");
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
