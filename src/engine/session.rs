//! The state machine behind the protocol: what is open, and what each command does with it.

use std::rc::Rc;

use super::inbox::{Inbox, Message, Outbox};
use super::inputs::Rewards;
use super::models::{self, OpenModel, demo_model};
use super::open_run::{Retry, Run};
use super::pairs::{Pairs, Split, preview};
use super::planning;
use super::presets;
use super::protocol::{
    BUILD, Command, Drill, Event, GpuInfo, Inputs, Mapping, ModelSource, Problem, Progress, Ready, Settings,
    StorageInfo, StoredModel,
};
use super::runs::{self, EXPORTS, RunFolder};
use crate::bench::{Extent, bench};
use crate::data::{Chat, Example, Method, Sampling, Tokenizer};
use crate::error::{Error, Result};
use crate::files::TargetModules;
use crate::gpu::{AdapterChoice, AdapterReport, Gpu};
use crate::model::{AdapterSettings, LoadIn};
use crate::platform::host::{self, Hub, PickedFile, Store};
use crate::platform::{FileSet, Folder, NetworkEntry};
use crate::train::{OnlineRun, References, Scorer, TrainConfig, Trainer, frozen_bytes};

/// One model, one set of pairs and one run at a time, on one device.
pub struct Session {
    pub(super) wire: Wire,
    pub(super) store: Result<Store>,
    pub(super) gpu: Option<Rc<Gpu>>,
    pub(super) choice: AdapterChoice,
    /// Dispatches of one submission, on the next device too; none for as many as there may be.
    max_dispatches: Option<usize>,
    pub(super) limit: Option<u64>,
    /// How the base was to lie on the device when a plan was made last.
    pub(super) planned_load_in: LoadIn,
    /// What the run of that plan had beside settings and rows.
    planned_inputs: Inputs,
    pub(super) model: Option<Rc<OpenModel>>,
    pub(super) pairs: Option<Pairs>,
    pub(super) run: Option<Run>,
    /// The settings of a trial, and the seconds of a step of it.
    pub(super) step_seconds: Option<(TrainConfig, f64)>,
    pub(super) drill: Option<Drill>,
    /// Rows of the pairs of a step that was not finite.
    pub(super) batch: Vec<usize>,
    /// Seconds that an open run rests before the weights' memory is given back.
    pub rest_seconds: f64,
    /// Seconds in which a person can decide before a run that lost its device is continued.
    pub retry_seconds: f64,
    /// Tokens of an answer to a watched prompt, at most.
    pub watched_tokens: usize,
    /// Where models are fetched from, and where to, at the time of asking.
    pub hub: Box<dyn Fn() -> Hub>,
}

/// Both directions of the wire, and when progress was last told.
pub(super) struct Wire {
    pub(super) inbox: Inbox,
    pub(super) out: Outbox,
    began: f64,
    told: f64,
}

/// Seconds between two reports of progress.
const TELL_SECONDS: f64 = 0.08;
/// The folder of kept models in the store.
const MODELS: &str = "models";
/// Its marker of a model that is not complete.
pub(super) const PARTIAL: &str = "download.json";

impl Wire {
    pub(super) fn send(&self, event: Event) {
        (self.out)(event);
    }

    /// Begins to measure some work.
    pub(super) fn begin(&mut self) {
        self.began = host::seconds();
        self.told = f64::NEG_INFINITY;
    }

    /// How far some work is, if it is time to tell.
    pub(super) fn progress(&mut self, what: &str, done: u64, total: u64) -> Option<Progress> {
        let now = host::seconds();
        if now - self.told < TELL_SECONDS && done < total {
            return None;
        }
        self.told = now;
        Some(Progress { what: what.to_owned(), done, total, seconds: now - self.began })
    }
}

impl Session {
    /// Opens the device and the store, and says what there is. Nothing that is missing is fatal: a person can still
    /// look at runs and check pairs. `adapter` is part of the name of the GPU to take.
    pub async fn open(inbox: Inbox, out: Outbox, store_root: &str, adapter: Option<String>) -> Self {
        let wire = Wire { inbox, out, began: host::seconds(), told: f64::NEG_INFINITY };
        let store = Store::open(store_root).await;
        let mut session = Self {
            wire,
            store,
            gpu: None,
            choice: AdapterChoice { name: adapter },
            max_dispatches: None,
            limit: None,
            planned_load_in: LoadIn::Stored,
            planned_inputs: Inputs::default(),
            model: None,
            pairs: None,
            run: None,
            step_seconds: None,
            drill: None,
            batch: Vec::new(),
            rest_seconds: 60.0,
            retry_seconds: 10.0,
            watched_tokens: 48,
            hub: Box::new(Hub::of_this_person),
        };
        let gpu = session.open_gpu().await;
        let gpu = gpu.map(|gpu| gpu_info(gpu.report(), memory_of(&gpu))).map_err(|e| Problem::from(&e));
        let (storage, storage_problem) = match &session.store {
            Ok(store) => (store.location(), None),
            Err(e) => (String::new(), Some(Problem::from(e))),
        };
        let build = BUILD.to_owned();
        session.wire.send(Event::Ready(Box::new(Ready { build, gpu, storage, storage_problem })));
        // A worker fetches its own program.
        for NetworkEntry { url, bytes, purpose } in host::network_ledger() {
            session.wire.send(Event::Request { url, bytes, purpose });
        }
        session.list_runs().await;
        session.list_models().await;
        session
    }

    /// Carries out commands until nobody can send any more.
    pub async fn run(mut self) {
        loop {
            if let Some(Retry { at, .. }) = self.run.as_ref().and_then(|run| run.retry.as_ref())
                && self.wire.inbox.idle_for(at - host::seconds()).await
            {
                self.retry().await;
            } else if let Some(model) = self.model.clone().filter(|model| self.run.is_some() && model.is_loaded())
                && self.wire.inbox.idle_for(self.rest_seconds).await
            {
                model.unload();
                self.log(
                    "info",
                    "the run rests: the memory of the weights is given back until they are needed".to_owned(),
                );
            }
            let Some(message) = self.wire.inbox.next().await else { return };
            self.handle(message).await;
        }
    }

    async fn handle(&mut self, message: Message) {
        let Message { command, files } = message;
        let subject = command.rules().subject;
        let done = match command {
            Command::OpenDemo => self.open_demo().await,
            Command::OpenModel { source } => self.open_model(source, files).await,
            Command::MeasureModel { source } => {
                self.measure_model(source, files).await;
                Ok(())
            }
            Command::KeepModel => self.keep_model().await,
            Command::ForgetModel { name } => self.forget_model(&name).await,
            Command::FetchModel { repo, endpoint } => self.fetch_model(&repo, &endpoint).await,
            Command::OpenPairs { mapping } => self.open_pairs(mapping, files).await,
            Command::SkipPairs { rows, skip } => self.skip_pairs(&rows, skip),
            Command::SwapPairs => self.swap_pairs(),
            Command::SetChat(chat) => self.set_chat(chat),
            Command::ReadPair { index, max_length } => self.read_pair(index, max_length),
            Command::Plan { settings, limit, inputs } => self.plan(settings, limit, &inputs).await,
            Command::Trial { settings } => self.trial(settings).await,
            Command::Bench => self.measure_gpu().await,
            Command::Start(request) => self.start(*request).await,
            Command::Resume { run_id, settings } => self.resume(&run_id, settings).await,
            Command::Discard { run_id } => self.discard(&run_id).await,
            Command::OpenRun { run_id } => self.open_run(&run_id).await,
            Command::Generate(request) => self.generate(*request).await,
            Command::ScoreHeldOut { strength } => self.score_held_out(strength).await,
            Command::InspectPair { index, strength } => self.inspect_pair(index, strength).await,
            Command::Export(request) => self.export(*request).await,
            Command::ListRuns => {
                self.list_runs().await;
                Ok(())
            }
            Command::DescribeRun { run_id, name, notes } => self.describe_run(&run_id, name, notes).await,
            Command::DeleteRun { run_id } => {
                let deleted = self.delete_run(&run_id).await;
                // There may be room now for what could not be saved.
                if self.run.as_ref().is_some_and(|run| run.unsaved) {
                    self.store_run().await;
                }
                deleted
            }
            Command::ReadHistory { run_id } => self.read_history(&run_id).await,
            Command::Import => self.import(files).await,
            Command::ImportAdapter => self.import_adapter(files).await,
            Command::MeasureStorage => self.measure_storage().await,
            Command::Drill(drill) => {
                self.drill(drill);
                Ok(())
            }
            Command::Cancel | Command::Pause | Command::Stop => {
                self.give_up_retry().await;
                Ok(())
            }
        };
        match done {
            Ok(()) => {}
            Err(Error::Cancelled) => self.wire.send(Event::Cancelled { subject }),
            Err(error) => {
                self.wire.send(Event::Refused { subject, problem: Problem::from(&error) });
                // A device that failed once refuses everything from then on.
                if self.gpu.as_ref().is_some_and(|gpu| gpu.check().is_err()) {
                    self.recover_gpu().await;
                }
            }
        }
    }

    /// What can be done while a run is being trained; everything else is refused until it is paused.
    pub(super) async fn handle_aside(&mut self, message: Message) {
        let Message { command, files } = message;
        let subject = command.rules().subject;
        let done = match command {
            Command::MeasureModel { source } => {
                self.measure_model(source, files).await;
                Ok(())
            }
            Command::ReadPair { index, max_length } => self.read_pair(index, max_length),
            Command::ListRuns => {
                self.list_runs().await;
                Ok(())
            }
            Command::DescribeRun { run_id, name, notes } => self.describe_run(&run_id, name, notes).await,
            Command::ReadHistory { run_id } => self.read_history(&run_id).await,
            Command::MeasureStorage => self.measure_storage().await,
            Command::Drill(drill) => {
                self.drill(drill);
                Ok(())
            }
            Command::DeleteRun { run_id } if !self.is_current(&run_id) => self.delete_run(&run_id).await,
            Command::Discard { run_id } if !self.is_current(&run_id) => self.discard(&run_id).await,
            Command::Plan { settings, limit, inputs } => self.plan(settings, limit, &inputs).await,
            // A merged model needs its weights a second time.
            Command::Export(request)
                if self.is_current(&request.run_id) && !request.kinds.iter().any(|kind| kind.is_model()) =>
            {
                self.export(*request).await
            }
            Command::Cancel => Ok(()),
            _ => Err(Error::input("A run is being trained", "Pause it first", "")),
        };
        match done {
            Ok(()) => {}
            Err(Error::Cancelled) => self.wire.send(Event::Cancelled { subject }),
            Err(error) => self.wire.send(Event::Refused { subject, problem: Problem::from(&error) }),
        }
    }

    /// Takes the device.
    async fn open_gpu(&mut self) -> Result<Rc<Gpu>> {
        let gpu = Gpu::new(&self.choice).await?;
        if let Some(n) = self.max_dispatches {
            gpu.set_max_dispatches(n);
        }
        let gpu = Rc::new(gpu);
        self.gpu = Some(gpu.clone());
        Ok(gpu)
    }

    /// Half as much work in one submission from the next device on.
    pub(super) fn shorten_submissions(&mut self) {
        self.max_dispatches = self.gpu.as_ref().map(|gpu| gpu.max_dispatches() / 2).or(self.max_dispatches);
    }

    /// Takes a new device after the old one was lost; what was on it is read again when it is needed.
    pub(super) async fn recover_gpu(&mut self) {
        self.gpu = None;
        if let Some(model) = &self.model {
            model.unload();
        }
        if let Some(run) = &mut self.run {
            run.forget_device();
        }
        if let Err(e) = self.open_gpu().await {
            self.log("error", format!("no new GPU device: {e}"));
        }
    }

    /// The device; one that was not to be had before may be there by now.
    pub(super) async fn need_gpu(&mut self) -> Result<Rc<Gpu>> {
        match &self.gpu {
            Some(gpu) => Ok(gpu.clone()),
            None => self.open_gpu().await,
        }
    }

    pub(super) fn store(&self) -> Result<&Store> {
        self.store.as_ref().map_err(Clone::clone)
    }

    pub(super) fn log(&self, level: &str, text: String) {
        self.wire.send(Event::Log { level: level.to_owned(), text });
    }

    fn drill(&mut self, drill: Drill) {
        self.log("warn", format!("rehearsing a failure: {drill:?}"));
        match drill {
            Drill::DestroyDevice => {
                if let Some(gpu) = &self.gpu {
                    gpu.destroy();
                }
            }
            Drill::Crash => panic!("the engine was told to crash, as a rehearsal"),
            Drill::FillStorage | Drill::Diverge | Drill::OutOfMemory => self.drill = Some(drill),
        }
    }

    /// True once after a drill of this kind was asked for.
    pub(super) fn drilled(&mut self, drill: Drill) -> bool {
        let asked = self.drill == Some(drill);
        if asked {
            self.drill = None;
        }
        asked
    }

    // Models.

    async fn open_demo(&mut self) -> Result<()> {
        self.open_model(ModelSource::Demo, Vec::new()).await?;
        let pairs = Pairs::demo().await?;
        self.set_pairs(pairs);
        self.plan(presets::demo_of(Method::Dpo), self.limit, &Inputs::default()).await
    }

    pub(super) async fn open_model(&mut self, source: ModelSource, files: Vec<PickedFile>) -> Result<()> {
        self.may_close_run()?;
        let model = self.read_model(source, files).await?;
        self.take_model(model).await
    }

    /// Reads all of a model but its weights; the open one stays.
    pub(super) async fn read_model(&mut self, source: ModelSource, files: Vec<PickedFile>) -> Result<OpenModel> {
        let (name, folder) = self.model_folder(&source, files).await?;
        self.wire.begin();
        self.tell_model("reading the configuration", 0, 0);
        OpenModel::open(name, source, folder).await
    }

    /// Makes a model the open one, with its weights on the device: as they were planned last or, where they do not fit
    /// so, quantised. One that does not fit, or is cancelled, leaves the open model and its run as they were.
    pub(super) async fn take_model(&mut self, model: OpenModel) -> Result<()> {
        let model = Rc::new(model);
        let limit = self.limit_now();
        let fits = |load_in: &LoadIn| limit.is_none_or(|limit| model.least_bytes(*load_in) <= limit);
        let Some(load_in) = [self.planned_load_in, LoadIn::Int8, LoadIn::Int4].into_iter().find(fits) else {
            let what = format!(
                "The model needs about {}, but this device has {}",
                planning::gigabytes(model.least_bytes(LoadIn::Int4)),
                planning::gigabytes(limit.unwrap_or(0))
            );
            return Err(Error::input(what, "Choose a smaller model, or close other programs", model.name.clone()));
        };
        // There may be no room for both; weights that make way are read again when they are needed.
        if let Some(open) = &self.model {
            open.unload();
        }
        self.load_weights(&model, load_in).await?;
        self.close_model();
        self.step_seconds = None;
        self.wire.send(Event::ModelOpened(Box::new(model.info())));
        self.model = Some(model);
        Ok(())
    }

    /// The weights on the device, if there is a device.
    pub(super) async fn load_weights(&mut self, model: &OpenModel, load_in: LoadIn) -> Result<()> {
        let Some(gpu) = self.gpu.clone() else { return Ok(()) };
        let total = model.weight_bytes.stored;
        let (wire, store) = (&mut self.wire, self.store.as_ref().ok());
        wire.begin();
        model
            .load(&gpu, store, load_in, &mut |done| {
                if let Some(progress) = wire.progress("reading the weights", done, total) {
                    wire.send(Event::ModelProgress(progress));
                }
                !wire.inbox.cancelled()
            })
            .await
            .map(drop)
    }

    fn tell_model(&mut self, what: &str, done: u64, total: u64) {
        if let Some(progress) = self.wire.progress(what, done, total) {
            self.wire.send(Event::ModelProgress(progress));
        }
    }

    /// Gives the open model and whatever hangs on it back.
    fn close_model(&mut self) {
        self.close_run();
        if self.model.take().is_some() {
            self.wire.send(Event::ModelClosed);
        }
    }

    /// Closes the open run, and says so.
    fn close_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.wire.send(Event::RunClosed { run_id: run.record.run_id });
        }
    }

    /// Refuses if the open run would be lost by being closed.
    pub(super) fn may_close_run(&self) -> Result<()> {
        match self.run.as_ref().filter(|run| run.unsaved) {
            None => Ok(()),
            Some(run) => Err(Error::input(
                "The open run could not be saved, and would be lost",
                "Free some space and continue it, or export it and discard it",
                run.record.name.clone(),
            )),
        }
    }

    /// The files of a model, and what to call it.
    async fn model_folder(&self, source: &ModelSource, files: Vec<PickedFile>) -> Result<(String, Box<dyn Folder>)> {
        Ok(match source {
            ModelSource::Demo => ("the demo model".to_owned(), demo_model()),
            ModelSource::Stored { name } => {
                let path = format!("{MODELS}/{name}");
                let folder = self.store()?.folder(&path).await?;
                if folder.files().iter().any(|file| file == PARTIAL) {
                    return Err(Error::input("Its download is not finished", "Continue the download", name.clone()));
                }
                (name.clone(), Box::new(folder))
            }
            ModelSource::Picked { name, path } => {
                let files = match (files.is_empty(), path) {
                    (true, Some(path)) => host::pick_at(path),
                    _ => files,
                };
                if files.is_empty() {
                    return Err(Error::input("No files were chosen", "Open the model's folder again", name.clone()));
                }
                (name.clone(), Box::new(FileSet::new(name.clone(), files)))
            }
        })
    }

    async fn keep_model(&mut self) -> Result<()> {
        let model = self.opened()?;
        let store = self.store()?.clone();
        let folder = model.folder.as_ref();
        let mut total = 0;
        for name in &folder.files() {
            total += folder.open(name)?.len();
        }
        let usage = store.usage().await?;
        if let Some(quota) = usage.quota.filter(|quota| usage.used + total > *quota) {
            let what = format!(
                "Storage is full: the model needs {}, but {} are left",
                planning::gigabytes(total),
                planning::gigabytes(quota.saturating_sub(usage.used))
            );
            return Err(Error::input(what, "Delete old runs or models", store.location()));
        }
        if !store.persist().await.unwrap_or(false) {
            self.log("warn", "the browser did not promise to keep the model for good".to_owned());
        }
        let name = free_name(&store, &model.name.replace(['/', '\\'], "--")).await?;
        let path = format!("{MODELS}/{name}");
        let copied = self.copy_model(folder, &store, &path, total).await;
        if copied.is_err() {
            store.remove(&path).await?;
        }
        copied?;
        self.list_models().await;
        drop(model);
        // From now on it is found there, by its runs too.
        let source = ModelSource::Stored { name };
        if let Some(open) = self.model.as_mut().and_then(Rc::get_mut) {
            open.source = source.clone();
        }
        if let Some(run) = &mut self.run {
            run.record.model = source;
        }
        self.wire.send(Event::ModelOpened(Box::new(self.opened()?.info())));
        self.measure_storage().await
    }

    async fn copy_model(&mut self, folder: &dyn Folder, store: &Store, path: &str, total: u64) -> Result<()> {
        self.wire.begin();
        let mut done = 0;
        store.write(&format!("{path}/{PARTIAL}"), b"{}").await?;
        for name in &folder.files() {
            let source = folder.open(name)?;
            let mut file = store.create(&format!("{path}/{name}"), 0).await?;
            for offset in (0..source.len()).step_by(SLICE_BYTES as usize) {
                let len = SLICE_BYTES.min(source.len() - offset);
                file.write(&source.read_at(offset, len as usize).await?).await?;
                done += len;
                self.tell_model("keeping for next time", done, total);
                if self.wire.inbox.cancelled() {
                    return Err(Error::Cancelled);
                }
            }
            file.finish().await?;
        }
        store.remove(&format!("{path}/{PARTIAL}")).await
    }

    async fn forget_model(&mut self, name: &str) -> Result<()> {
        let open = self.model.as_ref().map(|model| &model.source);
        if matches!(open, Some(ModelSource::Stored { name: open }) if open == name) {
            self.may_close_run()?;
            self.close_model();
        }
        self.store()?.remove(&format!("{MODELS}/{name}")).await?;
        self.list_models().await;
        self.measure_storage().await
    }

    pub(super) async fn list_models(&mut self) {
        let Ok(store) = &self.store else { return };
        let mut models = Vec::new();
        for name in store.list(MODELS).await.unwrap_or_default() {
            let path = format!("{MODELS}/{name}");
            let bytes = store.size(&path).await.unwrap_or(0);
            let complete = !store.exists(&format!("{path}/{PARTIAL}")).await.unwrap_or(true);
            let origin = match complete {
                true => None,
                false => store.read(&format!("{path}/{PARTIAL}")).await.ok(),
            };
            let origin = origin.and_then(|marker| serde_json::from_slice(&marker).ok());
            models.push(StoredModel { name, bytes, complete, origin });
        }
        let whole = models.iter().filter(|model| model.complete).map(|model| model.name.clone());
        let sources: Vec<_> = whole.map(|name| ModelSource::Stored { name }).collect();
        self.wire.send(Event::Models { models });
        for source in sources {
            self.measure_model(source, Vec::new()).await;
        }
    }

    /// Says what a model would need, without opening it.
    async fn measure_model(&mut self, source: ModelSource, files: Vec<PickedFile>) {
        let needs = async {
            let (_, folder) = self.model_folder(&source, files).await?;
            models::measure(folder.as_ref()).await
        };
        let needs = needs.await.map_err(|e| Problem::from(&e));
        self.wire.send(Event::ModelMeasured { source, needs });
    }

    pub(super) fn opened(&self) -> Result<Rc<OpenModel>> {
        self.model.clone().ok_or_else(|| Error::input("No model is open", "Choose a model first", ""))
    }

    // Pairs.

    async fn open_pairs(&mut self, mapping: Option<Mapping>, files: Vec<PickedFile>) -> Result<()> {
        let [file] = files.as_slice() else {
            return Err(Error::input(format!("{} files were chosen", files.len()), "Choose one pairs file", ""));
        };
        self.may_close_run()?;
        let source = file.source()?;
        let total = source.len();
        let wire = &mut self.wire;
        wire.begin();
        let mut shown = 0;
        let pairs = Pairs::read(source.as_ref(), mapping, &mut |done, first, [rows, problems]| {
            // The first rows are shown at once, the others when all are read.
            if shown == 0 && !first.is_empty() {
                let rows: Vec<_> = first.iter().take(FIRST_ROWS).map(preview).collect();
                shown = rows.len();
                wire.send(Event::PairRows { first: 0, rows });
            }
            if let Some(progress) = wire.progress("reading pairs", done, total) {
                wire.send(Event::PairsProgress { progress, rows, problems });
            }
            !wire.inbox.cancelled()
        })
        .await?;
        self.set_pairs(pairs);
        Ok(())
    }

    pub(super) fn set_pairs(&mut self, pairs: Pairs) {
        self.pairs = Some(pairs);
        self.close_run();
        self.step_seconds = None;
        self.show_pairs();
    }

    pub(super) fn show_pairs(&self) {
        let Some(pairs) = &self.pairs else { return };
        for first in (0..pairs.rows.len()).step_by(SHOW_ROWS) {
            let rows = pairs.shown(first..first + SHOW_ROWS);
            self.wire.send(Event::PairRows { first, rows });
        }
        self.tell_pairs();
    }

    /// What is known of the pairs, without their rows.
    fn tell_pairs(&self) {
        if let Some(pairs) = &self.pairs {
            self.wire.send(Event::PairsOpened(Box::new(pairs.info())));
        }
    }

    fn skip_pairs(&mut self, rows: &[usize], skip: bool) -> Result<()> {
        self.pairs_to_change()?.skip(rows, skip);
        // It was trained on other pairs.
        self.close_run();
        self.tell_pairs();
        Ok(())
    }

    fn swap_pairs(&mut self) -> Result<()> {
        self.pairs_to_change()?.swap();
        self.close_run();
        self.show_pairs();
        Ok(())
    }

    /// Sets the template and its variables for the open model, if the first pair still becomes text.
    fn set_chat(&mut self, chat: Chat) -> Result<()> {
        self.may_close_run()?;
        let model = self.opened()?;
        let tokenizer = model.tokenizer().with_chat(chat)?;
        if let Some(pairs) = &self.pairs {
            pairs.check_chat(&tokenizer)?;
        }
        model.set_tokenizer(tokenizer);
        // It was trained on other texts.
        self.close_run();
        self.step_seconds = None;
        self.wire.send(Event::ChatSet(Box::new(model.chat())));
        self.tell_pairs();
        Ok(())
    }

    fn pairs_to_change(&mut self) -> Result<&mut Pairs> {
        self.may_close_run()?;
        self.pairs.as_mut().ok_or_else(|| Error::input("No pairs are open", "Choose a pairs file first", ""))
    }

    fn read_pair(&mut self, index: usize, max_length: usize) -> Result<()> {
        let Some(pairs) = &self.pairs else {
            return Err(Error::input("No pairs are open", "Choose a pairs file first", ""));
        };
        let tokenizer = self.model.as_ref().map(|model| model.tokenizer());
        let view = pairs.view(index, tokenizer.as_deref(), max_length)?;
        self.wire.send(Event::PairView(Box::new(view)));
        Ok(())
    }

    // Plans.

    async fn plan(&mut self, settings: Settings, limit: Option<u64>, inputs: &Inputs) -> Result<()> {
        self.limit = limit;
        self.planned_inputs.clone_from(inputs);
        if let Ok(config) = TrainConfig::from_map(&settings, "settings") {
            self.planned_load_in = config.load_in;
        }
        let info = match self.try_plan(&settings, inputs).await {
            Ok(info) => info,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => planning::blocked(settings, Problem::from(&error)),
        };
        self.wire.send(Event::Planned(Box::new(info)));
        Ok(())
    }

    async fn try_plan(&mut self, settings: &Settings, inputs: &Inputs) -> Result<super::protocol::PlanInfo> {
        let config = TrainConfig::from_map(settings, "settings")?;
        let model = self.opened()?;
        let split = self.split(&config).await?;
        let judges = match config.method().is_online() {
            true => self.reward_models(&model, inputs).await?,
            false => Vec::new(),
        };
        let bytes = |settings: &AdapterSettings| frozen_bytes(settings, &model.config);
        let judges: Vec<_> = judges.into_iter().map(|(name, settings, _)| (name, bytes(&settings))).collect();
        let Some(pairs) = &self.pairs else {
            return Err(Error::input("No pairs are open", "Choose a pairs file", ""));
        };
        let limit = self.limit_now();
        let measured = self.step_seconds.as_ref().filter(|(before, _)| step_of(before) == step_of(&config));
        let seconds = measured.map(|(_, seconds)| *seconds);
        let mut info = planning::plan_info(settings.clone(), &config, &model, pairs, &split, limit, seconds, &judges)?;
        if let (None, Err(e)) = (&info.blocked, self.need_gpu().await) {
            info.blocked = Some(Problem::from(&e));
        }
        Ok(info)
    }

    /// Bytes that a run may take now, if that is known; what the open model holds already counts as free.
    pub(super) fn limit_now(&self) -> Option<u64> {
        let gpu = self.gpu.as_ref()?;
        self.limit.or_else(|| memory_of(gpu))
    }

    /// The pairs of a run with these settings, in tokens.
    pub(super) async fn split(&mut self, config: &TrainConfig) -> Result<Split> {
        let model = self.opened()?;
        let Some(pairs) = &mut self.pairs else {
            return Err(Error::input("No pairs are open", "Choose a pairs file", ""));
        };
        split(&mut self.wire, pairs, &model.tokenizer(), config).await
    }

    /// How fast the GPU is, in what every device has room for.
    async fn measure_gpu(&mut self) -> Result<()> {
        let gpu = self.need_gpu().await?;
        let wire = &mut self.wire;
        wire.begin();
        let report = bench(&gpu, Extent::Small, &host::seconds, &mut |what| {
            wire.send(Event::Measuring(what.to_owned()));
            !wire.inbox.cancelled()
        })
        .await?;
        self.wire.send(Event::Measured(report.to_string()));
        Ok(())
    }

    /// Two steps that are thrown away.
    async fn trial(&mut self, settings: Settings) -> Result<()> {
        let mut config = TrainConfig::from_map(&settings, "settings")?;
        (config.max_steps, config.train_sampling_strategy) = (2, Sampling::Sequential);
        let (gpu, model) = (self.need_gpu().await?, self.opened()?);
        let split = self.split(&config).await?;
        let planned_bytes = planning::memory(&config, &model, &split)?.total();
        self.load_weights(&model, config.load_in).await?;
        let weights = model.load(&gpu, self.store().ok(), config.load_in, &mut |_| true).await?;
        let adapter = Self::upload(&gpu, &model, &weights, &config, None)?;
        let tokenizer = model.tokenizer();
        let Some(pairs) = &self.pairs else { return Err(Error::Cancelled) };
        let mut trainer = match config.answers() {
            None => {
                let examples = hardest_first(split.train, &config);
                let reference = References { known: vec![Some([0.0; 2]); examples.len()], adapter: None };
                Trainer::new(&gpu, &weights, config.clone(), adapter, examples, reference)?
            }
            Some(_) => {
                let writer = Rewards::stand_in().writer(pairs, &split.train, &config, &tokenizer, &model.eos)?;
                let value = Self::value_model(&gpu, &model, &config)?;
                let (source, ends, eos) = (Box::new(writer), model.eos.clone(), tokenizer.eos_id());
                let online = OnlineRun { source, reference: None, value, ends, eos };
                Trainer::online(&gpu, &weights, config.clone(), adapter, online)?
            }
        };
        self.wire.inbox.unless_cancelled(trainer.step()).await?;
        // The same rows again, now that every kernel is compiled.
        trainer.step = 0;
        let began = host::seconds();
        self.wire.inbox.unless_cancelled(trainer.step()).await?;
        let step_seconds = host::seconds() - began;
        // Held-out rows are scored beside the trainer.
        let scorer = match split.held_out.is_empty() || config.answers().is_some() {
            true => None,
            false => {
                let settings = Some(&trainer.adapter.settings);
                Some(Scorer::for_run(&gpu, &weights, &config, settings, &split.held_out)?)
            }
        };
        let device_bytes = gpu.live_bytes();
        drop((scorer, trainer));
        self.step_seconds = Some((config, step_seconds));
        self.wire.send(Event::Tried { step_seconds, device_bytes, planned_bytes });
        let inputs = self.planned_inputs.clone();
        self.plan(settings, self.limit, &inputs).await
    }

    // Stored runs.

    pub(super) async fn list_runs(&mut self) {
        let Ok(store) = &self.store else { return };
        match runs::list(store).await {
            Ok(runs) => self.wire.send(Event::Runs { runs }),
            Err(e) => self.log("error", e.to_string()),
        }
    }

    pub(super) fn is_current(&self, run_id: &str) -> bool {
        self.run.as_ref().is_some_and(|run| run.record.run_id == run_id)
    }

    async fn describe_run(&mut self, run_id: &str, name: String, notes: String) -> Result<()> {
        if let Some(run) = self.run.as_mut().filter(|run| run.record.run_id == run_id) {
            (run.record.name, run.record.notes) = (name.clone(), notes.clone());
        }
        let folder = RunFolder::new(self.store()?, run_id);
        let mut record = folder.record().await?;
        (record.name, record.notes) = (name, notes);
        folder.write_record(&record).await?;
        self.list_runs().await;
        Ok(())
    }

    pub(super) async fn delete_run(&mut self, run_id: &str) -> Result<()> {
        let store = self.store()?;
        RunFolder::new(store, run_id).remove().await?;
        // What was written to be downloaded; natively exports are a person's own files, elsewhere.
        store.remove(&format!("{EXPORTS}/{run_id}")).await?;
        if self.is_current(run_id) {
            self.close_run();
        }
        self.list_runs().await;
        self.measure_storage().await
    }

    async fn read_history(&mut self, run_id: &str) -> Result<()> {
        let history = match self.run.as_ref().filter(|run| run.record.run_id == run_id) {
            Some(run) => run.history.clone(),
            None => RunFolder::new(self.store()?, run_id).metrics().await?,
        };
        self.wire.send(Event::History { run_id: run_id.to_owned(), history });
        Ok(())
    }

    pub(super) async fn measure_storage(&mut self) -> Result<()> {
        let usage = self.store()?.usage().await?;
        let info = StorageInfo { used: usage.used, quota: usage.quota, persisted: usage.persisted };
        self.wire.send(Event::Storage(info));
        Ok(())
    }

    // Fetching.

    #[cfg(feature = "app")]
    async fn fetch_model(&mut self, repo: &str, endpoint: &str) -> Result<()> {
        let (hub, store) = ((self.hub)(), self.store.as_ref().map_err(Clone::clone));
        let fetched = super::fetch::fetch(&mut self.wire, &hub, store, MODELS, repo, endpoint).await;
        // What has arrived is there, whole or not.
        self.list_models().await;
        self.open_model(fetched?, Vec::new()).await
    }

    /// A build for the command line alone has nothing to connect with.
    #[cfg(not(feature = "app"))]
    async fn fetch_model(&mut self, repo: &str, _endpoint: &str) -> Result<()> {
        Err(Error::input("This pairtune was built without downloads", "Build it with the feature `app`", repo))
    }
}

/// Bytes of a file that are in memory at a time.
const SLICE_BYTES: u64 = 16 << 20;
/// Rows that are shown before all are read.
const FIRST_ROWS: usize = 50;
/// Rows of one event.
const SHOW_ROWS: usize = 500;

/// A name like this one that no model in the store has: files of two models do not belong together.
async fn free_name(store: &Store, name: &str) -> Result<String> {
    let mut free = name.to_owned();
    let mut n = 1;
    while store.exists(&format!("{MODELS}/{free}")).await? {
        n += 1;
        free = format!("{name}-{n}");
    }
    Ok(free)
}

/// Pairs as the tokens of a run with these settings.
pub(super) async fn split(
    wire: &mut Wire,
    pairs: &mut Pairs,
    tokenizer: &Tokenizer,
    config: &TrainConfig,
) -> Result<Split> {
    let total = pairs.rows.len() as u64;
    wire.begin();
    pairs
        .split(tokenizer, config, &mut |row| {
            if let Some(progress) = wire.progress("reading rows as tokens", row as u64, total) {
                wire.send(Event::PairsProgress { progress, rows: row, problems: 0 });
            }
            !wire.inbox.cancelled()
        })
        .await
}

/// The longest row first, so that the time of a step is not too good to be true, then some from the middle; all others
/// too, so that memory is taken as for the run. Their reference does not change the time.
fn hardest_first(mut rows: Vec<Example>, config: &TrainConfig) -> Vec<Example> {
    rows.sort_by_key(|row| std::cmp::Reverse(row.sequences.iter().map(Vec::len).sum::<usize>()));
    let wanted = config.per_device_train_batch_size * config.gradient_accumulation_steps;
    if let Some((_, others)) = rows.split_first_mut() {
        others.rotate_left((others.len() / 2).saturating_sub(wanted));
    }
    rows
}

/// What the time of a step depends on.
fn step_of(config: &TrainConfig) -> ([usize; 6], &TargetModules, (bool, LoadIn, Method)) {
    let (pairs, parts) = (config.per_device_train_batch_size, config.gradient_accumulation_steps);
    let how = (config.gradient_checkpointing, config.load_in, config.method());
    let [answers, longest] = config.answers().unwrap_or_default();
    ([pairs, parts, config.max_length, config.r, answers, longest], &config.target_modules, how)
}

/// Bytes that a run may take on a device, where the system tells; what is on it already counts as free.
fn memory_of(gpu: &Gpu) -> Option<u64> {
    let report = gpu.report();
    match report.device_type.as_str() {
        // They have no memory but the computer's.
        "Cpu" | "IntegratedGpu" => host::available_memory().map(|free| free + gpu.live_bytes()),
        _ => host::video_memory(report.vendor, report.device),
    }
}

fn gpu_info(report: &AdapterReport, memory: Option<u64>) -> GpuInfo {
    GpuInfo {
        // Browsers do not tell.
        name: if report.name.is_empty() { "WebGPU adapter".to_owned() } else { report.name.clone() },
        backend: report.backend.clone(),
        software: report.is_software(),
        max_buffer_size: report.max_buffer_size,
        features: report.features.clone(),
        memory,
        report: serde_json::to_string_pretty(report).unwrap_or_default(),
    }
}
