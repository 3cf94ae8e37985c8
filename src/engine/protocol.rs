//! The protocol between the engine and its user interface: plain data, no tensors, no handles.
//!
//! A [`Command`] goes in, [`Event`]s come out. The first event is always [`Event::Ready`], whose build identifier the
//! other side compares with its own. Files travel beside a command, as `PickedFile`s; what the engine writes goes to
//! the store, and events name the place. Metrics have TRL's names.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::race::{
    Measure, Point as RacePoint, Row as RaceRow, Side, SideResult, StageResult, Standing, sides as race_sides,
};
pub use super::run::rewards::{RULES, Rule};
use super::stats::number_or_nan;
pub use super::sweep::{
    Advice, Ended as SweepEnded, Judgement, Over, Point as SweepPoint, Run as SweepRun, Verdict, short,
};
pub use crate::data::{Chat, Columns as Mapping, Kind, Method};
use crate::error::Error;
pub use crate::train::{METHOD, Setting, SettingKind, settings};

/// A step's or an evaluation's values under TRL's names.
pub type Metrics = Map<String, Value>;

/// True for the metrics of an evaluation, false for those of a step.
pub fn is_evaluation(metrics: &Metrics) -> bool {
    metrics.keys().any(|key| key.starts_with("eval_"))
}

/// The optimiser step of metrics; 0 if they do not say.
pub fn step_of(metrics: &Metrics) -> usize {
    metrics.get("step").and_then(Value::as_f64).unwrap_or(0.0) as usize
}

/// Settings of a run under the names of TRL's configs and PEFT's `LoraConfig`, with `method`; absent ones have their
/// default.
pub type Settings = Map<String, Value>;

/// Identifies this build; a page and a worker of different builds must not talk to each other.
pub const BUILD: &str = env!("PAIRTUNE_BUILD");

/// The place that a [`Problem`] names when a stored run was asked for and its model is not at hand.
pub const RUN_MODEL: &str = "the run's model";

/// A request to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Open the bundled model and pairs.
    OpenDemo,
    /// Open a model; for [`ModelSource::Picked`] its files come beside the command.
    OpenModel {
        /// Source of the model.
        source: ModelSource,
    },
    /// Read what a model's configuration and headers say of the memory that it needs; for [`ModelSource::Picked`] its
    /// files come beside the command.
    MeasureModel {
        /// Source of the model.
        source: ModelSource,
    },
    /// Copy the open model into the app's own storage, so that it is there next time.
    KeepModel,
    /// Take a model out of the app's own storage.
    ForgetModel {
        /// Its name in [`Event::Models`].
        name: String,
    },
    /// Fetch a model from the Hugging Face Hub, or continue to: in a page into the app's own storage, natively into the
    /// cache that other tools share; then open it.
    FetchModel {
        /// `organisation/name`.
        repo: String,
        /// Server of the repositories; `https://huggingface.co` except in tests.
        endpoint: String,
    },
    /// Open a pairs file, which comes beside the command.
    OpenPairs {
        /// Columns to read, or none to guess.
        mapping: Option<Mapping>,
    },
    /// Take some rows out of the pairs, or back in.
    SkipPairs {
        /// Their indices.
        rows: Vec<usize>,
        /// True to leave them out.
        skip: bool,
    },
    /// Exchange chosen and rejected in all rows.
    SwapPairs,
    /// Set how the open model's conversations become text.
    SetChat(Chat),
    /// Show a pair as the model sees it.
    ReadPair {
        /// Its index among the usable rows.
        index: usize,
        /// Longest sequence in tokens.
        max_length: usize,
    },
    /// Work out what a run with these settings would take.
    Plan {
        /// Settings of the run.
        settings: Settings,
        /// Bytes it may take on the device, if the person knows better than the engine.
        limit: Option<u64>,
        /// Rewards, and the run to start from.
        #[serde(default)]
        inputs: Inputs,
    },
    /// Take two steps with these settings and throw them away, to measure time and memory.
    Trial {
        /// Settings of the run.
        settings: Settings,
    },
    /// Measure how fast the GPU is: kernels, training steps, texts.
    Bench,
    /// Begin a run with the open model and pairs.
    Start(Box<RunRequest>),
    /// Set DPO beside RLHF, with the open model and pairs; [`Command::Stop`] ends it at a step.
    StartRace(Box<RaceRequest>),
    /// Train with several values of a setting, with the open model and pairs; [`Command::Stop`] ends it at a step.
    StartSweep(Box<SweepRequest>),
    /// Finish this step, save, and wait.
    Pause,
    /// Go on with a paused or interrupted run, opened as by [`Command::OpenRun`].
    Resume {
        /// The run.
        run_id: String,
        /// Settings that differ from now on; the run then continues as a new one.
        settings: Settings,
    },
    /// Finish this step and end the run with what it has.
    Stop,
    /// End the run and throw it away.
    Discard {
        /// The run.
        run_id: String,
    },
    /// End whatever is being loaded, prepared or generated.
    Cancel,
    /// Open a stored run to compare and export it. The open model will do if it has the content of the run's; else that
    /// is opened where it was.
    OpenRun {
        /// The run.
        run_id: String,
    },
    /// Write a text with the base model and with the tuned one.
    Generate(Box<GenerateRequest>),
    /// Score every held-out pair with an adapter strength.
    ScoreHeldOut {
        /// Factor on the adapter, 1 as trained.
        strength: f32,
    },
    /// Log-probabilities of every token of a pair, base and tuned.
    InspectPair {
        /// Index of the pair among the usable rows.
        index: usize,
        /// Factor on the adapter, 1 as trained.
        strength: f32,
    },
    /// Write files from a run.
    Export(Box<ExportRequest>),
    /// List the stored runs.
    ListRuns,
    /// Rename a run or write notes about it.
    DescribeRun {
        /// The run.
        run_id: String,
        /// Its name.
        name: String,
        /// Free text.
        notes: String,
    },
    /// Delete a stored run with its files.
    DeleteRun {
        /// The run.
        run_id: String,
    },
    /// All metrics of a stored run.
    ReadHistory {
        /// The run.
        run_id: String,
    },
    /// Take a `.run` archive in, which comes beside the command.
    Import,
    /// Take in an adapter of the open model that was trained elsewhere, as a run without steps; the files of its PEFT
    /// folder come beside the command.
    ImportAdapter,
    /// Measure the storage in use.
    MeasureStorage,
    /// Let something fail on purpose, to see that nothing is lost.
    Drill(Drill),
}

/// Rules of a command, which the session, the window and tests share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules<'a> {
    /// Subject of its refusal or cancellation.
    pub subject: Subject,
    /// The app asks for it by itself, so a refusal is not told to the person.
    pub quiet: bool,
    /// It would share the GPU, or the stored runs, with another tab or window at work.
    pub needs_gpu: bool,
    /// The engine refuses it while a run trains.
    pub waits_for_pause: Waits<'a>,
}

/// Cases in which a command waits until the run at work has paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits<'a> {
    /// The engine answers it between two steps, or it is for the run at work itself.
    Never,
    /// It needs what the run has: the device, the model or the pairs.
    Always,
    /// It waits if the run at work is this one.
    IfAtWork(&'a str),
    /// It waits if another run than this one is at work.
    UnlessAtWork(&'a str),
}

impl Waits<'_> {
    /// True if it waits while a race or a sweep is at work, which has no run that is open.
    pub fn for_trials(self) -> bool {
        matches!(self, Self::Always | Self::UnlessAtWork(_))
    }

    /// True if it waits while the run of this id is at work.
    pub fn for_run(self, run_id: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::IfAtWork(own) => own == run_id,
            Self::UnlessAtWork(own) => own != run_id,
        }
    }
}

impl<'a> Rules<'a> {
    /// Returns the rules of a command that a person asks for, that needs no GPU and that is answered at any time.
    const fn about(subject: Subject) -> Self {
        Self { subject, quiet: false, needs_gpu: false, waits_for_pause: Waits::Never }
    }

    const fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    const fn on_gpu(self) -> Self {
        Self { needs_gpu: true, ..self }
    }

    const fn waiting(self, waits_for_pause: Waits<'a>) -> Self {
        Self { waits_for_pause, ..self }
    }
}

impl Command {
    /// The one table of what holds for each command. It lists all of them, so that a new command cannot be forgotten.
    pub fn rules(&self) -> Rules<'_> {
        use Subject as S;
        use Waits::{Always, IfAtWork, UnlessAtWork};
        let about = Rules::about;
        match self {
            Self::OpenDemo => about(S::Model).on_gpu().waiting(Always),
            Self::OpenModel { .. } | Self::FetchModel { .. } => about(S::Model).waiting(Always),
            Self::KeepModel | Self::ForgetModel { .. } => about(S::Model).waiting(Always),
            Self::MeasureModel { .. } => about(S::Model).quiet(),
            Self::OpenPairs { .. } | Self::SkipPairs { .. } | Self::SwapPairs => about(S::Pairs).waiting(Always),
            Self::ReadPair { .. } => about(S::Pairs).quiet(),
            Self::SetChat(_) => about(S::Chat).waiting(Always),
            Self::Plan { .. } => about(S::Plan).quiet(),
            Self::Trial { .. } => about(S::Plan).on_gpu().waiting(Always),
            Self::Bench => about(S::Bench).on_gpu().waiting(Always),
            Self::Start(_) => about(S::Run).on_gpu().waiting(Always),
            Self::StartRace(_) => about(S::Race).on_gpu().waiting(Always),
            Self::StartSweep(_) => about(S::Sweep).on_gpu().waiting(Always),
            Self::Resume { run_id, .. } => about(S::Run).on_gpu().waiting(UnlessAtWork(run_id)),
            Self::Pause | Self::Stop | Self::Cancel | Self::Drill(_) => about(S::Run),
            Self::Discard { .. } => about(S::Run).on_gpu(),
            Self::Generate(_) | Self::ScoreHeldOut { .. } | Self::InspectPair { .. } => {
                about(S::Compare).on_gpu().waiting(Always)
            }
            // A merged model needs its weights a second time.
            Self::Export(request) if request.kinds.iter().any(|kind| kind.is_model()) => {
                about(S::Export).on_gpu().waiting(Always)
            }
            Self::Export(request) => about(S::Export).on_gpu().waiting(UnlessAtWork(&request.run_id)),
            Self::OpenRun { .. } | Self::Import | Self::ImportAdapter => about(S::Runs).on_gpu().waiting(Always),
            Self::DescribeRun { .. } => about(S::Runs).on_gpu(),
            Self::DeleteRun { run_id } => about(S::Runs).on_gpu().waiting(IfAtWork(run_id)),
            Self::ListRuns | Self::ReadHistory { .. } | Self::MeasureStorage => about(S::Runs).quiet(),
        }
    }
}

/// Source of a model's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum ModelSource {
    /// Bundled with the program.
    Demo,
    /// Files that a person chose; they come beside the command.
    Picked {
        /// Its name.
        name: String,
        /// The folder's path where there is one, so that a run can open it again.
        path: Option<String>,
    },
    /// In the app's own storage.
    Stored {
        /// Its name in [`Event::Models`].
        name: String,
    },
}

/// A run to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Name of the run.
    pub name: String,
    /// Settings.
    pub settings: Settings,
    /// Its evaluations, samples and saves.
    pub watch: Watch,
    /// Rewards, and the run to start from.
    #[serde(default)]
    pub inputs: Inputs,
}

/// A race to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceRequest {
    /// Name of the race; its runs are named after it and their stage.
    pub name: String,
    /// Settings of all stages, as far as each has them, and those of one stage under its method's name.
    pub settings: Settings,
    /// The methods that RLHF ends with.
    pub against: Vec<Method>,
}

/// A sweep to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// Name of the sweep; its runs are named after it and their value.
    pub name: String,
    /// Settings of all runs, with the value that a run without the sweep would have.
    pub settings: Settings,
    /// Rewards, and the run that every run starts from.
    pub inputs: Inputs,
    /// Setting to vary.
    pub over: Over,
    /// The values.
    pub values: Vec<f64>,
}

/// Inputs of a run beyond settings and rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Rewards of answers, for a method that writes them: rules as on the command line, or `run:` and the identifier of
    /// a reward model's run.
    #[serde(default)]
    pub rewards: Vec<String>,
    /// The run whose adapter it starts from; none for a fresh adapter.
    #[serde(default)]
    pub start_from: Option<String>,
}

impl Inputs {
    /// Prefix of a reward that is a reward model's run.
    const RUN: &str = "run:";

    /// A run's reward model as a reward.
    pub fn run_reward(run_id: &str) -> String {
        format!("{}{run_id}", Self::RUN)
    }

    /// The run whose reward model a reward is; none for a rule.
    pub fn run_of(reward: &str) -> Option<&str> {
        reward.strip_prefix(Self::RUN)
    }

    /// True for a reward that is a run's reward model, and no rule.
    pub fn is_run(reward: &str) -> bool {
        Self::run_of(reward).is_some()
    }
}

/// Evaluations, samples and saves of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Steps between evaluations of the held-out pairs; 0 for only before and after.
    pub eval_steps: usize,
    /// Keep the adapter of the best evaluation.
    pub keep_best: bool,
    /// Prompts that are answered before the run and at every evaluation.
    pub prompts: Vec<String>,
    /// Seconds between saves, as well as every `save_steps`; 0 for none.
    pub save_seconds: f64,
}

/// A text to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// Comes back in every [`Event::Text`].
    pub id: u64,
    /// Prompt to answer.
    pub prompt: String,
    /// Seed of the choice of tokens.
    pub seed: u64,
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Most tokens to write.
    pub max_new_tokens: usize,
    /// One text for each: a factor on the adapter, 0 for the base model.
    pub strengths: Vec<f32>,
    /// One text for each of these stored runs, by its adapter as it was trained, instead of those by the open run's.
    #[serde(default)]
    pub runs: Vec<String>,
}

impl GenerateRequest {
    /// Returns the number of texts to write.
    pub fn sides(&self) -> usize {
        if self.runs.is_empty() { self.strengths.len() } else { self.runs.len() }
    }
}

/// Files to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportRequest {
    /// The run.
    pub run_id: String,
    /// Adapter of the run to export.
    pub which: WhichAdapter,
    /// Factor on the adapter, written into `lora_alpha`.
    pub strength: f32,
    /// Kinds of files to write.
    pub kinds: Vec<ExportKind>,
    /// The folder to write to, natively; in the browser everything goes to the store, to be downloaded.
    pub folder: String,
    /// Text of the model card above its tables.
    pub card: String,
}

/// An adapter of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhichAdapter {
    /// Adapter of the best evaluation.
    Best,
    /// Adapter of the last step.
    Last,
}

/// Something to write from a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// A PEFT folder.
    Adapter,
    /// The base model with the adapter added to its weights.
    Merged,
    /// A GGUF file for llama.cpp, with a `Modelfile` for Ollama.
    Gguf(GgufForm),
    /// A folder that goes on with the run in TRL: script, settings, rows, adapter.
    Trl,
    /// Settings and metrics: JSON, JSONL, CSV and a TensorBoard event file.
    Metrics,
    /// A `.run` archive, which opens in the other world and continues.
    Archive,
}

/// Content of a GGUF file: the adapter by itself, or the merged model in one of ggml's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum GgufForm {
    /// The adapter.
    Lora,
    F16,
    Q8_0,
    Q4_0,
}

impl ExportKind {
    /// True if it is the whole model: its weights are needed once more to check what was written.
    pub fn is_model(self) -> bool {
        matches!(self, Self::Merged | Self::Gguf(GgufForm::F16 | GgufForm::Q8_0 | GgufForm::Q4_0))
    }
}

/// A failure on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drill {
    /// Destroy the GPU device.
    DestroyDevice,
    /// Treat the next write as if the storage were full.
    FillStorage,
    /// End the worker by a panic.
    Crash,
    /// Treat the next step as if its loss were not a number.
    Diverge,
    /// Treat the next step as if the device had no memory left.
    OutOfMemory,
}

/// A message from the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event: the engine listens.
    Ready(Box<Ready>),
    /// The models in the app's own storage.
    Models {
        /// The stored models.
        models: Vec<StoredModel>,
    },
    /// Memory that a model would need, measured without opening it.
    ModelMeasured {
        /// Source of the model.
        source: ModelSource,
        /// Bytes on the device of the smallest sensible run, or why it cannot be tuned.
        needs: Result<u64, Problem>,
    },
    /// A model is being read or fetched.
    ModelProgress(Progress),
    /// A model is open.
    ModelOpened(Box<ModelInfo>),
    /// Pairs are being read.
    PairsProgress {
        /// Bytes so far and in all.
        progress: Progress,
        /// Usable rows so far.
        rows: usize,
        /// Rows that cannot be used so far.
        problems: usize,
    },
    /// Some usable rows, in the order of the file.
    PairRows {
        /// Index of the first.
        first: usize,
        /// The rows, as a table shows them.
        rows: Vec<PairRow>,
    },
    /// All pairs are read.
    PairsOpened(Box<PairsInfo>),
    /// Conversations of the open model become text in another way from now on.
    ChatSet(Box<ChatInfo>),
    /// A pair as the model sees it.
    PairView(Box<PairView>),
    /// Plan of a run.
    Planned(Box<PlanInfo>),
    /// Name of the GPU measurement that begins.
    Measuring(String),
    /// Report on the speed of the GPU, as lines of text.
    Measured(String),
    /// Two steps were measured.
    Tried {
        /// Seconds of the second step.
        step_seconds: f64,
        /// Bytes on the device at the most.
        device_bytes: u64,
        /// Bytes that the plan had said.
        planned_bytes: u64,
    },
    /// A command cannot be carried out.
    Refused {
        /// Subject of the command.
        subject: Subject,
        /// Why, and what would work.
        problem: Problem,
    },
    /// A command was cancelled.
    Cancelled {
        /// Subject of the command.
        subject: Subject,
    },
    /// A run begins or goes on.
    RunStarted(Box<RunInfo>),
    /// Work before, between or after the steps of a run.
    Phase {
        /// The run.
        run_id: String,
        /// Kind of work.
        phase: Phase,
        /// Progress of the work.
        progress: Progress,
    },
    /// A step was taken.
    Step {
        /// The run.
        run_id: String,
        /// Its values.
        metrics: Metrics,
        /// Seconds that it took.
        seconds: f64,
    },
    /// Answers were written for a step, and judged.
    Rollouts {
        /// The run.
        run_id: String,
        /// The step that they are for.
        step: usize,
        /// Names of the rewards.
        rewards: Vec<String>,
        /// The answers, those to one prompt in a row.
        answers: Vec<Answered>,
    },
    /// The held-out pairs were scored.
    Evaluated {
        /// The run.
        run_id: String,
        /// The values, with `eval_` before TRL's names.
        metrics: Metrics,
        /// True if no earlier evaluation was better.
        best: bool,
    },
    /// The watched prompts were answered.
    Samples {
        /// The run.
        run_id: String,
        /// Optimiser steps done.
        step: usize,
        /// One answer for each prompt.
        texts: Vec<String>,
    },
    /// Something in the run looks wrong.
    Warned {
        /// The run.
        run_id: String,
        /// The warning.
        warning: super::run::warnings::Warning,
    },
    /// The run was saved and survives a crash up to here.
    Saved {
        /// The run.
        run_id: String,
        /// Optimiser steps done.
        step: usize,
        /// Bytes written.
        bytes: u64,
        /// Seconds that it took.
        seconds: f64,
    },
    /// The run waits.
    Paused {
        /// The run.
        run_id: String,
        /// Optimiser steps done.
        step: usize,
    },
    /// The run is over.
    Finished(Box<Summary>),
    /// The run stopped because something failed.
    Failed {
        /// The run.
        run_id: String,
        /// Cause of the failure.
        failure: Failure,
        /// The step that is safe.
        safe_step: Option<usize>,
    },
    /// The run failed, and is continued by itself unless somebody decides before.
    Recovering {
        /// The run.
        run_id: String,
        /// Cause of the failure.
        failure: Failure,
        /// The step that is safe.
        safe_step: Option<usize>,
        /// Seconds until it is continued.
        seconds: f64,
    },
    /// Event of a race.
    Race(RaceEvent),
    /// Event of a sweep.
    Sweep(SweepEvent),
    /// The run was thrown away.
    Discarded {
        /// The run.
        run_id: String,
    },
    /// The open model was closed, to make room for another.
    ModelClosed,
    /// The open run was closed, because other pairs or another model were opened.
    RunClosed {
        /// Its identifier.
        run_id: String,
    },
    /// A stored run is open for comparing and exporting.
    RunOpened(Box<RunInfo>),
    /// A piece of a text.
    Text {
        /// The request's.
        id: u64,
        /// Index in the request's strengths.
        side: usize,
        /// Text to append.
        piece: String,
        /// True if nothing follows on this side.
        end: bool,
    },
    /// The held-out pairs with an adapter strength.
    HeldOut {
        /// Factor on the adapter.
        strength: f32,
        /// One entry for each.
        pairs: Vec<HeldOutPair>,
    },
    /// A pair, token by token.
    Inspected(Box<Inspection>),
    /// Something was written.
    Exported {
        /// The run.
        run_id: String,
        /// The written files.
        files: Vec<Exported>,
    },
    /// The stored runs, newest first.
    Runs {
        /// The stored runs.
        runs: Vec<RunRecord>,
    },
    /// An adapter is among the runs now.
    AdapterImported {
        /// Run that holds it.
        run_id: String,
    },
    /// All metrics of a run.
    History {
        /// The run.
        run_id: String,
        /// Steps and evaluations in order.
        history: Vec<Metrics>,
    },
    /// Storage in use.
    Storage(StorageInfo),
    /// Something of a run could not be saved; it goes on in memory.
    NotSaved {
        /// The run.
        run_id: String,
        /// Why.
        problem: Problem,
        /// True if the storage is full.
        full: bool,
    },
    /// The engine fetched something from the network.
    Request {
        /// Address of the request.
        url: String,
        /// Bytes received.
        bytes: u64,
        /// Why.
        purpose: String,
    },
    /// A line for the log panel.
    Log {
        /// error, warn or info.
        level: String,
        /// Text of the line.
        text: String,
    },
}

/// Event of a race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "race", rename_all = "snake_case")]
pub enum RaceEvent {
    /// It begins: nothing is in its way.
    Begins {
        /// The sides, DPO first.
        plan: Vec<Side>,
        /// Held-out prompts to ask the finished models, each once.
        prompts: Vec<String>,
    },
    /// A stage begins.
    Stage {
        /// Training method.
        method: Method,
        /// Its steps.
        n_steps: usize,
    },
    /// A step of a stage was taken.
    Step {
        /// The stage.
        method: Method,
        /// Steps done.
        step: usize,
        /// Metric that shows the model's progress, by TRL's name.
        metric: String,
        /// Its value.
        #[serde(deserialize_with = "number_or_nan")]
        value: f64,
    },
    /// Something was trained or measured: all that is known by now.
    Stands(Box<Standing>),
    /// The model that a stage trained is among the runs.
    Kept {
        /// The stage.
        method: Method,
        /// The run.
        run_id: String,
    },
    /// All stages are at their end.
    Done,
}

/// Event of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "sweep", rename_all = "snake_case")]
pub enum SweepEvent {
    /// It begins: nothing is in its way.
    Begins {
        /// The values, rising.
        values: Vec<f64>,
    },
    /// The run with a value begins.
    Run {
        /// The value.
        value: f64,
        /// Its steps.
        n_steps: usize,
    },
    /// A step of that run was taken.
    Step {
        /// The value.
        value: f64,
        /// Steps done.
        step: usize,
    },
    /// Something was measured of that run, the first time before its first step.
    Point {
        /// The value.
        value: f64,
        /// The measurement.
        point: SweepPoint,
    },
    /// A run is at its end: verdicts on all values so far.
    Stands(Box<SweepStanding>),
    /// The model that a run trained is among the runs.
    Kept {
        /// The value.
        value: f64,
        /// The run.
        run_id: String,
    },
    /// All values were tried.
    Done,
}

/// Results of a sweep so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepStanding {
    /// The runs at their end, by rising value.
    pub runs: Vec<SweepRun>,
    /// Verdict on each value (too low, about right, too high), in the same order.
    pub judgements: Vec<Judgement>,
    /// Value to train with.
    pub advice: Advice,
}

/// The engine at its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// [`BUILD`] of the engine.
    pub build: String,
    /// The GPU, or why there is none.
    pub gpu: Result<GpuInfo, Problem>,
    /// Location of the stored runs, for people.
    pub storage: String,
    /// Why nothing can be kept, if so.
    pub storage_problem: Option<Problem>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuInfo {
    /// Name as the driver gives it.
    pub name: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// True if it is the CPU in disguise.
    pub software: bool,
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    /// Optional features that are offered.
    pub features: Vec<String>,
    /// Bytes that a run may take, if the device can tell.
    pub memory: Option<u64>,
    /// Everything for a report, as text.
    pub report: String,
}

/// A problem and its remedy, from an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Description of the problem.
    pub what: String,
    /// Remedy.
    pub fix: String,
    /// Place of the problem; empty if there is none.
    pub at: String,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        match error {
            Error::Input(e) => Self { what: e.what.clone(), fix: e.fix.clone(), at: e.at.clone() },
            Error::Device { what, fix } | Error::OutOfMemory { what, fix } | Error::DeviceLost { what, fix } => {
                Self { what: what.clone(), fix: fix.clone(), at: String::new() }
            }
            Error::Diverged { .. } | Error::Cancelled => {
                Self { what: error.to_string(), fix: String::new(), at: String::new() }
            }
        }
    }
}

impl Problem {
    /// True if a stored run could be opened with another model than the open one.
    pub fn wants_model(&self) -> bool {
        self.at == RUN_MODEL
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}. {}", self.what.trim_end_matches('.'), self.fix)?;
        if !self.at.is_empty() {
            write!(f, " [{}]", self.at)?;
        }
        Ok(())
    }
}

/// Subject of a refusal or a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Opening a model.
    Model,
    /// Opening pairs, or reading one.
    Pairs,
    /// Setting the chat template.
    Chat,
    /// Settings.
    Plan,
    /// A run.
    Run,
    /// DPO beside RLHF.
    Race,
    /// A sweep over values of a setting.
    Sweep,
    /// Comparing.
    Compare,
    /// Writing files.
    Export,
    /// Stored runs.
    Runs,
    /// Measuring the GPU.
    Bench,
}

/// Progress of some work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Description of the work, in a word or two.
    pub what: String,
    /// Done, in bytes, pairs or steps.
    pub done: u64,
    /// In all; 0 if that is not known.
    pub total: u64,
    /// Seconds since it began.
    pub seconds: f64,
}

/// A model in the app's own storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// Its name.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// False if its download is not finished.
    pub complete: bool,
    /// Source of an unfinished download, to fetch the rest from.
    pub origin: Option<Origin>,
}

/// Repository and server of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name there, as in `org/name`.
    pub repo: String,
    /// The server, as in `https://huggingface.co`.
    pub endpoint: String,
}

/// A model that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Source of its files.
    pub source: ModelSource,
    /// `model_type` of its config.
    pub model_type: String,
    /// Parameters.
    pub parameters: u64,
    /// Bytes of the weights as stored.
    pub weight_bytes: u64,
    /// Layers.
    pub layers: usize,
    /// Tokens it was made for.
    pub max_positions: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Chat template and its variables.
    pub chat: ChatInfo,
    /// The licence that its README names.
    pub licence: Option<String>,
    /// Bytes that the smallest sensible run would take.
    pub least_bytes: u64,
}

/// The variable of templates that says whether an answer begins with thoughts.
pub const THINKING: &str = "enable_thinking";

/// Chat template of a model and its variables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatInfo {
    /// The template in use; none if there is none.
    pub template: Option<String>,
    /// The model's own.
    pub own: Option<String>,
    /// Variables of every conversation.
    pub kwargs: Map<String, Value>,
    /// True if the template reads [`THINKING`].
    pub thinks: bool,
}

/// A pair in a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// Line of the file, from 1.
    pub line: usize,
    /// Beginning of the prompt.
    pub prompt: String,
    /// Beginning of the preferred answer.
    pub chosen: String,
    /// Beginning of the other answer.
    pub rejected: String,
    /// Characters of prompt, chosen and rejected.
    pub chars: [usize; 3],
    /// Oddities of the pair, a word each.
    pub flags: Vec<String>,
    /// True if it is left out.
    pub skipped: bool,
    /// Scores that others gave the two answers, if the file has them.
    pub scores: Option<[f64; 2]>,
}

/// A pairs file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairsInfo {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Rows in the file.
    pub lines: usize,
    /// Rows that can be used and were kept.
    pub usable: usize,
    /// Usable rows beyond what fits in memory here, which are left out.
    pub beyond: usize,
    /// Rows that were left out by the person.
    pub skipped: usize,
    /// Rows that cannot be used.
    pub problems: Vec<LineProblem>,
    /// Number of rows that cannot be used; `problems` has the first.
    pub problem_count: usize,
    /// The same rows by reason, the most frequent first; rare reasons are left out if there are very many.
    pub problem_kinds: Vec<ProblemKind>,
    /// Kind of its rows.
    pub kind: Kind,
    /// Explanation and remedy, if no row can be used and the columns tell what the file is instead.
    pub purpose: Option<Problem>,
    /// Common name of the file's format, and how its rows are read; none if it has no name.
    pub shape: Option<String>,
    /// The columns that were read.
    pub mapping: Mapping,
    /// The columns that the first row has.
    pub columns: Vec<String>,
    /// True if chosen and rejected were exchanged.
    pub swapped: bool,
    /// Counts of what is odd, by word.
    pub flags: Vec<(String, usize)>,
    /// Share of pairs whose preferred answer is longer; ties count half.
    pub longer_wins: f64,
    /// True if rows are conversations.
    pub conversations: bool,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineProblem {
    /// Line of the file, from 1.
    pub line: usize,
    /// Description of the problem.
    pub what: String,
    /// Remedy.
    pub fix: String,
    /// The beginning of the row.
    pub excerpt: String,
}

/// Rows that cannot be used for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemKind {
    /// Number of rows.
    pub count: usize,
    /// Lines of the first rows.
    pub lines: Vec<usize>,
    /// The first of them.
    pub first: LineProblem,
}

/// A pair in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairView {
    /// Its index among the usable rows.
    pub index: usize,
    /// Line of the file.
    pub line: usize,
    /// Prompt, chosen and rejected as in the file.
    pub texts: [String; 3],
    /// Sequences that the model sees (of a pair, chosen and rejected), or why there are none.
    pub seen: Result<Vec<SeenSequence>, Problem>,
}

/// A sequence as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSequence {
    /// The text of each token, special ones included.
    pub tokens: Vec<String>,
    /// Tokens of the prompt, which are not scored.
    pub prompt_len: usize,
    /// Tokens that are cut off.
    pub cut: usize,
}

/// Plan of a run: steps, memory, obstacles and remedies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanInfo {
    /// The settings that were planned.
    pub settings: Settings,
    /// All settings, defaults included.
    pub full_settings: Settings,
    /// Why the run cannot begin, if so.
    pub blocked: Option<Problem>,
    /// Pairs to train on.
    pub n_train: usize,
    /// Rows that are held out, in order.
    pub held_out: Vec<usize>,
    /// Pairs that are too long and lose their end.
    pub n_truncated: usize,
    /// Pairs that are left out: nothing of the answers would be left.
    pub n_dropped: usize,
    /// Optimiser steps.
    pub n_steps: usize,
    /// Tokens of the longer side of every pair, for a histogram.
    pub lengths: Vec<u32>,
    /// Bytes on the device: weights, adapters and optimisers, activations, logits.
    pub memory: [u64; 4],
    /// The models in it, by name: one base, and the adapters on it.
    pub models: Vec<(String, u64)>,
    /// Bytes that the device has, if known.
    pub limit: Option<u64>,
    /// Changes that would make it fit, largest saving first.
    pub fixes: Vec<Fix>,
    /// Seconds of a step, if one was measured.
    pub step_seconds: Option<f64>,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
    /// Good and less good news.
    pub checks: Vec<Check>,
}

/// A change of settings that makes a run fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// Description of the change.
    pub label: String,
    /// The settings to change.
    pub settings: Settings,
    /// Bytes that it saves.
    pub saves: u64,
}

/// A line of the plan's checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// False if it deserves a look.
    pub good: bool,
    /// The sentence.
    pub text: String,
}

/// Work of a run beside its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading weights.
    Loading,
    /// Scoring pairs with the original model.
    Reference,
    /// Scoring the held-out pairs.
    Evaluating,
    /// Answering the watched prompts.
    Sampling,
    /// Taking steps.
    Training,
    /// Writing a checkpoint.
    Saving,
}

/// A run as it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Record of the run.
    pub record: RunRecord,
    /// Steps and evaluations so far.
    pub history: Vec<Metrics>,
    /// Watched prompts.
    pub prompts: Vec<String>,
    /// Their answers so far: step and texts.
    pub samples: Vec<(usize, Vec<String>)>,
    /// Warnings so far.
    pub warnings: Vec<super::run::warnings::Warning>,
    /// Bytes on the device by the plan; 0 if that is not known yet.
    pub planned_bytes: u64,
    /// Bytes on the device at the most; 0 if nothing was measured yet.
    pub device_bytes: u64,
}

/// A run in the list of runs; `run.json` of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Names the run and its folder.
    pub run_id: String,
    /// Its name, which a person can change.
    pub name: String,
    /// Free text.
    pub notes: String,
    /// State of the run.
    pub status: Status,
    /// When it began, seconds since 1970.
    pub created: f64,
    /// Seconds that it has worked: preparing, steps, evaluations.
    pub seconds: f64,
    /// Source of its model.
    pub model: ModelSource,
    /// Name of its model.
    pub model_name: String,
    /// Bytes of its model's weights; 0 in records from before this was written down.
    #[serde(default)]
    pub model_bytes: u64,
    /// Licence that the model states.
    pub licence: Option<String>,
    /// Name of its pairs file.
    pub pairs_name: String,
    /// Chat template and variables that were set.
    #[serde(default)]
    pub chat: Chat,
    /// All settings.
    pub settings: Settings,
    /// Its evaluations, samples and saves.
    pub watch: Watch,
    /// Rewards, and the run that it started from.
    #[serde(default)]
    pub inputs: Inputs,
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub n_steps: usize,
    /// The folder of its latest checkpoint.
    pub checkpoint: Option<String>,
    /// The step of its best adapter.
    pub best_step: Option<usize>,
    /// The best evaluation.
    pub best: Option<Metrics>,
    /// Held-out accuracy before and at the latest evaluation.
    pub won: Option<[f64; 2]>,
    /// Held-out pairs.
    pub n_held_out: usize,
    /// Share of held-out pairs whose preferred answer is longer.
    pub longer_wins: f64,
    /// Share of held-out pairs whose preferred answer the original model finds likelier per token, once it is known.
    pub likelier_wins: Option<f64>,
    /// Losses, thinned out, for a sparkline.
    pub sparkline: Vec<f64>,
    /// Bytes that it takes in storage.
    pub bytes: u64,
}

impl RunRecord {
    /// Returns the name of the folder of a step's checkpoint.
    pub fn checkpoint_at(step: usize) -> String {
        format!("checkpoint-{step}")
    }

    /// The step of its latest checkpoint.
    pub fn saved_step(&self) -> Option<usize> {
        self.checkpoint.as_ref()?.rsplit('-').next()?.parse().ok()
    }
}

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Steps are being taken; if no engine is at it, the run was interrupted.
    Running,
    /// It waits.
    Paused,
    /// All steps were taken.
    Finished,
    /// It was ended before its last step.
    Stopped,
    /// A step was not finite.
    Diverged,
    /// Something else failed.
    Failed,
}

/// A run at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Record of the run.
    pub record: RunRecord,
    /// True if the held-out accuracy rose.
    pub improved: bool,
    /// Wins, pairs, and the 95 % interval of the share before and after.
    pub before: Option<Share>,
    /// After.
    pub after: Option<Share>,
    /// Bytes on the device at the most.
    pub device_bytes: u64,
    /// Bytes that the plan had said.
    pub planned_bytes: u64,
}

/// An answer that the model wrote while it was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Index of the prompt's row among the usable rows.
    pub row: usize,
    /// The prompt as the model sees it, without special tokens.
    pub prompt: String,
    /// The answer.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// Value of each reward; none where a reward does not apply.
    pub rewards: Vec<Option<f64>>,
    /// Advantage over the expected answer; for PPO, the mean over its tokens.
    pub advantage: f64,
}

/// A share with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Pairs won.
    pub wins: u64,
    /// Pairs.
    pub n: u64,
    /// Wilson's 95 % interval.
    pub interval: [f64; 2],
}

/// Reason why a run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// A step was not finite.
    Diverged {
        /// The step that was refused.
        step: usize,
        /// Description of the failure.
        what: String,
        /// Indices of the pairs of that step among the usable rows.
        pairs: Vec<usize>,
    },
    /// The device has no memory left.
    OutOfMemory {
        /// The request that did not fit.
        problem: Problem,
        /// Changes that would make it fit.
        fixes: Vec<Fix>,
    },
    /// The device is gone.
    DeviceLost {
        /// Why.
        problem: Problem,
    },
    /// Something else.
    Other {
        /// The problem.
        problem: Problem,
    },
}

/// A held-out pair, scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutPair {
    /// Its index among the usable rows.
    pub index: usize,
    /// Log-probability of chosen and rejected by the base model, nats.
    pub base: [f64; 2],
    /// And by the tuned one.
    pub tuned: [f64; 2],
    /// Tokens scored on each side.
    pub tokens: [usize; 2],
}

/// A pair, token by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Its index among the usable rows.
    pub index: usize,
    /// Factor on the adapter.
    pub strength: f32,
    /// Beginning of the prompt.
    pub prompt: String,
    /// The tokens of chosen and rejected that are scored.
    pub sides: [Vec<TokenChange>; 2],
    /// The reward margin: beta times the difference of the sums of changes.
    pub margin: f64,
}

/// A token, and what the model thinks of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenChange {
    /// Its text.
    pub text: String,
    /// Log-probability by the base model, nats.
    pub base: f32,
    /// And by the tuned one.
    pub tuned: f32,
}

/// Something that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Kind of the export.
    pub kind: ExportKind,
    /// A path on disk, or a place in the browser's storage, ready to be downloaded.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Method and result of the check after writing.
    pub check: String,
    /// Commands that use it.
    pub snippets: Vec<String>,
}

/// Storage in use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageInfo {
    /// Bytes used.
    pub used: u64,
    /// Bytes that may be used, if known.
    pub quota: Option<u64>,
    /// True if the browser promised not to evict it.
    pub persisted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_waits_only_for_a_run_that_is_in_its_way() {
        let waits = |command: Command, at_work: &str| command.rules().waits_for_pause.for_run(at_work);
        assert!(waits(Command::SwapPairs, "a"), "the run trains on these pairs");
        assert!(!waits(Command::ListRuns, "a"), "a list is answered between two steps");
        assert!(waits(Command::DeleteRun { run_id: "a".to_owned() }, "a"), "its own files are in use");
        assert!(!waits(Command::DeleteRun { run_id: "a".to_owned() }, "b"), "the files of another run are not");
        let resume = || Command::Resume { run_id: "a".to_owned(), settings: Settings::new() };
        assert!(!waits(resume(), "a"), "it is the run at work");
        assert!(waits(resume(), "b"), "two runs do not train at once");
    }

    /// Returns an event as it arrives from a worker at its page.
    fn crossed(event: Event) -> Event {
        let text = serde_json::to_string(&event).expect("it can be written");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn races_and_sweeps_cross_the_wire() {
        let plan = race_sides(&[Method::Ppo], "a test").expect("sides");
        let measure = Measure { won: 0.5, score: f64::NAN, ..Measure::default() };
        let standing = Standing { base: Some(measure), plan: plan.clone(), ..Standing::default() };
        let point = SweepPoint {
            step: 3,
            loss: None,
            pairs_won: 0.5,
            reward_accuracy: 0.5,
            kl: f64::NAN,
            chosen_change: 1.0,
            won: Vec::new(),
        };
        let (method, run_id, metric) = (Method::Dpo, "a".to_owned(), "loss".to_owned());
        let advice = Advice { value: None, tried: false, text: String::new() };
        let run =
            SweepRun { value: 0.1, ended: SweepEnded::Done, n_steps: 4, seconds: 1.0, points: vec![point.clone()] };
        let stands = SweepStanding { runs: vec![run], judgements: Vec::new(), advice };
        let events = [
            Event::Race(RaceEvent::Begins { plan, prompts: vec!["Why?".to_owned()] }),
            Event::Race(RaceEvent::Stage { method, n_steps: 4 }),
            Event::Race(RaceEvent::Step { method, step: 1, metric, value: f64::NAN }),
            Event::Race(RaceEvent::Stands(Box::new(standing))),
            Event::Race(RaceEvent::Kept { method, run_id: run_id.clone() }),
            Event::Race(RaceEvent::Done),
            Event::Sweep(SweepEvent::Begins { values: vec![0.1] }),
            Event::Sweep(SweepEvent::Run { value: 0.1, n_steps: 4 }),
            Event::Sweep(SweepEvent::Step { value: 0.1, step: 1 }),
            Event::Sweep(SweepEvent::Point { value: 0.1, point }),
            Event::Sweep(SweepEvent::Stands(Box::new(stands))),
            Event::Sweep(SweepEvent::Kept { value: 0.1, run_id }),
            Event::Sweep(SweepEvent::Done),
        ];
        for event in events {
            // NaN does not equal itself, so the texts are compared.
            assert_eq!(format!("{:?}", crossed(event.clone())), format!("{event:?}"));
        }
    }
}
