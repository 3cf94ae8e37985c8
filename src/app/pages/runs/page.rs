//! The page itself, from top to bottom; its parts are in sibling modules.

use std::collections::{BTreeMap, BTreeSet};

use eframe::egui::{self, Ui};

use super::details::{delete_ui, details_ui, overlay_ui};
use super::table::{Sort, table_ui};
use super::text;
use crate::app::actions::{Action, Demo, Step};
use crate::app::state::State;
use crate::app::text::{labels, run, units};
use crate::app::widgets::{
    Renaming, card, page_title, primary_button, progress_bar, refused_ui, small, titled_card, weak,
};
use crate::engine::protocol::{Command, LibraryCommand, Subject};
use crate::platform::Pick;

/// State of this page.
#[derive(Debug, Default)]
pub(crate) struct RunsView {
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) selected: BTreeSet<String>,
    /// Step of each run when its history was last asked for.
    pub(super) asked: BTreeMap<String, usize>,
    /// The run whose details are open, with its notes as edited.
    pub(super) open: Option<(String, String)>,
    /// The name of that run while it is being changed.
    pub(super) renaming: Option<Renaming>,
    /// Runs that the user is asked about before they are deleted.
    pub(super) delete: Vec<String>,
    pub(super) listed: bool,
}

/// Draws the page.
pub(crate) fn runs_ui(ui: &mut Ui, state: &State, view: &mut RunsView, actions: &mut Vec<Action>) {
    page_title(ui, labels::step_name(Step::Runs), text::SUBTITLE);
    if !view.listed {
        view.listed = true;
        actions.push(Action::Send(Command::Library(LibraryCommand::List)));
        actions.push(Action::Send(Command::Library(LibraryCommand::MeasureStorage)));
    }
    refused_ui(ui, Subject::Runs, state.runs_problem.as_ref(), actions);
    storage_ui(ui, state, actions);
    let Some(runs) = &state.runs else {
        weak(ui, text::LOADING);
        return;
    };
    if runs.is_empty() {
        return titled_card(ui, text::EMPTY_TITLE, |ui| {
            weak(ui, text::EMPTY_TEXT);
            if primary_button(ui, run::TRY_DEMO).clicked() {
                actions.push(Action::Demo(Demo::Run));
            }
        });
    }
    let known: BTreeSet<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
    view.selected.retain(|run_id| known.contains(run_id.as_str()));
    card(ui, |ui| {
        // Narrow windows scroll sideways.
        egui::ScrollArea::horizontal().id_salt("runs").show(ui, |ui| table_ui(ui, state, runs, view, actions));
    });
    details_ui(ui, state, runs, view, actions);
    overlay_ui(ui, state, runs, view, actions);
    delete_ui(ui, runs, view, actions);
}

fn storage_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        if ui.button(text::IMPORT).clicked() {
            actions.push(Action::Pick(Pick::Archive));
        }
        if ui.button(text::REFRESH).clicked() {
            actions.push(Action::Send(Command::Library(LibraryCommand::List)));
            actions.push(Action::Send(Command::Library(LibraryCommand::MeasureStorage)));
        }
        let storage = &state.storage;
        let quota = storage.quota.map(units::bytes);
        small(ui, text::used(&units::bytes(storage.used), quota.as_deref()));
        if state.in_browser && !storage.persisted {
            small(ui, text::NOT_KEPT);
        }
    });
    if let Some(quota) = state.storage.quota.filter(|quota| *quota > 0) {
        progress_bar(ui, text::STORAGE, Some(state.storage.used as f32 / quota as f32));
    }
}
