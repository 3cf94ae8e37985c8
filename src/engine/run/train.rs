//! A run in the session: preparing, training, watching, saving, and what happens when something fails.
//!
//! Pausing saves a checkpoint and gives the trainer's memory back; going on restores it, which is proved to give the
//! same numbers as never having stopped. A lost device, a crash and a closed page all take that same way back.

use std::rc::Rc;

use crate::data::{Example, Method};
use crate::engine::data::pairs::{Pairs, Split};
use crate::engine::library::folder::RunFolder;
use crate::engine::model::open_model::OpenModel;
use crate::engine::plan::planning;
use crate::engine::protocol::{
    Command, Drill, Event, Failure, Inputs, Level, Phase, Problem, RunCommand, RunRecord, RunRequest, Settings, Status,
    Watch,
};
use crate::engine::run::between::{Live, Stop, tell};
use crate::engine::run::drive::{self, Next};
use crate::engine::run::inputs;
use crate::engine::run::open_run::{Retry, Run, record_of, sparkline_of, summary};
use crate::engine::run::reference::data_of;
use crate::engine::run::warnings::{Action, Facts, Warning, WarningKind};
use crate::engine::session::Session;
use crate::error::{Error, ErrorCode, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::kernels;
use crate::model::Model;
use crate::platform::host;
use crate::train::{LossType, OnlineRun, Options, Reference, References, TrainConfig, Trainer, check_fits};

/// Sample prompts that are taken from the held-out pairs if none are given.
const WATCHED_PROMPTS: usize = 3;

impl Session {
    pub(in crate::engine) async fn handle_run(&mut self, command: RunCommand) -> Result<()> {
        match command {
            RunCommand::Start(request) => self.start(*request).await,
            RunCommand::Resume { run_id, settings } => self.resume(&run_id, settings).await,
            RunCommand::Discard { run_id } => self.discard(&run_id).await,
            // Nothing trains, but a run may be about to be continued.
            RunCommand::Pause | RunCommand::Stop => {
                self.give_up_retry().await;
                Ok(())
            }
        }
    }

    /// Begins a run with the open model and pairs.
    pub(in crate::engine) async fn start(&mut self, mut request: RunRequest) -> Result<()> {
        self.may_close_run()?;
        let mut config = TrainConfig::from_map(&request.settings, "settings")?;
        inputs::check(&config, &request.inputs)?;
        let model = self.opened()?;
        if config.method().is_online() {
            self.reward_models(&model, &request.inputs).await?;
        } else {
            // Chosen for another method before.
            request.inputs.rewards.clear();
        }
        if let Some(first) = self.first_adapter(&request.inputs, &config, &model).await? {
            // Its shape is its own, whatever the settings say.
            config.take_adapter(&first.config, &Settings::new(), "settings")?;
        }
        self.need_gpu().await?;
        let split = self.split(&config).await?.hold_out_at_most(request.watch.max_eval_pairs);
        let Some(pairs) = &self.pairs else { return Err(Error::input("No pairs are open", "Choose a pairs file", "")) };
        let prompts = match request.watch.prompts.is_empty() {
            // A reward model writes nothing.
            _ if request.watch.no_samples || config.method() == Method::Reward => Vec::new(),
            false => request.watch.prompts.clone(),
            true => sample_prompts(pairs, &split),
        };
        let files = pairs.to_files(&split);
        let planned_bytes = planning::memory(&config, &model, &split)?.total();
        let record = RunRecord {
            watch: Watch { prompts: prompts.clone(), ..request.watch },
            inputs: request.inputs,
            n_steps: config.steps_on(split.train.len()),
            n_held_out: split.held_out.len(),
            longer_wins: pairs.longer_wins(split.held_out.iter().map(|pair| pair.row)),
            bytes: files.iter().map(|file| file.len() as u64).sum(),
            ..record_of(request.name, &model, &pairs.name, &config)
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
    pub(in crate::engine) async fn resume(&mut self, run_id: &str, settings: Settings) -> Result<()> {
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
            // A failure or a cancel here leaves the run as it is.
            let config = TrainConfig::from_map(&all, "settings")?;
            let split = self.run_split(&config).await?;
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
    pub(in crate::engine) async fn retry(&mut self) {
        self.log(Level::Info, "the run is continued by itself".to_owned());
        if let Some(run) = &mut self.run {
            let step = run.safe_step();
            // The warning is for a person who did not see the countdown.
            let text = format!("The graphics driver reset. The run went on by itself from step {step}.");
            run.warn(&self.wire, vec![Warning { kind: WarningKind::DeviceLost, step, text, action: Action::None }]);
        }
        self.train().await;
    }

    /// Leaves the run that lost its device where it is safe, until somebody continues it.
    pub(in crate::engine) async fn give_up_retry(&mut self) {
        let Some(run) = &mut self.run else { return };
        let Some(Retry { failure, .. }) = run.retry.take() else { return };
        let (run_id, safe_step) = (run.record.run_id.clone(), Some(run.safe_step()));
        self.settle(Status::Failed).await;
        self.wire.send(Event::Failed { run_id, failure, safe_step });
    }

    /// Discards a run.
    pub(in crate::engine) async fn discard(&mut self, run_id: &str) -> Result<()> {
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
                    self.log(Level::Error, e.to_string());
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
                let failure = Failure::DeviceLost { problem: Problem::new(what, fix, "") };
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
                Failure::OutOfMemory { problem: Problem::new(what, fix, ""), fixes }
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
        run.record.sparkline = sparkline_of(&run.history);
        let mut stored = run.record.clone();
        if run.unsaved && matches!(status, Status::Finished | Status::Stopped) {
            // The state in the store is from before the end.
            stored.status = Status::Paused;
        }
        // A run whose pairs are not written yet has no record in the store.
        if let (Ok(store), None) = (&self.store, &run.unwritten_pairs)
            && let Err(e) = RunFolder::new(store, &stored.run_id).settle(&stored).await
        {
            self.not_saved(&e);
        }
        self.list_runs().await;
    }

    /// Writes the parts of the open run that are not stored yet, and reports the result. Parts that could not be
    /// written stay in memory, and the run goes on.
    pub(in crate::engine) async fn store_run(&mut self) {
        let began = host::seconds();
        let full = self.drilled(Drill::FillStorage);
        let Some(run) = &mut self.run else { return };
        let written = match &self.store {
            _ if full => {
                let (what, fix) = ("Storage is full (a test of a failure)", "Delete old runs, or export this one");
                Err(Error::coded(ErrorCode::StorageFull, what, fix, ""))
            }
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
        let run_id = run.record.run_id.clone();
        self.wire.send(Event::NotSaved { run_id, problem: Problem::from(error) });
    }

    /// Returns changes of the run's own settings that would make it fit.
    async fn memory_fixes(&mut self) -> Vec<crate::engine::protocol::Fix> {
        let settings = self.run.as_ref().map(|run| run.record.settings.clone()).unwrap_or_default();
        let (Ok(config), Ok(model)) = (TrainConfig::from_map(&settings, "settings"), self.opened()) else {
            return Vec::new();
        };
        let Ok(split) = self.run_split(&config).await else { return Vec::new() };
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

    /// Loads the weights of the run's base, and the choice of kernels that the run began with.
    async fn load_base(
        &mut self,
        gpu: &Rc<Gpu>,
        open: &OpenModel,
        config: &TrainConfig,
        run_id: &str,
    ) -> Result<Rc<Model>> {
        let (wire, store) = (&mut self.wire, self.store.as_ref().ok());
        wire.begin();
        let mut read = |done| {
            tell(wire, run_id, Phase::Loading, done, open.weight_bytes.stored);
            !wire.inbox.wants_the_run_to_end(run_id)
        };
        gpu.allow(config.precision());
        let model = open.load(gpu, store, config.load_in, &mut read).await?;
        self.adopt_kernels(gpu, open);
        Ok(model)
    }

    async fn train_on(&mut self, gpu: &Rc<Gpu>) -> Result<Stop> {
        let counted = host::seconds();
        let settings = self.run.as_ref().map(|run| run.record.settings.clone()).unwrap_or_default();
        let config = TrainConfig::from_map(&settings, "settings")?;
        let open = &self.opened()?;
        let split = self.run_split(&config).await?;
        let memory = planning::memory(&config, open, &split)?;
        check_fits(&memory, self.limit_now())?;
        let run_id = self.run.as_ref().map(|run| run.record.run_id.clone()).unwrap_or_default();
        let model = self.load_base(gpu, open, &config, &run_id).await?;
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
            n_truncated: split.truncated.len(),
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
        // Warnings from before are not told again.
        let (watcher, said) = run.replay(facts);
        run.watcher = Some(watcher);
        run.warn(&self.wire, said);

        let (data, saved_at, stop) = (&data, host::seconds(), None);
        let n_known = trainer.reference().iter().flatten().count();
        let held_out = split.held_out;
        let model = &*model;
        let mut live =
            Live { session: self, gpu, model, open, data, held_out, judge, fresh, counted, saved_at, n_known, stop };
        live.go_through(&mut trainer).await
    }

    /// Returns the adapter that the open run begins with; none for a fresh one. A checkpoint, once there is one, gives
    /// the adapter's shape, because the first adapter is then needed only as the reference.
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
        if let Some(warning) = checkpoint.and_then(|checkpoint| drive::adopt(gpu, &checkpoint.place.variants)) {
            self.log(Level::Warn, warning);
        }
    }

    /// The command that ended a preparation or a step.
    async fn asked_to_stop(&mut self) -> Stop {
        while let Some(message) = self.wire.inbox.poll() {
            match message.command {
                Command::Run(RunCommand::Pause | RunCommand::Stop) => return Stop::Paused,
                Command::Run(RunCommand::Discard { ref run_id }) if self.is_current(run_id) => return Stop::Discarded,
                Command::Cancel => break,
                _ => self.handle_aside(message).await,
            }
        }
        // A run that existed before it was continued here stays.
        let keep = self.run.as_ref().is_some_and(|run| run.kept || run.checkpoint.is_some());
        if keep { Stop::Paused } else { Stop::Discarded }
    }
}

impl Live<'_> {
    /// Takes the run's steps, with evaluations before, between and after them.
    async fn go_through(&mut self, trainer: &mut Trainer<'_>) -> Result<Stop> {
        // A run that does not begin as the base model is evaluated before it changes.
        if trainer.step == 0 && !self.fresh {
            self.look(trainer).await?;
        }
        // A click may have ended the evaluation that was due at this step. The base model is evaluated after a few
        // steps, so that people see first that the run trains.
        if trainer.step > 0 && self.look_due(trainer) {
            self.look_at_the_base(trainer).await?;
            self.look(trainer).await?;
        }
        let run_id = self.run().record.run_id.clone();
        let (step, n_steps) = (trainer.step as u64, trainer.n_steps as u64);
        tell(&mut self.session.wire, &run_id, Phase::Training, step, n_steps);
        let stepped = match self.stop {
            None => drive::steps(trainer, self).await,
            Some(_) => Ok(Next::End),
        };
        match stepped {
            Ok(_) => {}
            Err(error) => {
                if let Error::Diverged { .. } = error {
                    // The adapter is as it was after the last good step.
                    self.session.batch = trainer.next_rows();
                    self.save(trainer).await?;
                }
                return Err(error);
            }
        }
        let stop = self.stop.unwrap_or(Stop::Finished);
        if matches!(stop, Stop::Finished | Stop::Stopped) {
            // Saves first, so that a failing evaluation cannot lose the result.
            self.save(trainer).await?;
            self.look_at_the_base(trainer).await?;
            self.look(trainer).await?;
            self.save(trainer).await?;
        }
        Ok(stop)
    }
}

/// Returns the facts of a run for the warnings' rules; facts of its rows are 0, because the rows were not read.
pub(in crate::engine) fn facts(config: &TrainConfig, n_held_out: usize, n_steps: usize) -> Facts {
    let method = config.method();
    let plain = method == Method::Dpo && config.loss_type == [LossType::Sigmoid] && config.loss_weights.is_none();
    let weighted = matches!(&config.options, Options::Dpo(options) if options.use_weighting);
    let expected_first_loss = (plain && !weighted).then_some(std::f64::consts::LN_2);
    let (n_truncated, n_pairs, passes, beta) = (0, 0, 0.0, config.beta);
    Facts { method, n_held_out, n_truncated, n_pairs, n_steps, passes, beta, expected_first_loss }
}

/// The first prompts of the held-out pairs, each once; of the training pairs if none are held out.
fn sample_prompts(pairs: &Pairs, split: &Split) -> Vec<String> {
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
