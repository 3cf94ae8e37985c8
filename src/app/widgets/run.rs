//! Cards about a run that several pages show: its refusal, its start, whether it can be compared.

use eframe::egui::{self, Id, Modal, Slider, Ui};

use super::buttons::{danger_button, primary_button, slider};
use super::parts::{Tone, card, heading, problem_card, weak};
use super::progress::{progress_bar, progress_ui};
use crate::app::actions::{Action, Step, send};
use crate::app::state::{ModelState, RunPhase, RunState, State};
use crate::app::text::run;
use crate::app::text::units::Unit;
use crate::engine::protocol::{Command, Problem, Subject};
use crate::platform::Pick;

/// Explains why a run could not be started, continued or opened, with a way on if only its model is missing.
pub(crate) fn refused_ui(ui: &mut Ui, subject: Subject, problem: Option<&Problem>, actions: &mut Vec<Action>) {
    let Some(problem) = problem else { return };
    problem_card(ui, Tone::Bad, run::REFUSED, problem, |ui| {
        if problem.wants_model() && primary_button(ui, run::OPEN_MODEL).clicked() {
            actions.push(Action::Pick(Pick::ModelFolder));
        }
        if ui.button(run::DISMISS).clicked() {
            actions.push(Action::DismissProblem(subject));
        }
    });
}

/// Shows what the engine does before a requested run begins or is open.
pub(crate) fn starting_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(ui, run::STARTING);
        match (&state.model, &state.pairs.loading) {
            (ModelState::Loading(progress), _) => progress_ui(ui, progress, Unit::Bytes),
            (_, Some(loading)) => progress_ui(ui, &loading.progress, loading.unit),
            _ => drop(progress_bar(ui, run::STARTING, None)),
        }
        if ui.button(run::CANCEL).clicked() {
            send(actions, Command::Cancel);
        }
    });
}

/// Asks whether to discard a run; returns true until there is an answer.
pub(crate) fn discard_ui(ui: &mut Ui, run_id: &str, actions: &mut Vec<Action>) -> bool {
    let frame = egui::Frame::popup(ui.style()).inner_margin(20.0);
    let modal = Modal::new(Id::unique("discard run")).frame(frame).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        heading(ui, run::DISCARD_TITLE);
        ui.label(run::DISCARD_TEXT);
        ui.horizontal(|ui| {
            if danger_button(ui, run::DISCARD_YES).clicked() {
                send(actions, Command::Discard { run_id: run_id.to_owned() });
                ui.close();
            }
            if ui.button(run::DISCARD_NO).clicked() {
                ui.close();
            }
        });
    });
    !modal.should_close()
}

/// True if the run can be compared now; otherwise says what is in the way.
pub(crate) fn comparable_ui(ui: &mut Ui, run: &RunState, actions: &mut Vec<Action>) -> bool {
    match &run.phase {
        RunPhase::Paused | RunPhase::Finished(_) | RunPhase::Opened => return true,
        RunPhase::Failed { .. } => card(ui, |ui| {
            heading(ui, run::FAILED_TITLE);
            weak(ui, run::FAILED_TEXT);
            if primary_button(ui, run::OPEN_SAFE).clicked() {
                actions.push(Action::Send(Command::OpenRun { run_id: run.info.record.run_id.clone() }));
            }
        }),
        phase => card(ui, |ui| {
            heading(ui, run::BUSY_TITLE);
            weak(ui, run::BUSY_TEXT);
            ui.horizontal_wrapped(|ui| {
                let can = *phase == RunPhase::Running;
                if can && primary_button(ui, run::PAUSE).clicked() {
                    actions.push(Action::Send(Command::Pause));
                }
                if ui.button(run::SHOW_RUN).clicked() {
                    actions.push(Action::Go(Step::Run));
                }
            });
        }),
    }
    false
}

/// The factor on the adapter, in percent.
pub(crate) fn strength_ui(ui: &mut Ui, strength: &mut u32) {
    let label = ui.label(run::SCALE).on_hover_text(run::SCALE_HELP).id;
    slider(ui, Slider::new(strength, 0..=150).step_by(5.0)).labelled_by(label);
}
