//! The models that a search found.

use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::page::HubView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::{ModelState, State};
use crate::app::text::units;
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{HubModel, Problem};

/// Widths of the columns behind the name.
const WIDTHS: [f32; 6] = [86.0, 86.0, 130.0, 96.0, 110.0, 64.0];
/// Height of a row, and of one with a reason below its name.
const ROW: f32 = 34.0;
const HIGH_ROW: f32 = 52.0;

/// Draws the models in a table.
pub(super) fn results_ui(ui: &mut Ui, state: &State, view: &HubView, found: &[HubModel], actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        if found.is_empty() {
            widgets::weak(ui, text::NONE_FOUND);
            return;
        }
        let others: f32 = WIDTHS.iter().map(|width| width + GRID).sum();
        let name = (ui.available_width() - others).max(200.0).floor();
        egui::ScrollArea::horizontal().id_salt("found").show(ui, |ui| {
            table_ui(ui, state, view, found, name, actions);
        });
        widgets::small(ui, if state.hub.measuring { text::MEASURING } else { text::RESULTS_NOTE });
    });
}

fn table_ui(ui: &mut Ui, state: &State, view: &HubView, found: &[HubModel], name: f32, actions: &mut Vec<Action>) {
    let mut table = TableBuilder::new(ui)
        .id_salt("found")
        .striped(true)
        .vscroll(false)
        .cell_layout(egui::Layout::left_to_right(egui::Align::Center));
    for width in std::iter::once(name).chain(WIDTHS) {
        table = table.column(Column::exact(width).clip(true));
    }
    let table = table.header(24.0, |mut header| {
        for name in text::COLUMNS {
            header.col(|ui| {
                widgets::small(ui, name);
            });
        }
    });
    let is_loading = matches!(state.model, ModelState::Loading(_));
    table.body(|body| {
        let height = |model: &HubModel| if why_not(state, model).is_some() { HIGH_ROW } else { ROW };
        body.heterogeneous_rows(found.iter().map(height), |mut row| {
            let model = &found[row.index()];
            let needs = state.hub.needs.get(&model.repo);
            row.col(|ui| name_cell(ui, model, why_not(state, model)));
            row.col(|ui| number_cell(ui, model.parameters.map(units::parameters)));
            row.col(|ui| number_cell(ui, model.weight_bytes.map(units::bytes)));
            row.col(|ui| match needs {
                Some(needs) => widgets::needs_chip(ui, state, needs),
                None if model.gated => {
                    widgets::chip(ui, Tone::Warn, text::GATED).on_hover_text(text::GATED_WHY);
                }
                None => {}
            });
            row.col(|ui| number_cell(ui, Some(units::count(model.downloads as usize))));
            row.col(|ui| {
                widgets::small(ui, model.licence.as_deref().unwrap_or(text::NOT_STATED));
            });
            row.col(|ui| {
                let can = !is_loading && why_not(state, model).is_none();
                let response = ui.add_enabled(can, egui::Button::new(text::GET));
                widgets::name_of(ui, &response, &text::get(&model.repo));
                if response.clicked() {
                    actions.push(view.fetch(&model.repo));
                }
            });
        });
    });
}

/// Why a model cannot be tuned, as far as that is known: a gated model is not read without a token.
fn why_not<'a>(state: &'a State, model: &HubModel) -> Option<&'a Problem> {
    state.hub.needs.get(&model.repo)?.as_ref().err()
}

/// Draws the name of a model, above the reason if it cannot be tuned.
fn name_cell(ui: &mut Ui, model: &HubModel, why_not: Option<&Problem>) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.add_space(if why_not.is_some() { 6.0 } else { 8.0 });
        ui.add(egui::Label::new(RichText::new(&model.repo).strong()).truncate());
        if let Some(problem) = why_not {
            let why = RichText::new(&problem.what).small().color(theme::palette(ui).weak);
            ui.add(egui::Label::new(why).truncate()).on_hover_text(problem.to_string());
        }
    });
}

fn number_cell(ui: &mut Ui, number: Option<String>) {
    if let Some(number) = number {
        widgets::mono(ui, number);
    }
}
