//! The window's own part in events: once a frame, after each event, and while a run is at work.

use eframe::egui::{self, UserAttentionType, ViewportCommand};

use super::app::App;
use super::draw::Quit;
use super::frame::PlannedAbout;
use super::text;
use crate::app::actions::{Action, Demo, Step};
use crate::app::pages::run;
use crate::app::state::{Blocked, Connection, Trial};
use crate::app::text::setting;
use crate::engine::plan::presets;
use crate::engine::protocol::{Command, Event, LibraryCommand, PlanCommand, Subject};
use crate::link::Incoming;
use crate::platform::host;

/// Seconds that edits rest before the plan is asked for.
const PLAN_DELAY: f64 = 0.3;

/// Names, besides settings, that the fragment of the page's address (after the `#`) can have.
const PLACES: [(&str, Action); 3] =
    [("demo", Action::Demo(Demo::Run)), ("race", Action::Go(Step::Race)), ("sweep", Action::Go(Step::Sweep))];

/// Seconds between two looks at the battery.
const BATTERY_SECONDS: f64 = 10.0;

/// Seconds between two looks at what the page has fetched.
const NETWORK_SECONDS: f64 = 2.0;

impl App {
    /// Handles everything that happened; draws nothing.
    pub fn tick(&mut self, ctx: &egui::Context) {
        let now = host::seconds();
        while let Some(incoming) = self.engine.poll() {
            let is = |wanted: fn(&Event) -> bool| matches!(&incoming, Incoming::Event(event) if wanted(event));
            let opened = is(|event| matches!(event, Event::ModelOpened(_)));
            let measured = is(|event| matches!(event, Event::ModelMeasured { .. }));
            let imported = is(|event| matches!(event, Event::AdapterImported { .. }));
            if ends_the_demo(&incoming) {
                self.forget_demo();
            }
            self.state.apply(incoming, now);
            self.after_event(ctx);
            if measured {
                self.measure_found();
            }
            if imported {
                // The plan uses the adapter.
                self.plan_soon(ctx);
            }
            if opened && std::mem::take(&mut self.fetching) {
                // The model is now among those on this computer.
                self.look_for_models(ctx);
                if self.step == Step::Hub {
                    self.go(Step::Model);
                }
            }
            if opened && let Some(command) = self.state.run_to_ask_again() {
                self.go(if matches!(command, Command::Library(LibraryCommand::Open { .. })) {
                    Step::Compare
                } else {
                    Step::Run
                });
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
            // All notices go out at once, because a screen reader says only the latest text.
            let texts: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
            let said = texts.join(". ");
            host::announce(&said);
            self.views.frame.say(&said);
        }
        let last = notices.iter().rev().find(|notice| notice.toast).map(|notice| notice.text.clone());
        for notice in notices.into_iter().filter(|notice| notice.toast) {
            self.toast(ctx, notice.text);
        }
        self.plan_if_due(ctx);
        self.try_if_rested(ctx);
        self.start_demo_if_ready(ctx);
        self.follow_run(ctx, last.as_deref().unwrap_or(text::TRAINING_ENDED));
        self.go_on_when_paused();
    }

    /// Updates the window after an event was folded into the state.
    fn after_event(&mut self, ctx: &egui::Context) {
        let ready = matches!(self.state.connection, Connection::Ready(_));
        if ready && !self.was_ready {
            self.send(Command::Library(LibraryCommand::List), Vec::new());
            self.send(Command::Library(LibraryCommand::MeasureStorage), Vec::new());
            if self.views.hub.has_token() {
                self.send(self.views.hub.set_token(), Vec::new());
            }
            self.measuring = None;
            self.measure_found();
            for (pick, path) in std::mem::take(&mut self.opening) {
                self.open_path(ctx, pick, &path);
            }
        }
        self.was_ready = ready;
        if let Some((name, text)) = self.state.pairs.written.take() {
            self.save_file(ctx, &name, text.as_bytes());
        }
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
        let about = (
            opened,
            pairs.map(|pairs| {
                (pairs.name.clone(), [pairs.usable, pairs.skipped, pairs.edits], pairs.kind, pairs.swapped)
            }),
        );
        let file = |about: &PlannedAbout| about.1.as_ref().map(|(name, ..)| name.clone());
        if let Some(name) = file(&about).filter(|_| file(&about) != file(&self.views.frame.planned_about)) {
            self.views.frame.name_stem = name.split('.').next().unwrap_or(&name).to_owned();
            self.propose_name();
            if let Some(before) = file(&self.views.frame.planned_about) {
                self.forget_steps(ctx, &before);
            }
        }
        let n_runs = self.state.runs.as_ref().map_or(0, Vec::len);
        if n_runs != self.views.frame.n_runs {
            self.views.frame.n_runs = n_runs;
            self.propose_name();
        }
        if about != self.views.frame.planned_about {
            self.views.frame.planned_about = about;
            if self.planned_names() != self.views.frame.suited_about {
                self.forget_suited();
            }
            self.propose_prompts();
            // The demo brings settings for its pairs, so nothing is proposed while they are on their way.
            self.suit_rows(ctx);
            if let Some(preset) = self.state.plan.preset.filter(|_| !self.adopting) {
                let mut settings = std::mem::take(&mut self.state.plan.settings);
                self.propose_epochs(preset, &mut settings);
                self.state.plan.settings = settings;
            }
            if !self.adopting {
                self.plan_soon(ctx);
            }
        }
        self.suit_device(ctx);
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
            self.send(Command::Plan(PlanCommand::Estimate { settings, limit, inputs }), Vec::new());
        }
    }

    /// Takes trial steps of a plan that has rested on the screen, once, where they take a moment: on a GPU.
    fn try_if_rested(&mut self, ctx: &egui::Context) {
        let Some(delay) = self.trial_delay else { return };
        let on_gpu = self.state.gpu().is_some_and(|gpu| gpu.as_ref().is_ok_and(|gpu| !gpu.software));
        let unmeasured = self.state.plan_info().is_some_and(|plan| plan.step_seconds.is_none());
        let free = self.plan_dirty.is_none() && !self.adopting && self.demo_starting.is_none();
        let is_tried = self.tried.as_ref().is_some_and(|(about, settings)| {
            *about == self.views.frame.planned_about && *settings == self.state.plan.settings
        });
        let rests = self.step == Step::Plan
            && on_gpu
            && unmeasured
            && free
            && matches!(self.state.plan.trial, Trial::None)
            && !is_tried
            && self.state.start_blocked().is_none()
            && !self.views.plan.is_wrong(self.state.plan.method());
        if !rests {
            self.rests = None;
            return;
        }
        let now = ctx.input(|input| input.time);
        let left = *self.rests.get_or_insert(now) + delay - now;
        if left > 0.0 {
            ctx.request_repaint_after_secs(left as f32 + 0.01);
            return;
        }
        self.rests = None;
        self.tried = Some((self.views.frame.planned_about.clone(), self.state.plan.settings.clone()));
        self.send(self.state.trial_of_plan(), Vec::new());
    }

    fn start_demo_if_ready(&mut self, ctx: &egui::Context) {
        if self.demo_starting.is_none() || self.adopting || self.plan_dirty.is_some() || !self.state.is_demo() {
            return;
        }
        match self.state.start_blocked() {
            None => match self.demo_starting.take() {
                Some(Demo::Run) => self.carry_out(ctx, Action::Start),
                Some(Demo::Race(against)) => self.carry_out(ctx, Action::Race(against)),
                Some(Demo::Sweep) => self.sweep_demo(),
                None => {}
            },
            Some(Blocked::Planning | Blocked::Pairs) => {}
            Some(blocked) => {
                self.demo_starting = None;
                self.toast(ctx, setting::blocked(&blocked));
            }
        }
    }

    /// Keeps title, sleep lock, repainting and a pending close in step with the run at work. Somebody who looks
    /// elsewhere is called by `said` when it ends.
    fn follow_run(&mut self, ctx: &egui::Context, said: &str) {
        let active = self.state.at_work();
        let stays = active || self.unsaved();
        if stays != self.was_staying {
            self.was_staying = stays;
            host::warn_before_leaving(stays);
        }
        if active != self.was_active {
            self.was_active = active;
            host::keep_awake(active);
            if active {
                // The messages were about the run at rest and are no longer true.
                self.toasts.clear();
            }
            if !active && !ctx.input(|input| input.focused) {
                host::notify(said);
                ctx.send_viewport_cmd(ViewportCommand::RequestUserAttention(UserAttentionType::Informational));
            }
            if !active && self.was_ready {
                self.send(Command::Library(LibraryCommand::List), Vec::new());
                self.send(Command::Library(LibraryCommand::MeasureStorage), Vec::new());
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
            if self.unsaved() {
                // The run could not be saved, or votes are not, so the user decides.
                self.quit = Quit::Asking;
            } else {
                self.close(ctx);
            }
        }
    }

    /// Continues with the settings that a warning offered, also while the window is hidden.
    fn go_on_when_paused(&mut self) {
        let Some(run) = &self.state.run else { return };
        let command = run::when_paused(run, &mut self.views.run);
        // The window may be about to close.
        if let Some(command) = command.filter(|_| matches!(self.quit, Quit::No | Quit::Asking)) {
            self.send(command, Vec::new());
        }
    }

    /// Brings the user's own settings back once a model other than the demo's is open.
    fn leave_demo(&mut self, ctx: &egui::Context) {
        if self.state.open_model().is_none() || self.state.is_demo() {
            return;
        }
        if let Some(own) = self.before_demo.take() {
            self.state.plan.preset = Some(presets::nearest(&own));
            self.state.plan.settings = own;
            self.plan_soon(ctx);
        }
    }

    /// Gives up starting the demo.
    pub(super) fn forget_demo(&mut self) {
        self.adopting = false;
        self.demo_starting = None;
    }

    /// Follows the fragment of the page's address once, then clears it, so that a reload does not repeat it.
    pub(super) fn follow_fragment(&mut self, ctx: &egui::Context) {
        let fragment = std::mem::take(&mut self.fragment);
        if let Some((_, action)) = PLACES.into_iter().find(|(name, _)| *name == fragment) {
            self.carry_out(ctx, action);
        } else if let Some(settings) = setting::fragment_settings(&fragment) {
            self.take_settings(ctx, settings);
            self.linked = true;
        } else {
            return;
        }
        host::set_fragment("");
    }
}

/// True for an event that gives up starting the demo.
fn ends_the_demo(incoming: &Incoming) -> bool {
    let Incoming::Event(event) = incoming else { return true };
    let (Event::Cancelled { subject } | Event::Refused { subject, .. }) = &**event else { return false };
    matches!(subject, Subject::Model | Subject::Pairs | Subject::Plan)
}
