//! The window: takes in what the engine says, lays out rail, pages and status, and carries out what pages ask for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, ThemePreference, Ui, ViewportCommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::frame::{self, FrameView, PathQuestion, PlannedAbout, Toast};
use super::mirror::Mirror;
use super::{drops, text};
use crate::app::actions::{Action, Step};
use crate::app::methods::{self, method_of};
use crate::app::pages::compare::{self, CompareView};
use crate::app::pages::export::{self, ExportView};
use crate::app::pages::help;
use crate::app::pages::model::{self, ModelView};
use crate::app::pages::pairs::{self, PairsView};
use crate::app::pages::plan::{self, PlanView};
use crate::app::pages::run::{self, RunView};
use crate::app::pages::runs::{self, RunsView};
use crate::app::pages::start::{self, StartView};
use crate::app::state::{BenchState, Blocked, Connection, EVAL_SPLIT, Recent, State, source_of};
use crate::app::text::{labels, setting};
use crate::app::{fields, theme};
use crate::engine::presets::{self, Preset};
use crate::engine::protocol::{
    Command, Event, METHOD, Method, ModelSource, PairRow, Problem, RunRequest, Settings, Subject, Watch,
};
use crate::error::{Error, Result};
use crate::link::{Engine, Incoming};
use crate::platform::host::{self, PickedFile};
use crate::platform::{Environment, FoundModel, LocalFuture, Pick, hub_name, read_all};

/// Seconds that edits rest before the plan is asked for.
const PLAN_DELAY: f64 = 0.3;
/// Seconds that a message is shown.
const TOAST_SECONDS: f64 = 5.0;
/// Seconds between two looks at the battery.
const BATTERY_SECONDS: f64 = 10.0;
/// Under this name preferences are stored.
const STORAGE_KEY: &str = "pairtune";
/// Seconds between two looks at what the page has fetched.
const NETWORK_SECONDS: f64 = 2.0;
/// Bytes of a file with settings at the most.
const MAX_SETTINGS: u64 = 1 << 20;

/// Settings that suit model and machine, and so stay when another method is chosen.
const OF_THE_MACHINE: [&str; 9] = [
    "r",
    "lora_alpha",
    "target_modules",
    "max_length",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "load_in",
    "seed",
];
/// Watched prompts that are proposed.
const PROPOSED_PROMPTS: usize = 3;

/// Turns what was dropped on the window into files; natively by its path.
pub type OpenDrop = Box<dyn Fn(&egui::DroppedFileHandle) -> Vec<PickedFile>>;

/// Asks a person for files, under a title; what is done with the answer comes last.
pub type AskForFiles = Box<dyn Fn(Pick, &str, host::Then<Result<Vec<PickedFile>>>)>;

/// The app.
pub struct App {
    engine: Box<dyn Engine>,
    state: State,
    environment: Environment,
    prefs: Prefs,
    step: Step,
    views: Views,
    answers: (Sender<Answer>, Receiver<Answer>),
    reading: Vec<LocalFuture<'static, Answer>>,
    open_drop: OpenDrop,
    ask_for_files: AskForFiles,
    /// What is to be opened as soon as the engine listens.
    opening: Vec<(Pick, String)>,
    /// When something last changed that the plan depends on, on egui's clock.
    plan_dirty: Option<f64>,
    /// The demo's settings are taken over when its plan arrives.
    adopting: bool,
    /// A run begins as soon as the demo is planned.
    demo_starting: bool,
    /// The settings that the demo's took the place of.
    before_demo: Option<Settings>,
    /// What is behind the `#` of the address, until it is known whether this tab may have the GPU.
    fragment: String,
    /// The address brought settings, so that the plan is shown; a run that can be continued comes first.
    linked: bool,
    toasts: Vec<Toast>,
    quit: Quit,
    title: String,
    was_active: bool,
    /// The person is asked before the page is left.
    was_staying: bool,
    was_ready: bool,
    /// When the battery was last asked for, on the platform's clock.
    battery_asked: f64,
    /// When the requests of the page were last looked at, on the platform's clock.
    network_asked: f64,
    /// The model that is being opened is fetched first.
    fetching: bool,
    mirror: Mirror,
}

/// What every page remembers.
#[derive(Default)]
struct Views {
    start: StartView,
    model: ModelView,
    pairs: PairsView,
    plan: PlanView,
    run: RunView,
    compare: CompareView,
    export: ExportView,
    runs: RunsView,
    frame: FrameView,
}

/// What is remembered from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Prefs {
    theme: ThemePreference,
    zoom: f32,
    settings: Settings,
    log_open: bool,
    recent: Recent,
}

impl Default for Prefs {
    fn default() -> Self {
        let (settings, recent) = (default_settings(), Recent::default());
        Self { theme: ThemePreference::System, zoom: 1.0, settings, log_open: false, recent }
    }
}

/// What came back from the platform.
enum Answer {
    /// Files were chosen, or there is no dialog to choose them in.
    Picked(Pick, Result<Vec<PickedFile>>),
    /// A file was saved, or not.
    Saved(Result<String>),
    /// A settings file was read.
    SettingsRead(Result<Vec<u8>>),
    /// Files were found in the storage, to be saved elsewhere.
    Found(Result<Vec<PickedFile>>),
    /// Another tab has the GPU, or not.
    Claimed(bool),
    /// Models that other programs keep on this computer.
    FoundModels(Vec<FoundModel>),
    /// The browser was asked to keep what is stored.
    Persisted,
}

/// How far closing the window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quit {
    No,
    /// The person is asked.
    Asking,
    /// As soon as the run is paused.
    WhenPaused,
    /// Now.
    Now,
}

/// Wakes a reader by drawing again.
struct Repaint(egui::Context);

impl Wake for Repaint {
    fn wake(self: Arc<Self>) {
        self.0.request_repaint();
    }
}

/// The settings of a fresh plan: the standard preset, with some pairs held out.
fn default_settings() -> Settings {
    let mut settings = presets::overrides(Preset::Standard);
    settings.insert("eval_split".to_owned(), EVAL_SPLIT.into());
    settings
}

impl App {
    /// An app that talks to `engine`, with what `storage` remembers.
    pub fn new(ctx: &egui::Context, storage: Option<&dyn eframe::Storage>, engine: Box<dyn Engine>) -> Self {
        theme::install(ctx);
        ctx.enable_accesskit();
        let mut prefs: Prefs = storage
            .and_then(|storage| storage.get_string(STORAGE_KEY))
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        fields::keep_known(&mut prefs.settings);
        ctx.set_theme(prefs.theme);
        ctx.set_zoom_factor(prefs.zoom.clamp(0.5, 4.0));
        let environment = host::environment();
        let mut state = State::default();
        state.plan.settings = prefs.settings.clone();
        state.plan.preset = Some(presets::nearest(&prefs.settings));
        state.recent.clone_from(&prefs.recent);
        state.in_browser = environment.kind == "browser";
        let app = Self {
            engine,
            state,
            environment,
            prefs,
            step: Step::Start,
            views: Views::default(),
            answers: channel(),
            reading: Vec::new(),
            open_drop: Box::new(|file| drops::open_path(file.path())),
            ask_for_files: Box::new(host::pick),
            opening: Vec::new(),
            plan_dirty: None,
            adopting: false,
            demo_starting: false,
            before_demo: None,
            fragment: host::fragment(),
            linked: false,
            toasts: Vec::new(),
            quit: Quit::No,
            title: String::new(),
            was_active: false,
            was_staying: false,
            was_ready: false,
            battery_asked: f64::NEG_INFINITY,
            network_asked: f64::NEG_INFINITY,
            fetching: false,
            mirror: Mirror::default(),
        };
        app.look_for_models(ctx);
        app
    }

    /// Looks for models that are on this computer; the answer comes by itself.
    fn look_for_models(&self, ctx: &egui::Context) {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        host::system_models(move |found| {
            drop(sender.send(Answer::FoundModels(found)));
            repaint.request_repaint();
        });
    }

    /// Has the GPU and the runs in the folder `store` (empty for the system's place) to itself, or is told that another
    /// tab or window has them.
    #[must_use]
    pub fn alone(self, ctx: &egui::Context, store: &str) -> Self {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        host::claim_gpu(store, move |claimed| {
            drop(sender.send(Answer::Claimed(claimed)));
            repaint.request_repaint();
        });
        self
    }

    /// Says how to open what is dropped on the window, where that is not by its path.
    #[must_use]
    pub fn with_drops(mut self, open_drop: OpenDrop) -> Self {
        self.open_drop = open_drop;
        self
    }

    /// Opens what is at these paths as soon as the engine listens: a model's folder, a pairs file.
    #[must_use]
    pub fn opening(mut self, model: Option<String>, pairs: Option<String>) -> Self {
        let paths = [(Pick::ModelFolder, model), (Pick::PairsFile, pairs)];
        self.opening = paths.into_iter().filter_map(|(pick, path)| Some((pick, path?))).collect();
        self
    }

    /// Asks for files in another way than by the system's dialogs, for tests.
    #[must_use]
    pub fn with_dialogs(mut self, ask_for_files: AskForFiles) -> Self {
        self.ask_for_files = ask_for_files;
        self
    }

    /// Behaves as if in another environment, with these models on the computer, for tests.
    #[must_use]
    pub fn with_environment(mut self, environment: Environment, found: Vec<FoundModel>) -> Self {
        // What this computer answers is not wanted.
        self.answers = channel();
        self.state.in_browser = environment.kind == "browser";
        self.state.found = found;
        self.environment = environment;
        self
    }

    /// Behaves as if opened at this address, of which `fragment` is behind the `#`; another tab has the GPU unless
    /// `claimed`. For tests.
    #[must_use]
    pub fn with_address(mut self, fragment: &str, claimed: bool) -> Self {
        self.fragment = fragment.to_owned();
        drop(self.answers.0.send(Answer::Claimed(claimed)));
        self
    }

    /// Takes in everything that happened; draws nothing.
    pub fn tick(&mut self, ctx: &egui::Context) {
        let now = host::seconds();
        while let Some(incoming) = self.engine.poll() {
            let opened = matches!(&incoming, Incoming::Event(event) if matches!(event.as_ref(), Event::ModelOpened(_)));
            let imported =
                matches!(&incoming, Incoming::Event(event) if matches!(**event, Event::AdapterImported { .. }));
            if ends_the_demo(&incoming) {
                self.forget_demo();
            }
            self.state.apply(incoming, now);
            self.after_event(ctx);
            if imported {
                // The plan takes it.
                self.plan_dirty = Some(ctx.input(|input| input.time));
            }
            if opened && std::mem::take(&mut self.fetching) {
                // Now it is among them.
                self.look_for_models(ctx);
            }
            if opened && let Some(command) = self.state.run_to_ask_again() {
                self.go(if matches!(command, Command::OpenRun { .. }) { Step::Compare } else { Step::Run });
                self.send(command, Vec::new());
            }
        }
        while let Ok(answer) = self.answers.1.try_recv() {
            self.answered(ctx, answer);
        }
        self.read_on(ctx);
        if now - self.battery_asked > BATTERY_SECONDS {
            self.battery_asked = now;
            self.state.on_battery = host::on_battery();
        }
        if now - self.network_asked > NETWORK_SECONDS {
            self.network_asked = now;
            self.state.page_requests = host::network_ledger();
        }
        let notices = std::mem::take(&mut self.state.notices);
        if !notices.is_empty() {
            // In one go: a screen reader says only the latest.
            let texts: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
            host::announce(&texts.join(". "));
        }
        for notice in notices.into_iter().filter(|notice| notice.toast) {
            self.toast(ctx, notice.text);
        }
        self.plan_if_due(ctx);
        self.start_demo_if_ready(ctx);
        self.follow_run(ctx);
        self.go_on_when_paused();
    }

    /// Draws the window and carries out what was asked for.
    pub fn draw(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        let mut actions = Vec::new();
        self.keys(&ctx, &mut actions);
        self.closing(&ctx);
        frame::rail_ui(ui, &self.state, self.step, &mut actions);
        let mut log_open = self.prefs.log_open;
        frame::status_ui(ui, &self.state, &mut log_open, &mut actions);
        if log_open {
            frame::log_ui(ui, &self.state, &mut actions);
        }
        self.prefs.log_open = log_open;
        if self.step != Step::Run {
            frame::strip_ui(ui, &self.state, &mut actions);
        }
        frame::connection_ui(ui, &self.state, &mut actions);
        self.page(ui, &mut actions);
        let time = ctx.input(|input| input.time);
        self.toasts.retain(|toast| time - toast.since < TOAST_SECONDS);
        frame::toasts_ui(&ctx, &self.toasts);
        self.dropped(&ctx);
        self.mirror.attach(&ctx);
        for action in actions {
            self.carry_out(&ctx, action);
        }
        self.prefs.theme = ctx.options(|options| options.theme_preference);
        self.prefs.zoom = ctx.zoom_factor();
    }

    fn page(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let (state, views) = (&self.state, &mut self.views);
        let step = self.step;
        frame::content(ui, step, |ui| match step {
            Step::Start => start::start_ui(ui, state, &self.environment, &mut views.start, actions),
            Step::Model => model::model_ui(ui, state, &mut views.model, actions),
            Step::Pairs => pairs::pairs_ui(ui, state, &mut views.pairs, actions),
            Step::Plan => plan::plan_ui(ui, state, &mut views.plan, actions),
            Step::Run => run::run_ui(ui, state, &mut views.run, actions),
            Step::Compare => compare::compare_ui(ui, state, &mut views.compare, actions),
            Step::Export => export::export_ui(ui, state, &mut views.export, actions),
            Step::Runs => runs::runs_ui(ui, state, &mut views.runs, actions),
            Step::Help => help::help_ui(ui, state, &self.environment, actions),
        });
        let question = &mut self.views.frame.ask_for_path;
        question.take_if(|question| !frame::path_question_ui(ui.ctx(), question, actions));
        if self.quit == Quit::Asking || self.quit == Quit::WhenPaused {
            let waiting = self.quit == Quit::WhenPaused;
            match frame::quit_ui(ui.ctx(), waiting, self.state.unsaved()) {
                Some(frame::QuitChoice::Stay) => self.quit = Quit::No,
                Some(frame::QuitChoice::Export) => {
                    self.quit = Quit::No;
                    actions.push(Action::Go(Step::Export));
                }
                Some(frame::QuitChoice::Pause) => {
                    self.quit = Quit::WhenPaused;
                    actions.push(Action::Send(Command::Pause));
                }
                Some(frame::QuitChoice::Quit) => self.close(ui.ctx()),
                None => {}
            }
        }
    }

    /// Keys that work on every page.
    fn keys(&mut self, ctx: &egui::Context, actions: &mut Vec<Action>) {
        let steps = [
            (Key::Num0, Step::Start),
            (Key::Num1, Step::Model),
            (Key::Num2, Step::Pairs),
            (Key::Num3, Step::Plan),
            (Key::Num4, Step::Run),
            (Key::Num5, Step::Compare),
            (Key::Num6, Step::Export),
            (Key::Num7, Step::Runs),
            (Key::F1, Step::Help),
        ];
        for (key, step) in steps {
            let modifiers = if key == Key::F1 { Modifiers::NONE } else { Modifiers::ALT };
            if ctx.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(modifiers, key))) {
                actions.push(Action::Go(step));
            }
        }
        if ctx.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, Key::O))) {
            actions.push(Action::Pick(Pick::ModelFolder));
        }
        if ctx.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, Key::L))) {
            self.prefs.log_open = !self.prefs.log_open;
        }
    }

    /// Asks before the window is closed on a run at work.
    fn closing(&mut self, ctx: &egui::Context) {
        if !ctx.input(|input| input.viewport().close_requested()) || self.quit == Quit::Now {
            return;
        }
        if self.state.active_run().is_some() || self.state.unsaved() {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            if self.quit == Quit::No {
                self.quit = Quit::Asking;
            }
        } else {
            self.hide(ctx);
        }
    }

    fn close(&mut self, ctx: &egui::Context) {
        self.quit = Quit::Now;
        self.hide(ctx);
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }

    /// The window goes at once, for the engine may need a while to save.
    fn hide(&self, ctx: &egui::Context) {
        if !self.state.in_browser {
            ctx.send_viewport_cmd(ViewportCommand::Visible(false));
        }
    }

    /// What the window itself does about an event that was just folded.
    fn after_event(&mut self, ctx: &egui::Context) {
        let ready = matches!(self.state.connection, Connection::Ready(_));
        if ready && !self.was_ready {
            self.send(Command::ListRuns, Vec::new());
            self.send(Command::MeasureStorage, Vec::new());
            self.measure_found();
            for (pick, path) in std::mem::take(&mut self.opening) {
                self.open_path(ctx, pick, &path);
            }
        }
        self.was_ready = ready;
        if self.linked && self.state.runs.is_some() {
            self.linked = false;
            if self.step == Step::Plan && self.state.continuable().next().is_some() {
                self.go(Step::Start);
            }
        }
        let info = self.state.plan.info.as_ref();
        if self.adopting
            && let Some(info) = info
            && self.state.is_demo()
        {
            let own = std::mem::replace(&mut self.state.plan.settings, info.settings.clone());
            self.before_demo.get_or_insert(own);
            self.state.plan.preset = None;
            self.adopting = false;
            self.plan_dirty = None;
        }
        self.leave_demo(ctx);
        let opened = self.state.open_model().map(|model| model.name.clone()).unwrap_or_default();
        let pairs = self.state.pairs.info.as_ref();
        let about =
            (opened, pairs.map(|pairs| (pairs.name.clone(), [pairs.usable, pairs.skipped], pairs.kind, pairs.swapped)));
        let file = |about: &PlannedAbout| about.1.as_ref().map(|(name, ..)| name.clone());
        if let Some(name) = file(&about).filter(|_| file(&about) != file(&self.views.frame.planned_about)) {
            self.views.frame.name_stem = name.split('.').next().unwrap_or(&name).to_owned();
            self.propose_name();
        }
        let n_runs = self.state.runs.as_ref().map_or(0, Vec::len);
        if n_runs != self.views.frame.n_runs {
            self.views.frame.n_runs = n_runs;
            self.propose_name();
        }
        if about != self.views.frame.planned_about {
            self.views.frame.planned_about = about;
            self.propose_prompts();
            // The demo's pairs come with settings of their own.
            self.suit_rows(ctx);
            if let Some(preset) = self.state.plan.preset.filter(|_| !self.adopting) {
                let mut settings = std::mem::take(&mut self.state.plan.settings);
                self.propose_epochs(preset, &mut settings);
                self.state.plan.settings = settings;
            }
            if !self.adopting {
                self.plan_dirty = Some(ctx.input(|input| input.time));
            }
        }
    }

    /// Passes over the open pairs that suit the preset, as long as nobody has chosen another number.
    fn propose_epochs(&mut self, preset: Preset, settings: &mut Settings) {
        let Some(pairs) = &self.state.pairs.info else { return };
        if method_of(settings) != Method::Dpo {
            return;
        }
        let own = presets::overrides(preset).get(presets::EPOCHS).and_then(Value::as_f64);
        let defaults = self.state.plan.info.as_ref().map(|info| &info.full_settings);
        let number = |key: &str| settings.get(key).or_else(|| defaults?.get(key)).and_then(Value::as_f64);
        let proposed = &mut self.state.plan.proposed_epochs;
        if proposed.or(own) != number(presets::EPOCHS) {
            return;
        }
        let trained = (pairs.usable - pairs.skipped) as f64 * (1.0 - number("eval_split").unwrap_or(0.0));
        let per_step =
            number("per_device_train_batch_size").unwrap_or(4.0) * number("gradient_accumulation_steps").unwrap_or(4.0);
        let epochs = presets::epochs_for(preset, trained as usize, per_step as usize);
        *proposed = Some(epochs);
        settings.insert(presets::EPOCHS.to_owned(), epochs.into());
    }

    /// Rows that the chosen method cannot be given are trained on by the usual method for such rows.
    fn suit_rows(&mut self, ctx: &egui::Context) {
        let serving = self.state.pairs.info.as_ref().map(|pairs| methods::serving(Some(pairs.kind)));
        if let Some(serving) = serving.filter(|serving| !serving.contains(&self.state.plan.method())) {
            self.choose_method(ctx, serving[0]);
        }
    }

    /// Settings for a method: the demo's, or its defaults with what was chosen for model and machine.
    fn choose_method(&mut self, ctx: &egui::Context, method: Method) {
        let mut settings = Settings::from_iter([(METHOD.to_owned(), method.name().into())]);
        let (preset, before) = (self.state.plan.preset, self.before_demo.clone());
        if self.state.is_demo() {
            settings.extend(presets::demo_of(method));
        } else {
            if method == Method::Dpo {
                settings = default_settings();
            }
            settings.insert("eval_split".to_owned(), EVAL_SPLIT.into());
            if method != self.state.plan.method() {
                let kept = self.state.plan.settings.iter().filter(|(key, _)| OF_THE_MACHINE.contains(&key.as_str()));
                settings.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        fields::keep_known(&mut settings);
        self.views.plan.forget_typed();
        self.state.plan.proposed_epochs = None;
        self.edit_settings(ctx, settings);
        self.state.plan.preset = if self.state.is_demo() { None } else { preset.or(Some(Preset::Standard)) };
        self.before_demo = before;
    }

    /// The demo's settings are the demo's: with another model, a person's own come back.
    fn leave_demo(&mut self, ctx: &egui::Context) {
        if self.state.open_model().is_none() || self.state.is_demo() {
            return;
        }
        if let Some(own) = self.before_demo.take() {
            self.state.plan.preset = Some(presets::nearest(&own));
            self.state.plan.settings = own;
            self.plan_dirty = Some(ctx.input(|input| input.time));
        }
    }

    /// A name that no run has, as long as nobody has chosen one.
    fn propose_name(&mut self) {
        let (name, frame) = (&self.state.plan.name, &self.views.frame);
        if frame.name_stem.is_empty() || !(name.is_empty() || *name == frame.proposed_name) {
            return;
        }
        let name = free_name(&frame.name_stem, &self.state);
        self.views.frame.proposed_name.clone_from(&name);
        self.state.plan.name = name;
    }

    /// Prompts to watch, as long as nobody has chosen any.
    fn propose_prompts(&mut self) {
        if self.state.pairs.info.is_none() {
            return;
        }
        let watch = &mut self.state.plan.watch;
        if watch.prompts.is_empty() || watch.prompts == self.views.frame.proposed_prompts {
            let mut prompts: Vec<String> = Vec::new();
            // The rows of the table may be shortened.
            let whole = |row: &&PairRow| row.chars[0] > 0 && row.chars[0] == row.prompt.chars().count();
            for row in self.state.pairs.rows.iter().filter(whole) {
                if prompts.len() < PROPOSED_PROMPTS && !prompts.contains(&row.prompt) {
                    prompts.push(row.prompt.clone());
                }
            }
            self.views.frame.proposed_prompts.clone_from(&prompts);
            watch.prompts = prompts;
        }
    }

    fn plan_if_due(&mut self, ctx: &egui::Context) {
        let Some(since) = self.plan_dirty else { return };
        let left = since + PLAN_DELAY - ctx.input(|input| input.time);
        if left > 0.0 {
            ctx.request_repaint_after_secs(left as f32 + 0.01);
            return;
        }
        self.plan_dirty = None;
        if self.state.open_model().is_some() && self.state.pairs.info.is_some() {
            let plan = &self.state.plan;
            let (settings, limit, inputs) = (plan.settings.clone(), plan.limit, plan.inputs.clone());
            self.send(Command::Plan { settings, limit, inputs }, Vec::new());
        }
    }

    fn start_demo_if_ready(&mut self, ctx: &egui::Context) {
        if !self.demo_starting || self.adopting || self.plan_dirty.is_some() || !self.state.is_demo() {
            return;
        }
        match self.state.start_blocked() {
            None => {
                self.demo_starting = false;
                self.carry_out(ctx, Action::Start);
            }
            Some(Blocked::Planning | Blocked::Pairs) => {}
            Some(blocked) => {
                self.demo_starting = false;
                self.toast(ctx, setting::blocked(&blocked));
            }
        }
    }

    /// Title, wakefulness and slow ticks while a run is at work.
    fn follow_run(&mut self, ctx: &egui::Context) {
        let active = self.state.active_run().is_some();
        let stays = active || self.state.unsaved() || self.views.compare.unsaved_votes();
        if stays != self.was_staying {
            self.was_staying = stays;
            host::warn_before_leaving(stays);
        }
        if active != self.was_active {
            self.was_active = active;
            host::keep_awake(active);
            if active {
                // What they said of the run at rest is no longer true.
                self.toasts.clear();
            }
            if !active && self.was_ready {
                self.send(Command::ListRuns, Vec::new());
                self.send(Command::MeasureStorage, Vec::new());
            }
        }
        if active {
            ctx.request_repaint_after_secs(1.0);
        }
        let title = text::window_title(self.state.run.as_ref());
        if title != self.title {
            if self.state.in_browser {
                host::set_title(&title);
            } else {
                ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            }
            self.title = title;
        }
        if self.quit == Quit::WhenPaused && !active {
            if self.state.unsaved() {
                // It could not be saved: the person decides.
                self.quit = Quit::Asking;
            } else {
                self.close(ctx);
            }
        }
    }

    /// Goes on with the settings that a warning offered, also while the window is hidden.
    fn go_on_when_paused(&mut self) {
        let Some(run) = &self.state.run else { return };
        let command = run::when_paused(run, &mut self.views.run);
        // The window may be about to close.
        if let Some(command) = command.filter(|_| matches!(self.quit, Quit::No | Quit::Asking)) {
            self.send(command, Vec::new());
        }
    }

    /// Files that hover over the window or were let go of.
    fn dropped(&mut self, ctx: &egui::Context) {
        let hovering = ctx.input(|input| input.raw.hovered_files.clone());
        let dropped = ctx.input(|input| input.raw.dropped_files.clone());
        if !hovering.is_empty() && ctx.input(|input| input.key_pressed(Key::Escape)) {
            self.views.frame.ignore_drop = true;
        }
        let ignored = self.views.frame.ignore_drop;
        if hovering.is_empty() {
            self.views.frame.ignore_drop = false;
        } else if !ignored {
            frame::drop_ui(ctx, drops::hovered(&hovering).as_ref());
        }
        if dropped.is_empty() || ignored {
            return;
        }
        let files: Vec<PickedFile> = dropped.iter().flat_map(|file| (self.open_drop)(file)).collect();
        let names: Vec<String> = files.iter().map(PickedFile::name).collect();
        match drops::kind(&names) {
            drops::Drop::Pick(pick) => self.opened(ctx, pick, files),
            // A page gets only the name of a folder.
            drops::Drop::Unknown(why) if self.state.in_browser => self.toast(ctx, text::not_by_dropping(&why)),
            drops::Drop::Unknown(why) => self.toast(ctx, why),
        }
    }

    fn carry_out(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::Send(command) => self.send(command, Vec::new()),
            Action::Pick(pick) => {
                let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
                let done = Box::new(move |files| {
                    drop(sender.send(Answer::Picked(pick, files)));
                    repaint.request_repaint();
                });
                (self.ask_for_files)(pick, text::pick_title(pick), done);
            }
            Action::OpenPath(pick, path) => self.open_path(ctx, pick, &path),
            Action::SaveFile { name, bytes } => self.save_file(ctx, &name, &bytes),
            Action::Download { path } => {
                self.reading.push(Box::pin(async move { Answer::Found(stored_files(&path).await) }));
                ctx.request_repaint();
            }
            Action::Go(step) => self.go(step),
            Action::GoToField(key) => {
                self.views.plan.show_field(self.state.plan.method(), key);
                self.go(Step::Plan);
            }
            Action::Copy(content) => {
                ctx.copy_text(content);
                self.toast(ctx, text::COPIED.to_owned());
            }
            Action::EditSettings(settings) => self.edit_settings(ctx, settings),
            Action::ChooseMethod(method) => self.choose_method(ctx, method),
            Action::EditInputs(inputs) => {
                self.state.plan.inputs = inputs;
                self.plan_dirty = Some(ctx.input(|input| input.time));
            }
            Action::UsePreset(preset) => {
                let mut settings = self.state.plan.settings.clone();
                settings.extend(presets::overrides(preset));
                self.state.plan.preset = Some(preset);
                self.state.plan.proposed_epochs = None;
                self.propose_epochs(preset, &mut settings);
                self.edit_settings(ctx, settings);
            }
            Action::ResetSettings(preset) => {
                let mut settings = presets::overrides(preset);
                settings.insert("eval_split".to_owned(), EVAL_SPLIT.into());
                self.state.plan.proposed_epochs = None;
                self.propose_epochs(preset, &mut settings);
                self.views.plan.forget_typed();
                self.edit_settings(ctx, settings);
            }
            Action::EditWatch(watch) => {
                self.state.plan.watch_edited |= watch.eval_steps != self.state.plan.watch.eval_steps;
                self.state.plan.watch = watch;
            }
            Action::EditName(name) => self.state.plan.name = name,
            Action::EditLimit(limit) => {
                self.state.plan.limit = limit;
                self.plan_dirty = Some(ctx.input(|input| input.time));
            }
            Action::Plan => self.plan_dirty = Some(ctx.input(|input| input.time)),
            Action::RemapPairs(mapping) => {
                let files = self.state.pairs.files.clone();
                self.send(Command::OpenPairs { mapping: Some(mapping) }, files);
            }
            Action::AcceptProblems(accepted) => self.state.pairs.accepted = accepted,
            Action::OpenFound(index) => self.open_found(index),
            Action::Demo => {
                self.send(Command::OpenDemo, Vec::new());
                // Unless that was refused.
                self.demo_starting = self.adopting;
            }
            Action::Start => self.start(),
            Action::UseSettings { settings, inputs, watch, name } => {
                self.state.plan.inputs = inputs;
                self.state.plan.watch = watch;
                self.state.plan.watch_edited = true;
                self.views.frame.name_stem = unnumbered(&name, &self.state).to_owned();
                self.state.plan.name.clear();
                self.propose_name();
                self.views.plan.forget_typed();
                self.state.plan.preset = Some(presets::nearest(&settings));
                self.edit_settings(ctx, settings);
                self.go(Step::Plan);
            }
            Action::DismissWarning(index) => {
                if let Some(warning) = self.state.run.as_mut().and_then(|run| run.warnings.get_mut(index)) {
                    warning.dismissed = true;
                }
            }
            Action::CloseRun => {
                if self.state.unsaved() {
                    self.toast(ctx, text::UNSAVED_STAYS.to_owned());
                } else if self.state.active_run().is_none() {
                    self.state.forget_run();
                }
            }
            Action::DismissProblem(subject) => self.dismiss(subject),
            Action::Toast(message) => self.toast(ctx, message),
            Action::Reload => host::reload(),
            Action::RestartEngine => {
                self.engine.restart();
                self.state.restarted();
                self.forget_demo();
                self.was_ready = false;
            }
        }
    }

    fn go(&mut self, step: Step) {
        if self.step != step {
            self.step = step;
            host::announce(labels::step_name(step));
        }
        if step == Step::Runs && self.was_ready {
            self.send(Command::ListRuns, Vec::new());
        }
    }

    fn send(&mut self, command: Command, files: Vec<PickedFile>) {
        if let Some(why) = self.refusal(&command) {
            // What the app asks for by itself is left undone without a word.
            if !command.rules().quiet {
                self.state.notice(why, true);
            }
            return;
        }
        self.state.sent(&command, host::seconds());
        if matches!(command, Command::OpenPairs { .. }) {
            self.state.pairs.files.clone_from(&files);
        }
        if matches!(command, Command::Start(_) | Command::Resume { .. }) {
            host::set_fragment("");
        }
        let keeps = matches!(command, Command::KeepModel | Command::FetchModel { .. } | Command::Start(_));
        if keeps && self.state.in_browser && !self.state.storage.persisted {
            let sender = self.answers.0.clone();
            host::persist(move || drop(sender.send(Answer::Persisted)));
        }
        if matches!(command, Command::OpenDemo) {
            self.adopting = true;
            self.state.plan.info = None;
        }
        if matches!(command, Command::OpenModel { .. } | Command::FetchModel { .. }) {
            self.adopting = false;
            self.demo_starting = false;
            self.fetching = matches!(command, Command::FetchModel { .. });
        }
        self.engine.send(command, files);
    }

    /// Why this cannot be asked for now, if so.
    fn refusal(&self, command: &Command) -> Option<&'static str> {
        match &self.state.connection {
            Connection::Crashed(_) => return Some(text::RESTART_FIRST),
            Connection::VersionMismatch { .. } => return Some(text::RELOAD_FIRST),
            Connection::Starting | Connection::Ready(_) => {}
        }
        let rules = command.rules();
        if self.state.other_tab && rules.needs_gpu {
            return Some(text::OTHER_TAB_FIRST);
        }
        let run = self.state.active_run()?;
        rules.waits_for_pause.for_run(&run.info.record.run_id).then_some(text::PAUSE_FIRST)
    }

    /// The demo is not on its way any more.
    fn forget_demo(&mut self) {
        self.adopting = false;
        self.demo_starting = false;
    }

    fn edit_settings(&mut self, ctx: &egui::Context, settings: Settings) {
        let plan = &mut self.state.plan;
        if method_of(&settings) == Method::Dpo {
            plan.preset = presets::of(&settings).or(plan.preset);
        }
        // A person's own settings are not replaced by the demo's, which may still be on their way.
        self.adopting = false;
        self.before_demo = None;
        plan.settings = settings;
        plan.problem = None;
        self.plan_dirty = Some(ctx.input(|input| input.time));
        host::set_fragment(&setting::settings_fragment(&self.state.plan.settings));
    }

    fn start(&mut self) {
        if self.state.start_blocked().is_some() {
            return;
        }
        let plan = &self.state.plan;
        let name = if plan.name.trim().is_empty() { text::UNNAMED.to_owned() } else { plan.name.trim().to_owned() };
        let watch = Watch { prompts: non_empty(&plan.watch.prompts), ..plan.watch.clone() };
        let request = RunRequest { name, settings: plan.settings.clone(), watch, inputs: plan.inputs.clone() };
        self.send(Command::Start(Box::new(request)), Vec::new());
        self.step = Step::Run;
    }

    /// Opens what is at a path, or says why not where files of this kind are shown.
    fn open_path(&mut self, ctx: &egui::Context, pick: Pick, path: &str) {
        match host::files_at(pick, path) {
            Ok(files) => self.opened(ctx, pick, files),
            Err(e) => {
                self.state.recent.forget(path);
                self.not_opened(ctx, pick, &e);
            }
        }
    }

    fn not_opened(&mut self, ctx: &egui::Context, pick: Pick, error: &Error) {
        let problem = Problem::from(error);
        self.state.notice(&problem.what, false);
        match pick {
            Pick::ModelFolder | Pick::ModelFiles => {
                self.state.model_problem = Some(problem);
                self.go(Step::Model);
            }
            Pick::PairsFile => {
                self.state.pairs.refused = Some(problem);
                self.go(Step::Pairs);
            }
            Pick::Archive => {
                self.state.runs_problem = Some(problem);
                self.go(Step::Runs);
            }
            Pick::Adapter => self.state.runs_problem = Some(problem),
            Pick::Settings | Pick::Destination => self.toast(ctx, problem.to_string()),
        }
    }

    /// Opens files as what they were picked for.
    fn opened(&mut self, ctx: &egui::Context, pick: Pick, files: Vec<PickedFile>) {
        let Some(first) = files.first() else {
            self.toast(ctx, text::EMPTY_FOLDER.to_owned());
            return;
        };
        match pick {
            Pick::ModelFolder | Pick::ModelFiles => {
                // A GGUF file is a model by itself, whatever lies beside it.
                let is_alone = files.len() == 1 && first.name().to_lowercase().ends_with(".gguf");
                let path = if is_alone { first.whole_path() } else { first.place() };
                let folder = first.folder();
                let name = if folder.is_empty() || is_alone { first.name() } else { folder };
                let name = path.as_deref().and_then(hub_name).unwrap_or(name);
                self.send(Command::OpenModel { source: ModelSource::Picked { name, path } }, files);
                self.go(Step::Model);
            }
            Pick::PairsFile => {
                let file = files.into_iter().take(1).collect();
                self.send(Command::OpenPairs { mapping: None }, file);
                self.go(Step::Pairs);
            }
            Pick::Settings => {
                let file = first.clone();
                self.reading.push(Box::pin(async move { Answer::SettingsRead(read_settings(&file).await) }));
                ctx.request_repaint();
            }
            Pick::Archive => {
                self.send(Command::Import, files);
                self.go(Step::Runs);
            }
            Pick::Adapter => {
                self.send(Command::ImportAdapter, files);
                if self.step != Step::Plan {
                    self.go(Step::Runs);
                }
            }
            Pick::Destination => {
                if let Some(parent) = first.place() {
                    self.views.export.choose_folder(format!("{parent}/{}", first.name()));
                }
            }
        }
    }

    /// Asks what the models need that were found on this computer.
    fn measure_found(&mut self) {
        for found in self.state.found.clone() {
            self.send(Command::MeasureModel { source: source_of(&found) }, host::pick_at(&found.folder));
        }
    }

    fn open_found(&mut self, index: usize) {
        let Some(found) = self.state.found.get(index).cloned() else { return };
        let source = source_of(&found);
        self.send(Command::OpenModel { source }, host::pick_at(&found.folder));
        self.go(Step::Model);
    }

    fn answered(&mut self, ctx: &egui::Context, answer: Answer) {
        match answer {
            Answer::Picked(pick, Ok(files)) => self.opened(ctx, pick, files),
            // The computer has no dialogs: a path is asked for instead.
            Answer::Picked(pick, Err(e @ Error::Device { .. })) => {
                let problem = Problem::from(&e);
                self.state.notice(&problem.to_string(), false);
                self.views.frame.ask_for_path = Some(PathQuestion { pick, problem, path: String::new() });
            }
            Answer::Picked(pick, Err(e)) => self.not_opened(ctx, pick, &e),
            Answer::Saved(Ok(path)) => self.toast(ctx, text::saved_to(&path)),
            Answer::Saved(Err(Error::Cancelled)) => {}
            Answer::Saved(Err(e)) | Answer::SettingsRead(Err(e)) | Answer::Found(Err(e)) => {
                self.toast(ctx, e.to_string());
            }
            Answer::SettingsRead(Ok(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(settings) => self.take_settings(ctx, settings),
                Err(e) => self.toast(ctx, text::not_settings(&e.to_string())),
            },
            Answer::Found(Ok(files)) => {
                for file in &files {
                    let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
                    host::save_copy(file, move |saved| {
                        drop(sender.send(Answer::Saved(saved)));
                        repaint.request_repaint();
                    });
                }
            }
            Answer::Claimed(claimed) => {
                self.state.other_tab = !claimed;
                self.follow_fragment(ctx);
            }
            Answer::FoundModels(found) => {
                self.state.found = found;
                if self.was_ready {
                    self.measure_found();
                }
            }
            Answer::Persisted => self.send(Command::MeasureStorage, Vec::new()),
        }
    }

    /// Takes over settings from elsewhere, as far as they are known here, and shows them.
    fn take_settings(&mut self, ctx: &egui::Context, mut settings: Settings) {
        let unknown = fields::keep_known(&mut settings);
        settings.entry("eval_split").or_insert_with(|| EVAL_SPLIT.into());
        self.views.plan.forget_typed();
        self.state.plan.preset = Some(presets::nearest(&settings));
        self.edit_settings(ctx, settings);
        self.go(Step::Plan);
        self.toast(ctx, text::settings_read(&unknown));
    }

    fn save_file(&self, ctx: &egui::Context, name: &str, bytes: &[u8]) {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        host::save_file(name, bytes, move |saved| {
            drop(sender.send(Answer::Saved(saved)));
            repaint.request_repaint();
        });
    }

    /// Goes on with what is being read, without waiting.
    fn read_on(&mut self, ctx: &egui::Context) {
        let waker = Waker::from(Arc::new(Repaint(ctx.clone())));
        let mut context = Context::from_waker(&waker);
        let mut done = Vec::new();
        self.reading.retain_mut(|reading| match reading.as_mut().poll(&mut context) {
            Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            Poll::Pending => true,
        });
        for answer in done {
            self.answered(ctx, answer);
        }
    }

    /// Does what the page's address says, once: loading the page again does not do it again.
    fn follow_fragment(&mut self, ctx: &egui::Context) {
        let fragment = std::mem::take(&mut self.fragment);
        if fragment == "demo" {
            self.carry_out(ctx, Action::Demo);
        } else if let Some(settings) = setting::fragment_settings(&fragment) {
            self.take_settings(ctx, settings);
            self.linked = true;
        } else {
            return;
        }
        host::set_fragment("");
    }

    fn dismiss(&mut self, subject: Subject) {
        let state = &mut self.state;
        match subject {
            Subject::Model => state.model_problem = None,
            Subject::Pairs => state.pairs.refused = None,
            Subject::Chat => state.pairs.chat_refused = None,
            Subject::Plan => state.plan.problem = None,
            Subject::Run => {
                state.run_problem = None;
                state.asked_run = None;
            }
            Subject::Compare => state.compare_problem = None,
            Subject::Export => state.export_problem = None,
            Subject::Bench => state.bench = BenchState::None,
            Subject::Runs => {
                state.runs_problem = None;
                state.asked_run = None;
            }
        }
    }

    fn toast(&mut self, ctx: &egui::Context, text: String) {
        let since = ctx.input(|input| input.time);
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast { text, since });
        ctx.request_repaint_after_secs(TOAST_SECONDS as f32 + 0.1);
    }
}

/// True for what ends the demo on its way.
fn ends_the_demo(incoming: &Incoming) -> bool {
    let Incoming::Event(event) = incoming else { return true };
    let (Event::Cancelled { subject } | Event::Refused { subject, .. }) = &**event else { return false };
    matches!(subject, Subject::Model | Subject::Pairs | Subject::Plan)
}

/// The bytes of a file with settings, if it can be one.
async fn read_settings(file: &PickedFile) -> Result<Vec<u8>> {
    let source = file.source()?;
    if source.len() > MAX_SETTINGS {
        return Err(Error::input(text::settings_too_large(source.len()), text::SETTINGS_FILE, file.name()));
    }
    read_all(source.as_ref()).await
}

/// A file of the storage, or all files of a folder of it.
async fn stored_files(path: &str) -> Result<Vec<PickedFile>> {
    let store = host::Store::open("").await?;
    let inside = store.folder(path).await.map(|folder| folder.picked().to_vec()).unwrap_or_default();
    if !inside.is_empty() {
        return Ok(inside);
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let files = store.folder(folder).await?;
    Ok(files.picked().iter().filter(|file| file.name() == name).cloned().collect())
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.tick(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.draw(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        self.prefs.settings.clone_from(self.before_demo.as_ref().unwrap_or(&self.state.plan.settings));
        // What was proposed for these pairs is not a choice for all pairs to come.
        let epochs = self.state.plan.settings.get(presets::EPOCHS).and_then(Value::as_f64);
        if let Some(preset) = self.state.plan.preset
            && epochs.is_some()
            && epochs == self.state.plan.proposed_epochs
            && self.before_demo.is_none()
        {
            let own = presets::overrides(preset).remove(presets::EPOCHS).unwrap_or_default();
            self.prefs.settings.insert(presets::EPOCHS.to_owned(), own);
        }
        self.prefs.recent.clone_from(&self.state.recent);
        if let Ok(text) = serde_json::to_string(&self.prefs) {
            storage.set_string(STORAGE_KEY, text);
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

/// A name like `stem` that no run has.
fn free_name(stem: &str, state: &State) -> String {
    let numbered = (2..).map(|n| format!("{stem} {n}"));
    std::iter::once(stem.to_owned()).chain(numbered).find(|name| !is_taken(name, state)).unwrap_or_default()
}

fn is_taken(name: &str, state: &State) -> bool {
    state.runs.iter().flatten().any(|run| run.name == name)
}

/// What a name was before a number made it free.
fn unnumbered<'a>(name: &'a str, state: &State) -> &'a str {
    let parts = name.rsplit_once(' ').filter(|(stem, n)| n.parse::<u32>().is_ok() && is_taken(stem, state));
    parts.map_or(name, |(stem, _)| stem)
}

fn non_empty(prompts: &[String]) -> Vec<String> {
    prompts.iter().filter(|prompt| !prompt.trim().is_empty()).cloned().collect()
}
