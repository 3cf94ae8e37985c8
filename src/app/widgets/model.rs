//! A model that is on its way, that was refused, or that is to be chosen.

use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBody, TableBuilder};

use super::parts::{Tone, chip, problem_card, small, titled_card, weak};
use super::progress::progress_ui;
use crate::app::actions::{Action, Step};
use crate::app::state::State;
use crate::app::text::labels;
use crate::app::text::units::{self, Unit};
use crate::app::theme::{self, GRID};
use crate::engine::protocol::{Command, Problem, Progress, Subject};
use crate::platform::Pick;

const LOADING: &str = "Opening the model";
const CANCEL_NOTE: &str = "Frees the memory again. A download continues where it stopped.";
const REFUSED: &str = "This model can't be used";
const PICK_OTHER: &str = "Pick another folder…";
const FIND_OTHER: &str = "Find one that works";
const FITS: &str = "fits";
const FITS_WHY: &str = "The smallest sensible run fits: the weights in 4 bits, one short pair at a time. Plan says \
    what your run takes.";
const NEEDS_WHY: &str = "Weights, adapter, activations and logits of the smallest sensible run: one short pair at a \
    time. A smaller model helps most.";
const NOT_SUPPORTED: &str = "cannot be tuned";

/// Draws the progress of the model that is being read or fetched.
pub(crate) fn model_loading_ui(ui: &mut Ui, progress: &Progress, actions: &mut Vec<Action>) {
    titled_card(ui, LOADING, |ui| {
        progress_ui(ui, progress, Unit::Bytes);
        ui.horizontal_wrapped(|ui| {
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            small(ui, CANCEL_NOTE);
        });
    });
}

/// Draws why the model that was last asked for was refused, if it was.
pub(crate) fn model_refused_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(problem) = &state.model_problem else { return };
    problem_card(ui, Tone::Bad, REFUSED, problem, |ui| {
        if ui.button(PICK_OTHER).clicked() {
            actions.push(Action::Pick(Pick::ModelFolder));
        }
        if ui.button(FIND_OTHER).clicked() {
            actions.push(Action::Go(Step::Hub));
        }
        if ui.button(labels::DISMISS).clicked() {
            actions.push(Action::DismissProblem(Subject::Model));
        }
        if let Some(open) = state.open_model() {
            weak(ui, format!("\"{}\" stays open.", open.name));
        }
    });
}

/// Says what a model needs, or that it cannot be tuned.
pub(crate) fn needs_chip(ui: &mut Ui, state: &State, needs: &Result<u64, Problem>) {
    match needs {
        Ok(least) => fits_chip(ui, state, *least),
        Err(problem) => {
            chip(ui, Tone::Bad, NOT_SUPPORTED).on_hover_text(problem.to_string());
        }
    }
}

/// Says whether a run fits, as far as `least` bytes can tell.
pub(crate) fn fits_chip(ui: &mut Ui, state: &State, least: u64) {
    match state.memory_limit() {
        None => {
            small(ui, format!("needs {}", units::bytes(least)));
        }
        Some(limit) if least <= limit => {
            chip(ui, Tone::Good, FITS).on_hover_text(FITS_WHY);
        }
        Some(limit) => {
            let needs = format!("needs {}, has {}", units::bytes(least), units::bytes(limit));
            chip(ui, Tone::Bad, &needs).on_hover_text(NEEDS_WHY);
        }
    }
}

/// Height of a row of a table of models; the reason why a model cannot be tuned stands below its name.
pub(crate) fn model_row_height(why_not: Option<&Problem>) -> f32 {
    if why_not.is_some() { 52.0 } else { 34.0 }
}

/// Draws the name of a model, above the reason if it cannot be tuned.
pub(crate) fn model_name_ui(ui: &mut Ui, name: &str, why_not: Option<&Problem>) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.add_space(if why_not.is_some() { 6.0 } else { 8.0 });
        ui.add(egui::Label::new(RichText::new(name).strong()).truncate());
        if let Some(problem) = why_not {
            let why = RichText::new(&problem.what).small().color(theme::palette(ui).weak);
            ui.add(egui::Label::new(why).truncate()).on_hover_text(problem.to_string());
        }
    });
}

/// Draws a table of models with these columns, of which the first takes at least `least` points of what the `widths` of
/// the others leave. It scrolls sideways where there is little room, as on a zoomed page.
pub(crate) fn models_table<const N: usize>(
    ui: &mut Ui,
    id: &str,
    columns: [&str; N],
    least: f32,
    widths: &[f32],
    body: impl FnOnce(TableBody<'_>),
) {
    let others: f32 = widths.iter().map(|width| width + GRID).sum();
    let name = (ui.available_width() - others).max(least).floor();
    egui::ScrollArea::horizontal().id_salt(id).show(ui, |ui| {
        let mut table = TableBuilder::new(ui)
            .id_salt(id)
            .striped(true)
            .vscroll(false)
            .cell_layout(egui::Layout::left_to_right(egui::Align::Center));
        for width in std::iter::once(&name).chain(widths) {
            table = table.column(Column::exact(*width).clip(true));
        }
        let table = table.header(24.0, |mut header| {
            for name in columns {
                header.col(|ui| {
                    small(ui, name);
                });
            }
        });
        table.body(body);
    });
}
