//! The state machine behind the protocol: what is open, and what each command does with it.

use std::rc::Rc;

use super::data::pairs::Pairs;
use super::inbox::{Inbox, Message, Outbox};
use super::model::open_model::OpenModel;
use super::plan::planning::Measured;
#[cfg(feature = "app")]
use super::protocol::Token;
use super::protocol::{
    BUILD, Command, Drill, Event, GpuInfo, Inputs, Level, Problem, Progress, Ready, Rules, RunCommand, Subject,
};
use super::run::open_run::{Retry, Run};
use crate::error::{Error, Result};
use crate::gpu::{AdapterChoice, DeviceType, Gpu};
use crate::model::LoadIn;
use crate::platform::NetworkEntry;
use crate::platform::host::{self, Hub, Store, yield_now};

/// One model, one set of pairs and one run at a time, on one device.
pub struct Session {
    pub(super) wire: Wire,
    pub(super) store: Result<Store>,
    pub(super) gpu: Option<Rc<Gpu>>,
    pub(super) choice: AdapterChoice,
    /// Dispatches of one submission, on the next device too; none for as many as there may be.
    max_dispatches: Option<usize>,
    pub(super) limit: Option<u64>,
    /// Quantisation of the base in the last plan.
    pub(super) planned_load_in: LoadIn,
    /// Inputs of the last plan's run.
    pub(super) planned_inputs: Inputs,
    pub(super) model: Option<Rc<OpenModel>>,
    pub(super) pairs: Option<Pairs>,
    pub(super) run: Option<Run>,
    /// Result of the latest trial.
    pub(super) measured: Option<Measured>,
    pub(super) drill: Option<Drill>,
    /// Rows of the pairs of a step that was not finite.
    pub(super) batch: Vec<usize>,
    /// Seconds that an open run rests before the weights' memory is given back.
    pub rest_seconds: f64,
    /// Seconds in which a person can decide before a run that lost its device is continued.
    pub retry_seconds: f64,
    /// Tokens of an answer to a sample prompt, at most.
    pub sample_tokens: usize,
    /// Returns the Hub's server and cache as they are set when a fetch begins.
    pub hub: Box<dyn Fn() -> Hub>,
    /// The token that the user typed.
    #[cfg(feature = "app")]
    pub(super) token: Option<Token>,
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

impl Wire {
    pub(super) fn send(&self, event: Event) {
        (self.out)(event);
    }

    /// Begins to measure some work.
    pub(super) fn begin(&mut self) {
        self.began = host::seconds();
        self.told = f64::NEG_INFINITY;
    }

    /// Returns the progress of some work, if it is time to report it.
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
            measured: None,
            drill: None,
            batch: Vec::new(),
            rest_seconds: 60.0,
            retry_seconds: 10.0,
            sample_tokens: 48,
            hub: Box::new(Hub::of_this_person),
            #[cfg(feature = "app")]
            token: None,
        };
        let gpu = match session.open_gpu().await {
            Ok(gpu) => Ok(gpu_info(&gpu).await),
            Err(e) => Err(Problem::from(&e)),
        };
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
                    Level::Info,
                    "the run rests: the memory of the weights is given back until they are needed".to_owned(),
                );
            }
            let Some(message) = self.wire.inbox.next().await else { return };
            self.handle(message).await;
        }
    }

    async fn handle(&mut self, message: Message) {
        let subject = message.command.rules().subject;
        let done = self.carry_out(message).await;
        // A device that failed once refuses everything from then on.
        let failed = matches!(&done, Err(error) if *error != Error::Cancelled);
        self.tell(subject, done);
        if failed && self.gpu.as_ref().is_some_and(|gpu| gpu.check().is_err()) {
            self.recover_gpu().await;
        }
    }

    /// Carries out a command between two steps of what trains, unless its rules say that it waits for a pause.
    pub(super) async fn handle_aside(&mut self, message: Message) {
        let Rules { subject, waits_for_pause, .. } = message.command.rules();
        let waits = match &self.run {
            Some(run) => waits_for_pause.for_run(&run.record.run_id),
            None => waits_for_pause.for_trials(),
        };
        // The run at work goes on already.
        let resumes = matches!(message.command, Command::Run(RunCommand::Resume { .. }));
        let done = if waits || resumes {
            Err(Error::input("Something is being trained", "Pause or stop it first", ""))
        } else {
            Box::pin(self.carry_out(message)).await
        };
        self.tell(subject, done);
    }

    async fn carry_out(&mut self, Message { command, files }: Message) -> Result<()> {
        match command {
            Command::Model(command) => self.handle_model(command, files).await,
            Command::Hub(command) => self.handle_hub(command).await,
            Command::Pairs(command) => self.handle_pairs(command, files).await,
            Command::Plan(command) => self.handle_plan(command).await,
            Command::Run(command) => self.handle_run(command).await,
            Command::Race(request) => self.race(*request).await,
            Command::Sweep(request) => self.sweep(*request).await,
            Command::Compare(command) => self.handle_compare(command).await,
            Command::Export(request) => self.export(*request).await,
            Command::Library(command) => self.handle_library(command, files).await,
            Command::Bench => self.measure_gpu().await,
            Command::Cancel => {
                self.give_up_retry().await;
                Ok(())
            }
            Command::Drill(drill) => {
                self.drill(drill);
                Ok(())
            }
        }
    }

    /// Reports a command that did not succeed.
    fn tell(&self, subject: Subject, done: Result<()>) {
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
            self.log(Level::Error, format!("no new GPU device: {e}"));
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

    pub(super) fn log(&self, level: Level, text: String) {
        self.wire.send(Event::Log { level, text });
    }

    fn drill(&mut self, drill: Drill) {
        self.log(Level::Warn, format!("testing a failure: {drill:?}"));
        match drill {
            Drill::DestroyDevice => {
                if let Some(gpu) = &self.gpu {
                    gpu.destroy();
                }
            }
            Drill::Crash => panic!("the engine was told to crash, as a test of a failure"),
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

    /// Takes what was sent while a race or a sweep was at work on its own; true if it is to stop.
    pub(super) async fn asked_aside(&mut self) -> bool {
        yield_now().await;
        let mut stop = false;
        while let Some(message) = self.wire.inbox.poll() {
            match message.command {
                Command::Run(RunCommand::Stop | RunCommand::Pause) | Command::Cancel => stop = true,
                _ => self.handle_aside(message).await,
            }
        }
        stop
    }

    /// Closes the open run, and says so.
    pub(super) fn close_run(&mut self) {
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
}

/// Bytes that a run may take on a device, where the system tells; what is on it already counts as free.
pub(super) fn memory_of(gpu: &Gpu) -> Option<u64> {
    let report = gpu.report();
    let own = || host::video_memory(&report.name, report.vendor, report.device, gpu.live_bytes());
    match report.device_type {
        // They have no memory but the computer's, of which Apple's may take a share.
        DeviceType::Cpu | DeviceType::IntegratedGpu => {
            host::available_memory().map(|free| free + gpu.live_bytes()).or_else(own)
        }
        DeviceType::DiscreteGpu | DeviceType::VirtualGpu | DeviceType::Other => own(),
    }
}

async fn gpu_info(gpu: &Gpu) -> GpuInfo {
    let report = gpu.report();
    let name = match report.name.as_str() {
        // Browsers seldom name the adapter. The report stays as it is: choices of kernels are stored under its name.
        "" => host::adapter_names().await.shown().unwrap_or_else(|| "WebGPU adapter".to_owned()),
        name => name.to_owned(),
    };
    GpuInfo {
        name,
        backend: report.backend,
        software: report.is_software(),
        max_buffer_size: report.max_buffer_size,
        features: report.features.clone(),
        memory: memory_of(gpu),
        report: serde_json::to_string_pretty(report).unwrap_or_default(),
    }
}
