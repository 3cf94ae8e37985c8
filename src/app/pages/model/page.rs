//! The page itself, from top to bottom; its parts are in sibling modules.

use eframe::egui::{self, Ui};

use super::hub::{PROPOSED_REPOS, hub_ui};
use super::lists::{computer_ui, forget_ui, kept_ui};
use super::text;
use crate::app::actions::{Action, Step};
use crate::app::state::{ModelState, State};
use crate::app::text::labels;
use crate::app::text::units::{self, Unit};
use crate::app::theme::GRID;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{Command, ModelCommand, ModelInfo, ModelSource, Progress, Subject};
use crate::platform::Pick;
use crate::platform::host::Hub;

/// Source of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Source {
    /// Folders and files.
    #[default]
    Computer,
    /// The Hugging Face Hub.
    Hub,
    /// The bundled model.
    Demo,
    /// The app's own storage.
    Kept,
}

/// State of this page.
#[derive(Debug)]
pub(crate) struct ModelView {
    pub(super) source: Source,
    pub(super) repo: String,
    /// The address of the server.
    pub(super) hub: String,
    /// Note shown before a download: its destination, and who gets a token.
    pub(super) hub_note: String,
    /// The path of a folder typed so far.
    pub(super) path: String,
    /// Name of the model that the user is asked about before it is deleted from the storage.
    pub(super) forget: Option<String>,
}

impl Default for ModelView {
    fn default() -> Self {
        let hub = Hub::of_this_person();
        let hub_note = text::hub_note(&hub.endpoint, &hub.place(), hub.token_places.as_deref());
        let (repo, hub) = (PROPOSED_REPOS[0].to_owned(), hub.endpoint);
        Self { source: Source::Computer, repo, hub, hub_note, path: String::new(), forget: None }
    }
}

/// Draws the page.
pub(crate) fn model_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::MODEL_TITLE, text::MODEL_SUBTITLE);
    if let Some(problem) = &state.model_problem {
        widgets::problem_card(ui, Tone::Bad, text::MODEL_REFUSED, problem, |ui| {
            if ui.button(text::PICK_OTHER).clicked() {
                actions.push(Action::Pick(Pick::ModelFolder));
            }
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Model));
            }
            if let Some(open) = state.open_model() {
                widgets::weak(ui, text::still_open(&open.name));
            }
        });
    }
    match &state.model {
        ModelState::None => {}
        ModelState::Loading(progress) => loading_ui(ui, progress, actions),
        ModelState::Open(info) => open_ui(ui, state, info, actions),
    }
    widgets::card(ui, |ui| {
        let title = if state.open_model().is_some() { text::OTHER_MODEL } else { text::CHOOSE_MODEL };
        widgets::heading(ui, title);
        let mut sources = vec![
            (Source::Computer, text::SOURCE_COMPUTER.to_owned()),
            (Source::Hub, text::SOURCE_HUB.to_owned()),
            (Source::Demo, text::SOURCE_DEMO.to_owned()),
        ];
        if state.in_browser || !state.models.is_empty() {
            sources.push((Source::Kept, text::source_saved(state.models.len())));
        }
        ui.horizontal_wrapped(|ui| {
            for (source, name) in &sources {
                if ui.radio(view.source == *source, name).clicked() {
                    view.source = *source;
                }
            }
        });
        ui.add_space(GRID);
        match view.source {
            Source::Computer => computer_ui(ui, state, view, actions),
            Source::Hub => hub_ui(ui, state, view, actions),
            Source::Demo => demo_ui(ui, actions),
            Source::Kept => kept_ui(ui, state, view, actions),
        }
    });
    view.forget.take_if(|name| !forget_ui(ui, name, actions));
}

fn loading_ui(ui: &mut Ui, progress: &Progress, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::MODEL_LOADING, |ui| {
        widgets::progress_ui(ui, progress, Unit::Bytes);
        ui.horizontal_wrapped(|ui| {
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            widgets::small(ui, text::CANCEL_NOTE);
        });
    });
}

fn open_ui(ui: &mut Ui, state: &State, info: &ModelInfo, actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::icon(ui, widgets::Icon::Check, Tone::Good);
            widgets::heading(ui, &info.name);
            fits_chip(ui, state, info.least_bytes);
        });
        widgets::columns(
            ui,
            320.0,
            &mut [
                &mut |ui| {
                    widgets::key_value(ui, text::ARCHITECTURE, text::architecture(info));
                    widgets::key_value(ui, text::PARAMETERS, units::parameters(info.parameters));
                    widgets::key_value(ui, text::WEIGHTS, units::bytes(info.weight_bytes));
                    widgets::key_value(ui, text::LEAST_MEMORY, units::bytes(info.least_bytes));
                    let licence = info.licence.as_deref().unwrap_or(text::LICENCE_UNKNOWN);
                    widgets::key_value(ui, text::LICENCE, licence);
                },
                &mut |ui| {
                    widgets::marked(ui, Tone::Good, &text::layers(info.layers));
                    widgets::marked(ui, Tone::Good, &text::tokenizer(info.vocab_size));
                    let (tone, template) = text::chat_template(info.chat.template.is_some());
                    widgets::marked(ui, tone, template);
                    widgets::marked(ui, Tone::Good, &text::positions(info.max_positions));
                },
            ],
        );
        ui.add_space(GRID);
        ui.horizontal_wrapped(|ui| {
            let next = if state.pairs.info.is_some() { Step::Plan } else { Step::Pairs };
            if widgets::primary_button(ui, labels::next(next)).clicked() {
                actions.push(Action::Go(next));
            }
            let is_kept = matches!(&info.source, ModelSource::Stored { .. } | ModelSource::Demo);
            if state.in_browser && !is_kept {
                let label = text::save(info.weight_bytes, &state.storage);
                let button = egui::Button::new(if state.keeping_model { text::SAVING } else { &label });
                if ui.add_enabled(!state.keeping_model, button).clicked() {
                    actions.push(Action::Send(Command::Model(ModelCommand::Keep)));
                }
                if state.keeping_model && ui.button(labels::CANCEL).clicked() {
                    actions.push(Action::Send(Command::Cancel));
                }
            }
        });
    });
}

/// Says whether a run fits, as far as `least` bytes can tell.
pub(super) fn fits_chip(ui: &mut Ui, state: &State, least: u64) {
    match state.memory_limit() {
        None => {
            widgets::small(ui, text::needs_only(least));
        }
        Some(limit) if least <= limit => {
            widgets::chip(ui, Tone::Good, text::FITS).on_hover_text(text::FITS_WHY);
        }
        Some(limit) => {
            widgets::chip(ui, Tone::Bad, &text::needs(least, limit)).on_hover_text(text::NEEDS_WHY);
        }
    }
}

fn demo_ui(ui: &mut Ui, actions: &mut Vec<Action>) {
    ui.label(text::DEMO_MODEL);
    if widgets::primary_button(ui, text::OPEN_DEMO).clicked() {
        actions.push(Action::Send(Command::Model(ModelCommand::OpenDemo)));
    }
}
