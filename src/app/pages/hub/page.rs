//! The page itself, from top to bottom; its parts are in sibling modules.

use eframe::egui::{self, Key, Ui};

use super::results::results_ui;
use super::text;
use crate::app::actions::Action;
use crate::app::state::{ModelState, State};
use crate::app::text::labels;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{Command, HubCommand, Subject, Token};
use crate::platform::host::Hub;
use crate::platform::is_hub_name;

/// Models to propose, known to be small enough for a browser.
const PROPOSED: [&str; 3] = [
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
];

/// State of this page.
#[derive(Debug)]
pub(crate) struct HubView {
    /// Words to search for, or the whole name of a model.
    name: String,
    /// Index of the largest number of parameters in [`text::SIZES`].
    size: usize,
    token: String,
    /// The address of the server.
    pub(super) endpoint: String,
    /// Note shown before a request.
    note: String,
}

impl Default for HubView {
    fn default() -> Self {
        let hub = Hub::of_this_person();
        let note = text::note(&hub.endpoint, &hub.place(), hub.token_places.as_deref());
        Self { name: String::new(), size: 2, token: String::new(), endpoint: hub.endpoint, note }
    }
}

impl HubView {
    /// Asks for a model.
    pub(super) fn fetch(&self, repo: &str) -> Action {
        let (repo, endpoint) = (repo.to_owned(), self.endpoint.clone());
        Action::Send(Command::Hub(HubCommand::Fetch { repo, endpoint }))
    }

    /// Gives the engine the token that the user typed; it keeps none when it ends.
    pub(crate) fn set_token(&self) -> Command {
        let token = self.token.trim();
        let token = (!token.is_empty()).then(|| Token(token.to_owned()));
        Command::Hub(HubCommand::SetToken { token })
    }

    /// True if the user typed a token.
    pub(crate) fn has_token(&self) -> bool {
        !self.token.trim().is_empty()
    }

    fn search(&self) -> Action {
        let (text, most_parameters) = (self.name.trim().to_owned(), text::SIZES[self.size].1);
        let endpoint = self.endpoint.clone();
        Action::Send(Command::Hub(HubCommand::Search { text, most_parameters, endpoint }))
    }
}

/// Draws the page.
pub(crate) fn hub_ui(ui: &mut Ui, state: &State, view: &mut HubView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::TITLE, text::SUBTITLE);
    widgets::model_refused_ui(ui, state, actions);
    if let ModelState::Loading(progress) = &state.model {
        widgets::model_loading_ui(ui, progress, actions);
    }
    widgets::card(ui, |ui| {
        search_ui(ui, state, view, actions);
        ui.horizontal_wrapped(|ui| {
            widgets::small(ui, text::FIRST);
            for repo in PROPOSED {
                if widgets::link_button(ui, repo).clicked() {
                    repo.clone_into(&mut view.name);
                }
            }
        });
        widgets::small(ui, &view.note);
        server_ui(ui, view, actions);
    });
    if let Some(problem) = &state.hub.problem {
        widgets::problem_card(ui, Tone::Bad, text::SEARCH_REFUSED, problem, |ui| {
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Hub));
            }
        });
    }
    if let Some(found) = &state.hub.found {
        results_ui(ui, state, view, found, actions);
    }
}

/// Draws the words to search for, and what can be done with them.
fn search_ui(ui: &mut Ui, state: &State, view: &mut HubView, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(text::NAME);
        let field = egui::TextEdit::singleline(&mut view.name).hint_text(text::NAME_HINT).desired_width(320.0);
        let field = ui.add(field).labelled_by(label.id);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        ui.label(text::SIZE);
        let combo = egui::ComboBox::from_id_salt("sizes").selected_text(text::SIZES[view.size].0).show_ui(ui, |ui| {
            for (index, (name, _)) in text::SIZES.iter().enumerate() {
                ui.selectable_value(&mut view.size, index, *name);
            }
        });
        widgets::name_of(ui, &combo.response, text::SIZE);
        if state.hub.searching {
            ui.label(text::SEARCHING);
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            return;
        }
        let is_loading = matches!(state.model, ModelState::Loading(_));
        let searches = ui.add_enabled_ui(!is_loading, |ui| widgets::primary_button(ui, text::SEARCH)).inner.clicked();
        let name = view.name.trim();
        let is_whole = name.contains('/') && is_hub_name(name);
        let get = ui.add_enabled(is_whole && !is_loading, egui::Button::new(text::GET));
        if get.on_disabled_hover_text(text::GET_WHY).clicked() {
            actions.push(view.fetch(name));
        } else if searches || (entered && !is_loading) {
            actions.push(view.search());
        }
    });
}

/// Draws the token and the address of the server, folded.
fn server_ui(ui: &mut Ui, view: &mut HubView, actions: &mut Vec<Action>) {
    egui::CollapsingHeader::new(text::SERVER_AND_TOKEN).id_salt("server").show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(text::TOKEN);
            let field = egui::TextEdit::singleline(&mut view.token).password(true).hint_text(text::TOKEN_HINT);
            if ui.add(field.desired_width(320.0)).labelled_by(label.id).changed() {
                actions.push(Action::Send(view.set_token()));
            }
        });
        widgets::small(ui, text::TOKEN_NOTE);
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(text::ENDPOINT);
            ui.add(egui::TextEdit::singleline(&mut view.endpoint).desired_width(320.0)).labelled_by(label.id);
        });
    });
}
