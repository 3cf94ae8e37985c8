//! How it works, keys, what went over the network, the report for a bug, and failures to rehearse.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::app::text::units::Unit;
use crate::app::text::{machine, notices, run};
use crate::app::{fields, methods};
use crate::engine::presets::{self, Preset};
use crate::engine::protocol::{
    Answered, BUILD, ChatInfo, Command, Event, Exported, Failure, GenerateRequest, GpuInfo, HeldOutPair, Inputs,
    Inspection, Kind, Method, Metrics, ModelInfo, ModelSource, PairRow, PairView, PairsInfo, Phase, PlanInfo, Problem,
    Progress, Ready, RunInfo, RunRecord, Settings, Status, StorageInfo, StoredModel, Subject, Summary, Watch,
    is_evaluation, step_of,
};
use crate::engine::stats;
use crate::engine::warnings::Warning;
use crate::link::Incoming;
use crate::platform::host::PickedFile;
use crate::platform::{FoundModel, NetworkEntry};

/// Every request of the page and of the engine: those for the app's own files, and all others.
pub(crate) fn network(state: &State) -> [Vec<&NetworkEntry>; 2] {
    let all = state.page_requests.iter().chain(&state.requests);
    let (own, others) = all.partition(|entry| machine::is_own(entry));
    [own, others]
}

/// Lines that the log keeps.
const LOG_LINES: usize = 500;
/// Steps that the speed is taken over.
const RECENT_STEPS: usize = 20;
/// Held-out scores that are kept, by adapter strength.
const HELD_OUT_STRENGTHS: usize = 24;
/// Texts that are kept.
const GENERATIONS: usize = 24;
/// Steps of which the answers are kept.
const ROLLOUTS: usize = 50;
/// Pairs that are kept in full.
const PAIR_VIEWS: usize = 16;
/// Share of the pairs that is held out unless somebody says otherwise.
pub(super) const EVAL_SPLIT: f64 = 0.1;
/// Models, and pairs files, that are remembered to be opened again.
const RECENT: usize = 5;

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The engine itself.
    pub(super) connection: Connection,
    /// Models in the app's own storage.
    pub(super) models: Vec<StoredModel>,
    /// Models that other programs keep on this computer.
    pub(super) found: Vec<FoundModel>,
    /// What models in these lists need, or why they cannot be tuned.
    pub(super) measured: Vec<(ModelSource, Result<u64, Problem>)>,
    /// The model.
    pub(super) model: ModelState,
    /// The model is being copied into the app's storage.
    pub(super) keeping_model: bool,
    /// The pairs.
    pub(super) pairs: PairsState,
    /// Settings and what they would take.
    pub(super) plan: PlanState,
    /// The run on the run page; also a stored one that is open for comparing.
    pub(super) run: Option<RunState>,
    /// A run was asked for and has not begun.
    pub(super) run_pending: bool,
    /// Why a run could not begin or go on.
    pub(super) run_problem: Option<Problem>,
    /// The stored run that is being opened, or was refused because its model has to be opened first.
    pub(super) asked_run: Option<Command>,
    /// Texts by the id of their request.
    pub(super) texts: BTreeMap<u64, Generation>,
    /// Held-out pairs by adapter strength, the latest last.
    pub(super) held_out: Vec<(f32, Vec<HeldOutPair>)>,
    /// The strength that is being scored.
    pub(super) held_out_pending: Option<f32>,
    /// A pair, token by token.
    pub(super) inspection: Option<Inspection>,
    /// A pair is being inspected.
    pub(super) inspection_pending: bool,
    /// Why comparing failed.
    pub(super) compare_problem: Option<Problem>,
    /// What was written, with the run that it is from.
    pub(super) exported: Option<(String, Vec<Exported>)>,
    /// Files are being written.
    pub(super) exporting: bool,
    /// Why writing failed.
    pub(super) export_problem: Option<Problem>,
    /// How fast the GPU is.
    pub(super) bench: BenchState,
    /// The stored runs, newest first; none if they were not listed yet.
    pub(super) runs: Option<Vec<RunRecord>>,
    /// Why something about the stored runs failed.
    pub(super) runs_problem: Option<Problem>,
    /// Metrics of stored runs, by run.
    pub(super) histories: BTreeMap<String, Vec<Metrics>>,
    /// Storage in use.
    pub(super) storage: StorageInfo,
    /// What the page fetched, as of a moment ago.
    pub(super) page_requests: Vec<NetworkEntry>,
    /// What the engine fetched.
    pub(super) requests: Vec<NetworkEntry>,
    /// The log, oldest first.
    pub(super) log: VecDeque<LogLine>,
    /// Why the model that was last asked for was not taken.
    pub(super) model_problem: Option<Problem>,
    /// The model that was open when another one was asked for.
    model_before: Option<Box<ModelInfo>>,
    /// The pairs that were open when others were asked for.
    pub(super) pairs_before: Option<Box<PairsState>>,
    /// What was opened before, where paths are known.
    pub(super) recent: Recent,
    /// What is worth saying aloud, taken out by the shell.
    pub(super) notices: Vec<Notice>,
    /// True if the computer is known to run on its battery.
    pub(super) on_battery: bool,
    /// True in the browser.
    pub(super) in_browser: bool,
    /// Another tab of the browser has the GPU.
    pub(super) other_tab: bool,
}

/// What was opened before, the latest first; remembered from one start to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Recent {
    /// Folders of models.
    pub(super) models: Vec<RecentPath>,
    /// Pairs files.
    pub(super) pairs: Vec<RecentPath>,
}

/// Something that was opened before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecentPath {
    /// What it was called.
    pub(super) name: String,
    /// Where it was.
    pub(super) path: String,
}

impl Recent {
    fn add(list: &mut Vec<RecentPath>, name: &str, path: &str) {
        list.retain(|known| known.path != path);
        list.insert(0, RecentPath { name: name.to_owned(), path: path.to_owned() });
        list.truncate(RECENT);
    }

    /// Forgets what cannot be opened any more.
    pub(super) fn forget(&mut self, path: &str) {
        for list in [&mut self.models, &mut self.pairs] {
            list.retain(|known| known.path != path);
        }
    }
}

/// The engine as seen from here.
#[derive(Debug, Default)]
pub(super) enum Connection {
    /// It has not said anything yet.
    #[default]
    Starting,
    /// It listens.
    Ready(Box<Ready>),
    /// It is of another build.
    VersionMismatch {
        /// Its build.
        engine: String,
    },
    /// It is gone.
    Crashed(String),
}

/// The model.
#[derive(Debug, Default)]
pub(super) enum ModelState {
    /// There is none.
    #[default]
    None,
    /// It is being read or fetched.
    Loading(Progress),
    /// It is there.
    Open(Box<ModelInfo>),
}

/// The pairs.
#[derive(Debug, Default)]
pub(super) struct PairsState {
    /// They are being read.
    pub(super) loading: Option<PairsLoading>,
    /// Counts the changes of what a pair is read from.
    pub(super) generation: u64,
    /// The usable rows that have come so far, in order.
    pub(super) rows: Vec<PairRow>,
    /// They are there.
    pub(super) info: Option<PairsInfo>,
    /// They were not taken.
    pub(super) refused: Option<Problem>,
    /// A template was not taken.
    pub(super) chat_refused: Option<Problem>,
    /// Pairs as the model sees them, the latest last.
    views: Vec<PairView>,
    /// The person agreed to train on the usable rows.
    pub(super) accepted: bool,
    /// The file that they are from, if it is at hand and can be read again with other columns.
    pub(super) files: Vec<PickedFile>,
}

/// Pairs being read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PairsLoading {
    /// How far that is.
    pub(super) progress: Progress,
    /// What it counts: bytes of a file, or pairs that become tokens.
    pub(super) unit: Unit,
    /// Usable rows so far.
    pub(super) rows: usize,
    /// Others so far.
    pub(super) problems: usize,
}

/// Settings and what they would take.
#[derive(Debug)]
pub(super) struct PlanState {
    /// The settings as edited.
    pub(super) settings: Settings,
    /// The preset that they come from, whatever was changed since; none for the demo's.
    pub(super) preset: Option<Preset>,
    /// The passes over the pairs that were proposed in place of the preset's own.
    pub(super) proposed_epochs: Option<f64>,
    /// What the next run starts from, and what judges the answers that it writes.
    pub(super) inputs: Inputs,
    /// How the next run is watched.
    pub(super) watch: Watch,
    /// The person chose how often to evaluate; otherwise it follows the number of steps.
    pub(super) watch_edited: bool,
    /// What to call the next run.
    pub(super) name: String,
    /// Bytes that it may take, if the person knows better.
    pub(super) limit: Option<u64>,
    /// The engine's answer.
    pub(super) info: Option<PlanInfo>,
    /// An answer is awaited.
    pub(super) pending: bool,
    /// Working it out was cancelled.
    pub(super) cancelled: bool,
    /// The settings were refused.
    pub(super) problem: Option<Problem>,
    /// Two steps, measured.
    pub(super) trial: Trial,
}

/// How fast the GPU is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum BenchState {
    /// Not asked for.
    #[default]
    None,
    /// This is being measured.
    Running(String),
    /// Line by line.
    Done(String),
    /// Why it could not be measured.
    Failed(Problem),
}

/// Two steps, measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Trial {
    /// Not asked for.
    #[default]
    None,
    /// Under way.
    Running,
    /// Measured.
    Done {
        /// Seconds of a step.
        step_seconds: f64,
        /// Bytes on the device.
        device_bytes: u64,
        /// Bytes that the plan had said.
        planned_bytes: u64,
    },
}

/// A run.
#[derive(Debug)]
pub(super) struct RunState {
    /// As it began or was opened, its record kept up to date.
    pub(super) info: RunInfo,
    /// Where it stands.
    pub(super) phase: RunPhase,
    /// Work beside its steps, and how far it is.
    pub(super) progress: Option<(Phase, Progress)>,
    /// Metrics of its steps, in order.
    pub(super) history: Vec<Metrics>,
    /// The same by metric: step and value.
    curves: BTreeMap<String, Vec<[f64; 2]>>,
    /// Seconds of the steps that were taken while we watched.
    pub(super) step_seconds: Vec<[f64; 2]>,
    /// Metrics of its evaluations, in order; the first is from before the first step.
    pub(super) evaluations: Vec<Metrics>,
    /// Answers to the watched prompts: step and texts.
    pub(super) samples: Vec<(usize, Vec<String>)>,
    /// Answers that it wrote for its steps, the latest last.
    pub(super) rollouts: VecDeque<Rollouts>,
    /// What looked wrong.
    pub(super) warnings: Vec<RunWarning>,
    /// The latest save.
    pub(super) saved: Option<Saved>,
    /// It is only in the engine's memory.
    pub(super) unsaved: Option<Unsaved>,
    /// Seconds of the evaluations, with the answers to the watched prompts, that were seen.
    rounds: Vec<f64>,
    /// When the evaluation at hand began, on the clock of `now`.
    round_since: Option<f64>,
    /// When it last began to work, on the clock of `now`; none while it rests.
    active_since: Option<f64>,
    /// Seconds that it worked before that.
    active_seconds: f64,
}

/// Where a run stands, as a person sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RunPhase {
    /// Work before its first step.
    Preparing,
    /// Steps are taken.
    Running,
    /// It was asked to pause.
    Pausing,
    /// It waits.
    Paused,
    /// It was asked to end.
    Stopping,
    /// It is over.
    Finished(Box<Summary>),
    /// Something failed.
    Failed {
        /// What.
        failure: Failure,
        /// The step that is safe.
        safe_step: Option<usize>,
    },
    /// Something failed; it is continued by itself unless somebody decides before.
    Recovering {
        /// What.
        failure: Failure,
        /// The step that is safe.
        safe_step: Option<usize>,
        /// Until then, on the clock of `now`.
        until: f64,
    },
    /// A stored run, open for comparing and exporting; it is not running.
    Opened,
}

/// Answers that a run wrote for a step.
#[derive(Debug)]
pub(super) struct Rollouts {
    /// The step.
    pub(super) step: usize,
    /// Names of the rewards.
    pub(super) rewards: Vec<String>,
    /// The answers, those to one prompt in a row.
    pub(super) answers: Vec<Answered>,
}

/// Something that looked wrong.
#[derive(Debug)]
pub(super) struct RunWarning {
    /// What.
    pub(super) warning: Warning,
    /// A person has seen it.
    pub(super) dismissed: bool,
}

/// A save.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Saved {
    /// Optimiser steps done.
    pub(super) step: usize,
    /// Bytes of the checkpoint.
    pub(super) bytes: u64,
    /// Seconds that it took.
    pub(super) seconds: f64,
    /// When, on the clock of `now`.
    pub(super) at: f64,
}

/// A save that failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unsaved {
    /// Why.
    pub(super) problem: Problem,
    /// The storage is full.
    pub(super) full: bool,
}

/// Texts being written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Generation {
    /// What was asked for.
    pub(super) request: GenerateRequest,
    /// One for each strength.
    pub(super) sides: Vec<TextSide>,
}

/// A text being written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct TextSide {
    /// So far.
    pub(super) text: String,
    /// Nothing follows.
    pub(super) done: bool,
    /// It was cancelled or refused before its end.
    pub(super) failed: bool,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogLine {
    /// error, warn or info.
    pub(super) level: String,
    /// What happened.
    pub(super) text: String,
    /// When, on the clock of `now`.
    pub(super) at: f64,
}

/// Something worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// What.
    pub(super) text: String,
    /// True if it deserves more than a word to a screen reader.
    pub(super) toast: bool,
}

/// The number under a metric's name.
pub(super) fn metric(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.get(name)?.as_f64()
}

/// Held-out accuracy of an evaluation, between 0 and 1.
pub(super) fn accuracy_of(metrics: &Metrics) -> Option<f64> {
    metric(metrics, "eval_preference_accuracy")
}

impl State {
    /// Takes in what came from the engine; `now` is the platform's clock in seconds.
    pub(super) fn apply(&mut self, incoming: Incoming, now: f64) {
        match incoming {
            Incoming::Crashed(why) => {
                self.log_line("error", &why, now);
                // What comes after the first reason follows from it.
                if matches!(self.connection, Connection::Crashed(_)) {
                    return;
                }
                self.forget_pending();
                if let Some(run) = &mut self.run
                    && run.is_active()
                {
                    run.rest(now);
                }
                self.connection = Connection::Crashed(why);
                self.notice(notices::CRASHED, false);
            }
            Incoming::Event(event) => self.fold(*event, now),
        }
    }

    /// Takes in that a command is on its way.
    pub(super) fn sent(&mut self, command: &Command, now: f64) {
        match command {
            Command::OpenDemo => {
                self.load_model(notices::OPENING_DEMO);
                self.load_pairs(PairsState::default());
            }
            Command::OpenModel { .. } => self.load_model(notices::OPENING_MODEL),
            Command::FetchModel { repo, .. } => self.load_model(&notices::fetching(repo)),
            Command::KeepModel => self.keeping_model = true,
            Command::OpenPairs { .. } => {
                let progress = beginning(notices::READING_PAIRS);
                let loading = PairsLoading { progress, unit: Unit::Bytes, rows: 0, problems: 0 };
                self.load_pairs(PairsState { loading: Some(loading), ..PairsState::default() });
            }
            Command::SkipPairs { rows, skip } => {
                for &row in rows {
                    if let Some(row) = self.pairs.rows.get_mut(row) {
                        row.skipped = *skip;
                    }
                }
            }
            Command::Plan { .. } => {
                self.plan.pending = true;
                self.plan.cancelled = false;
            }
            Command::Trial { .. } => self.plan.trial = Trial::Running,
            Command::Bench => self.bench = BenchState::Running(String::new()),
            Command::Start(_) | Command::Resume { .. } | Command::OpenRun { .. } => {
                self.run_pending = true;
                self.run_problem = None;
                self.asked_run = None;
                if !matches!(command, Command::Start(_)) {
                    self.runs_problem = None;
                    self.asked_run = Some(command.clone());
                }
            }
            Command::Import | Command::ImportAdapter => self.runs_problem = None,
            Command::Pause => self.run_asked(RunPhase::Pausing),
            Command::Stop => self.run_asked(RunPhase::Stopping),
            Command::Generate(request) => {
                let sides = vec![TextSide::default(); request.strengths.len()];
                self.texts.insert(request.id, Generation { request: (**request).clone(), sides });
                while self.texts.len() > GENERATIONS {
                    self.texts.pop_first();
                }
                self.compare_problem = None;
            }
            Command::ScoreHeldOut { strength } => {
                self.held_out_pending = Some(*strength);
                self.compare_problem = None;
            }
            Command::InspectPair { .. } => {
                self.inspection_pending = true;
                self.compare_problem = None;
            }
            Command::Export(_) => {
                self.exporting = true;
                self.exported = None;
                self.export_problem = None;
            }
            Command::DeleteRun { run_id } | Command::Discard { run_id } => {
                if let Some(runs) = &mut self.runs {
                    runs.retain(|run| run.run_id != *run_id);
                }
            }
            Command::DescribeRun { run_id, name, notes } => {
                let listed = self.runs.iter_mut().flatten().find(|run| run.run_id == *run_id);
                let shown = self.run.as_mut().map(|run| &mut run.info.record).filter(|run| run.run_id == *run_id);
                for record in listed.into_iter().chain(shown) {
                    record.name.clone_from(name);
                    record.notes.clone_from(notes);
                }
            }
            _ => {}
        }
        if let Some(run) = &mut self.run
            && matches!(command, Command::Cancel)
            && matches!(run.phase, RunPhase::Preparing)
        {
            run.progress = None;
            run.rest(now);
        }
    }

    /// Takes in that the engine was ended and another one starts.
    pub(super) fn restarted(&mut self) {
        self.connection = Connection::Starting;
        self.model = ModelState::None;
        self.model_problem = None;
        self.model_before = None;
        self.pairs = PairsState { generation: self.pairs.generation + 1, ..PairsState::default() };
        self.pairs_before = None;
        self.plan.info = None;
        self.forget_pending();
        self.forget_run();
    }

    /// The GPU, or why there is none; nothing before the engine has said so.
    pub(super) fn gpu(&self) -> Option<&Result<GpuInfo, Problem>> {
        match &self.connection {
            Connection::Ready(ready) => Some(&ready.gpu),
            _ => None,
        }
    }

    /// The engine's first words.
    pub(super) fn ready(&self) -> Option<&Ready> {
        match &self.connection {
            Connection::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// The open model.
    pub(super) fn open_model(&self) -> Option<&ModelInfo> {
        match &self.model {
            ModelState::Open(info) => Some(info),
            _ => None,
        }
    }

    /// True if the open model is the bundled one.
    pub(super) fn is_demo(&self) -> bool {
        self.open_model().is_some_and(|model| model.source == ModelSource::Demo)
    }

    /// The run, if it is at work.
    pub(super) fn active_run(&self) -> Option<&RunState> {
        let there = matches!(self.connection, Connection::Ready(_));
        self.run.as_ref().filter(|run| there && run.is_active())
    }

    /// True if the run on the screen could not be saved, and is only in the engine's memory.
    pub(super) fn unsaved(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.unsaved.is_some())
    }

    /// True for a stored run that is at work, here or in the other tab, and not interrupted.
    pub(super) fn is_at_work(&self, run: &RunRecord) -> bool {
        let active = self.active_run().map(|active| active.info.record.run_id.as_str());
        active == Some(run.run_id.as_str()) || (self.other_tab && run.status == Status::Running)
    }

    /// True if nothing is in the way of going on with a stored run.
    pub(super) fn may_continue(&self) -> bool {
        !self.other_tab && !self.run_pending && self.active_run().is_none()
    }

    /// The stored runs that can be continued and are not the one at work.
    pub(super) fn continuable(&self) -> impl Iterator<Item = &RunRecord> {
        let shown = self.run.as_ref().filter(|run| run.phase != RunPhase::Opened);
        let shown = shown.map(|run| run.info.record.run_id.as_str());
        self.runs.iter().flatten().filter(move |run| {
            matches!(run.status, Status::Running | Status::Paused | Status::Failed | Status::Diverged)
                && !self.is_at_work(run)
                && Some(run.run_id.as_str()) != shown
        })
    }

    /// The engine's answer about the plan, as long as there are a model and pairs that it can be about.
    pub(super) fn plan_info(&self) -> Option<&PlanInfo> {
        let both = self.open_model().is_some() && self.pairs.info.is_some();
        self.plan.info.as_ref().filter(|_| both)
    }

    /// The same, if it has figures: settings that cannot be read have none.
    pub(super) fn figures(&self) -> Option<&PlanInfo> {
        self.plan_info().filter(|info| info.n_train > 0)
    }

    /// What the open rows are; pairs where there are none yet.
    pub(super) fn kind(&self) -> Kind {
        self.pairs.info.as_ref().map_or(Kind::Pairs, |pairs| pairs.kind)
    }

    /// Stored runs of the open model that have an adapter: of reward models, or of models that write.
    pub(super) fn tuned_runs(&self, reward_models: bool) -> impl Iterator<Item = &RunRecord> {
        let model = self.open_model().map(|model| model.name.as_str());
        self.runs.iter().flatten().filter(move |run| {
            let scores = methods::method_of(&run.settings) == Method::Reward;
            scores == reward_models
                && Some(run.model_name.as_str()) == model
                && (run.checkpoint.is_some() || run.best_step.is_some())
        })
    }

    /// The next run starts from this adapter; one that scores judges its answers, or is trained on as a reward model.
    fn take_adapter(&mut self, run_id: String) {
        let scores = self.tuned_runs(true).any(|run| run.run_id == run_id);
        let method = self.plan.method();
        let inputs = &mut self.plan.inputs;
        match (scores, method.is_online()) {
            (true, true) => inputs.rewards.push(Inputs::run_reward(&run_id)),
            (true, false) if method != Method::Reward => {}
            _ => inputs.start_from = Some(run_id),
        }
    }

    /// True for a row that is kept to be scored, and not trained on.
    pub(super) fn holds_out(&self, row: usize) -> bool {
        self.figures().is_some_and(|plan| plan.held_out.binary_search(&row).is_ok())
    }

    /// Held-out pairs scored with this strength.
    pub(super) fn held_out_at(&self, strength: f32) -> Option<&[HeldOutPair]> {
        self.held_out
            .iter()
            .rev()
            .find(|(scored, _)| is_same_strength(*scored, strength))
            .map(|(_, pairs)| pairs.as_slice())
    }

    /// Bytes on the device that a run may take: what the person said, or what is known.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        let planned = self.plan_info().and_then(|plan| plan.limit);
        let device = self.gpu().and_then(|gpu| gpu.as_ref().ok()).and_then(|gpu| gpu.memory);
        self.plan.limit.or(planned).or(device)
    }

    /// What a model in a list needs, or why it cannot be tuned, if that is known.
    pub(super) fn needs(&self, source: &ModelSource) -> Option<Result<u64, Problem>> {
        self.measured.iter().find(|(known, _)| known == source).map(|(_, needs)| needs.clone())
    }

    /// Why a run cannot begin now, if so, and what to do about it.
    pub(super) fn start_blocked(&self) -> Option<Blocked> {
        match &self.connection {
            Connection::Ready(ready) if ready.gpu.is_err() => return Some(Blocked::NoGpu),
            Connection::Ready(_) => {}
            _ => return Some(Blocked::Engine),
        }
        if self.other_tab {
            return Some(Blocked::OtherTab);
        }
        if self.active_run().is_some() || self.run_pending {
            return Some(Blocked::Running);
        }
        if self.open_model().is_none() {
            return Some(Blocked::Model);
        }
        let Some(pairs) = &self.pairs.info else { return Some(Blocked::Pairs) };
        if pairs.usable <= pairs.skipped {
            return Some(Blocked::NoUsablePairs);
        }
        if pairs.problem_count > 0 && !self.pairs.accepted {
            return Some(Blocked::PairProblems(pairs.problem_count));
        }
        if let Some(problem) = &self.plan.problem {
            return Some(Blocked::Settings(problem.clone()));
        }
        if self.plan.method().is_online() && self.plan.inputs.rewards.is_empty() {
            return Some(Blocked::Rewards);
        }
        match &self.plan.info {
            Some(plan) => plan.blocked.clone().map(Blocked::Settings),
            None if self.plan.cancelled => Some(Blocked::NotPlanned),
            None => Some(Blocked::Planning),
        }
    }

    fn fold(&mut self, event: Event, now: f64) {
        match event {
            Event::Ready(ready) if ready.build == BUILD => {
                self.connection = Connection::Ready(ready);
                self.notice(notices::READY, false);
            }
            Event::Ready(ready) => self.connection = Connection::VersionMismatch { engine: ready.build },
            Event::Models { models } => {
                self.models = models;
                self.keeping_model = false;
            }
            Event::ModelMeasured { source, needs } => {
                self.measured.retain(|(known, _)| *known != source);
                self.measured.push((source, needs));
            }
            Event::ModelProgress(progress) => match &mut self.model {
                // Being kept, not opened.
                ModelState::Open(_) => {}
                model => *model = ModelState::Loading(progress),
            },
            Event::ModelOpened(info) => self.model_opened(info),
            Event::ModelClosed => {
                self.model_before = None;
                if matches!(self.model, ModelState::Open(_)) {
                    self.model = ModelState::None;
                }
            }
            Event::PairsProgress { progress, rows, problems } => {
                // Pairs that are open, or are a run's own, are not read from a file.
                let counted = self.pairs.info.is_some() || self.run_pending;
                let unit = if counted { Unit::Things(run::PAIRS) } else { Unit::Bytes };
                self.pairs.loading = Some(PairsLoading { progress, unit, rows, problems });
            }
            Event::PairRows { first, rows } => {
                // Rows that are there already are replaced.
                let known = self.pairs.rows.len();
                drop(self.pairs.rows.splice(first.min(known)..(first + rows.len()).min(known), rows));
            }
            Event::PairsOpened(info) => self.pairs_opened(*info),
            Event::ChatSet(chat) => self.chat_set(*chat),
            Event::PairView(view) => self.pairs.viewed(*view),
            Event::Planned(info) => self.planned(*info),
            Event::Measuring(what) => self.bench = BenchState::Running(what),
            Event::Measured(report) => {
                self.bench = BenchState::Done(report);
                self.notice(notices::GPU_MEASURED, false);
            }
            Event::Tried { step_seconds, device_bytes, planned_bytes } => {
                self.plan.trial = Trial::Done { step_seconds, device_bytes, planned_bytes };
                if let Some(info) = &mut self.plan.info {
                    info.step_seconds = Some(step_seconds);
                }
                self.notice(notices::MEASURED, false);
            }
            Event::Refused { subject, problem } => self.refused(subject, problem, now),
            Event::Cancelled { subject } => self.cancelled(subject),
            Event::Text { id, side, piece, end } => {
                if let Some(side) = self.texts.get_mut(&id).and_then(|text| text.sides.get_mut(side)) {
                    side.text.push_str(&piece);
                    side.done |= end;
                }
            }
            Event::HeldOut { strength, pairs } => {
                self.held_out.retain(|(scored, _)| !is_same_strength(*scored, strength));
                self.held_out.push((strength, pairs));
                if self.held_out.len() > HELD_OUT_STRENGTHS {
                    self.held_out.remove(0);
                }
                self.held_out_pending = None;
                self.forget_progress();
            }
            Event::Inspected(inspection) => {
                self.inspection = Some(*inspection);
                self.inspection_pending = false;
                self.forget_progress();
            }
            Event::Exported { run_id, files } => {
                self.exporting = false;
                self.forget_progress();
                self.notice(notices::EXPORTED, true);
                self.exported = Some((run_id, files));
            }
            Event::Runs { runs } => self.runs = Some(runs),
            Event::AdapterImported { run_id } => self.take_adapter(run_id),
            Event::History { run_id, history } => {
                self.histories.insert(run_id, history);
            }
            Event::Storage(storage) => self.storage = storage,
            Event::Request { url, bytes, purpose } => self.requests.push(NetworkEntry { url, bytes, purpose }),
            Event::Log { level, text } => self.log_line(&level, &text, now),
            event => self.fold_run(event, now),
        }
    }

    fn fold_run(&mut self, event: Event, now: f64) {
        match event {
            Event::RunStarted(info) => self.run_started(*info, now),
            Event::RunOpened(info) => {
                let mut run = RunState::new(*info);
                run.phase = RunPhase::Opened;
                run.remember(self.run_named(&run.info.record.run_id.clone()));
                self.run_pending = false;
                self.asked_run = None;
                self.replace_run(run);
            }
            Event::RunClosed { run_id } if self.run_named(&run_id).is_some() => {
                self.forget_run();
                let is_kept = self.runs.as_ref().is_none_or(|runs| runs.iter().any(|run| run.run_id == run_id));
                // Another run takes its place if one is being opened.
                if is_kept && !self.run_pending {
                    self.notice(notices::RUN_CLOSED, true);
                }
            }
            Event::Finished(summary) => {
                let text = notices::finished(&summary);
                if let Some(run) = self.run_named(&summary.record.run_id) {
                    run.rest(now);
                    run.progress = None;
                    run.info.record = summary.record.clone();
                    run.phase = RunPhase::Finished(summary);
                    self.notice(&text, true);
                }
            }
            Event::Discarded { run_id } => {
                if self.run_named(&run_id).is_some() {
                    self.forget_run();
                }
                if let Some(runs) = &mut self.runs {
                    runs.retain(|run| run.run_id != run_id);
                }
                self.run_pending = false;
                self.notice(notices::DISCARDED, true);
            }
            Event::Paused { run_id, step } => {
                if let Some(run) = self.run_named(&run_id) {
                    run.rest(now);
                    run.progress = None;
                    run.info.record.step = step;
                    run.info.record.status = Status::Paused;
                    run.phase = RunPhase::Paused;
                    let unsaved = run.unsaved.is_some();
                    self.notice(&notices::paused_at(step, unsaved), true);
                }
            }
            Event::Failed { run_id, failure, safe_step } => {
                let text = run::failed(&failure);
                self.log_line("error", &text, now);
                self.run_pending = false;
                if let Some(run) = self.run_named(&run_id) {
                    run.rest(now);
                    run.progress = None;
                    run.info.record.status = match failure {
                        Failure::Diverged { .. } => Status::Diverged,
                        _ => Status::Failed,
                    };
                    run.phase = RunPhase::Failed { failure, safe_step };
                    self.notice(&text, true);
                }
            }
            Event::Recovering { run_id, failure, safe_step, seconds } => {
                let text = run::failed(&failure);
                self.log_line("warn", &text, now);
                if let Some(run) = self.run_named(&run_id) {
                    run.rest(now);
                    run.phase = RunPhase::Recovering { failure, safe_step, until: now + seconds };
                    self.notice(&text, true);
                }
            }
            Event::Warned { run_id, warning } => {
                self.log_line("warn", &warning.text, now);
                let text = warning.text.clone();
                if let Some(run) = self.run_named(&run_id) {
                    run.warnings.push(RunWarning { warning, dismissed: false });
                    self.notice(&text, false);
                }
            }
            Event::Phase { run_id, phase, progress } => {
                self.run_pending = false;
                // A run that goes on reads its own pairs first.
                self.pairs.loading = None;
                if let Some(run) = self.run_named(&run_id) {
                    // Its steps are counted anyway.
                    run.progress = Some((phase, progress)).filter(|_| phase != Phase::Training);
                    if run.is_active() && matches!(phase, Phase::Evaluating | Phase::Sampling) {
                        run.round_since.get_or_insert(now);
                    }
                    match (&run.phase, phase) {
                        (RunPhase::Preparing, Phase::Training) => run.phase = RunPhase::Running,
                        // Comparing and exporting take time too, but it is not the run's.
                        (RunPhase::Opened | RunPhase::Paused | RunPhase::Finished(_) | RunPhase::Failed { .. }, _) => {}
                        _ => run.work(now),
                    }
                }
            }
            Event::Step { run_id, metrics, seconds } => {
                if let Some(run) = self.run_named(&run_id) {
                    run.step_taken(metrics, seconds, now);
                }
            }
            Event::Rollouts { run_id, step, rewards, answers } => {
                if let Some(run) = self.run_named(&run_id) {
                    // After a failure, steps are taken again.
                    run.rollouts.retain(|before| before.step < step);
                    run.rollouts.push_back(Rollouts { step, rewards, answers });
                    if run.rollouts.len() > ROLLOUTS {
                        run.rollouts.pop_front();
                    }
                }
            }
            Event::Evaluated { run_id, metrics, best } => {
                if let Some(run) = self.run_named(&run_id) {
                    run.evaluated(metrics, best);
                }
            }
            Event::Samples { run_id, step, texts } => {
                if let Some(run) = self.run_named(&run_id) {
                    run.samples.retain(|(s, _)| *s != step);
                    run.samples.push((step, texts));
                    run.samples.sort_by_key(|(step, _)| *step);
                }
            }
            Event::Saved { run_id, step, bytes, seconds } => {
                if let Some(run) = self.run_named(&run_id) {
                    // A second save of a step writes only what was measured since.
                    let before = run.saved.filter(|saved| saved.step == step).map_or(0, |saved| saved.bytes);
                    run.saved = Some(Saved { step, bytes: bytes.max(before), seconds, at: now });
                    run.info.record.checkpoint = Some(RunRecord::checkpoint_at(step));
                    run.unsaved = None;
                }
            }
            Event::NotSaved { run_id, problem, full } => {
                self.log_line("warn", &problem.to_string(), now);
                if let Some(run) = self.run_named(&run_id) {
                    let new = run.unsaved.replace(Unsaved { problem, full }).is_none();
                    self.notice(notices::not_saved(full), new);
                }
            }
            // The others are folded before.
            _ => {}
        }
    }

    fn model_opened(&mut self, info: Box<ModelInfo>) {
        self.notice(&notices::model_open(&info.name), false);
        if let ModelSource::Picked { path: Some(path), .. } = &info.source {
            Recent::add(&mut self.recent.models, &info.name, path);
        }
        self.model = ModelState::Open(info);
        self.pairs.chat_refused = None;
        self.model_problem = None;
        self.model_before = None;
        self.plan.trial = Trial::None;
        self.pairs.views.clear();
        self.pairs.generation += 1;
    }

    fn chat_set(&mut self, chat: ChatInfo) {
        if let ModelState::Open(info) = &mut self.model {
            info.chat = chat;
        }
        self.pairs.chat_refused = None;
        self.pairs.views.clear();
        self.pairs.generation += 1;
    }

    fn pairs_opened(&mut self, info: PairsInfo) {
        self.notice(&notices::pairs_open(info.usable), false);
        let same = self.pairs.info.as_ref().is_some_and(|before| before.problem_count == info.problem_count);
        self.pairs.accepted &= same;
        self.pairs.loading = None;
        self.pairs.refused = None;
        if self.run_pending {
            // They are the run's own, not those of the file that was read before.
            self.pairs.files.clear();
        }
        if let Some(path) = self.pairs.path() {
            Recent::add(&mut self.recent.pairs, &info.name, &path);
        }
        self.pairs.rows.truncate(info.usable);
        self.pairs.info = Some(info);
        self.pairs.views.clear();
        self.pairs.generation += 1;
        self.pairs_before = None;
    }

    /// A model is on its way; the open one comes back if that fails.
    fn load_model(&mut self, what: &str) {
        self.model_problem = None;
        if let ModelState::Open(open) = std::mem::replace(&mut self.model, ModelState::Loading(beginning(what))) {
            self.model_before = Some(open);
        }
    }

    /// The model from before, if the engine still has it.
    fn model_back(&mut self) {
        self.model = self.model_before.take().map_or(ModelState::None, ModelState::Open);
    }

    /// Pairs are on their way; the open ones come back if that fails.
    fn load_pairs(&mut self, pairs: PairsState) {
        let generation = self.pairs.generation + 1;
        let before = std::mem::replace(&mut self.pairs, PairsState { generation, ..pairs });
        if before.info.is_some() {
            self.pairs_before = Some(Box::new(before));
        }
    }

    fn pairs_back(&mut self) {
        self.pairs.loading = None;
        if let Some(before) = self.pairs_before.take() {
            let generation = self.pairs.generation + 1;
            self.pairs = PairsState { generation, views: Vec::new(), ..*before };
        }
    }

    fn planned(&mut self, info: PlanInfo) {
        if self.is_demo() && self.plan.settings.is_empty() {
            self.plan.settings = info.settings.clone();
        }
        if !self.plan.watch_edited {
            // Scoring takes time too: a short run is looked at four times, a long one ten times.
            let looks = if info.n_steps <= 100 { 4 } else { 10 };
            self.plan.watch.eval_steps = (info.n_steps / looks).max(5);
        }
        // Planning reads the pairs as tokens.
        self.pairs.loading = None;
        self.plan.pending = false;
        self.plan.problem = None;
        if info.step_seconds.is_none() && !matches!(self.plan.trial, Trial::Running) {
            // It was measured with other settings.
            self.plan.trial = Trial::None;
        }
        self.plan.info = Some(info);
    }

    fn run_started(&mut self, info: RunInfo, now: f64) {
        let mut run = RunState::new(info);
        run.remember(self.run_named(&run.info.record.run_id.clone()));
        run.work(now);
        self.run_pending = false;
        self.asked_run = None;
        self.run_problem = None;
        self.replace_run(run);
        self.notice(notices::RUN_BEGINS, false);
    }

    fn replace_run(&mut self, run: RunState) {
        self.forget_run();
        self.run = Some(run);
    }

    /// The run and what was made of it are gone from the screen.
    pub(super) fn forget_run(&mut self) {
        self.run = None;
        self.texts.clear();
        self.held_out.clear();
        self.held_out_pending = None;
        self.inspection = None;
        self.inspection_pending = false;
        self.exported = None;
        self.export_problem = None;
        self.compare_problem = None;
    }

    fn refused(&mut self, subject: Subject, problem: Problem, now: f64) {
        self.log_line("warn", &problem.to_string(), now);
        self.notice(&problem.what, false);
        match subject {
            Subject::Model if self.keeping_model => {
                self.keeping_model = false;
                self.notice(&problem.to_string(), true);
            }
            Subject::Model => {
                if matches!(self.model, ModelState::Loading(_)) {
                    self.model_back();
                }
                self.model_problem = Some(problem);
                self.pairs_back();
            }
            Subject::Pairs => {
                self.pairs_back();
                self.pairs.refused = Some(problem);
            }
            Subject::Chat => self.pairs.chat_refused = Some(problem),
            Subject::Plan => {
                self.pairs.loading = None;
                self.plan.pending = false;
                self.plan.trial = Trial::None;
                self.plan.problem = Some(problem);
            }
            Subject::Run => {
                self.opening_ended(problem.wants_model());
                self.run_problem = Some(problem);
            }
            Subject::Compare => {
                self.held_out_pending = None;
                self.inspection_pending = false;
                self.end_texts();
                self.forget_progress();
                self.compare_problem = Some(problem);
            }
            Subject::Export => {
                self.exporting = false;
                self.forget_progress();
                self.export_problem = Some(problem);
            }
            Subject::Runs => {
                self.opening_ended(problem.wants_model());
                self.runs_problem = Some(problem);
            }
            Subject::Bench => self.bench = BenchState::Failed(problem),
        }
    }

    /// A run is not being opened any more, nor what it needs; it may be asked for again once its model is there.
    fn opening_ended(&mut self, wants_model: bool) {
        self.run_pending = false;
        self.asked_run.take_if(|_| !wants_model);
        self.pairs.loading = None;
        if matches!(self.model, ModelState::Loading(_)) {
            self.model_back();
        }
    }

    fn cancelled(&mut self, subject: Subject) {
        self.notice(notices::CANCELLED, true);
        match subject {
            Subject::Model => {
                self.keeping_model = false;
                if matches!(self.model, ModelState::Loading(_)) {
                    self.model_back();
                }
                self.pairs_back();
            }
            Subject::Pairs => self.pairs_back(),
            // It is done at once.
            Subject::Chat => {}
            Subject::Plan => {
                self.pairs.loading = None;
                self.plan.pending = false;
                self.plan.cancelled = true;
                self.plan.trial = Trial::None;
            }
            Subject::Run => {
                self.opening_ended(false);
                if self.run.as_ref().is_some_and(|run| run.phase == RunPhase::Preparing) {
                    self.run = None;
                }
            }
            Subject::Compare => {
                self.held_out_pending = None;
                self.inspection_pending = false;
                self.end_texts();
                self.forget_progress();
            }
            Subject::Export => {
                self.exporting = false;
                self.forget_progress();
            }
            Subject::Runs => self.opening_ended(false),
            Subject::Bench => self.bench = BenchState::None,
        }
    }

    /// Comparing or exporting is over; a run at work goes on to tell how far it is.
    fn forget_progress(&mut self) {
        if let Some(run) = self.run.as_mut().filter(|run| !run.is_active()) {
            run.progress = None;
        }
    }

    /// What was refused for want of a model, now that one is open.
    pub(super) fn run_to_ask_again(&mut self) -> Option<Command> {
        self.asked_run.take_if(|_| !self.run_pending)
    }

    fn run_named(&mut self, run_id: &str) -> Option<&mut RunState> {
        self.run.as_mut().filter(|run| run.info.record.run_id == run_id)
    }

    fn run_asked(&mut self, phase: RunPhase) {
        if let Some(run) = self.run.as_mut().filter(|run| run.is_active()) {
            run.phase = phase;
        }
    }

    fn end_texts(&mut self) {
        for side in self.texts.values_mut().flat_map(|text| &mut text.sides).filter(|side| !side.done) {
            (side.done, side.failed) = (true, true);
        }
    }

    fn forget_pending(&mut self) {
        if matches!(self.model, ModelState::Loading(_)) {
            self.model = ModelState::None;
        }
        self.pairs.loading = None;
        self.plan.pending = false;
        self.plan.trial = Trial::None;
        self.keeping_model = false;
        self.run_pending = false;
        self.asked_run = None;
        self.held_out_pending = None;
        self.inspection_pending = false;
        self.exporting = false;
        if matches!(self.bench, BenchState::Running(_)) {
            self.bench = BenchState::None;
        }
        self.end_texts();
    }

    /// Something worth saying aloud, and to show for a moment.
    pub(super) fn notice(&mut self, text: &str, toast: bool) {
        self.notices.push(Notice { text: text.to_owned(), toast });
    }

    fn log_line(&mut self, level: &str, text: &str, now: f64) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine { level: level.to_owned(), text: text.to_owned(), at: now });
    }
}

/// Why a run cannot begin, and so what the button says and where it leads.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Blocked {
    /// The engine is not there.
    Engine,
    /// There is no GPU.
    NoGpu,
    /// Another tab has the GPU.
    OtherTab,
    /// A run is at work.
    Running,
    /// No model is open.
    Model,
    /// No pairs are open.
    Pairs,
    /// None of the pairs can be used.
    NoUsablePairs,
    /// Some rows have problems, and nobody has said that this is fine.
    PairProblems(usize),
    /// Something is wrong with the settings, or it would not fit.
    Settings(Problem),
    /// Nothing says what an answer is worth.
    Rewards,
    /// The plan is being worked out.
    Planning,
    /// Working out the plan was cancelled.
    NotPlanned,
}

impl PairsState {
    /// A pair as the model sees it, if it was read.
    pub(super) fn view(&self, index: usize) -> Option<&PairView> {
        self.views.iter().find(|view| view.index == index)
    }

    /// The path of the file that they are from, if it is known.
    pub(super) fn path(&self) -> Option<String> {
        self.files.first()?.whole_path()
    }

    fn viewed(&mut self, view: PairView) {
        self.views.retain(|before| before.index != view.index);
        self.views.push(view);
        if self.views.len() > PAIR_VIEWS {
            self.views.remove(0);
        }
    }
}

impl PlanState {
    /// How the next run is watched before anybody has said.
    fn default_watch() -> Watch {
        Watch { eval_steps: 10, keep_best: true, prompts: Vec::new(), save_seconds: 60.0 }
    }

    /// How the next run trains.
    pub(super) fn method(&self) -> Method {
        methods::method_of(&self.settings)
    }

    /// What a setting is that was not edited.
    fn defaults(&self) -> &'static Settings {
        static DEFAULTS: LazyLock<Vec<(Method, Settings)>> =
            LazyLock::new(|| Method::ALL.map(|method| (method, presets::defaults_of(method))).to_vec());
        let method = self.method();
        &DEFAULTS.iter().find(|(other, _)| *other == method).unwrap_or(&DEFAULTS[0]).1
    }

    /// The value of a setting: as edited, or its default.
    pub(super) fn value(&self, key: &str) -> Option<&serde_json::Value> {
        self.settings.get(key).or_else(|| self.defaults().get(key))
    }

    /// What the settings are if nothing is changed in their preset; presets are DPO's.
    pub(super) fn unchanged(&self) -> Settings {
        let mut settings = self.defaults().clone();
        settings.insert("eval_split".to_owned(), EVAL_SPLIT.into());
        if self.method() != Method::Dpo {
            return settings;
        }
        settings.extend(self.preset.map(presets::overrides).unwrap_or_default());
        if let Some(epochs) = self.proposed_epochs {
            settings.insert(presets::EPOCHS.to_owned(), epochs.into());
        }
        settings
    }

    /// The settings that are not as their preset has them.
    pub(super) fn changes(&self) -> Vec<&'static str> {
        let unchanged = self.unchanged();
        let shown = |value: Option<&serde_json::Value>| fields::shown(value);
        let changed = |key: &&str| shown(self.value(key)) != shown(unchanged.get(*key));
        let keys = fields::of(self.method()).map(|(key, _)| key);
        keys.filter(changed).filter(|_| self.preset.is_some()).collect()
    }

    /// True for what a run has for this setting if nobody says anything.
    pub(super) fn is_default(&self, key: &str, value: &serde_json::Value) -> bool {
        fields::shown(self.defaults().get(key)) == fields::shown(Some(value))
    }

    /// The longest sequence, tokens.
    pub(super) fn max_length(&self) -> usize {
        self.value("max_length").and_then(serde_json::Value::as_u64).unwrap_or(1024) as usize
    }

    /// Seconds of the run's parts, if a step was measured. What the watched prompts take is not known before.
    pub(super) fn run_parts(&self) -> Option<RunParts> {
        let info = self.info.as_ref()?;
        let (step, n_steps) = (info.step_seconds?, info.n_steps);
        let number = |key: &str| self.value(key).and_then(serde_json::Value::as_u64).unwrap_or(1).max(1) as usize;
        let pairs_each = number("per_device_train_batch_size") * number("gradient_accumulation_steps");
        let method = self.method();
        // A step is a forward pass and a backward pass, which takes twice as long; one of answers is mostly writing.
        let pair = step / (if method.is_online() { pairs_each } else { 3 * pairs_each }) as f64;
        // What writes answers scores the reference within its steps.
        let has_reference = matches!(method, Method::Dpo | Method::Kto);
        let scored = if has_reference { info.n_train.min(n_steps * pairs_each) } else { 0 };
        let between = n_steps.saturating_sub(1).checked_div(self.watch.eval_steps).unwrap_or(0);
        // Of the original model, on the way, and at the end.
        let evaluations = between + 2;
        Some(RunParts {
            steps: step * n_steps as f64,
            reference: pair * scored as f64,
            evaluations: pair * (evaluations * info.held_out.len()) as f64,
        })
    }
}

/// Seconds that the parts of a run take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RunParts {
    /// Training.
    pub(super) steps: f64,
    /// The original model's scores of the pairs that are trained on.
    pub(super) reference: f64,
    /// Scores of the pairs held out.
    pub(super) evaluations: f64,
}

impl Default for PlanState {
    fn default() -> Self {
        Self {
            settings: Settings::new(),
            preset: Some(Preset::Standard),
            proposed_epochs: None,
            inputs: Inputs::default(),
            watch: Self::default_watch(),
            watch_edited: false,
            name: String::new(),
            limit: None,
            info: None,
            pending: false,
            cancelled: false,
            problem: None,
            trial: Trial::None,
        }
    }
}

impl RunState {
    /// A run as the engine tells of it, at work.
    fn new(info: RunInfo) -> Self {
        let (evaluations, history): (Vec<_>, Vec<_>) = info.history.iter().cloned().partition(is_evaluation);
        let active_seconds = info.record.seconds;
        let shown = |warning: &Warning| RunWarning { warning: warning.clone(), dismissed: false };
        let warnings = info.warnings.iter().map(shown).collect();
        let mut curves = BTreeMap::new();
        history.iter().for_each(|metrics| add_to_curves(&mut curves, metrics));
        Self {
            samples: info.samples.clone(),
            info,
            phase: RunPhase::Preparing,
            progress: None,
            history,
            curves,
            step_seconds: Vec::new(),
            evaluations,
            rollouts: VecDeque::new(),
            warnings,
            saved: None,
            unsaved: None,
            rounds: Vec::new(),
            round_since: None,
            active_since: None,
            active_seconds,
        }
    }

    /// The same run goes on or is opened again: what was seen of it stays.
    fn remember(&mut self, before: Option<&mut Self>) {
        let Some(before) = before else { return };
        self.step_seconds = std::mem::take(&mut before.step_seconds);
        self.step_seconds.retain(|[step, _]| *step <= self.info.record.step as f64);
        self.rounds = std::mem::take(&mut before.rounds);
        self.rollouts = std::mem::take(&mut before.rollouts);
        self.saved = before.saved;
        self.unsaved = before.unsaved.take();
        let dismissed = |warning: &Warning| {
            let same = |seen: &&RunWarning| (seen.warning.kind, seen.warning.step) == (warning.kind, warning.step);
            before.warnings.iter().find(same).is_some_and(|seen| seen.dismissed)
        };
        for seen in &mut self.warnings {
            seen.dismissed = dismissed(&seen.warning);
        }
    }

    /// True while it needs the GPU: it is preparing, taking steps, or about to stop doing so.
    pub(super) fn is_active(&self) -> bool {
        use RunPhase as P;
        matches!(self.phase, P::Preparing | P::Running | P::Pausing | P::Stopping | P::Recovering { .. })
    }

    /// Steps done.
    pub(super) fn step(&self) -> usize {
        self.info.record.step
    }

    /// Steps in all.
    pub(super) fn n_steps(&self) -> usize {
        self.info.record.n_steps
    }

    /// Steps done of all steps, from 0 to 1.
    pub(super) fn fraction(&self) -> f32 {
        self.step() as f32 / self.n_steps().max(1) as f32
    }

    /// Seconds that it has worked.
    pub(super) fn elapsed(&self, now: f64) -> f64 {
        self.active_seconds + self.active_since.map_or(0.0, |since| (now - since).max(0.0))
    }

    /// Seconds that are left, by the median of the recent steps and the mean of the evaluations so far.
    pub(super) fn eta(&self) -> Option<f64> {
        let recent = &self.step_seconds[self.step_seconds.len().saturating_sub(RECENT_STEPS)..];
        let seconds: Vec<f64> = recent.iter().map(|[_, seconds]| *seconds).collect();
        let steps = stats::eta_seconds(&seconds, self.n_steps().saturating_sub(self.step()))?;
        let round = self.rounds.iter().sum::<f64>() / self.rounds.len().max(1) as f64;
        Some(steps + round * self.rounds_left() as f64)
    }

    /// Evaluations to come; the last one is after the last step.
    fn rounds_left(&self) -> usize {
        let (step, end) = (self.step(), self.n_steps());
        let between = (end.saturating_sub(1)).checked_div(self.info.record.watch.eval_steps).unwrap_or(0);
        let done = step.checked_div(self.info.record.watch.eval_steps).unwrap_or(0);
        if step < end { between.saturating_sub(done) + 1 } else { 0 }
    }

    /// Tokens per second over the recent steps.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        let n = self.step_seconds.len().min(self.history.len().saturating_sub(1)).min(RECENT_STEPS);
        let before = self.history.get(self.history.len().checked_sub(n + 1)?)?;
        let tokens = metric(self.history.last()?, "num_tokens")? - metric(before, "num_tokens")?;
        let seconds: f64 = self.step_seconds[self.step_seconds.len() - n..].iter().map(|[_, seconds]| seconds).sum();
        (n > 0 && seconds > 0.0).then(|| tokens / seconds)
    }

    /// Values of a metric over the steps: step and value.
    pub(super) fn series(&self, name: &str) -> &[[f64; 2]] {
        self.curves.get(name).map_or(&[], Vec::as_slice)
    }

    /// Values of a metric over the evaluations: step and value.
    pub(super) fn eval_series(&self, name: &str) -> Vec<[f64; 2]> {
        series(&self.evaluations, name)
    }

    /// The latest value of a metric of the steps.
    pub(super) fn latest(&self, name: &str) -> Option<f64> {
        self.history.iter().rev().find_map(|metrics| metric(metrics, name))
    }

    fn step_taken(&mut self, metrics: Metrics, seconds: f64, now: f64) {
        let step = step_of(&metrics);
        if matches!(self.phase, RunPhase::Preparing | RunPhase::Paused) {
            self.phase = RunPhase::Running;
        }
        self.work(now);
        if let Some(since) = self.round_since.take() {
            self.rounds.push((now - since - seconds).max(0.0));
        }
        // After a failure, steps are taken again.
        self.history.truncate(self.history.partition_point(|before| step_of(before) < step));
        for curve in self.curves.values_mut() {
            curve.truncate(curve.partition_point(|[before, _]| *before < step as f64));
        }
        add_to_curves(&mut self.curves, &metrics);
        self.evaluations.retain(|before| step_of(before) < step);
        self.info.record.step = step;
        self.history.push(metrics);
        self.step_seconds.truncate(self.step_seconds.partition_point(|[before, _]| *before < step as f64));
        self.step_seconds.push([step as f64, seconds]);
        self.progress = None;
    }

    fn evaluated(&mut self, metrics: Metrics, best: bool) {
        let step = step_of(&metrics);
        let record = &mut self.info.record;
        if best {
            record.best_step = record.watch.keep_best.then_some(step).or(record.best_step);
            record.best = Some(metrics.clone());
        }
        if let Some(now) = accuracy_of(&metrics) {
            let before = self.evaluations.first().and_then(accuracy_of).unwrap_or(now);
            record.won = Some([before, now]);
        }
        self.evaluations.retain(|before| step_of(before) != step);
        self.evaluations.push(metrics);
    }

    /// The clock of the run goes on.
    fn work(&mut self, now: f64) {
        self.active_since.get_or_insert(now);
    }

    /// The clock of the run stands still.
    fn rest(&mut self, now: f64) {
        self.active_seconds = self.elapsed(now);
        self.active_since = None;
        self.round_since = None;
    }
}

fn add_to_curves(curves: &mut BTreeMap<String, Vec<[f64; 2]>>, metrics: &Metrics) {
    let step = step_of(metrics) as f64;
    for (name, value) in metrics {
        if let Some(value) = value.as_f64() {
            match curves.get_mut(name) {
                Some(curve) => curve.push([step, value]),
                None => drop(curves.insert(name.clone(), vec![[step, value]])),
            }
        }
    }
}

/// Values of a metric: step and value.
pub(super) fn series(history: &[Metrics], name: &str) -> Vec<[f64; 2]> {
    history.iter().filter_map(|metrics| Some([step_of(metrics) as f64, metric(metrics, name)?])).collect()
}

/// Progress of something that has not reported any.
fn beginning(what: &str) -> Progress {
    Progress { what: what.to_owned(), done: 0, total: 0, seconds: 0.0 }
}

/// True for strengths of the adapter that a slider does not tell apart.
pub(super) fn is_same_strength(a: f32, b: f32) -> bool {
    (a - b).abs() < 1e-4
}

/// Where a model is that was found on this computer.
pub(super) fn source_of(found: &FoundModel) -> ModelSource {
    ModelSource::Picked { name: found.name.clone(), path: Some(found.folder.clone()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    /// A state with a run of `n_steps` that begins at 0 on the clock, and is evaluated every tenth step.
    fn with_run(n_steps: usize) -> State {
        let record = json!({
            "run_id": "r", "name": "r", "notes": "", "status": "running", "created": 0.0, "seconds": 0.0,
            "model": { "source": "demo" }, "model_name": "", "pairs_name": "", "settings": {},
            "watch": { "eval_steps": 10, "keep_best": true, "prompts": [], "save_seconds": 60.0 },
            "step": 0, "n_steps": n_steps, "checkpoint": null, "best_step": null, "best": null, "won": null,
            "n_held_out": 30, "longer_wins": 0.5, "sparkline": [], "bytes": 0,
        });
        let info = json!({
            "record": record, "history": [], "prompts": [], "samples": [], "warnings": [], "planned_bytes": 0,
            "device_bytes": 0,
        });
        let mut state = State::default();
        let started = Event::RunStarted(Box::new(serde_json::from_value(info).expect("a run")));
        state.apply(Incoming::Event(Box::new(started)), 0.0);
        state
    }

    fn step(state: &mut State, step: usize, now: f64) {
        let metrics = map(json!({ "step": step, "loss": 0.5 }));
        let event = Event::Step { run_id: "r".to_owned(), metrics, seconds: 2.0 };
        state.apply(Incoming::Event(Box::new(event)), now);
    }

    #[test]
    fn the_time_left_counts_evaluations() {
        let mut state = with_run(40);
        let progress = Progress { what: String::new(), done: 0, total: 30, seconds: 0.0 };
        let evaluating = Event::Phase { run_id: "r".to_owned(), phase: Phase::Evaluating, progress };
        state.apply(Incoming::Event(Box::new(evaluating)), 1.0);
        // Seven seconds of evaluation, then a step of two.
        step(&mut state, 1, 10.0);
        let eta = state.run.as_ref().and_then(RunState::eta);
        assert_eq!(eta, Some(39.0 * 2.0 + 4.0 * 7.0), "after 10, 20, 30 and the last step");
        step(&mut state, 30, 12.0);
        assert_eq!(state.run.as_ref().and_then(RunState::eta), Some(10.0 * 2.0 + 7.0), "only the last one");
    }

    #[test]
    fn curves_follow_the_steps_and_go_back_with_them() {
        let mut state = with_run(40);
        for (at, now) in [(1, 1.0), (2, 2.0), (3, 3.0), (2, 4.0)] {
            step(&mut state, at, now);
        }
        let run = state.run.expect("a run");
        assert_eq!(run.series("loss"), [[1.0, 0.5], [2.0, 0.5]]);
        assert_eq!((run.history.len(), run.step_seconds.len()), (2, 2));
        assert!(run.series("grad_norm").is_empty(), "nobody told of it");
    }
}
