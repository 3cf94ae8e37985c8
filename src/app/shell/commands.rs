//! Actions of pages, carried out after drawing, and the commands that go to the engine.

use eframe::egui;

use super::answers::Answer;
use super::app::App;
use super::files::stored_files;
use super::frame::Toast;
use super::text;
use crate::app::actions::{Action, Demo, Step};
use crate::app::state::{BenchState, Connection, Course, ModelState};
use crate::app::text::labels;
use crate::engine::protocol::{
    Command, HubCommand, LibraryCommand, Mapping, ModelCommand, PairsCommand, RunCommand, RunRequest, Subject, Watch,
};
use crate::platform::Pick;
use crate::platform::host::{self, PickedFile};

/// Seconds that a message is shown.
pub(super) const TOAST_SECONDS: f64 = 5.0;

impl App {
    /// Does what a page asked for.
    pub(super) fn carry_out(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::Send(command) => self.send(command, Vec::new()),
            Action::Pick(pick) => self.pick(ctx, pick),
            Action::OpenPath(pick, path) => self.open_path(ctx, pick, &path),
            Action::SaveFile { name, bytes } => self.save_file(ctx, &name, &bytes),
            Action::Download { path } => self.download(ctx, path),
            Action::StayOffline(offline) => self.stay_offline(offline),
            Action::Go(step) => self.go(step),
            Action::GoToField(key) => self.go_to_field(key),
            Action::Copy(content) => {
                ctx.copy_text(content);
                self.toast(ctx, text::COPIED.to_owned());
            }
            Action::EditSettings(settings) => self.edit_settings(ctx, settings),
            Action::ChooseMethod(method) => self.choose_method(ctx, method),
            Action::EditInputs(inputs) => self.edit_inputs(ctx, inputs),
            Action::UsePreset(preset) => self.use_preset(ctx, preset),
            Action::ResetSettings(preset) => self.reset_settings(ctx, preset),
            Action::EditWatch(watch) => self.edit_watch(watch),
            Action::EditName(name) => self.state.plan.name = name,
            Action::EditLimit(limit) => self.edit_limit(ctx, limit),
            Action::Plan => self.plan_soon(ctx),
            Action::RemapPairs(mapping) => self.read_again(mapping),
            Action::AcceptProblems(accepted) => self.state.pairs.accepted = accepted,
            Action::OpenFound(index) => self.open_found(index),
            Action::Demo(demo) => self.start_demo(demo),
            Action::Race(against) => self.start_race(against),
            Action::Sweep { over, values } => self.start_sweep(over, values),
            Action::Start => self.start(),
            Action::UseSettings { settings, inputs, watch, name } => {
                self.use_settings(ctx, settings, inputs, watch, &name);
            }
            Action::DismissWarning(index) => self.state.dismiss_warning(index),
            Action::CloseRun => self.close_run(ctx),
            Action::DismissProblem(subject) => self.dismiss(subject),
            Action::OpenFolder(path) => self.show_folder(ctx, &path),
            Action::Toast(message) => self.toast(ctx, message),
            Action::AskToNotify => {
                // Nobody is asked twice.
                self.state.asks_to_notify = false;
                host::ask_to_notify();
            }
            Action::Reload => host::reload(),
            Action::RestartEngine => self.restart_engine(),
        }
    }

    fn pick(&self, ctx: &egui::Context, pick: Pick) {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        let done = Box::new(move |files| {
            drop(sender.send(Answer::Picked(pick, files)));
            repaint.request_repaint();
        });
        (self.ask_for_files)(pick, text::pick_title(pick), done);
    }

    fn show_folder(&self, ctx: &egui::Context, path: &str) {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        let failed = Box::new(move |error| {
            drop(sender.send(Answer::NotShown(error)));
            repaint.request_repaint();
        });
        (self.open_folder)(path, failed);
    }

    fn download(&mut self, ctx: &egui::Context, path: String) {
        self.reading.push(Box::pin(async move { Answer::Found(stored_files(&path).await) }));
        ctx.request_repaint();
    }

    fn go_to_field(&mut self, key: &'static str) {
        self.views.plan.show_field(self.state.plan.method(), key);
        self.go(Step::Plan);
    }

    /// Reads the pairs file again, with other columns.
    fn read_again(&mut self, mapping: Mapping) {
        let files = self.state.pairs.files.clone();
        self.send(Command::Pairs(PairsCommand::Open { mapping: Some(mapping) }), files);
    }

    /// Allows no connection from now on, and ends those that there are.
    fn stay_offline(&mut self, offline: bool) {
        self.state.offline = offline;
        let fetches = self.fetching && matches!(self.state.model, ModelState::Loading(_));
        if offline && (fetches || self.state.hub.searching || self.state.hub.measuring) {
            self.send(Command::Cancel, Vec::new());
        }
    }

    fn start_demo(&mut self, demo: Demo) {
        self.send(Command::Model(ModelCommand::OpenDemo), Vec::new());
        match &demo {
            Demo::Run => {}
            Demo::Race(_) => self.go(Step::Race),
            Demo::Sweep => self.go(Step::Sweep),
        }
        // Nothing starts if opening the demo was refused.
        self.demo_starting = self.adopting.then_some(demo);
    }

    fn close_run(&mut self, ctx: &egui::Context) {
        if self.state.unsaved() {
            self.toast(ctx, text::UNSAVED_STAYS.to_owned());
        } else if self.state.active_run().is_none() {
            self.state.forget_run();
        }
    }

    fn restart_engine(&mut self) {
        self.engine.restart();
        self.state.restarted();
        self.forget_demo();
        self.was_ready = false;
    }

    pub(super) fn go(&mut self, step: Step) {
        if self.step != step {
            self.step = step;
            host::announce(labels::step_name(step));
        }
        if step == Step::Runs && self.was_ready {
            self.send(Command::Library(LibraryCommand::List), Vec::new());
        }
    }

    pub(super) fn send(&mut self, command: Command, files: Vec<PickedFile>) {
        if let Some(why) = self.refusal(&command) {
            // A request that the app makes by itself is dropped without a message.
            if !command.rules().quiet {
                self.state.notice(why, true);
            }
            return;
        }
        self.state.sent(&command, host::seconds());
        if matches!(command, Command::Pairs(PairsCommand::Open { .. })) {
            self.state.pairs.files.clone_from(&files);
        }
        if matches!(command, Command::Run(RunCommand::Start(_) | RunCommand::Resume { .. })) {
            host::set_fragment("");
        }
        if command.rules().keeps && self.state.in_browser && !self.state.storage.persisted {
            let sender = self.answers.0.clone();
            host::persist(move || drop(sender.send(Answer::Persisted)));
        }
        if matches!(command, Command::Model(ModelCommand::OpenDemo)) {
            self.adopting = true;
            self.state.plan.info = None;
        }
        if matches!(command, Command::Model(ModelCommand::Open { .. }) | Command::Hub(HubCommand::Fetch { .. })) {
            self.adopting = false;
            self.demo_starting = None;
            self.fetching = matches!(command, Command::Hub(HubCommand::Fetch { .. }));
        }
        self.engine.send(command, files);
    }

    /// Returns the reason if this cannot be asked for now.
    fn refusal(&self, command: &Command) -> Option<&'static str> {
        match &self.state.connection {
            Connection::Crashed(_) => return Some(text::RESTART_FIRST),
            Connection::VersionMismatch { .. } => return Some(text::RELOAD_FIRST),
            Connection::Starting | Connection::Ready(_) => {}
        }
        let connects = matches!(command, Command::Hub(HubCommand::Search { .. } | HubCommand::Fetch { .. }));
        if connects && self.state.offline {
            return Some(text::OFFLINE);
        }
        let rules = command.rules();
        if self.state.other_tab && rules.needs_gpu {
            return Some(text::OTHER_TAB_FIRST);
        }
        if (self.state.races() || self.state.sweeps()) && rules.waits_for_pause.for_trials() {
            return Some(text::STOP_FIRST);
        }
        let run = self.state.active_run()?;
        rules.waits_for_pause.for_run(&run.info.record.run_id).then_some(text::PAUSE_FIRST)
    }

    pub(super) fn start(&mut self) {
        if self.state.start_blocked().is_some() {
            return;
        }
        let plan = &self.state.plan;
        let name = if plan.name.trim().is_empty() { text::UNNAMED.to_owned() } else { plan.name.trim().to_owned() };
        let watch = Watch { prompts: non_empty(&plan.watch.prompts), ..plan.watch.clone() };
        let request = RunRequest { name, settings: plan.settings.clone(), watch, inputs: plan.inputs.clone() };
        self.send(Command::Run(RunCommand::Start(Box::new(request))), Vec::new());
        self.step = Step::Run;
    }

    fn dismiss(&mut self, subject: Subject) {
        let state = &mut self.state;
        match subject {
            Subject::Model => state.model_problem = None,
            Subject::Hub => state.hub.problem = None,
            Subject::Pairs => state.pairs.refused = None,
            Subject::Chat => state.pairs.chat_refused = None,
            Subject::Plan => state.plan.problem = None,
            Subject::Run => {
                state.run_problem = None;
                state.asked_run = None;
            }
            Subject::Race => state.race.course = Course::None,
            Subject::Sweep => state.sweep.course = Course::None,
            Subject::Compare => state.compare_problem = None,
            Subject::Export => state.export_problem = None,
            Subject::Bench => state.bench = BenchState::None,
            Subject::Runs => {
                state.runs_problem = None;
                state.asked_run = None;
            }
        }
    }

    pub(super) fn toast(&mut self, ctx: &egui::Context, text: String) {
        let since = ctx.input(|input| input.time);
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast { text, since });
        ctx.request_repaint_after_secs(TOAST_SECONDS as f32 + 0.1);
    }
}

fn non_empty(prompts: &[String]) -> Vec<String> {
    prompts.iter().filter(|prompt| !prompt.trim().is_empty()).cloned().collect()
}
