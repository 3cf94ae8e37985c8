//! Everything that is drawn, and where each event and each command that was sent is folded into it.

use std::collections::{BTreeMap, VecDeque};

use super::compare::Generation;
use super::hub::HubState;
use super::library::Recent;
use super::machine::{BenchState, Connection, LogLine, Notice};
use super::model::ModelState;
use super::pairs::{Found, PairsState};
use super::plan::{PlanState, Trial};
use super::race::RaceState;
use super::run::{Rollouts, RunPhase, RunState, Saved};
use super::sweep::SweepState;
use crate::app::text::notices;
use crate::engine::protocol::{
    Command, CompareCommand, Event, Exported, HeldOutPair, HubCommand, Inspection, Level, LibraryCommand, Metrics,
    ModelCommand, ModelInfo, ModelSource, PairsCommand, PlanCommand, Problem, RunCommand, RunRecord, StorageInfo,
    StoredModel, Subject,
};
use crate::link::Incoming;
use crate::platform::{FoundModel, NetworkEntry};

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The engine itself.
    pub(crate) connection: Connection,
    /// Models in the app's own storage.
    pub(crate) models: Vec<StoredModel>,
    /// Models that other programs keep on this computer.
    pub(crate) found: Vec<FoundModel>,
    /// Bytes that the models in these lists need, or why they cannot be tuned.
    pub(crate) measured: Vec<(ModelSource, Result<u64, Problem>)>,
    /// The model.
    pub(crate) model: ModelState,
    /// True while the model is copied into the app's storage.
    pub(crate) keeping_model: bool,
    /// The latest search for models.
    pub(crate) hub: HubState,
    /// The pairs.
    pub(crate) pairs: PairsState,
    /// Settings of the next run, and its needs.
    pub(crate) plan: PlanState,
    /// The run on the run page; also a stored one that is open for comparing.
    pub(crate) run: Option<RunState>,
    /// True if a run was asked for and has not begun.
    pub(crate) run_pending: bool,
    /// Why a run could not begin or continue.
    pub(crate) run_problem: Option<Problem>,
    /// The stored run that is being opened, or was refused because its model has to be opened first.
    pub(crate) asked_run: Option<Command>,
    /// The latest race.
    pub(crate) race: RaceState,
    /// The latest sweep.
    pub(crate) sweep: SweepState,
    /// Texts by the id of their request.
    pub(crate) texts: BTreeMap<u64, Generation>,
    /// Held-out pairs by adapter scale, the latest last.
    pub(crate) held_out: Vec<(f32, Vec<HeldOutPair>)>,
    /// The adapter scale that is being scored.
    pub(crate) held_out_pending: Option<f32>,
    /// A pair, token by token.
    pub(crate) inspection: Option<Inspection>,
    /// True while a pair is inspected.
    pub(crate) inspection_pending: bool,
    /// Why comparing failed.
    pub(crate) compare_problem: Option<Problem>,
    /// The files written, with the id of their run.
    pub(crate) exported: Option<(String, Vec<Exported>)>,
    /// True while files are written.
    pub(crate) exporting: bool,
    /// The folder that they are written to.
    pub(super) export_folder: String,
    /// The folder for all exports, where the platform has one.
    pub(crate) export_home: Option<String>,
    /// Why writing failed.
    pub(crate) export_problem: Option<Problem>,
    /// Measurement of the GPU's speed.
    pub(crate) bench: BenchState,
    /// The stored runs, newest first; none if they were not listed yet.
    pub(crate) runs: Option<Vec<RunRecord>>,
    /// Why something about the stored runs failed.
    pub(crate) runs_problem: Option<Problem>,
    /// Metrics of stored runs, by run.
    pub(crate) histories: BTreeMap<String, Vec<Metrics>>,
    /// Storage in use.
    pub(crate) storage: StorageInfo,
    /// Requests of the page, as of a moment ago.
    pub(crate) page_requests: Vec<NetworkEntry>,
    /// Requests of the engine.
    pub(crate) requests: Vec<NetworkEntry>,
    /// The log, oldest first.
    pub(crate) log: VecDeque<LogLine>,
    /// Why the model that was last asked for was refused.
    pub(crate) model_problem: Option<Problem>,
    /// The model that was open when another one was asked for.
    pub(super) model_before: Option<Box<ModelInfo>>,
    /// The pairs that were open when others were asked for.
    pub(crate) pairs_before: Option<Box<PairsState>>,
    /// Models and pairs that were opened before, where paths are known.
    pub(crate) recent: Recent,
    /// Notices to announce; the shell takes them out.
    pub(crate) notices: Vec<Notice>,
    /// True if the computer is known to run on its battery.
    pub(crate) on_battery: bool,
    /// True if the user allows no connection.
    pub(crate) offline: bool,
    /// True in the browser.
    pub(crate) in_browser: bool,
    /// True if the browser would ask the user whether this page may show notices.
    pub(crate) asks_to_notify: bool,
    /// True if another tab of the browser has the GPU.
    pub(crate) other_tab: bool,
}

impl State {
    /// Takes in what came from the engine; `now` is the platform's clock in seconds.
    pub(crate) fn apply(&mut self, incoming: Incoming, now: f64) {
        match incoming {
            Incoming::Crashed(why) => self.engine_crashed(why, now),
            Incoming::Event(event) => self.fold(*event, now),
        }
    }

    /// Takes in that a command is on its way.
    pub(crate) fn sent(&mut self, command: &Command, now: f64) {
        match command {
            Command::Model(command) => match command {
                ModelCommand::OpenDemo => {
                    self.load_model(notices::OPENING_DEMO);
                    self.load_pairs(PairsState::default());
                }
                ModelCommand::Open { .. } => self.load_model(notices::OPENING_MODEL),
                ModelCommand::Keep => self.keeping_model = true,
                ModelCommand::Measure { .. } | ModelCommand::Forget { .. } => {}
            },
            Command::Hub(command) => match command {
                HubCommand::Search { .. } => self.search_asked(),
                HubCommand::SetToken { .. } => {}
                HubCommand::Fetch { repo, .. } => self.load_model(&notices::fetching(repo)),
            },
            Command::Pairs(command) => match command {
                PairsCommand::Open { .. } => self.read_pairs(),
                PairsCommand::Skip { rows, skip } => self.rows_skipped(rows, *skip),
                // The screen changes with the answer.
                PairsCommand::Swap | PairsCommand::SwapRow { .. } | PairsCommand::Make => {}
                PairsCommand::Edit { .. } | PairsCommand::Write | PairsCommand::SetChat(_) => {}
                PairsCommand::Read { .. } | PairsCommand::Find { .. } => {}
            },
            Command::Plan(command) => match command {
                PlanCommand::Estimate { .. } => self.plan_asked(),
                PlanCommand::Trial { .. } => self.plan.trial = Trial::Running { step: 0, since: now },
            },
            Command::Run(asked) => match asked {
                RunCommand::Start(_) | RunCommand::Resume { .. } => self.run_awaited(command),
                RunCommand::Pause => self.run_asked(RunPhase::Pausing),
                RunCommand::Stop => self.stop_asked(),
                RunCommand::Discard { run_id } => self.run_deleted(run_id),
            },
            Command::Race(_) => self.race_asked(now),
            Command::Sweep(request) => self.sweep_asked(request, now),
            Command::Compare(command) => match command {
                CompareCommand::Generate(request) => self.text_asked(request),
                CompareCommand::ScoreHeldOut { strength } => self.scores_asked(*strength),
                CompareCommand::InspectPair { .. } => self.inspection_asked(),
            },
            Command::Export(request) => self.export_asked(&request.folder),
            Command::Library(asked) => match asked {
                LibraryCommand::Open { .. } => self.run_awaited(command),
                LibraryCommand::Import | LibraryCommand::ImportAdapter => self.runs_problem = None,
                LibraryCommand::Delete { run_id } => self.run_deleted(run_id),
                LibraryCommand::Describe { run_id, name, notes } => self.run_described(run_id, name, notes),
                LibraryCommand::List | LibraryCommand::ReadHistory { .. } | LibraryCommand::MeasureStorage => {}
            },
            Command::Bench => self.bench = BenchState::Running(String::new()),
            Command::Cancel => self.cancel_asked(now),
            Command::Drill(_) => {}
        }
    }

    /// Takes in that the engine was ended and another one starts.
    pub(crate) fn restarted(&mut self) {
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

    /// Passes each event to its topic, which has its part of the fold.
    fn fold(&mut self, event: Event, now: f64) {
        match event {
            Event::Ready(ready) => self.engine_ready(ready),
            Event::Storage(storage) => self.storage = storage,
            Event::Request { url, bytes, purpose } => self.requests.push(NetworkEntry { url, bytes, purpose }),
            Event::Log { level, text } => self.log_line(level, text, now),
            Event::Measuring(what) => self.bench = BenchState::Running(what),
            Event::Measured(report) => self.gpu_measured(report),
            Event::Refused { subject, problem } => self.refused(subject, problem, now),
            Event::Cancelled { subject } => self.cancelled(subject),
            Event::Models { models } => self.models_listed(models),
            Event::ModelMeasured { source, needs } => self.model_measured(source, needs),
            Event::ModelProgress(progress) => self.model_progress(progress),
            Event::ModelOpened(info) => self.model_opened(info),
            Event::ModelClosed => self.model_closed(),
            Event::Hub(event) => self.hub_answered(event),
            Event::PairsProgress { progress, rows, problems } => self.pairs_progress(progress, rows, problems),
            Event::PairRows { first, rows } => self.rows_read(first, rows),
            Event::PairsOpened(info) => self.pairs_opened(*info),
            Event::ChatSet(chat) => self.chat_set(*chat),
            Event::RowsFound { text, rows } => self.pairs.found = Some(Found { text, rows }),
            Event::PairView(view) => self.pairs.viewed(*view),
            Event::PairsWritten { name, text } => self.pairs.written = Some((name, text)),
            Event::Planned(info) => self.planned(*info),
            Event::Trying { step } => self.trying(step),
            Event::Tried { step_seconds, answers_seconds, device_bytes, planned_bytes } => {
                self.tried(step_seconds, answers_seconds, device_bytes, planned_bytes);
            }
            Event::RunStarted(info) => self.run_started(*info, now),
            Event::RunOpened(info) => self.run_opened(*info),
            Event::RunClosed { run_id } => self.run_closed(&run_id),
            Event::Phase { run_id, phase, progress } => self.run_progress(&run_id, phase, progress, now),
            Event::Step { run_id, metrics, seconds } => self.run_stepped(&run_id, metrics, seconds, now),
            Event::Rollouts { run_id, step, rewards, answers } => {
                self.run_answered(&run_id, Rollouts { step, rewards, answers });
            }
            Event::Evaluated { run_id, metrics, best } => self.run_evaluated(&run_id, metrics, best),
            Event::Samples { run_id, step, answers } => self.run_sampled(&run_id, step, answers),
            Event::Warned { run_id, warning } => self.run_warned(&run_id, warning, now),
            Event::Saved { run_id, step, bytes, seconds } => {
                self.run_saved(&run_id, Saved { step, bytes, seconds, at: now });
            }
            Event::NotSaved { run_id, problem } => self.run_not_saved(&run_id, problem, now),
            Event::Paused { run_id, step } => self.run_paused(&run_id, step, now),
            Event::Finished(summary) => self.run_finished(summary, now),
            Event::Failed { run_id, failure, safe_step } => self.run_failed(&run_id, failure, safe_step, now),
            Event::Recovering { run_id, failure, safe_step, seconds } => {
                self.run_recovering(&run_id, failure, safe_step, now + seconds, now);
            }
            Event::Race(event) => self.race_went_on(event, now),
            Event::Sweep(event) => self.sweep_went_on(event),
            Event::Discarded { run_id } => self.run_discarded(&run_id),
            Event::Text { id, side, piece, end, tokens, seconds } => {
                self.text_written(id, side, &piece, end, (tokens, seconds));
            }
            Event::HeldOut { strength, pairs } => self.held_out_scored(strength, pairs),
            Event::Inspected(inspection) => self.inspected(*inspection),
            Event::Exported { run_id, files } => self.export_done(run_id, files),
            Event::Runs { runs } => self.runs = Some(runs),
            Event::History { run_id, history } => drop(self.histories.insert(run_id, history)),
            Event::AdapterImported { run_id } => self.take_adapter(run_id),
        }
    }

    fn refused(&mut self, subject: Subject, problem: Problem, now: f64) {
        self.log_line(Level::Warn, problem.to_string(), now);
        self.notice(&problem.what, false);
        match subject {
            Subject::Model => self.model_refused(problem),
            Subject::Hub => self.search_refused(problem),
            Subject::Pairs => self.pairs_refused(problem),
            Subject::Chat => self.pairs.chat_refused = Some(problem),
            Subject::Plan => self.plan_refused(problem),
            Subject::Run => self.run_refused(problem),
            Subject::Race => self.race_refused(problem),
            Subject::Sweep => self.sweep_refused(problem),
            Subject::Compare => self.compare_refused(problem),
            Subject::Export => self.export_refused(problem),
            Subject::Runs => self.library_refused(problem),
            Subject::Bench => self.bench = BenchState::Failed(problem),
        }
    }

    fn cancelled(&mut self, subject: Subject) {
        self.notice(notices::CANCELLED, true);
        match subject {
            Subject::Model => self.model_cancelled(),
            Subject::Hub => self.hub.searching = false,
            Subject::Pairs => self.pairs_back(),
            // A template is set at once, so there is nothing to end.
            Subject::Chat => {}
            Subject::Plan => self.plan_cancelled(),
            Subject::Run => self.run_cancelled(),
            Subject::Race => self.race_ended(),
            Subject::Sweep => self.sweep_ended(),
            Subject::Compare => self.compare_ended(),
            Subject::Export => self.export_ended(),
            Subject::Runs => self.opening_ended(false),
            Subject::Bench => self.bench = BenchState::None,
        }
    }

    pub(super) fn forget_pending(&mut self) {
        if matches!(self.model, ModelState::Loading(_)) {
            self.model = ModelState::None;
        }
        self.pairs.loading = None;
        self.plan.pending = false;
        self.plan.trial = Trial::None;
        self.keeping_model = false;
        (self.hub.searching, self.hub.measuring) = (false, false);
        self.run_pending = false;
        self.race_ended();
        self.sweep_ended();
        self.asked_run = None;
        self.held_out_pending = None;
        self.inspection_pending = false;
        self.exporting = false;
        if matches!(self.bench, BenchState::Running(_)) {
            self.bench = BenchState::None;
        }
        self.end_texts();
    }
}
