//! The models that a search found.

use eframe::egui::{self, Ui};

use super::page::HubView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::{ModelState, State};
use crate::app::text::units;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{HubModel, Problem};

/// Widths of the columns behind the name.
const WIDTHS: [f32; 6] = [86.0, 86.0, 130.0, 96.0, 110.0, 64.0];

/// Draws the models in a table.
pub(super) fn results_ui(ui: &mut Ui, state: &State, view: &HubView, found: &[HubModel], actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        if found.is_empty() {
            widgets::weak(ui, text::NONE_FOUND);
            return;
        }
        table_ui(ui, state, view, found, actions);
        widgets::small(ui, if state.hub.measuring { text::MEASURING } else { text::RESULTS_NOTE });
    });
}

fn table_ui(ui: &mut Ui, state: &State, view: &HubView, found: &[HubModel], actions: &mut Vec<Action>) {
    let is_loading = matches!(state.model, ModelState::Loading(_));
    widgets::models_table(ui, "found", text::COLUMNS, 200.0, &WIDTHS, |body| {
        let height = |model: &HubModel| widgets::model_row_height(why_not(state, model));
        body.heterogeneous_rows(found.iter().map(height), |mut row| {
            let model = &found[row.index()];
            let needs = state.hub.needs.get(&model.repo);
            row.col(|ui| widgets::model_name_ui(ui, &model.repo, why_not(state, model)));
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

fn number_cell(ui: &mut Ui, number: Option<String>) {
    if let Some(number) = number {
        widgets::mono(ui, number);
    }
}
