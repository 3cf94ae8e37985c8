//! Models to choose from: on this computer, and kept in the storage of the app.

use eframe::egui::{self, Ui};

use super::page::ModelView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::{State, source_of};
use crate::app::text::{labels, machine, units};
use crate::app::theme::GRID;
use crate::app::widgets::{self, by_path_ui};
use crate::engine::protocol::{Command, HubCommand, ModelCommand, ModelSource, Origin, Problem};
use crate::platform::Pick;

/// A row of a list of models.
struct Row {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Bytes that tuning it needs, or why it cannot be tuned; none until that is known.
    pub(super) needs: Option<Result<u64, Problem>>,
    pub(super) state: String,
    pub(super) licence: String,
    pub(super) button: &'static str,
    /// Action of the button, for screen readers.
    pub(super) what: String,
    pub(super) action: Action,
}

impl Row {
    /// Why it cannot be tuned.
    fn why_not(&self) -> Option<&Problem> {
        self.needs.as_ref()?.as_ref().err()
    }
}

/// Draws a list of models; returns the name of a model to be forgotten, where forgetting is possible.
fn list_ui(ui: &mut Ui, state: &State, rows: &[Row], may_forget: bool, actions: &mut Vec<Action>) -> Option<String> {
    let widths = [76.0, 140.0, 110.0, 100.0, if may_forget { 210.0 } else { 90.0 }];
    let mut forget = None;
    widgets::models_table(ui, "models", text::MODEL_COLUMNS, 160.0, &widths, |body| {
        let height = |row: &Row| widgets::model_row_height(row.why_not());
        body.heterogeneous_rows(rows.iter().map(height), |mut table_row| {
            let row = &rows[table_row.index()];
            table_row.col(|ui| widgets::model_name_ui(ui, &row.name, row.why_not()));
            table_row.col(|ui| {
                widgets::mono(ui, units::bytes(row.bytes));
            });
            table_row.col(|ui| match &row.needs {
                None => {}
                Some(needs) => widgets::needs_chip(ui, state, needs),
            });
            table_row.col(|ui| {
                widgets::small(ui, &row.state);
            });
            table_row.col(|ui| {
                widgets::small(ui, &row.licence);
            });
            table_row.col(|ui| {
                if !row.button.is_empty() {
                    let is_usable = row.why_not().is_none();
                    let response = ui.add_enabled(is_usable, egui::Button::new(row.button));
                    widgets::name_of(ui, &response, &row.what);
                    if response.clicked() {
                        actions.push(row.action.clone());
                    }
                }
                if may_forget {
                    let response = ui.button(text::FORGET);
                    widgets::name_of(ui, &response, &text::forget(&row.name));
                    if response.clicked() {
                        forget = Some(row.name.clone());
                    }
                }
            });
        });
    });
    forget
}

/// Asks before a model is deleted from the storage; returns false once the user has answered.
pub(super) fn forget_ui(ui: &mut Ui, name: &str, actions: &mut Vec<Action>) -> bool {
    let modal = egui::Modal::new(egui::Id::unique("forget model")).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        widgets::heading(ui, &text::forget_title(name));
        ui.label(text::FORGET_TEXT);
        ui.horizontal(|ui| {
            if widgets::danger_button(ui, text::FORGET_YES).clicked() {
                actions.push(Action::Send(Command::Model(ModelCommand::Forget { name: name.to_owned() })));
                ui.close();
            }
            if ui.button(text::FORGET_NO).clicked() {
                ui.close();
            }
        });
    });
    !modal.should_close()
}

pub(super) fn computer_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        if widgets::primary_button(ui, labels::OPEN_MODEL_FOLDER).clicked() {
            actions.push(Action::Pick(Pick::ModelFolder));
        }
        if ui.button(text::OPEN_MODEL_FILES).clicked() {
            actions.push(Action::Pick(Pick::ModelFiles));
        }
    });
    if !state.in_browser {
        by_path_ui(ui, &mut view.path, Pick::ModelFolder, &state.recent.models, actions);
    }
    widgets::small(ui, text::MODEL_FILES);
    if !state.found.is_empty() {
        ui.add_space(GRID);
        widgets::heading(ui, labels::FOUND_HERE);
        let rows: Vec<Row> = state
            .found
            .iter()
            .enumerate()
            .map(|(index, found)| Row {
                name: found.name.clone(),
                bytes: found.bytes,
                needs: state.needs(&source_of(found)),
                state: text::ON_DISK.to_owned(),
                licence: found.licence.clone().unwrap_or_default(),
                button: text::USE,
                what: text::use_model(&found.name),
                action: Action::OpenFound(index),
            })
            .collect();
        list_ui(ui, state, &rows, false, actions);
    } else if !state.in_browser {
        widgets::small(ui, text::NONE_FOUND);
    }
}

pub(super) fn kept_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    if state.models.is_empty() {
        widgets::weak(ui, text::NONE_SAVED);
        return;
    }
    let rows: Vec<Row> = state
        .models
        .iter()
        .map(|model| {
            let name = model.name.clone();
            let source = ModelSource::Stored { name: name.clone() };
            let needs = state.needs(&source).filter(|_| model.complete);
            let open = Command::Model(ModelCommand::Open { source });
            let (state, button, command) = match (&model.origin, model.complete) {
                (_, true) => (text::SAVED, text::USE, open),
                (Some(origin), false) => {
                    let Origin { repo, endpoint } = origin.clone();
                    (text::PARTLY, text::FETCH_REST, Command::Hub(HubCommand::Fetch { repo, endpoint }))
                }
                // An interrupted copy of the user's own files.
                (None, false) => (text::CUT_OFF, "", open),
            };
            let what = if model.complete { text::use_model(&name) } else { text::fetch_rest(&name) };
            Row {
                name,
                bytes: model.bytes,
                needs,
                state: state.to_owned(),
                licence: String::new(),
                button,
                what,
                action: Action::Send(command),
            }
        })
        .collect();
    if let Some(name) = list_ui(ui, state, &rows, true, actions) {
        view.forget = Some(name);
    }
    widgets::small(ui, machine::storage_line(&state.storage));
}
