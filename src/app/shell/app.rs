//! The app: its state, how it starts, and how the window drives it.

use std::sync::mpsc::{Receiver, Sender, channel};

use eframe::egui::{self, Ui};

use super::answers::Answer;
use super::draw::Quit;
use super::drops;
use super::frame::{FrameView, PlannedAbout, Toast};
use super::mirror::Mirror;
use super::prefs::{Prefs, STORAGE_KEY};
use crate::app::actions::{Demo, Step};
use crate::app::pages::compare::CompareView;
use crate::app::pages::export::ExportView;
use crate::app::pages::hub::HubView;
use crate::app::pages::model::ModelView;
use crate::app::pages::pairs::PairsView;
use crate::app::pages::plan::PlanView;
use crate::app::pages::race::RaceView;
use crate::app::pages::run::RunView;
use crate::app::pages::runs::RunsView;
use crate::app::pages::start::StartView;
use crate::app::pages::sweep::SweepView;
use crate::app::state::State;
use crate::app::theme;
use crate::engine::plan::presets;
use crate::engine::protocol::{ModelSource, Settings};
use crate::error::{Error, Result};
use crate::link::Engine;
use crate::platform::host::{self, PickedFile};
use crate::platform::{Environment, FoundModel, LocalFuture, Pick, World};

/// Seconds that a plan rests on the screen before the app tries it by itself.
const TRIAL_DELAY: f64 = 2.0;

/// Turns what was dropped on the window into files; natively by its path.
pub type OpenDrop = Box<dyn Fn(&egui::DroppedFileHandle) -> Vec<PickedFile>>;

/// Asks the user for files in a dialog with a title; the last argument takes the answer.
pub type AskForFiles = Box<dyn Fn(Pick, &str, host::Then<Result<Vec<PickedFile>>>)>;

/// Shows a folder in the system's file manager; the last argument takes the error if that cannot be done.
pub type OpenFolder = Box<dyn Fn(&str, host::Then<Error>)>;

/// The app.
pub struct App {
    pub(super) engine: Box<dyn Engine>,
    pub(super) state: State,
    pub(super) environment: Environment,
    pub(super) prefs: Prefs,
    pub(super) step: Step,
    pub(super) views: Views,
    pub(super) answers: (Sender<Answer>, Receiver<Answer>),
    pub(super) reading: Vec<LocalFuture<'static, Answer>>,
    pub(super) open_drop: OpenDrop,
    pub(super) ask_for_files: AskForFiles,
    pub(super) open_folder: OpenFolder,
    /// Paths to open as soon as the engine listens.
    pub(super) opening: Vec<(Pick, String)>,
    /// Time of the last change that the plan depends on, on egui's clock.
    pub(super) plan_dirty: Option<f64>,
    /// Seconds that a plan rests on the screen before the app tries it by itself; none for never.
    pub(super) trial_delay: Option<f64>,
    /// Time since which a plan without a trial rests on the screen, on egui's clock.
    pub(super) rests: Option<f64>,
    /// The last plan that the app tried by itself.
    pub(super) tried: Option<(PlannedAbout, Settings)>,
    /// True until the demo's plan arrives and its settings are taken over.
    pub(super) adopting: bool,
    /// Training to start as soon as the demo is planned.
    pub(super) demo_starting: Option<Demo>,
    /// The user's settings that the demo's replaced.
    pub(super) before_demo: Option<Settings>,
    /// Fragment of the address (after the `#`), until it is known whether this tab may have the GPU.
    pub(super) fragment: String,
    /// True if the address brought settings, so that the plan is shown; a run that can be continued comes first.
    pub(super) linked: bool,
    pub(super) toasts: Vec<Toast>,
    pub(super) quit: Quit,
    pub(super) title: String,
    pub(super) was_active: bool,
    /// True if the user is asked before leaving the page.
    pub(super) was_staying: bool,
    pub(super) was_ready: bool,
    /// Time of the last battery check, on the platform's clock.
    pub(super) battery_asked: f64,
    /// Time of the last look at the requests of the page, on the platform's clock.
    pub(super) network_asked: f64,
    /// The model on this computer whose needs were asked for last.
    pub(super) measuring: Option<ModelSource>,
    /// True if the model that is being opened is fetched first.
    pub(super) fetching: bool,
    pub(super) mirror: Mirror,
}

/// State of every page.
#[derive(Default)]
pub(super) struct Views {
    pub(super) start: StartView,
    pub(super) hub: HubView,
    pub(super) model: ModelView,
    pub(super) pairs: PairsView,
    pub(super) plan: PlanView,
    pub(super) run: RunView,
    pub(super) compare: CompareView,
    pub(super) export: ExportView,
    pub(super) race: RaceView,
    pub(super) sweep: SweepView,
    pub(super) runs: RunsView,
    pub(super) frame: FrameView,
}

impl App {
    /// Creates an app that talks to `engine`, with the preferences in `storage`.
    pub fn new(ctx: &egui::Context, storage: Option<&dyn eframe::Storage>, engine: Box<dyn Engine>) -> Self {
        theme::install(ctx);
        ctx.enable_accesskit();
        let prefs = Prefs::stored(storage);
        ctx.set_theme(prefs.theme);
        ctx.set_zoom_factor(prefs.zoom.clamp(0.5, 4.0));
        let environment = host::environment();
        let mut state = State::default();
        state.plan.settings = prefs.settings.clone();
        state.plan.preset = Some(presets::nearest(&prefs.settings));
        state.recent.clone_from(&prefs.recent);
        state.offline = prefs.offline;
        state.in_browser = environment.world == World::Browser;
        state.asks_to_notify = environment.asks_to_notify;
        state.export_home = host::export_folder();
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
            open_folder: Box::new(host::open_folder),
            opening: Vec::new(),
            plan_dirty: None,
            trial_delay: Some(TRIAL_DELAY),
            rests: None,
            tried: None,
            adopting: false,
            demo_starting: None,
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
            measuring: None,
            fetching: false,
            mirror: Mirror::default(),
        };
        app.look_for_models(ctx);
        app
    }

    /// Claims the GPU and the runs in the folder `store` (empty for the system's place) for this app, or learns that
    /// another tab or window has them.
    #[must_use]
    pub fn alone(self, ctx: &egui::Context, store: &str) -> Self {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        host::claim_gpu(store, move |claimed| {
            drop(sender.send(Answer::Claimed(claimed)));
            repaint.request_repaint();
        });
        self
    }

    /// Sets how dropped files are opened, where that is not by their paths.
    #[must_use]
    pub fn with_drops(mut self, open_drop: OpenDrop) -> Self {
        self.open_drop = open_drop;
        self
    }

    /// Opens these paths as soon as the engine listens: a model's folder, a pairs file.
    #[must_use]
    pub fn opening(mut self, model: Option<String>, pairs: Option<String>) -> Self {
        let paths = [(Pick::ModelFolder, model), (Pick::PairsFile, pairs)];
        self.opening = paths.into_iter().filter_map(|(pick, path)| Some((pick, path?))).collect();
        self
    }

    /// Asks for files in another way than the system's dialogs, for tests.
    #[must_use]
    pub fn with_dialogs(mut self, ask_for_files: AskForFiles) -> Self {
        self.ask_for_files = ask_for_files;
        self
    }

    /// Shows folders in another way than the system's file manager, for tests.
    #[must_use]
    pub fn with_folders(mut self, open_folder: OpenFolder) -> Self {
        self.open_folder = open_folder;
        self
    }

    /// Tries a plan by itself after so many seconds, or never, for tests.
    #[must_use]
    pub fn with_trials_after(mut self, seconds: Option<f64>) -> Self {
        self.trial_delay = seconds;
        self
    }

    /// Behaves as if in another environment, with these models on the computer, for tests.
    #[must_use]
    pub fn with_environment(mut self, environment: Environment, found: Vec<FoundModel>) -> Self {
        // Discard the answers of the real computer.
        self.answers = channel();
        self.state.in_browser = environment.world == World::Browser;
        self.state.asks_to_notify = environment.asks_to_notify;
        self.state.export_home = (!self.state.in_browser).then(|| "~/Documents/pairtune".to_owned());
        self.state.found = found;
        self.environment = environment;
        self
    }

    /// Behaves as if opened at an address with `fragment` after the `#`, where another tab has the GPU unless
    /// `claimed`; for tests.
    #[must_use]
    pub fn with_address(mut self, fragment: &str, claimed: bool) -> Self {
        self.fragment = fragment.to_owned();
        drop(self.answers.0.send(Answer::Claimed(claimed)));
        self
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.tick(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.draw(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        self.remember();
        if let Ok(text) = serde_json::to_string(&self.prefs) {
            storage.set_string(STORAGE_KEY, text);
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}
