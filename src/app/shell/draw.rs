//! The window, drawn: the frame, the page, the keys, and the question before it is closed.

use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, Ui, ViewportCommand};

use super::app::App;
use super::commands::TOAST_SECONDS;
use super::frame;
use crate::app::actions::{Action, Step};
use crate::app::pages::{compare, export, help, hub, model, pairs, plan, race, run, runs, start, sweep};
use crate::engine::protocol::{Command, RunCommand};
use crate::platform::Pick;

/// Progress of closing the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quit {
    No,
    /// The user is asked.
    Asking,
    /// The window closes as soon as the run is paused.
    WhenPaused,
    /// The window closes now.
    Now,
}

impl App {
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
        frame::strip_ui(ui, &self.state, self.step, &mut actions);
        frame::connection_ui(ui, &self.state, &mut actions);
        self.page(ui, &mut actions);
        let time = ctx.input(|input| input.time);
        self.toasts.retain(|toast| time - toast.since < TOAST_SECONDS);
        frame::toasts_ui(&ctx, &self.toasts);
        if !self.state.in_browser {
            frame::said_ui(&ctx, &self.views.frame.said);
        }
        self.dropped(&ctx);
        self.mirror.attach(&ctx);
        for action in actions {
            self.carry_out(&ctx, action);
        }
        self.prefs.theme = ctx.options(|options| options.theme_preference);
        self.prefs.zoom = ctx.zoom_factor();
    }

    pub(super) fn page(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let (state, views) = (&self.state, &mut self.views);
        let step = self.step;
        frame::content(ui, step, |ui| match step {
            Step::Start => start::start_ui(ui, state, &self.environment, &mut views.start, actions),
            Step::Hub => hub::hub_ui(ui, state, &mut views.hub, actions),
            Step::Model => model::model_ui(ui, state, &mut views.model, actions),
            Step::Pairs => pairs::pairs_ui(ui, state, &mut views.pairs, actions),
            Step::Plan => plan::plan_ui(ui, state, &mut views.plan, actions),
            Step::Run => run::run_ui(ui, state, &mut views.run, actions),
            Step::Compare => compare::compare_ui(ui, state, &mut views.compare, actions),
            Step::Export => export::export_ui(ui, state, &mut views.export, actions),
            Step::Race => race::race_ui(ui, state, &mut views.race, actions),
            Step::Sweep => sweep::sweep_ui(ui, state, &mut views.sweep, actions),
            Step::Runs => runs::runs_ui(ui, state, &mut views.runs, actions),
            Step::Help => help::help_ui(ui, state, &self.environment, actions),
        });
        let question = &mut self.views.frame.ask_for_path;
        question.take_if(|question| !frame::path_question_ui(ui.ctx(), question, actions));
        if self.quit == Quit::Asking || self.quit == Quit::WhenPaused {
            let waiting = self.quit == Quit::WhenPaused;
            match frame::quit_ui(ui.ctx(), &self.state, self.views.compare.unsaved_votes(), waiting) {
                Some(frame::QuitChoice::Stay) => self.quit = Quit::No,
                Some(frame::QuitChoice::Look(step)) => {
                    self.quit = Quit::No;
                    actions.push(Action::Go(step));
                }
                Some(frame::QuitChoice::Pause) => {
                    self.quit = Quit::WhenPaused;
                    actions.push(Action::Send(Command::Run(RunCommand::Pause)));
                }
                Some(frame::QuitChoice::Quit) => self.close(ui.ctx()),
                None => {}
            }
        }
    }

    /// Keys that work on every page.
    pub(super) fn keys(&mut self, ctx: &egui::Context, actions: &mut Vec<Action>) {
        let steps = [
            (Key::Num0, Step::Start),
            (Key::Num1, Step::Model),
            (Key::Num2, Step::Pairs),
            (Key::Num3, Step::Plan),
            (Key::Num4, Step::Run),
            (Key::Num5, Step::Compare),
            (Key::Num6, Step::Export),
            (Key::Num7, Step::Runs),
            (Key::Num8, Step::Race),
            (Key::Num9, Step::Sweep),
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
        self.pasted(ctx, actions);
    }

    /// Asks before the window is closed while a run is at work or not saved, or votes are not.
    fn closing(&mut self, ctx: &egui::Context) {
        if !ctx.input(|input| input.viewport().close_requested()) || self.quit == Quit::Now {
            return;
        }
        if self.state.at_work() || self.unsaved() {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            if self.quit == Quit::No {
                self.quit = Quit::Asking;
            }
        } else {
            self.hide(ctx);
        }
    }

    /// True if a run could not be saved, or votes were not.
    pub(super) fn unsaved(&self) -> bool {
        self.state.unsaved() || self.views.compare.unsaved_votes()
    }

    pub(super) fn close(&mut self, ctx: &egui::Context) {
        self.quit = Quit::Now;
        self.hide(ctx);
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }

    /// Hides the window at once, because the engine may need a while to save.
    fn hide(&self, ctx: &egui::Context) {
        if !self.state.in_browser {
            ctx.send_viewport_cmd(ViewportCommand::Visible(false));
        }
    }
}
