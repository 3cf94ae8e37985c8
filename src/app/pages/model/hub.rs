//! Fetching a model from Hugging Face.

use eframe::egui::{self, Ui};

use super::page::ModelView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::{ModelState, State};
use crate::app::widgets;
use crate::engine::protocol::{Command, HubCommand};

/// Hub repositories to propose, known to be small enough for a browser.
pub(super) const PROPOSED_REPOS: [&str; 3] = [
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
];

pub(super) fn hub_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(text::REPOSITORY);
        ui.add(egui::TextEdit::singleline(&mut view.repo).desired_width(320.0)).labelled_by(label.id);
        let mut chosen = None;
        let combo = egui::ComboBox::from_id_salt("repos").selected_text(text::SUGGESTIONS).show_ui(ui, |ui| {
            for repo in PROPOSED_REPOS {
                if ui.selectable_label(view.repo == repo, repo).clicked() {
                    chosen = Some(repo.to_owned());
                }
            }
        });
        widgets::name_of(ui, &combo.response, text::SUGGESTIONS);
        if let Some(chosen) = chosen {
            view.repo = chosen;
        }
        let usable = view.repo.trim().split('/').filter(|part| !part.is_empty()).count() == 2;
        let loading = matches!(state.model, ModelState::Loading(_));
        let get = ui.add_enabled_ui(usable && !loading, |ui| widgets::primary_button(ui, text::GET)).inner;
        if get.clicked() {
            let repo = view.repo.trim().to_owned();
            actions.push(Action::Send(Command::Hub(HubCommand::Fetch { repo, endpoint: view.hub.clone() })));
        }
    });
    widgets::small(ui, &view.hub_note);
    egui::CollapsingHeader::new(text::HUB_ADVANCED).id_salt("hub").show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(text::ENDPOINT);
            ui.add(egui::TextEdit::singleline(&mut view.hub).desired_width(320.0)).labelled_by(label.id);
        });
    });
}
