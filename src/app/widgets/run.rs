//! Parts about a run that several pages show: its name, its refusal, its start, whether it can be compared.

use eframe::egui::{self, Id, Key, Modal, RichText, Slider, TextEdit, TextStyle, Ui};

use super::buttons::{danger_button, primary_button, slider};
use super::parts::{Tone, card, heading, name_of, problem_card, weak};
use super::progress::{progress_bar, progress_ui};
use crate::app::actions::{Action, Step, send};
use crate::app::state::{ModelState, RunPhase, RunState, State};
use crate::app::text::run;
use crate::app::text::units::Unit;
use crate::engine::protocol::{Command, LibraryCommand, Problem, RunCommand, RunRecord, Subject};
use crate::platform::Pick;

/// The name of a run while it is being changed.
#[derive(Debug)]
pub(crate) struct Renaming {
    name: String,
    /// True until the keyboard is at it.
    is_new: bool,
}

/// Width of the field for a name.
const NAME: f32 = 320.0;

/// The name of a run as a heading that a click opens for a change; `renaming` is that of the run shown.
pub(crate) fn run_name_ui(ui: &mut Ui, record: &RunRecord, renaming: &mut Option<Renaming>, actions: &mut Vec<Action>) {
    let Some(changed) = renaming else {
        let name = RichText::new(&record.name).text_style(TextStyle::Heading).strong();
        let button = ui.add(egui::Button::new(name).frame_when_inactive(false).truncate());
        name_of(ui, &button, &run::rename(&record.name));
        if button.on_hover_text(run::RENAME).clicked() {
            *renaming = Some(Renaming { name: record.name.clone(), is_new: true });
        }
        return;
    };
    let width = NAME.min(ui.available_width());
    let field = ui.add(TextEdit::singleline(&mut changed.name).font(TextStyle::Heading).desired_width(width));
    name_of(ui, &field, run::NAME);
    if std::mem::take(&mut changed.is_new) {
        field.request_focus();
    }
    if !field.lost_focus() {
        return;
    }
    let name = changed.name.trim().to_owned();
    let given_up = ui.input(|input| input.key_pressed(Key::Escape));
    if !given_up && !name.is_empty() && name != record.name {
        let (run_id, notes) = (record.run_id.clone(), record.notes.clone());
        send(actions, Command::Library(LibraryCommand::Describe { run_id, name, notes }));
    }
    *renaming = None;
}

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
                send(actions, Command::Run(RunCommand::Discard { run_id: run_id.to_owned() }));
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
                actions.push(Action::Send(Command::Library(LibraryCommand::Open {
                    run_id: run.info.record.run_id.clone(),
                })));
            }
        }),
        phase => card(ui, |ui| {
            heading(ui, run::BUSY_TITLE);
            weak(ui, run::BUSY_TEXT);
            ui.horizontal_wrapped(|ui| {
                let can = *phase == RunPhase::Running;
                if can && primary_button(ui, run::PAUSE).clicked() {
                    actions.push(Action::Send(Command::Run(RunCommand::Pause)));
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
