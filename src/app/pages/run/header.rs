//! The head of the run page: the state of the run, its figures, and the buttons that steer it.

use eframe::egui::{Sides, Ui};

use super::page::RunView;
use super::text;
use crate::app::actions::{Action, send};
use crate::app::charts::tight;
use crate::app::state::{Connection, RunPhase, RunState, State};
use crate::app::text::{labels, run};
use crate::app::widgets::{
    Icon, Tone, card, chip, icon_button, link_button, mono, progress_bar, run_name_ui, small, weak,
};
use crate::engine::protocol::{Command, Failure, RunCommand, Status};
use crate::platform::host;

pub(super) fn header_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    // Without an engine nothing continues, and nothing can be asked for.
    let is_gone = !matches!(state.connection, Connection::Ready(_)) && run.is_active();
    let (tone, phase) = if is_gone { (Tone::Bad, run::INTERRUPTED.to_owned()) } else { standing(run) };
    card(ui, |ui| {
        // Either side takes what it changes by itself.
        let (mut renaming, mut asked) = (view.renaming.take(), Vec::new());
        Sides::new().shrink_left().truncate().show(
            ui,
            |ui| {
                chip(ui, tone, &phase);
                run_name_ui(ui, &run.info.record, &mut renaming, &mut asked);
            },
            |ui| {
                if !is_gone && !state.run_pending {
                    buttons_ui(ui, run, view, actions);
                }
            },
        );
        view.renaming = renaming;
        actions.extend(asked);
        let now = host::seconds();
        let mut facts = vec![text::step_of(run.step(), run.n_steps())];
        facts.extend(run.latest("epoch").map(text::epoch));
        facts.push(text::elapsed(run.elapsed(now)));
        let running = !is_gone && matches!(run.phase, RunPhase::Running | RunPhase::Pausing | RunPhase::Stopping);
        if running {
            facts.extend(run.eta().map(text::left));
            facts.extend(run.tokens_per_second().map(text::speed));
        }
        tight(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 20.0;
            for fact in facts {
                mono(ui, fact);
            }
            if running && state.on_battery {
                chip(ui, Tone::Neutral, labels::ON_BATTERY);
            }
            if running && state.asks_to_notify {
                let link = link_button(ui, text::TELL_ME).on_hover_text(text::TELL_ME_HELP);
                if link.clicked() {
                    actions.push(Action::AskToNotify);
                }
            }
        });
        progress_bar(ui, text::PROGRESS, Some(run.fraction()));
        // Work between the steps: evaluations, samples and saves. Work before the first step has a card of its own.
        if let (Some((phase, progress)), true) = (&run.progress, running) {
            small(ui, run::work(*phase, progress));
        }
        if running {
            ui.ctx().request_repaint_after_secs(1.0);
        }
    });
}

/// State of the run, in a word or two.
fn standing(run: &RunState) -> (Tone, String) {
    let (tone, word) = match &run.phase {
        RunPhase::Preparing => (Tone::Accent, text::PREPARING),
        RunPhase::Running => (Tone::Accent, text::TRAINING),
        RunPhase::Pausing => (Tone::Neutral, text::PAUSING),
        RunPhase::Stopping => (Tone::Neutral, text::STOPPING),
        RunPhase::Paused => (Tone::Neutral, run::status(Status::Paused)),
        RunPhase::Finished(_) if run.info.record.status == Status::Stopped => {
            (Tone::Good, run::status(Status::Stopped))
        }
        RunPhase::Finished(_) => (Tone::Good, run::FINISHED),
        RunPhase::Failed { failure: Failure::Diverged { .. }, .. } => (Tone::Bad, run::status(Status::Diverged)),
        RunPhase::Failed { .. } => (Tone::Bad, run::status(Status::Failed)),
        RunPhase::Recovering { .. } => (Tone::Warn, text::RECOVERING),
        RunPhase::Opened => (Tone::Neutral, run::status(run.info.record.status)),
    };
    (tone, word.to_owned())
}

/// Draws the buttons, from right to left.
fn buttons_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let more = |ui: &mut Ui, view: &mut RunView| {
        ui.menu_button(text::MORE, |ui| {
            if ui.button(run::DISCARD).clicked() {
                view.confirm_discard = true;
                ui.close();
            }
        });
    };
    match &run.phase {
        RunPhase::Preparing => {
            if ui.button(run::CANCEL).clicked() {
                send(actions, Command::Cancel);
            }
        }
        RunPhase::Running => {
            more(ui, view);
            if icon_button(ui, Icon::Stop, text::STOP).clicked() {
                send(actions, Command::Run(RunCommand::Stop));
            }
            if icon_button(ui, Icon::Pause, run::PAUSE).clicked() {
                send(actions, Command::Run(RunCommand::Pause));
            }
        }
        // The other choices are beside the countdown.
        RunPhase::Recovering { .. } => more(ui, view),
        RunPhase::Pausing | RunPhase::Stopping => {
            // Other work than a step is named below.
            if run.progress.is_none() {
                weak(ui, run::FINISHING);
            }
            ui.spinner();
        }
        RunPhase::Paused | RunPhase::Finished(_) | RunPhase::Failed { .. } | RunPhase::Opened => {
            more(ui, view);
            if ui.button(text::CLOSE).clicked() {
                actions.push(Action::CloseRun);
            }
        }
    }
}
