//! A run in the session: preparing, training, watching, saving, and what happens when something fails.
//!
//! Pausing saves a checkpoint and gives the trainer's memory back; going on restores it, which is proved to give the
//! same numbers as never having stopped. A lost device, a crash and a closed page all take that same way back.

use std::rc::Rc;

use serde_json::{Value, json};

use super::answers::Writer;
use super::inputs::{self, is_evaluation, judged, rank};
use super::models::OpenModel;
use super::pairs::{Pairs, Split};
use super::planning;
use super::protocol::{
    Answered, Command, Drill, Event, Failure, Inputs, Metrics, ModelSource, Phase, Problem, RUN_MODEL, RunInfo,
    RunRecord, RunRequest, Settings, Share, Status, Summary, Watch,
};
use super::run::{self, Host, Next, number};
use super::runs::{self, RunFolder, Samples};
use super::session::{Session, Wire, split};
use super::stats::{likelier_wins, sparkline, wilson_interval};
use super::warnings::{Action, Facts, Warning, WarningKind, Watcher, exchanged};
use super::writing::{self, Style};
use crate::data::{Example, Method};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::kernels::{self, Sampling};
use crate::model::{Adapter, MAX_TEXTS, Model};
use crate::platform::LocalFuture;
use crate::platform::host::{self, Store, yield_now};
use crate::platform::is_storage_full;
use crate::train::{
    Checkpoint, Judged, LossType, OnlineRun, Options, PairLogps, PairSums, Reference, ReferenceKey, References, Scorer,
    TrainConfig, Trainer, check_fits, evaluation,
};

/// The run that is open: being trained, waiting, or over.
pub(super) struct Run {
    pub(super) record: RunRecord,
    pub(super) history: Vec<Metrics>,
    pub(super) samples: Samples,
    pub(super) prompts: Vec<String>,
    /// The latest state that is safe.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The adapter of the best evaluation.
    pub(super) best: Option<files::Adapter>,
    /// Held-out pairs and the base model's log-probabilities of them, once they are known.
    pub(super) held_out: Option<(Vec<Example>, Vec<PairLogps>)>,
    /// Something of it could not be written: it is only here.
    pub(super) unsaved: bool,
    /// Its pairs, to train on and held out, until they are written.
    pub(super) unwritten_pairs: Option<[Vec<u8>; 2]>,
    /// The best adapter is not written yet.
    best_is_new: bool,
    /// What looked wrong so far.
    warnings: Vec<Warning>,
    /// When it is continued by itself, and after what.
    pub(super) retry: Option<Retry>,
    watcher: Option<Watcher>,
    device_losses: usize,
    /// It was there before it was continued here.
    kept: bool,
    planned_bytes: u64,
    device_bytes: u64,
}

/// A run that lost its device, and is continued at this time on the platform's clock.
pub(super) struct Retry {
    pub(super) at: f64,
    failure: Failure,
}

/// How a run came to a stop without a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Finished,
    Paused,
    Stopped,
    Discarded,
}

/// Watched prompts that are taken from the held-out pairs if none are given.
const WATCHED_PROMPTS: usize = 3;
/// Beginnings of metrics of an evaluation that log-probabilities alone do not give.
const OF_TOKENS: [&str; 3] = ["eval_entropy", "eval_logits/", "eval_mean_token_accuracy"];
/// Points of a run's sparkline.
const SPARKLINE: usize = 32;

impl Run {
    pub(super) fn new(record: RunRecord) -> Self {
        Self {
            record,
            history: Vec::new(),
            samples: Vec::new(),
            prompts: Vec::new(),
            checkpoint: None,
            best: None,
            held_out: None,
            unsaved: false,
            unwritten_pairs: None,
            best_is_new: false,
            warnings: Vec::new(),
            retry: None,
            watcher: None,
            device_losses: 0,
            kept: false,
            planned_bytes: 0,
            device_bytes: 0,
        }
    }

    /// What the user interface wants to know of it.
    pub(super) fn info(&self) -> RunInfo {
        RunInfo {
            record: self.record.clone(),
            history: self.history.clone(),
            prompts: self.prompts.clone(),
            samples: self.samples.clone(),
            warnings: self.warnings.clone(),
            planned_bytes: self.planned_bytes,
            device_bytes: self.device_bytes,
        }
    }

    /// Nothing here is on a device; log-probabilities of the base stay true.
    pub(super) fn forget_device(&mut self) {
        self.device_bytes = 0;
    }

    /// The step that a restart would go on from.
    fn safe_step(&self) -> usize {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.place.step)
    }

    /// Goes back to the latest checkpoint.
    fn rewind(&mut self) {
        let safe = self.safe_step();
        // The evaluation at step 0 is the base model's and stays true.
        self.history.retain(|entry| step_of(entry) <= safe);
        self.samples.retain(|(step, _)| *step <= safe);
        self.warnings.retain(|warning| warning.step <= safe);
        self.record.step = safe;
        self.watcher = None;
        if self.record.best.as_ref().is_some_and(|best| step_of(best) > safe) {
            // There is no adapter of what was best before: the next evaluation is the best.
            (self.best, self.best_is_new) = (None, false);
            (self.record.best, self.record.best_step) = (None, None);
        }
        self.record.won = self.won();
    }

    fn evaluations(&self) -> impl DoubleEndedIterator<Item = &Metrics> {
        self.history.iter().filter(|entry| is_evaluation(entry))
    }

    /// The evaluation at a step.
    fn evaluation_at(&self, step: usize) -> Option<&Metrics> {
        self.evaluations().find(|entry| step_of(entry) == step)
    }

    /// Held-out accuracy before and at the latest evaluation.
    fn won(&self) -> Option<[f64; 2]> {
        let mut evaluations = self.evaluations();
        let first = evaluations.next()?;
        let last = evaluations.next_back().unwrap_or(first);
        let won = [first, last].map(|entry| number(entry, "eval_preference_accuracy"));
        won.iter().all(|won| won.is_finite()).then_some(won)
    }

    /// Follows what was measured again: a watcher that knows it, and everything that it has to say of it.
    fn replay(&self, facts: Facts) -> (Watcher, Vec<Warning>) {
        let usual = self.record.seconds / self.record.step.max(1) as f64;
        let mut watcher = Watcher::new(facts);
        let mut said = watcher.start();
        let mut samples = self.samples.iter().peekable();
        for entry in &self.history {
            while let Some((step, texts)) = samples.next_if(|(step, _)| *step < step_of(entry)) {
                said.extend(watcher.samples(*step, texts));
            }
            said.extend(match is_evaluation(entry) {
                true => watcher.evaluation(entry),
                false => watcher.step(entry, usual),
            });
        }
        for (step, texts) in samples {
            said.extend(watcher.samples(*step, texts));
        }
        (watcher, said)
    }

    /// Every file that it has, as it is here.
    pub(super) fn files_in_memory(&self, pairs: [Vec<u8>; 2]) -> Vec<(String, Vec<u8>)> {
        let (checkpoint, best) = (self.checkpoint.as_ref(), self.best.as_ref());
        runs::files_in_memory(&self.record, &pairs, checkpoint, best, &self.history, &self.samples)
    }

    /// Becomes a new run with other settings, which goes on from the same state.
    fn branch(&mut self, config: &TrainConfig, split: &Split, pairs: Option<[Vec<u8>; 2]>) {
        let now = host::unix_seconds();
        self.rescale_rewards(config.beta / number(&self.record.settings, "beta"));
        let record = &mut self.record;
        record.name = format!("{}, branch", record.name.trim_end_matches(", branch"));
        record.run_id = run_id(now, &record.name);
        record.created = now;
        record.settings = config.to_map();
        record.checkpoint = None;
        record.n_steps = config.steps_on(split.train.len());
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.place.config = config.to_map();
        }
        (self.unwritten_pairs, self.best_is_new, self.unsaved) = (pairs, self.best.is_some(), false);
    }

    /// Rewards are beta times nats: those from before are told at the new beta, like those that follow.
    fn rescale_rewards(&mut self, factor: f64) {
        if !factor.is_finite() || factor == 1.0 {
            return;
        }
        for (name, value) in self.history.iter_mut().chain(&mut self.record.best).flat_map(|entry| entry.iter_mut()) {
            if name.contains("rewards/")
                && !name.ends_with("accuracies")
                && let Some(reward) = value.as_f64()
            {
                *value = json!(reward * factor);
            }
        }
    }

    /// Keeps warnings that were not told before, and tells them.
    fn warn(&mut self, wire: &Wire, warnings: Vec<Warning>) {
        for warning in warnings {
            if self.warnings.iter().all(|told| (told.kind, told.step) != (warning.kind, warning.step)) {
                self.warnings.push(warning.clone());
                wire.send(Event::Warned { run_id: self.record.run_id.clone(), warning });
            }
        }
    }

    /// Writes what is not stored yet: pairs, state, best adapter. Returns the bytes of the state.
    async fn write(&mut self, store: &Store) -> Result<u64> {
        let folder = RunFolder::new(store, &self.record.run_id);
        if let Some(pairs) = &self.unwritten_pairs {
            folder.begin(&self.record, pairs).await?;
            self.unwritten_pairs = None;
        }
        let Some(checkpoint) = &self.checkpoint else { return Ok(0) };
        let new_best = self.best.as_ref().filter(|_| self.best_is_new);
        let bytes = folder.save(checkpoint, new_best, &mut self.record, &self.history, &self.samples).await?;
        self.best_is_new = false;
        Ok(bytes)
    }
}

impl Session {
    /// Begins a run with the open model and pairs.
    pub(super) async fn start(&mut self, request: RunRequest) -> Result<()> {
        self.may_close_run()?;
        let mut config = TrainConfig::from_map(&request.settings, "settings")?;
        inputs::check(&config, &request.inputs)?;
        let model = self.opened()?;
        self.reward_models(&model, &request.inputs).await?;
        if let Some(first) = self.first_adapter(&request.inputs, &config, &model).await? {
            // Its shape is its own, whatever the settings say.
            config.take_adapter(&first.config, &Settings::new(), "settings")?;
        }
        self.need_gpu().await?;
        let split = self.split(&config).await?;
        let Some(pairs) = &self.pairs else { return Err(Error::input("No pairs are open", "Choose a pairs file", "")) };
        let now = host::unix_seconds();
        let prompts = match request.watch.prompts.is_empty() {
            // A reward model writes nothing.
            _ if config.method() == Method::Reward => Vec::new(),
            false => request.watch.prompts.clone(),
            true => watched_prompts(pairs, &split),
        };
        let files = pairs.to_files(&split);
        let planned_bytes = planning::memory(&config, &model, &split)?.total();
        let record = RunRecord {
            run_id: run_id(now, &request.name),
            name: request.name,
            notes: String::new(),
            status: Status::Running,
            created: now,
            seconds: 0.0,
            model: model.source.clone(),
            model_name: model.name.clone(),
            model_bytes: model.weight_bytes.stored,
            licence: model.licence.clone(),
            pairs_name: pairs.name.clone(),
            chat: model.tokenizer().chat().clone(),
            settings: config.to_map(),
            watch: Watch { prompts: prompts.clone(), ..request.watch },
            inputs: request.inputs,
            step: 0,
            n_steps: config.steps_on(split.train.len()),
            checkpoint: None,
            best_step: None,
            best: None,
            won: None,
            n_held_out: split.held_out.len(),
            longer_wins: pairs.longer_wins(split.held_out.iter().map(|pair| pair.row)),
            likelier_wins: None,
            sparkline: Vec::new(),
            bytes: files.iter().map(|file| file.len() as u64).sum(),
        };
        let mut run = Run::new(record);
        run.prompts = prompts;
        run.planned_bytes = planned_bytes;
        run.unwritten_pairs = Some(files);
        self.run = Some(run);
        self.train().await;
        Ok(())
    }

    /// Goes on with a run; with other settings, as a new one from the same state.
    pub(super) async fn resume(&mut self, run_id: &str, settings: Settings) -> Result<()> {
        if !self.is_current(run_id) {
            self.open_run(run_id).await?;
        }
        let model = self.opened()?;
        self.need_gpu().await?;
        let goes_on = settings.is_empty();
        let Some(run) = &self.run else { return Err(Error::input("There is no such run", "Choose another", "")) };
        if !settings.is_empty() {
            let mut all = run.record.settings.clone();
            all.extend(settings);
            // What fails or is cancelled here leaves the run as it is.
            let config = TrainConfig::from_map(&all, "settings")?;
            let split = self.split(&config).await?;
            let planned_bytes = planning::memory(&config, &model, &split)?.total();
            let pairs = self.pairs.as_ref().map(|pairs| pairs.to_files(&split));
            if let Some(run) = &mut self.run {
                run.planned_bytes = planned_bytes;
                run.branch(&config, &split, pairs);
            }
        }
        if let Some(run) = &mut self.run {
            run.rewind();
            run.device_losses = 0;
            run.kept |= goes_on;
        }
        self.train().await;
        Ok(())
    }

    /// Continues the run that lost its device: nobody decided otherwise.
    pub(super) async fn retry(&mut self) {
        self.log("info", "the run is continued by itself".to_owned());
        if let Some(run) = &mut self.run {
            let step = run.safe_step();
            // For who did not look while it was counted down.
            let text = format!("The graphics driver reset. The run went on by itself from step {step}.");
            run.warn(&self.wire, vec![Warning { kind: WarningKind::DeviceLost, step, text, action: Action::None }]);
        }
        self.train().await;
    }

    /// Leaves the run that lost its device where it is safe, until somebody continues it.
    pub(super) async fn give_up_retry(&mut self) {
        let Some(run) = &mut self.run else { return };
        let Some(Retry { failure, .. }) = run.retry.take() else { return };
        let (run_id, safe_step) = (run.record.run_id.clone(), Some(run.safe_step()));
        self.settle(Status::Failed).await;
        self.wire.send(Event::Failed { run_id, failure, safe_step });
    }

    /// Throws a run away.
    pub(super) async fn discard(&mut self, run_id: &str) -> Result<()> {
        if self.is_current(run_id) {
            self.run = None;
        }
        let deleted = match self.store.is_ok() {
            true => self.delete_run(run_id).await,
            false => Ok(()),
        };
        // It is closed in any case; what stays of it is told.
        self.wire.send(Event::Discarded { run_id: run_id.to_owned() });
        deleted
    }

    /// Opens a stored run, with its model and its pairs.
    pub(super) async fn open_run(&mut self, run_id: &str) -> Result<()> {
        if let Some(run) = self.run.as_mut().filter(|run| run.record.run_id == run_id) {
            run.retry = None;
            // What is in memory may be newer than what is stored.
            self.wire.send(Event::RunOpened(Box::new(run.info())));
            return Ok(());
        }
        self.may_close_run()?;
        let folder = RunFolder::new(self.store()?, run_id);
        let stored = folder.read().await?;
        let [train, held_out] = folder.pairs().await?;
        let mut record = stored.record;
        let mut pairs = Pairs::from_parts(&record.pairs_name, &train, &held_out).await?;
        if let Ok(config) = TrainConfig::from_map(&record.settings, "settings") {
            self.planned_load_in = config.load_in;
        }
        self.open_model_of(&record, stored.checkpoint.as_ref(), &mut pairs).await?;
        if let Some(open) = &self.model {
            open.set_tokenizer(open.tokenizer().with_chat(record.chat.clone())?);
            self.wire.send(Event::ChatSet(Box::new(open.chat())));
        }
        // Where it can be opened again, which need not be where it was.
        if let Some(source) = self.model.as_ref().map(|open| &open.source)
            && !matches!(source, ModelSource::Picked { path: None, .. })
        {
            record.model = source.clone();
        }
        self.set_pairs(pairs);
        let mut run = Run::new(record);
        run.prompts.clone_from(&run.record.watch.prompts);
        (run.history, run.samples) = (stored.history, stored.samples);
        (run.checkpoint, run.best) = (stored.checkpoint, stored.best);
        if run.record.status == Status::Running {
            run.record.status = Status::Paused;
        }
        if let Ok(config) = TrainConfig::from_map(&run.record.settings, "settings") {
            run.warnings = run.replay(facts(&config, run.record.n_held_out, run.record.n_steps)).1;
        }
        self.wire.send(Event::RunOpened(Box::new(run.info())));
        self.run = Some(run);
        Ok(())
    }

    /// Sees to it that a stored run's model is open: the open one will do, wherever it is from, if it has the same
    /// content; else the one at the place where the run's was.
    async fn open_model_of(
        &mut self,
        record: &RunRecord,
        checkpoint: Option<&Checkpoint>,
        pairs: &mut Pairs,
    ) -> Result<()> {
        if self.is_model_of(record, checkpoint, pairs).await? {
            return Ok(());
        }
        let missing = match self.read_model(record.model.clone(), Vec::new()).await {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => Some(Problem::from(&error).what),
            Ok(model) => {
                self.take_model(model).await?;
                if self.is_model_of(record, checkpoint, pairs).await? {
                    return Ok(());
                }
                None
            }
        };
        let name = &record.model_name;
        let wanted = match record.model_bytes {
            0 => format!("\"{name}\""),
            bytes => format!("\"{name}\" ({} of weights)", planning::gigabytes(bytes)),
        };
        let mut what = match &self.model {
            Some(open) => {
                format!("The run \"{}\" belongs to the model {wanted}; \"{}\" is another", record.name, open.name)
            }
            None => format!("The run \"{}\" needs its model {wanted}, which is not open", record.name),
        };
        if let Some(missing) = missing {
            what += &format!(". Where the run had it: {missing}");
        }
        let fix = format!("Open the folder that \"{name}\" is in now");
        Err(Error::input(what, fix, RUN_MODEL))
    }

    /// True if the open model is the one of a stored run: by its content if the run has a state that tells, and there
    /// is a device to read the weights to.
    async fn is_model_of(
        &mut self,
        record: &RunRecord,
        checkpoint: Option<&Checkpoint>,
        pairs: &mut Pairs,
    ) -> Result<bool> {
        let Some(open) = self.model.clone() else { return Ok(false) };
        let (Some(checkpoint), Some(_)) = (checkpoint, &self.gpu) else {
            return Ok(open.source == record.model || open.name == record.model_name);
        };
        let config = TrainConfig::from_map(&record.settings, "settings")?;
        let model = self.bench_in(config.load_in).await?.model;
        let tokenizer = open.tokenizer().with_chat(record.chat.clone())?;
        match split(&mut self.wire, pairs, &tokenizer, &config).await {
            Ok(split) => {
                let first = match config.reference {
                    Reference::InitialAdapter => self.first_adapter(&record.inputs, &config, &open).await?,
                    Reference::Base => None,
                };
                let initial = first.map(|first| first.tensor_file());
                let data = data_of(&model, &tokenizer.fingerprint(), &config, &split.train, initial.as_deref());
                Ok(data.0 == checkpoint.place.data)
            }
            Err(Error::Cancelled) => Err(Error::Cancelled),
            // Another model's tokens may leave no pair at all.
            Err(_) => Ok(false),
        }
    }

    /// Trains the open run until it stops, and says how.
    async fn train(&mut self) {
        if let Some(run) = &mut self.run {
            run.retry = None;
            run.record.status = Status::Running;
            self.wire.send(Event::RunStarted(Box::new(run.info())));
            if run.unsaved || run.unwritten_pairs.is_some() {
                self.store_run().await;
            }
        }
        let ended = self.attempt().await;
        let Some(run) = &mut self.run else { return };
        let run_id = run.record.run_id.clone();
        let safe_step = Some(run.safe_step());
        let failure = match ended {
            Ok(Stop::Discarded) => {
                if let Err(e) = self.discard(&run_id).await {
                    self.log("error", e.to_string());
                }
                return;
            }
            Ok(Stop::Paused) => {
                let step = run.record.step;
                self.settle(Status::Paused).await;
                self.wire.send(Event::Paused { run_id, step });
                return;
            }
            Ok(stop) => {
                self.settle(if stop == Stop::Finished { Status::Finished } else { Status::Stopped }).await;
                if let Some(run) = &self.run {
                    self.wire.send(Event::Finished(Box::new(summary(run))));
                }
                return;
            }
            Err(Error::DeviceLost { what, fix }) => {
                run.device_losses += 1;
                let first = run.device_losses == 1;
                run.rewind();
                // A driver that was reset may have waited too long for one submission.
                self.shorten_submissions();
                self.recover_gpu().await;
                let failure = Failure::DeviceLost { problem: Problem { what, fix, at: String::new() } };
                // A driver that is still busy with itself may be there when the time has passed.
                if let Some(run) = self.run.as_mut().filter(|_| first) {
                    let (seconds, at) = (self.retry_seconds, host::seconds() + self.retry_seconds);
                    run.retry = Some(Retry { at, failure: failure.clone() });
                    self.wire.send(Event::Recovering { run_id, failure, safe_step, seconds });
                    return;
                }
                failure
            }
            Err(Error::OutOfMemory { what, fix }) => {
                let what = format!("{what}, after step {}", run.record.step);
                run.rewind();
                let fixes = self.memory_fixes().await;
                self.recover_gpu().await;
                Failure::OutOfMemory { problem: Problem { what, fix, at: String::new() }, fixes }
            }
            Err(Error::Diverged { step, what }) => {
                let pairs = std::mem::take(&mut self.batch);
                self.settle(Status::Diverged).await;
                let failure = Failure::Diverged { step, what, pairs };
                self.wire.send(Event::Failed { run_id, failure, safe_step });
                return;
            }
            Err(error) => {
                run.rewind();
                Failure::Other { problem: Problem::from(&error) }
            }
        };
        self.settle(Status::Failed).await;
        self.wire.send(Event::Failed { run_id, failure, safe_step });
    }

    /// Gives the run its status, in the store too.
    async fn settle(&mut self, status: Status) {
        let Some(run) = &mut self.run else { return };
        run.record.status = status;
        let losses: Vec<f64> =
            run.history.iter().map(|entry| number(entry, "loss")).filter(|l| l.is_finite()).collect();
        run.record.sparkline = sparkline(&losses, SPARKLINE);
        let mut stored = run.record.clone();
        if run.unsaved && matches!(status, Status::Finished | Status::Stopped) {
            // The state in the store is from before the end.
            stored.status = Status::Paused;
        }
        // What was not begun has no record.
        if let (Ok(store), None) = (&self.store, &run.unwritten_pairs)
            && let Err(e) = RunFolder::new(store, &stored.run_id).settle(&stored).await
        {
            self.not_saved(&e);
        }
        self.list_runs().await;
    }

    /// Writes what of the open run is not stored yet, and says how that went. What could not be written stays in
    /// memory, and the run goes on.
    pub(super) async fn store_run(&mut self) {
        let began = host::seconds();
        let full = self.drilled(Drill::FillStorage);
        let Some(run) = &mut self.run else { return };
        let written = match &self.store {
            _ if full => Err(Error::input("Storage is full (a rehearsal)", "Delete old runs, or export this one", "")),
            Ok(store) => run.write(store).await,
            Err(e) => Err(e.clone()),
        };
        match written {
            Ok(bytes) => {
                run.unsaved = false;
                if let Some(checkpoint) = &run.checkpoint {
                    let (run_id, step) = (run.record.run_id.clone(), checkpoint.place.step);
                    let seconds = host::seconds() - began;
                    self.wire.send(Event::Saved { run_id, step, bytes, seconds });
                }
            }
            Err(e) => self.not_saved(&e),
        }
    }

    /// Something of the open run is only in memory.
    fn not_saved(&mut self, error: &Error) {
        let Some(run) = &mut self.run else { return };
        run.unsaved = true;
        let (run_id, full) = (run.record.run_id.clone(), is_storage_full(error));
        self.wire.send(Event::NotSaved { run_id, problem: Problem::from(error), full });
    }

    /// What would make the run fit, from its own settings.
    async fn memory_fixes(&mut self) -> Vec<super::protocol::Fix> {
        let settings = self.run.as_ref().map(|run| run.record.settings.clone()).unwrap_or_default();
        let (Ok(config), Ok(model)) = (TrainConfig::from_map(&settings, "settings"), self.opened()) else {
            return Vec::new();
        };
        let Ok(split) = self.split(&config).await else { return Vec::new() };
        let mut fixes = match planning::memory(&config, &model, &split) {
            Ok(memory) => planning::fixes(&config, &model, &split, &memory),
            Err(_) => Vec::new(),
        };
        // A state that is half trained has its rank, its tokens and its base.
        if self.run.as_ref().is_some_and(|run| run.checkpoint.is_some()) {
            fixes.retain(|fix| !fix.settings.keys().any(|key| ["r", "max_length", "load_in"].contains(&key.as_str())));
        }
        fixes
    }

    /// Prepares and trains once, from the latest checkpoint to the next stop.
    async fn attempt(&mut self) -> Result<Stop> {
        let gpu = self.need_gpu().await?;
        match self.train_on(&gpu).await {
            Err(Error::Cancelled) => Ok(self.asked_to_stop().await),
            // A device that is gone fails in many ways.
            Err(error @ (Error::Device { .. } | Error::DeviceLost { .. })) => match gpu.wait().await {
                Err(Error::OutOfMemory { what, fix }) => Err(Error::OutOfMemory { what, fix }),
                Err(e) => {
                    Err(Error::DeviceLost { what: e.to_string(), fix: "Continue from the checkpoint".to_owned() })
                }
                Ok(()) => Err(error),
            },
            ended => ended,
        }
    }

    async fn train_on(&mut self, gpu: &Rc<Gpu>) -> Result<Stop> {
        let counted = host::seconds();
        let settings = self.run.as_ref().map(|run| run.record.settings.clone()).unwrap_or_default();
        let config = TrainConfig::from_map(&settings, "settings")?;
        let open = &self.opened()?;
        let split = self.split(&config).await?;
        let memory = planning::memory(&config, open, &split)?;
        check_fits(&memory, self.limit_now())?;
        let run_id = self.run.as_ref().map(|run| run.record.run_id.clone()).unwrap_or_default();
        let (wire, store) = (&mut self.wire, self.store.as_ref().ok());
        wire.begin();
        let mut read = |done| {
            tell(wire, &run_id, Phase::Loading, done, open.weight_bytes.stored);
            !wire.inbox.wants_the_run_to_end(&run_id)
        };
        let model = open.load(gpu, store, config.load_in, &mut read).await?;
        self.adopt_kernels(gpu, open);
        let inputs = self.run.as_ref().map(|run| run.record.inputs.clone()).unwrap_or_default();
        let first = self.beginning(&inputs, &config, open).await?;
        let first_reference = Self::reference_adapter(gpu, open, &model, &config, first.as_ref())?;
        let initial = first_reference.as_ref().map(|(_, bytes)| bytes.as_slice());
        let tokenizer = &open.tokenizer();
        let data = data_of(&model, &tokenizer.fingerprint(), &config, &split.train, initial);
        let adapter = Self::upload(gpu, open, &model, &config, first.as_ref())?;
        let n_rows = split.train.len() + split.held_out.len();
        let passes = config.passes(split.train.len());
        let facts = Facts {
            n_truncated: split.n_truncated,
            n_pairs: n_rows,
            passes,
            ..facts(&config, split.held_out.len(), config.steps_on(split.train.len()))
        };
        let fresh = first.is_none() && config.method() != Method::Reward;
        let reference = first_reference.map(|(adapter, _)| adapter);
        let (mut trainer, judge) = match config.answers() {
            None => {
                let known = match config.has_reference() {
                    true => self.known_reference(gpu, &data, split.train.len()).await,
                    false => vec![None; split.train.len()],
                };
                let reference = References { known, adapter: reference };
                (Trainer::new(gpu, &model, config, adapter, split.train, reference)?, None)
            }
            Some(_) => {
                let rewards = self.rewards(gpu, open, &inputs).await?;
                let Some(pairs) = &self.pairs else { return Ok(Stop::Discarded) };
                let writer = |rows: &[Example]| rewards.writer(pairs, rows, &config, tokenizer, &open.eos);
                let judge = if split.held_out.is_empty() { None } else { Some(writer(&split.held_out)?) };
                let (source, value) = (Box::new(writer(&split.train)?), Self::value_model(gpu, open, &config)?);
                let mut ends = open.eos.clone();
                ends.extend(tokenizer.pad_id());
                let online = OnlineRun { source, reference, value, ends, eos: tokenizer.eos_id() };
                (Trainer::online(gpu, &model, config, adapter, online)?, judge)
            }
        };
        let Some(run) = &mut self.run else { return Ok(Stop::Discarded) };
        run.held_out = None;
        run.planned_bytes = memory.total();
        if let Some(checkpoint) = &run.checkpoint {
            checkpoint.restore(gpu, &mut trainer, &data.0, &run.record.name)?;
        }
        run.record.step = trainer.step;
        run.record.n_steps = trainer.n_steps;
        // What was told before is not told again.
        let (watcher, said) = run.replay(facts);
        run.watcher = Some(watcher);
        run.warn(&self.wire, said);

        let (data, saved_at, stop) = (&data, host::seconds(), None);
        let n_known = trainer.reference().iter().flatten().count();
        let held_out = split.held_out;
        let model = &*model;
        let mut live =
            Live { session: self, gpu, model, open, data, held_out, judge, fresh, counted, saved_at, n_known, stop };
        // What does not begin as the base model is looked at before it changes.
        if trainer.step == 0 && !fresh {
            live.look(&trainer).await?;
        }
        // A click may have ended what was due at this step. What the base model does is looked at after a few steps:
        // people see first that it trains.
        if trainer.step > 0 && live.look_due(&trainer) {
            live.look_at_the_base(&trainer).await?;
            live.look(&trainer).await?;
        }
        let (step, n_steps) = (trainer.step as u64, trainer.n_steps as u64);
        tell(&mut live.session.wire, &run_id, Phase::Training, step, n_steps);
        match run::steps(&mut trainer, &mut live).await {
            Ok(_) => {}
            Err(error) => {
                if let Error::Diverged { .. } = error {
                    // The adapter is as it was after the last good step.
                    live.session.batch = trainer.next_rows();
                    live.save(&trainer).await?;
                }
                return Err(error);
            }
        }
        let stop = live.stop.unwrap_or(Stop::Finished);
        if matches!(stop, Stop::Finished | Stop::Stopped) {
            // What was trained is safe before anybody looks at it.
            live.save(&trainer).await?;
            live.look_at_the_base(&trainer).await?;
            live.look(&trainer).await?;
            live.save(&trainer).await?;
        }
        Ok(stop)
    }

    /// The adapter that the open run begins with, if it is no fresh one: once there is a state, that says what it is
    /// like, and the first is needed as the reference alone.
    async fn beginning(
        &self,
        inputs: &Inputs,
        config: &TrainConfig,
        open: &OpenModel,
    ) -> Result<Option<files::Adapter>> {
        let checkpoint = self.run.as_ref().and_then(|run| run.checkpoint.as_ref());
        match checkpoint.filter(|_| inputs.start_from.is_some() && config.reference == Reference::Base) {
            Some(checkpoint) => Ok(Some(checkpoint.adapter.clone())),
            None => self.first_adapter(inputs, config, open).await,
        }
    }

    /// The kernels that the run began with, else those that are the fastest here.
    fn adopt_kernels(&mut self, gpu: &Gpu, open: &OpenModel) {
        kernels::adopt(gpu, &open.tuned());
        let checkpoint = self.run.as_ref().and_then(|run| run.checkpoint.as_ref());
        if let Some(warning) = checkpoint.and_then(|checkpoint| run::adopt(gpu, &checkpoint.place.variants)) {
            self.log("warn", warning);
        }
    }

    /// The command that ended a preparation or a step.
    async fn asked_to_stop(&mut self) -> Stop {
        while let Some(message) = self.wire.inbox.poll() {
            match message.command {
                Command::Pause | Command::Stop => return Stop::Paused,
                Command::Discard { ref run_id } if self.is_current(run_id) => return Stop::Discarded,
                Command::Cancel => break,
                _ => self.handle_aside(message).await,
            }
        }
        // What was there before it was continued here stays.
        let keep = self.run.as_ref().is_some_and(|run| run.kept || run.checkpoint.is_some());
        if keep { Stop::Paused } else { Stop::Discarded }
    }

    /// Log-probabilities of pairs by the base model, as far as they are in the store.
    async fn known_reference(&mut self, gpu: &Gpu, key: &ReferenceKey, n_pairs: usize) -> Vec<Option<PairLogps>> {
        let stored = match &self.store {
            Ok(store) => store.read(&reference_path(gpu, key)).await.ok(),
            Err(_) => None,
        };
        run::known_reference(stored.as_deref(), n_pairs)
    }

    /// Stores what is known of them.
    async fn keep_reference(&mut self, gpu: &Gpu, key: &ReferenceKey, known: &[Option<PairLogps>]) {
        if let Ok(store) = &self.store
            && let Err(e) = store.write(&reference_path(gpu, key), &serde_json::to_vec(known).unwrap_or_default()).await
        {
            self.log("warn", format!("the reference log-probabilities are not kept: {e}"));
        }
    }

    /// Log-probabilities by the base model, or by the adapter that a run with this key begins with; from the store if
    /// they were computed before.
    pub(super) async fn reference(
        &mut self,
        gpu: &Gpu,
        model: &Model,
        config: &TrainConfig,
        examples: &[Example],
        first: Option<(&Adapter, &ReferenceKey)>,
    ) -> Result<Vec<PairLogps>> {
        let tokenizer = self.opened()?.tokenizer().fingerprint();
        let initial = first.map(|(_, key)| key.0.as_bytes());
        let key = &ReferenceKey::new(model, &tokenizer, config, examples, initial);
        let mut known = self.known_reference(gpu, key, examples.len()).await;
        let run_id = self.run.as_ref().map(|run| run.record.run_id.clone()).unwrap_or_default();
        let (total, n_known) = (examples.len() as u64, known.iter().flatten().count());
        let wire = &mut self.wire;
        wire.begin();
        let adapter = first.map(|(adapter, _)| adapter);
        let logps = run::reference(gpu, model, config, adapter, examples, &mut known, &mut |done| {
            tell(wire, &run_id, Phase::Reference, done as u64, total);
            !wire.inbox.wants_the_run_to_end(&run_id)
        })
        .await?;
        if n_known < examples.len() {
            self.keep_reference(gpu, key, &known).await;
        }
        Ok(logps)
    }
}

/// A hash of what a run is trained on and measured against; of answers that are written there is none.
fn data_of(
    model: &Model,
    tokenizer: &str,
    config: &TrainConfig,
    train: &[Example],
    initial: Option<&[u8]>,
) -> ReferenceKey {
    let train = if config.answers().is_some() { &[] } else { train };
    ReferenceKey::new(model, tokenizer, config, train, initial)
}

/// The sums of an answer of which the log-probability alone is known.
fn sums_of(logp: f32) -> [f32; 8] {
    [logp, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
}

fn reference_path(gpu: &Gpu, key: &ReferenceKey) -> String {
    format!("reference/{}.json", key.scores(gpu))
}

/// How the watched prompts are answered, with the same seed every time.
const WATCHED: Sampling = Sampling { temperature: 0.7, top_k: 0, top_p: 1.0, seed: 1 };

/// A run between two of its steps.
struct Live<'a> {
    session: &'a mut Session,
    gpu: &'a Rc<Gpu>,
    model: &'a Model,
    open: &'a OpenModel,
    data: &'a ReferenceKey,
    held_out: Vec<Example>,
    /// Of a run that writes answers: those to held-out prompts.
    judge: Option<Writer<'a>>,
    /// The run begins as the base model does.
    fresh: bool,
    /// Up to when the run's seconds are counted.
    counted: f64,
    saved_at: f64,
    /// Pairs whose reference is in the store.
    n_known: usize,
    stop: Option<Stop>,
}

/// Answers of an evaluation at most.
const MOST_JUDGED: usize = 4 * MAX_TEXTS;
/// Steps after which the base model is looked at, its held-out pairs and its answers, unless a look is due before.
const FIRST_STEPS: usize = 3;

impl Host for Live<'_> {
    fn answers(&mut self, answers: Vec<Judged>, rewards: &[String]) -> Result<()> {
        let (run_id, step) = (self.run().record.run_id.clone(), self.run().record.step + 1);
        let tokenizer = self.open.tokenizer();
        let mut told = Vec::with_capacity(answers.len());
        for Judged { rollout, advantages, .. } in answers {
            told.push(Answered {
                row: rollout.prompt_row,
                prompt: tokenizer.decode(&rollout.prompt, true)?,
                text: tokenizer.decode(&rollout.completion, true)?,
                tokens: rollout.completion.len(),
                rewards: rollout.rewards,
                // PPO has one for each token.
                advantage: advantages.iter().sum::<f64>() / advantages.len().max(1) as f64,
            });
        }
        self.session.wire.send(Event::Rollouts { run_id, step, rewards: rewards.to_vec(), answers: told });
        Ok(())
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            self.step_taken(trainer, metrics, seconds);
            if self.session.drilled(Drill::Diverge) {
                return Err(Error::Diverged { step: trainer.step + 1, what: "a rehearsal".to_owned() });
            }
            if self.session.drilled(Drill::OutOfMemory) {
                let (what, fix) = ("The GPU ran out of memory (a rehearsal)", "Apply one of the fixes");
                return Err(Error::OutOfMemory { what: what.to_owned(), fix: fix.to_owned() });
            }
            // What was sent while the step ran can arrive now.
            yield_now().await;
            self.listen(trainer).await?;
            let due = self.look_due(trainer);
            if self.stop.is_none() && (due || trainer.step >= FIRST_STEPS || trainer.done()) {
                self.look_at_the_base(trainer).await?;
            }
            if self.stop.is_none() && due {
                self.look(trainer).await?;
            }
            self.listen(trainer).await?;
            // The best adapter goes with the state that it was measured in.
            // What could not be written is tried again when a save is due.
            let due = self.save_due(trainer) || (self.run().best_is_new && !self.run().unsaved);
            match self.stop {
                Some(Stop::Discarded) => return Ok(Next::End),
                Some(_) => self.save(trainer).await?,
                None if due => self.save(trainer).await?,
                None => {}
            }
            Ok(if self.stop.is_some() { Next::End } else { Next::GoOn })
        })
    }
}

impl Live<'_> {
    fn run(&mut self) -> &mut Run {
        self.session.run.as_mut().expect("a run that is trained is open")
    }

    /// Remembers the most that the run ever held on the device.
    fn measure(&mut self) {
        let bytes = self.gpu.live_bytes();
        let run = self.run();
        run.device_bytes = run.device_bytes.max(bytes);
    }

    /// Counts the time until now as the run's.
    fn count_time(&mut self) {
        let now = host::seconds();
        let since = now - std::mem::replace(&mut self.counted, now);
        self.run().record.seconds += since;
    }

    fn step_taken(&mut self, trainer: &Trainer<'_>, metrics: &Metrics, seconds: f64) {
        self.count_time();
        self.measure();
        let run = self.run();
        run.history.push(metrics.clone());
        run.record.step = trainer.step;
        let warnings = run.watcher.as_mut().map(|watcher| watcher.step(metrics, seconds)).unwrap_or_default();
        let run_id = run.record.run_id.clone();
        self.warn(warnings);
        self.session.wire.send(Event::Step { run_id, metrics: metrics.clone(), seconds });
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        let Session { run, wire, .. } = &mut *self.session;
        run.iter_mut().for_each(|run| run.warn(wire, warnings.clone()));
    }

    /// True at the steps at which the model is looked at.
    fn look_due(&mut self, trainer: &Trainer<'_>) -> bool {
        let every = self.run().record.watch.eval_steps;
        every > 0 && trainer.step.is_multiple_of(every) && !trainer.done()
    }

    fn save_due(&mut self, trainer: &Trainer<'_>) -> bool {
        let (every, seconds) = (trainer.config.save_steps, self.run().record.watch.save_seconds);
        (every > 0 && trainer.step.is_multiple_of(every))
            || (seconds > 0.0 && host::seconds() - self.saved_at >= seconds)
    }

    /// Takes what people sent since the last step.
    async fn listen(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        while let Some(message) = self.session.wire.inbox.poll() {
            match message.command {
                Command::Pause | Command::Cancel => self.stop = self.stop.or(Some(Stop::Paused)),
                Command::Stop => self.stop = Some(Stop::Stopped),
                Command::Discard { ref run_id } if self.session.is_current(run_id) => self.stop = Some(Stop::Discarded),
                Command::Export(_) => {
                    // What is exported is what was trained until now, even if it cannot be stored.
                    self.save(trainer).await?;
                    self.session.handle_aside(message).await;
                }
                _ => self.session.handle_aside(message).await,
            }
        }
        Ok(())
    }

    /// Scores the held-out pairs and answers the watched prompts, unless somebody wants something else.
    async fn look(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let looked = async {
            self.evaluate(trainer).await?;
            self.sample(trainer, None).await
        };
        match looked.await {
            // What it is comes next.
            Err(Error::Cancelled) => Ok(()),
            looked => looked,
        }
    }

    /// Looks at what the run begins as, unless that was done before.
    async fn look_at_the_base(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        if !self.fresh {
            return Ok(());
        }
        let looked = async {
            if self.run().evaluation_at(0).is_none() {
                self.evaluate_base(trainer).await?;
            }
            self.sample(trainer, Some(0)).await?;
            Ok(())
        };
        match looked.await {
            // Somebody wants something else, and gets it next.
            Err(Error::Cancelled) => Ok(()),
            looked => looked,
        }
    }

    /// The reference's log-probabilities of the held-out rows; none for methods without one.
    async fn reference(&mut self, trainer: &Trainer<'_>) -> Result<Vec<PairLogps>> {
        if !trainer.config.has_reference() {
            return Ok(Vec::new());
        }
        if let Some((_, reference)) = &self.run().held_out {
            return Ok(reference.clone());
        }
        let first = trainer.reference_adapter().map(|adapter| (adapter, self.data));
        let held_out = std::mem::take(&mut self.held_out);
        let scored = self.session.reference(self.gpu, self.model, &trainer.config, &held_out, first).await;
        self.held_out = held_out;
        let reference = scored?;
        if trainer.config.method() == Method::Dpo && first.is_none() {
            let lengths: Vec<_> = self.held_out.iter().map(Example::scored_lengths).collect();
            let likelier = likelier_wins(&reference, &lengths);
            let held_out = (self.held_out.clone(), reference.clone());
            let run = self.run();
            (run.held_out, run.record.likelier_wins) = (Some(held_out), likelier);
            self.warn(exchanged(likelier, lengths.len()).into_iter().collect());
        }
        Ok(reference)
    }

    /// The evaluation at step 0: of the base model, for which a fresh adapter stands.
    async fn evaluate_base(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        if self.judge.is_some() {
            return self.judge(trainer, 0, json!(0.0), None).await.map(drop);
        }
        if self.held_out.is_empty() {
            return Ok(());
        }
        let reference = self.reference(trainer).await?;
        let known = trainer.config.has_reference();
        let policy: Vec<PairSums> = match known {
            true => reference.iter().map(|logps| logps.map(sums_of)).collect(),
            false => self.score(trainer, None).await?,
        };
        let mut metrics = evaluation(self.gpu, &trainer.config, &self.held_out, &policy, &reference).await?;
        // Of a reference, log-probabilities are all that is known.
        metrics.retain(|name, _| !known || !OF_TOKENS.iter().any(|of_tokens| name.starts_with(of_tokens)));
        self.record_evaluation(0, json!(0.0), metrics).map(drop)
    }

    /// Scores the held-out rows unless they were at this step, and keeps the adapter if no evaluation was better.
    async fn evaluate(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        if self.run().evaluation_at(trainer.step).is_some() || self.held_out.is_empty() {
            return Ok(());
        }
        let epoch = self.run().history.iter().rev().find_map(|entry| entry.get("epoch").cloned());
        let epoch = epoch.unwrap_or(json!(0.0));
        let best = match self.judge.is_some() {
            true => self.judge(trainer, trainer.step, epoch, Some(&trainer.adapter)).await?,
            false => {
                let reference = self.reference(trainer).await?;
                let policy = self.score(trainer, Some(&trainer.adapter)).await?;
                self.evaluated(trainer, trainer.step, epoch, &policy, &reference).await?
            }
        };
        if best && self.run().record.watch.keep_best {
            let adapter = trainer.adapter.get(self.gpu).await?;
            let run = self.run();
            run.record.best_step = Some(trainer.step);
            (run.best, run.best_is_new) = (Some(adapter), true);
        }
        Ok(())
    }

    /// Has answers to held-out prompts written and judged; true if they are the best of an adapter that was trained.
    async fn judge(
        &mut self,
        trainer: &Trainer<'_>,
        step: usize,
        epoch: Value,
        adapter: Option<&Adapter>,
    ) -> Result<bool> {
        let Some(writer) = self.judge.take() else { return Ok(false) };
        let run_id = self.run().record.run_id.clone();
        let prompts: Vec<usize> = (0..writer.n_prompts().min(MOST_JUDGED)).collect();
        let mut answers = Vec::with_capacity(prompts.len());
        self.session.wire.begin();
        let mut written = Ok(());
        for some in prompts.chunks(MAX_TEXTS) {
            tell(&mut self.session.wire, &run_id, Phase::Evaluating, answers.len() as u64, prompts.len() as u64);
            yield_now().await;
            if self.session.wire.inbox.wants_the_run_to_end(&run_id) {
                written = Err(Error::Cancelled);
                break;
            }
            // The same seed each time, so that what differs is the model.
            match writer.answer(self.gpu, self.model, adapter, some, trainer.config.seed).await {
                Ok(some) => answers.extend(some),
                Err(error) => {
                    written = Err(error);
                    break;
                }
            }
        }
        let metrics = judged(&answers, writer.names(), reward_weights(&trainer.config));
        self.judge = Some(writer);
        written?;
        self.record_evaluation(step, epoch, metrics)
    }

    /// Computes an evaluation, records it and tells it; true if it is the best of an adapter that was trained.
    async fn evaluated(
        &mut self,
        trainer: &Trainer<'_>,
        step: usize,
        epoch: Value,
        policy: &[PairSums],
        reference: &[PairLogps],
    ) -> Result<bool> {
        let metrics = evaluation(self.gpu, &trainer.config, &self.held_out, policy, reference).await?;
        self.record_evaluation(step, epoch, metrics)
    }

    fn record_evaluation(&mut self, step: usize, epoch: Value, values: Metrics) -> Result<bool> {
        let run_id = self.run().record.run_id.clone();
        let mut metrics = Metrics::from_iter([("step".to_owned(), json!(step)), ("epoch".to_owned(), epoch)]);
        metrics.extend(values);
        let run = self.run();
        let best = step > 0 && run.record.best.as_ref().is_none_or(|best| rank(&metrics) > rank(best));
        // In the order of the steps, though the base model is measured after the first of them.
        let at = run.history.iter().position(|entry| step_of(entry) > step).unwrap_or(run.history.len());
        run.history.insert(at, metrics.clone());
        run.record.won = run.won();
        if best {
            run.record.best = Some(metrics.clone());
        }
        let warnings = run.watcher.as_mut().map(|watcher| watcher.evaluation(&metrics)).unwrap_or_default();
        self.warn(warnings);
        self.session.wire.send(Event::Evaluated { run_id, metrics, best });
        Ok(best)
    }

    /// What the loss is made of, of the held-out rows by an adapter or the base model.
    async fn score(&mut self, trainer: &Trainer<'_>, adapter: Option<&Adapter>) -> Result<Vec<PairSums>> {
        let run_id = self.run().record.run_id.clone();
        let settings = Some(&trainer.adapter.settings);
        let scorer = Scorer::for_run(self.gpu, self.model, &trainer.config, settings, &self.held_out)?;
        self.measure();
        let (wire, total) = (&mut self.session.wire, self.held_out.len() as u64);
        wire.begin();
        let mut scored = |done: usize| {
            tell(wire, &run_id, Phase::Evaluating, done as u64, total);
            !wire.inbox.wants_the_run_to_end(&run_id)
        };
        scorer.sums(&self.held_out, adapter, &mut scored).await
    }

    /// Answers the watched prompts, unless that was done at this step; at step 0 by the base model.
    async fn sample(&mut self, trainer: &Trainer<'_>, at: Option<usize>) -> Result<()> {
        let step = at.unwrap_or(trainer.step);
        let (prompts, run_id) = (self.run().prompts.clone(), self.run().record.run_id.clone());
        if prompts.is_empty() || self.run().samples.iter().any(|(done, _)| *done == step) {
            return Ok(());
        }
        let raw = self.session.pairs.as_ref().is_some_and(|pairs| !pairs.conversations());
        let tokenizer = &self.open.tokenizer();
        let prompts = prompts.iter().map(|prompt| writing::prompt_ids(prompt, raw, tokenizer));
        let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_>>()?;
        let mut texts = vec![String::new(); prompts.len()];
        // A fresh adapter is the base model: writing without it is faster.
        let adapter = if step == 0 && self.fresh { None } else { Some(&trainer.adapter) };
        let style = Style { sampling: WATCHED, max_new_tokens: self.session.watched_tokens };
        let (gpu, model, eos) = (self.gpu, self.model, &self.open.eos);
        let total = (prompts.len() * style.max_new_tokens) as u64;
        let (wire, mut said) = (&mut self.session.wire, 0);
        wire.begin();
        writing::write(gpu, model, tokenizer, adapter, &prompts, eos, &style, &mut |text, piece| {
            texts[text] += piece;
            said += 1;
            tell(wire, &run_id, Phase::Sampling, said, total);
            Ok(!wire.inbox.wants_the_run_to_end(&run_id))
        })
        .await?;
        let run = self.run();
        let at = run.samples.iter().position(|(done, _)| *done > step).unwrap_or(run.samples.len());
        run.samples.insert(at, (step, texts.clone()));
        let warnings = run.watcher.as_mut().map(|watcher| watcher.samples(step, &texts)).unwrap_or_default();
        self.warn(warnings);
        self.session.wire.send(Event::Samples { run_id, step, texts });
        Ok(())
    }

    /// Saves the run as it is.
    async fn save(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.count_time();
        let mut checkpoint =
            Checkpoint::take(self.gpu, trainer, &self.data.0, self.open.tokenizer().chat(), None).await?;
        checkpoint.place.rewards.clone_from(&self.run().record.inputs.rewards);
        self.run().checkpoint = Some(checkpoint);
        let n_known = trainer.reference().iter().flatten().count();
        if n_known > self.n_known {
            self.session.keep_reference(self.gpu, self.data, trainer.reference()).await;
            self.n_known = n_known;
        }
        self.session.store_run().await;
        self.saved_at = host::seconds();
        Ok(())
    }
}

/// Says how far a phase of a run is.
pub(super) fn tell(wire: &mut Wire, run_id: &str, phase: Phase, done: u64, total: u64) {
    let what = match phase {
        Phase::Reference => "scoring pairs with the original model",
        Phase::Evaluating => "scoring the held-out pairs",
        Phase::Sampling => "answering the watched prompts",
        Phase::Loading => "reading the weights",
        Phase::Training => "training",
        Phase::Saving => "saving",
    };
    if let Some(progress) = wire.progress(what, done, total) {
        wire.send(Event::Phase { run_id: run_id.to_owned(), phase, progress });
    }
}

/// The optimiser step of metrics.
fn step_of(metrics: &Metrics) -> usize {
    metrics.get("step").and_then(Value::as_u64).unwrap_or(0) as usize
}

/// What the warnings' rules need to know of a run whose rows were not looked at.
fn facts(config: &TrainConfig, n_held_out: usize, n_steps: usize) -> Facts {
    let method = config.method();
    let plain = method == Method::Dpo && config.loss_type == [LossType::Sigmoid] && config.loss_weights.is_none();
    let weighted = matches!(&config.options, Options::Dpo(options) if options.use_weighting);
    let expected_first_loss = (plain && !weighted).then_some(std::f64::consts::LN_2);
    let (n_truncated, n_pairs, passes, beta) = (0, 0, 0.0, config.beta);
    Facts { method, n_held_out, n_truncated, n_pairs, n_steps, passes, beta, expected_first_loss }
}

/// What each reward counts, if that was set.
fn reward_weights(config: &TrainConfig) -> Option<&[f64]> {
    match &config.options {
        Options::Grpo(_, online, _) | Options::Rloo(online, _) => online.reward_weights.as_deref(),
        _ => None,
    }
}

/// The first prompts of the held-out pairs, each once; of the training pairs if none are held out.
fn watched_prompts(pairs: &Pairs, split: &Split) -> Vec<String> {
    let mut prompts: Vec<String> = Vec::new();
    for pair in split.held_out.iter().chain(&split.train) {
        let prompt = pairs.prompt(pair.row);
        if !prompt.trim().is_empty() && !prompts.contains(&prompt) {
            prompts.push(prompt);
        }
        if prompts.len() == WATCHED_PROMPTS {
            break;
        }
    }
    prompts
}

/// A run's end for people.
fn summary(run: &Run) -> Summary {
    let n = run.record.n_held_out as u64;
    let share = |metrics: &Metrics| {
        let won = number(metrics, "eval_preference_accuracy");
        let wins = (won * n as f64).round() as u64;
        won.is_finite().then(|| Share { wins, n, interval: wilson_interval(wins, n) })
    };
    let before = run.evaluations().next().and_then(share);
    // Of the adapter that is kept; an older evaluation says nothing of it.
    let after = match run.record.best_step {
        Some(_) => run.record.best.as_ref(),
        None => run.evaluation_at(run.record.step),
    };
    let first = run.evaluations().next();
    let better = matches!((first, after), (Some(first), Some(after)) if rank(after) > rank(first));
    let after = after.and_then(share);
    let improved = match (before, after) {
        (Some(before), Some(after)) => after.wins > before.wins,
        _ => better,
    };
    let (device_bytes, planned_bytes) = (run.device_bytes, run.planned_bytes);
    Summary { record: run.record.clone(), improved, before, after, device_bytes, planned_bytes }
}

/// A name for a run's folder: time and a readable part.
fn run_id(now: f64, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let readable: String = name.chars().map(plain).take(24).collect();
    format!("{:.0}-{}", now * 1000.0, readable.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with evaluations at these steps, won more and more often, and the best adapter of one of them.
    fn run(steps: &[usize], best_step: Option<usize>) -> Run {
        let record = json!({
            "run_id": "one", "name": "one", "notes": "", "status": "running", "created": 0.0, "seconds": 0.0,
            "model": { "source": "demo" }, "model_name": "m", "pairs_name": "p", "settings": {}, "step": 9,
            "n_steps": 9, "watch": { "eval_steps": 2, "keep_best": true, "prompts": [], "save_seconds": 0.0 },
            "checkpoint": null, "best_step": best_step, "best": null, "won": null, "n_held_out": 10,
            "longer_wins": 0.0, "sparkline": [], "bytes": 0,
        });
        let mut run = Run::new(serde_json::from_value(record).expect("a record"));
        run.history = steps.iter().map(|step| evaluation_of(*step)).collect();
        run.record.best = best_step.map(evaluation_of);
        run
    }

    fn evaluation_of(step: usize) -> Metrics {
        let share = 0.1 * step as f64;
        let values = json!({ "step": step, "eval_preference_accuracy": share, "eval_rewards/margins": share });
        values.as_object().cloned().expect("an object")
    }

    #[test]
    fn going_back_forgets_a_best_adapter_of_later() {
        let mut run = run(&[0, 2, 4, 6], Some(6));
        // There is no checkpoint: back to the beginning.
        run.rewind();
        assert_eq!((run.record.step, run.record.best_step, run.record.best.as_ref()), (0, None, None), "it is lost");
        assert_eq!(run.record.won, Some([0.0, 0.0]), "the share from before is what is left");
    }

    #[test]
    fn rewards_follow_beta() {
        let mut run = run(&[4], Some(4));
        run.rescale_rewards(f64::NAN);
        assert_eq!(run.history[0]["eval_rewards/margins"], json!(0.4), "of an unknown beta nothing is known");
        run.rescale_rewards(0.5);
        assert_eq!(run.history[0]["eval_rewards/margins"], json!(0.2), "half the beta, half the reward");
        assert_eq!(run.history[0]["eval_preference_accuracy"], json!(0.4), "a share stays what it is");
        assert_eq!(run.record.best.as_ref().map(|best| &best["eval_rewards/margins"]), Some(&json!(0.2)));
    }

    #[test]
    fn a_summary_tells_of_what_is_kept() {
        let share = |run: &Run| summary(run).after.map(|share| share.wins);
        assert_eq!(share(&run(&[0, 4, 8], Some(4))), Some(4), "of the best adapter");
        assert_eq!(share(&run(&[0, 4, 9], None)), Some(9), "of the last, which was scored");
        assert_eq!(share(&run(&[0, 4, 8], None)), None, "of the last, which was not");
    }

    #[test]
    fn evaluations_compare_whatever_beta_is() {
        let with = |margins: f64, chosen: f64| {
            let mut metrics = evaluation_of(4);
            metrics.insert("eval_rewards/margins".to_owned(), json!(margins));
            metrics.insert("eval_logps/chosen".to_owned(), json!(chosen));
            metrics.insert("eval_logps/rejected".to_owned(), json!(-50.0));
            metrics
        };
        assert!(rank(&with(0.1, -40.0)) > rank(&with(0.3, -41.0)), "a larger beta alone is not better");
    }
}
