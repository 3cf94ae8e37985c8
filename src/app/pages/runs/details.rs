//! Details of one run, curves of several runs together, and the question before deleting them.

use eframe::egui::{self, Id, Modal, RichText, TextEdit, Ui};

use super::page::RunsView;
use super::table::{before, changes, short, tone};
use super::text;
use crate::app::actions::{Action, Step};
use crate::app::charts::{Chart, Hue, Series, Unit};
use crate::app::records::continued;
use crate::app::state::{State, series};
use crate::app::text::{run, units};
use crate::app::widgets::{
    card, chip, columns, danger_button, heading, mono, primary_button, run_name_ui, small, text_box, weak,
};
use crate::engine::protocol::{Command, LibraryCommand, ModelSource, RunRecord};

/// Maximum number of runs whose curves are drawn together.
const OVERLAID: usize = 6;

pub(super) fn details_ui(
    ui: &mut Ui,
    state: &State,
    runs: &[RunRecord],
    view: &mut RunsView,
    actions: &mut Vec<Action>,
) {
    let Some((run_id, notes)) = &mut view.open else { return };
    let Some(run) = runs.iter().find(|run| run.run_id == *run_id) else {
        view.open = None;
        return;
    };
    let mut delete = false;
    card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            run_name_ui(ui, run, &mut view.renaming, actions);
            chip(ui, tone(state, run), run::run_status(state, run));
            mono(ui, text::extent(run));
        });
        ui.horizontal_wrapped(|ui| {
            let offered = run.step < run.n_steps && state.may_continue();
            if offered && primary_button(ui, run::go_on(run)).clicked() {
                actions.push(Action::Send(continued(run)));
                actions.push(Action::Go(Step::Run));
            }
            if ui.button(text::DUPLICATE).on_hover_text(text::DUPLICATE_HELP).clicked() {
                actions.push(Action::UseSettings {
                    settings: run.settings.clone(),
                    inputs: run.inputs.clone(),
                    watch: run.watch.clone(),
                    name: run.name.clone(),
                });
                actions.push(Action::Go(Step::Plan));
            }
            delete = danger_button(ui, text::DELETE).clicked();
        });
        notes_ui(ui, run, notes, actions);
        ui.add_space(4.0);
        changes_ui(ui, runs, run);
        settings_ui(ui, run);
    });
    if delete {
        view.delete = vec![run.run_id.clone()];
    }
}

/// Draws the notes, to be edited.
fn notes_ui(ui: &mut Ui, run: &RunRecord, notes: &mut String, actions: &mut Vec<Action>) {
    let label = ui.label(text::NOTES).id;
    let field = TextEdit::multiline(notes).desired_rows(2).desired_width(f32::INFINITY);
    ui.add(field.hint_text(text::NOTES_HINT)).labelled_by(label);
    if ui.add_enabled(*notes != run.notes, egui::Button::new(text::SAVE)).clicked() {
        let (run_id, name, notes) = (run.run_id.clone(), run.name.clone(), notes.clone());
        actions.push(Action::Send(Command::Library(LibraryCommand::Describe { run_id, name, notes })));
    }
}

/// Draws the settings that differ from those of the previous run.
fn changes_ui(ui: &mut Ui, runs: &[RunRecord], run: &RunRecord) {
    ui.label(RichText::new(text::CHANGES_TITLE).strong());
    match before(runs, run).map(|earlier| changes(&earlier.settings, &run.settings)) {
        None => drop(weak(ui, text::FIRST)),
        Some(list) if list.is_empty() => drop(weak(ui, text::SAME)),
        Some(list) => {
            egui::Grid::new("run changes").num_columns(3).spacing([24.0, 4.0]).show(ui, |ui| {
                for (name, before, now) in list {
                    mono(ui, name);
                    ui.label(RichText::new(before).monospace().weak());
                    ui.label(RichText::new(now).monospace().strong());
                    ui.end_row();
                }
            });
        }
    }
}

/// Draws all settings of the run, and the place of its model.
fn settings_ui(ui: &mut Ui, run: &RunRecord) {
    egui::CollapsingHeader::new(text::SETTINGS).id_salt("all settings").show_unindented(ui, |ui| {
        text_box(ui, |ui| {
            let lines: Vec<String> =
                run.settings.iter().map(|(name, value)| format!("{name} = {}", short(value))).collect();
            ui.add(egui::Label::new(RichText::new(lines.join("\n")).monospace()).wrap());
        });
        if let ModelSource::Picked { path: Some(path), .. } = &run.model {
            small(ui, path.as_str());
        }
    });
}

/// Draws the curves of the selected runs together.
pub(super) fn overlay_ui(
    ui: &mut Ui,
    state: &State,
    runs: &[RunRecord],
    view: &mut RunsView,
    actions: &mut Vec<Action>,
) {
    let chosen: Vec<&RunRecord> =
        runs.iter().filter(|run| view.selected.contains(&run.run_id)).take(OVERLAID).collect();
    if chosen.is_empty() {
        small(ui, text::OVERLAY_HELP);
        return;
    }
    for run in &chosen {
        // Ask again once the run has taken further steps.
        if view.asked.insert(run.run_id.clone(), run.step) != Some(run.step) {
            actions.push(Action::Send(Command::Library(LibraryCommand::ReadHistory { run_id: run.run_id.clone() })));
        }
    }
    ui.horizontal_wrapped(|ui| {
        heading(ui, text::OVERLAY);
        if view.selected.len() > 1 && danger_button(ui, &text::delete_several(view.selected.len())).clicked() {
            view.delete = view.selected.iter().cloned().collect();
        }
    });
    let chart = |ui: &mut Ui, title: &'static str, metric: &str, unit: Unit, smoothing: f64| {
        let lines: Vec<(&RunRecord, Vec<[f64; 2]>)> = chosen
            .iter()
            .map(|run| (*run, state.histories.get(&run.run_id).map_or_else(Vec::new, |all| series(all, metric))))
            .collect();
        card(ui, |ui| {
            let mut chart = Chart::new(title, "").unit(unit);
            for (i, (run, points)) in lines.iter().enumerate() {
                chart = chart.line(Series::new(run.name.clone(), points, Hue::of(i)).smoothed(smoothing));
            }
            chart.show(ui);
        });
    };
    columns(
        ui,
        300.0,
        &mut [
            &mut |ui| chart(ui, text::ACCURACY, "eval_preference_accuracy", Unit::Percent, 0.0),
            &mut |ui| chart(ui, text::MARGIN, "eval_rewards/margins", Unit::Plain, 0.0),
            &mut |ui| chart(ui, text::TRAIN_LOSS, "loss", Unit::Plain, 0.6),
        ],
    );
}

pub(super) fn delete_ui(ui: &Ui, runs: &[RunRecord], view: &mut RunsView, actions: &mut Vec<Action>) {
    let doomed: Vec<&RunRecord> = runs.iter().filter(|run| view.delete.contains(&run.run_id)).collect();
    let title = match doomed.as_slice() {
        [] => return view.delete.clear(),
        [run] => text::delete_title(&run.name),
        runs => text::delete_titles(runs.len()),
    };
    let frame = egui::Frame::popup(ui.style()).inner_margin(20.0);
    let modal = Modal::new(Id::unique("delete run")).frame(frame).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        heading(ui, &title);
        ui.label(text::DELETE_TEXT);
        mono(ui, units::bytes(doomed.iter().map(|run| run.bytes).sum()));
        ui.horizontal(|ui| {
            if danger_button(ui, text::DELETE_YES).clicked() {
                let delete = |run: &&RunRecord| {
                    Action::Send(Command::Library(LibraryCommand::Delete { run_id: run.run_id.clone() }))
                };
                actions.extend(doomed.iter().map(delete));
                actions.push(Action::Send(Command::Library(LibraryCommand::MeasureStorage)));
                ui.close();
            }
            if ui.button(text::DELETE_NO).clicked() {
                ui.close();
            }
        });
    });
    if modal.should_close() {
        view.delete.clear();
    }
}
