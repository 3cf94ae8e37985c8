//! Choose a model: from this computer, from the Hub, the bundled one, or one that was kept.

use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::actions::{Action, Step};
use super::start_ui::by_path_ui;
use super::state::{ModelState, State, source_of};
use super::text;
use super::theme::GRID;
use super::widgets::{self, Tone};
use crate::engine::protocol::{Command, ModelInfo, ModelSource, Origin, Problem, Progress, Subject};
use crate::platform::Pick;
use crate::platform::host::Hub;

/// Repositories that are known to be small enough for a browser, proposed for the Hub.
const PROPOSED_REPOS: [&str; 3] = [
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
];
/// Where models come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Source {
    /// Folders and files.
    #[default]
    Computer,
    /// The Hugging Face Hub.
    Hub,
    /// The bundled one.
    Demo,
    /// The app's own storage.
    Kept,
}

/// What this page remembers.
#[derive(Debug)]
pub(super) struct ModelView {
    source: Source,
    repo: String,
    /// The address of the server.
    hub: String,
    /// What is said before a download: where it goes, and who gets a token.
    hub_note: String,
    /// The path of a folder as it is typed.
    path: String,
    /// The model that is about to be taken out of the storage.
    forget: Option<String>,
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
pub(super) fn model_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::MODEL_TITLE, text::MODEL_SUBTITLE);
    if let Some(problem) = &state.model_problem {
        widgets::problem_card(ui, Tone::Bad, text::MODEL_REFUSED, problem, |ui| {
            if ui.button(text::PICK_OTHER).clicked() {
                actions.push(Action::Pick(Pick::ModelFolder));
            }
            if ui.button(text::DISMISS).clicked() {
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
            sources.push((Source::Kept, text::source_kept(state.models.len())));
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
        widgets::progress_ui(ui, progress, text::Unit::Bytes);
        ui.horizontal_wrapped(|ui| {
            if ui.button(text::CANCEL).clicked() {
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
                    widgets::key_value(ui, text::ARCHITECTURE, &info.model_type);
                    widgets::key_value(ui, text::PARAMETERS, text::parameters(info.parameters));
                    widgets::key_value(ui, text::WEIGHTS, text::bytes(info.weight_bytes));
                    widgets::key_value(ui, text::LEAST_MEMORY, text::bytes(info.least_bytes));
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
            if widgets::primary_button(ui, text::next(next)).clicked() {
                actions.push(Action::Go(next));
            }
            let is_kept = matches!(&info.source, ModelSource::Stored { .. } | ModelSource::Demo);
            if state.in_browser && !is_kept {
                let label = text::keep(info.weight_bytes, &state.storage);
                let button = egui::Button::new(if state.keeping_model { text::KEEPING } else { &label });
                if ui.add_enabled(!state.keeping_model, button).clicked() {
                    actions.push(Action::Send(Command::KeepModel));
                }
                if state.keeping_model && ui.button(text::CANCEL).clicked() {
                    actions.push(Action::Send(Command::Cancel));
                }
            }
        });
    });
}

/// Whether a run fits, as far as can be told from `least` bytes.
fn fits_chip(ui: &mut Ui, state: &State, least: u64) {
    match state.memory_limit() {
        None => {
            widgets::small(ui, text::needs_only(least));
        }
        Some(limit) if least <= limit => {
            widgets::chip(ui, Tone::Good, text::FITS);
        }
        Some(limit) => {
            widgets::chip(ui, Tone::Bad, &text::needs(least, limit)).on_hover_text(text::NEEDS_WHY);
        }
    }
}

/// A row of a list of models.
struct Row {
    name: String,
    bytes: u64,
    /// What it needs, once that is known.
    needs: Option<Result<u64, Problem>>,
    state: String,
    licence: String,
    button: &'static str,
    /// What the button does, for screen readers.
    what: String,
    action: Action,
}

/// A list of models; the name of one that is to be forgotten comes back, where that can be.
fn list_ui(ui: &mut Ui, state: &State, rows: &[Row], may_forget: bool, actions: &mut Vec<Action>) -> Option<String> {
    let widths = [76.0, 140.0, 110.0, 100.0, if may_forget { 210.0 } else { 90.0 }];
    let others: f32 = widths.iter().map(|width| width + GRID).sum();
    let name = (ui.available_width() - others).max(160.0).floor();
    let mut forget = None;
    // Where there is little room, as on a page that is zoomed, the list scrolls.
    egui::ScrollArea::horizontal().id_salt("models").show(ui, |ui| {
        table_ui(ui, state, rows, name, widths, may_forget.then_some(&mut forget), actions);
    });
    forget
}

fn table_ui(
    ui: &mut Ui,
    state: &State,
    rows: &[Row],
    name: f32,
    widths: [f32; 5],
    mut forget: Option<&mut Option<String>>,
    actions: &mut Vec<Action>,
) {
    let mut table = TableBuilder::new(ui)
        .id_salt("models")
        .striped(true)
        .vscroll(false)
        .cell_layout(egui::Layout::left_to_right(egui::Align::Center));
    for width in std::iter::once(name).chain(widths) {
        table = table.column(Column::exact(width).clip(true));
    }
    let table = table.header(24.0, |mut header| {
        for name in text::MODEL_COLUMNS {
            header.col(|ui| {
                widgets::small(ui, name);
            });
        }
    });
    table.body(|body| {
        body.rows(34.0, rows.len(), |mut table_row| {
            let row = &rows[table_row.index()];
            table_row.col(|ui| {
                ui.add(egui::Label::new(RichText::new(&row.name).strong()).truncate());
            });
            table_row.col(|ui| {
                widgets::mono(ui, text::bytes(row.bytes));
            });
            table_row.col(|ui| match &row.needs {
                None => {}
                Some(Ok(least)) => fits_chip(ui, state, *least),
                Some(Err(problem)) => {
                    widgets::chip(ui, Tone::Bad, text::NOT_SUPPORTED).on_hover_text(problem.to_string());
                }
            });
            table_row.col(|ui| {
                widgets::small(ui, &row.state);
            });
            table_row.col(|ui| {
                widgets::small(ui, &row.licence);
            });
            table_row.col(|ui| {
                if !row.button.is_empty() {
                    let response = ui.button(row.button);
                    widgets::name_of(ui, &response, &row.what);
                    if response.clicked() {
                        actions.push(row.action.clone());
                    }
                }
                if let Some(forget) = &mut forget {
                    let response = ui.button(text::FORGET);
                    widgets::name_of(ui, &response, &text::forget(&row.name));
                    if response.clicked() {
                        **forget = Some(row.name.clone());
                    }
                }
            });
        });
    });
}

/// Asks before a model is taken out of the storage; false when that was answered.
fn forget_ui(ui: &mut Ui, name: &str, actions: &mut Vec<Action>) -> bool {
    let modal = egui::Modal::new(egui::Id::unique("forget model")).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        widgets::heading(ui, &text::forget_title(name));
        ui.label(text::FORGET_TEXT);
        ui.horizontal(|ui| {
            if widgets::danger_button(ui, text::FORGET_YES).clicked() {
                actions.push(Action::Send(Command::ForgetModel { name: name.to_owned() }));
                ui.close();
            }
            if ui.button(text::FORGET_NO).clicked() {
                ui.close();
            }
        });
    });
    !modal.should_close()
}

fn computer_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        if widgets::primary_button(ui, text::OPEN_MODEL_FOLDER).clicked() {
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
        widgets::heading(ui, text::FOUND_HERE);
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

fn hub_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
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
            actions.push(Action::Send(Command::FetchModel { repo, endpoint: view.hub.clone() }));
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

fn demo_ui(ui: &mut Ui, actions: &mut Vec<Action>) {
    ui.label(text::DEMO_MODEL);
    if widgets::primary_button(ui, text::OPEN_DEMO).clicked() {
        actions.push(Action::Send(Command::OpenDemo));
    }
}

fn kept_ui(ui: &mut Ui, state: &State, view: &mut ModelView, actions: &mut Vec<Action>) {
    if state.models.is_empty() {
        widgets::weak(ui, text::NONE_KEPT);
        return;
    }
    let rows: Vec<Row> = state
        .models
        .iter()
        .map(|model| {
            let name = model.name.clone();
            let source = ModelSource::Stored { name: name.clone() };
            let needs = state.needs(&source).filter(|_| model.complete);
            let open = Command::OpenModel { source };
            let (state, button, command) = match (&model.origin, model.complete) {
                (_, true) => (text::KEPT, text::USE, open),
                (Some(origin), false) => {
                    let Origin { repo, endpoint } = origin.clone();
                    (text::PARTLY, text::FETCH_REST, Command::FetchModel { repo, endpoint })
                }
                // A copy of a person's own files that was cut off.
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
    widgets::small(ui, text::storage_line(&state.storage));
}
