//! The page itself, from top to bottom.

use std::collections::BTreeSet;

use eframe::egui::{self, RichText, TextEdit, Ui};

use super::text;
use crate::app::actions::{Action, Step};
use crate::app::methods::{self, method_of};
use crate::app::records::{beta, has_setting, setting};
use crate::app::state::{RunPhase, RunState, State};
use crate::app::text::{labels, run, units};
use crate::app::widgets::{
    Tone, card, comparable_ui, fraction, heading, marked, mono, name_of, page_title, primary_button, problem_card,
    progress_bar, row_button, small, starting_ui, strength_ui, tabs, text_box, titled_card, tone_card, weak,
};
use crate::engine::protocol::{
    Command, ExportKind, ExportRequest, Exported, GgufForm, RunRecord, Subject, WhichAdapter,
};
use crate::platform::{Pick, file_name};

/// All kinds, the smallest first.
const KINDS: [ExportKind; 9] = [
    ExportKind::Adapter,
    ExportKind::Gguf(GgufForm::Lora),
    ExportKind::Metrics,
    ExportKind::Trl,
    ExportKind::Archive,
    ExportKind::Gguf(GgufForm::Q4_0),
    ExportKind::Gguf(GgufForm::Q8_0),
    ExportKind::Gguf(GgufForm::F16),
    ExportKind::Merged,
];
/// Minimum width of a card that explains the kinds beside them; a narrower card explains them below.
const HELP_BESIDE: f32 = 800.0;

/// State of this page.
#[derive(Debug)]
pub(crate) struct ExportView {
    /// Id of the run that the other fields are about.
    run_id: String,
    which: WhichAdapter,
    /// Percent.
    strength: u32,
    kinds: BTreeSet<ExportKind>,
    folder: String,
    card: String,
    /// The model card as it was proposed; the user has edited it if `card` differs.
    proposed: String,
    preview: bool,
}

impl Default for ExportView {
    fn default() -> Self {
        Self {
            run_id: String::new(),
            which: WhichAdapter::Best,
            strength: 100,
            kinds: BTreeSet::from([ExportKind::Adapter]),
            folder: String::new(),
            card: String::new(),
            proposed: String::new(),
            preview: false,
        }
    }
}

impl ExportView {
    /// Sets the folder to write to.
    pub(crate) fn choose_folder(&mut self, folder: String) {
        self.folder = folder;
    }

    fn follow(&mut self, state: &State, run: &RunState) {
        let record = &run.info.record;
        let rank = setting(record, "r").unwrap_or(16.0);
        let label = methods::row(method_of(&record.settings)).label;
        let beta = has_setting(record, "beta").then(|| beta(record));
        let (card, new) = (text::model_card(record, label, beta, rank), self.run_id != record.run_id);
        if card != self.proposed {
            // The run has gone on since it was shown: an unedited card follows its figures.
            if new || self.card == self.proposed {
                self.card.clone_from(&card);
            }
            // The choice of adapter stays while steps are taken.
            if new || run.phase != RunPhase::Running {
                self.which = if record.best_step.is_some() { WhichAdapter::Best } else { WhichAdapter::Last };
            }
            self.proposed = card;
        }
        if !new {
            return;
        }
        self.run_id.clone_from(&record.run_id);
        if let Some(place) = state.export_place() {
            self.folder = format!("{}/{}", place.trim_end_matches('/'), file_name(&record.name));
        }
    }
}

/// Draws the page.
pub(crate) fn export_ui(ui: &mut Ui, state: &State, view: &mut ExportView, actions: &mut Vec<Action>) {
    page_title(ui, labels::step_name(Step::Export), text::SUBTITLE);
    if state.run_pending {
        return starting_ui(ui, state, actions);
    }
    let Some(run) = &state.run else {
        return titled_card(ui, text::EMPTY_TITLE, |ui| {
            weak(ui, run::EMPTY_TEXT);
            if ui.button(labels::step_name(Step::Runs)).clicked() {
                actions.push(Action::Go(Step::Runs));
            }
        });
    };
    let running = run.phase == RunPhase::Running && run.step() > 0;
    if !running && !comparable_ui(ui, run, actions) {
        return;
    }
    view.follow(state, run);
    if running {
        marked(ui, Tone::Neutral, text::WHILE_RUNNING);
    }
    ui.label(RichText::new(&run.info.record.name).strong());
    which_ui(ui, &run.info.record, view);
    what_ui(ui, state, run, view);
    where_ui(ui, state, run, view, actions);
    let written = state.exported.as_ref().filter(|(run_id, _)| *run_id == run.info.record.run_id);
    if let Some(problem) = &state.export_problem {
        let title = if written.is_some() { text::FAILED_PARTLY } else { text::FAILED };
        problem_card(ui, Tone::Bad, title, problem, |ui| {
            if ui.button(text::AGAIN).clicked() {
                actions.push(Action::DismissProblem(Subject::Export));
                write(run, view, actions);
            }
        });
    }
    if let Some((_, files)) = written {
        done_ui(ui, state, files, actions);
    }
    if view.kinds.iter().any(|kind| matches!(kind, ExportKind::Adapter | ExportKind::Merged)) {
        card_ui(ui, view);
    }
}

fn which_ui(ui: &mut Ui, record: &RunRecord, view: &mut ExportView) {
    titled_card(ui, text::WHICH, |ui| {
        ui.horizontal_wrapped(|ui| match record.best_step {
            // The best and the last adapter are the same.
            Some(step) if step == record.step => {
                drop(ui.radio(true, text::best_and_last(step)));
            }
            best => {
                if let Some(step) = best {
                    ui.radio_value(&mut view.which, WhichAdapter::Best, text::best(step));
                }
                ui.radio_value(&mut view.which, WhichAdapter::Last, text::last(record.step));
            }
        });
        ui.horizontal_wrapped(|ui| {
            strength_ui(ui, &mut view.strength);
            if view.strength != 100 {
                small(ui, text::SCALE_NOTE);
            }
        });
    });
}

fn what_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut ExportView) {
    titled_card(ui, text::WHAT, |ui| {
        let mut choice = |ui: &mut Ui, kind: ExportKind| {
            let mut wanted = view.kinds.contains(&kind);
            if ui.checkbox(&mut wanted, text::kind(kind)).changed() {
                if wanted {
                    view.kinds.insert(kind);
                } else {
                    view.kinds.remove(&kind);
                }
            }
            mono(ui, size(state, run, kind).map_or_else(|| "–".to_owned(), |n| text::about(&units::bytes(n))));
        };
        if ui.available_width() < HELP_BESIDE {
            for kind in KINDS {
                ui.horizontal_wrapped(|ui| choice(ui, kind));
                small(ui, text::kind_help(kind));
            }
        } else {
            egui::Grid::new("export kinds").num_columns(3).spacing([24.0, 2.0]).show(ui, |ui| {
                for kind in KINDS {
                    choice(ui, kind);
                    small(ui, text::kind_help(kind));
                    ui.end_row();
                }
            });
        }
        if let Some(model) = state.open_model().filter(|_| view.kinds.contains(&ExportKind::Adapter)) {
            small(ui, text::ollama(model));
        }
    });
}

/// Estimates the bytes of a kind before it is written.
fn size(state: &State, run: &RunState, kind: ExportKind) -> Option<u64> {
    let record = &run.info.record;
    // A checkpoint is the adapter and Adam's two moments of it; a stored run may have its best adapter beside that.
    let adapters = if record.best_step.is_some() { 4 } else { 3 };
    let stored = (record.bytes > 0).then_some(record.bytes);
    let saved = run.saved.map(|saved| saved.bytes);
    let model = || state.open_model().filter(|model| model.name == record.model_name);
    match kind {
        ExportKind::Adapter | ExportKind::Gguf(GgufForm::Lora) => {
            saved.map(|bytes| bytes / 3).or(stored.map(|bytes| bytes / adapters))
        }
        ExportKind::Merged => model().map(|model| model.weight_bytes),
        ExportKind::Gguf(form) => model().map(|model| model.parameters * sixteenths(form) / 16),
        ExportKind::Trl => state.pairs.info.as_ref().map(|pairs| pairs.bytes + 20_000),
        ExportKind::Metrics => Some(2_000 + 600 * run.history.len() as u64),
        ExportKind::Archive => stored.or(saved),
    }
}

/// Size of a weight, in sixteenths of a byte.
fn sixteenths(form: GgufForm) -> u64 {
    match form {
        GgufForm::Lora => 64,
        GgufForm::F16 => 32,
        GgufForm::Q8_0 => 17,
        GgufForm::Q4_0 => 9,
    }
}

fn card_ui(ui: &mut Ui, view: &mut ExportView) {
    card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            heading(ui, text::CARD);
            tabs(ui, &mut view.preview, &[(false, text::EDIT.to_owned()), (true, text::PREVIEW.to_owned())]);
            if view.card != view.proposed && ui.button(text::ANEW).clicked() {
                view.card.clone_from(&view.proposed);
            }
        });
        small(ui, text::CARD_HELP);
        if view.preview {
            text_box(ui, |ui| markdown_ui(ui, &view.card));
        } else {
            let field = TextEdit::multiline(&mut view.card).desired_rows(6).desired_width(f32::INFINITY);
            let field = ui.add(field.font(egui::TextStyle::Monospace));
            name_of(ui, &field, text::CARD);
        }
    });
}

/// Draws headings, lists and paragraphs; other Markdown stays as it is written.
fn markdown_ui(ui: &mut Ui, markdown: &str) {
    for line in markdown.lines() {
        let level = line.chars().take_while(|c| *c == '#').count();
        let body = line.trim_start_matches('#').trim();
        match level {
            1 => drop(ui.label(RichText::new(body).size(20.0).strong())),
            2.. => drop(ui.label(RichText::new(body).heading().strong())),
            0 if body.is_empty() => ui.add_space(4.0),
            0 => match body.strip_prefix("- ") {
                Some(item) => drop(marked(ui, Tone::Neutral, item)),
                None => drop(ui.add(egui::Label::new(body).wrap())),
            },
        }
    }
}

fn where_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut ExportView, actions: &mut Vec<Action>) {
    titled_card(ui, text::WHERE, |ui| {
        if state.in_browser {
            weak(ui, text::DOWNLOADS);
        } else {
            ui.horizontal(|ui| {
                let label = ui.label(text::FOLDER).id;
                let field = TextEdit::singleline(&mut view.folder).hint_text(text::FOLDER_HINT);
                let width = ui.available_width() - 96.0;
                ui.add(field.desired_width(width).font(egui::TextStyle::Monospace)).labelled_by(label);
                if ui.button(text::CHOOSE_FOLDER).clicked() {
                    actions.push(Action::Pick(Pick::Destination));
                }
            });
            small(ui, text::FOLDER_HELP);
        }
        if state.exporting {
            weak(ui, text::WRITING);
            progress_bar(ui, text::WRITING, run.progress.as_ref().and_then(|(_, progress)| fraction(progress)));
            if ui.button(run::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            return;
        }
        let missing = if view.kinds.is_empty() {
            Some(text::CHOOSE)
        } else if !state.in_browser && view.folder.trim().is_empty() {
            Some(text::NAME_FOLDER)
        } else if run.is_active() && view.kinds.iter().any(|kind| kind.is_model()) {
            Some(text::PAUSE_TO_MERGE)
        } else {
            None
        };
        ui.horizontal_wrapped(|ui| {
            if ui.add_enabled_ui(missing.is_none(), |ui| primary_button(ui, text::WRITE)).inner.clicked() {
                write(run, view, actions);
            }
            if let Some(reason) = missing {
                weak(ui, reason);
            }
        });
    });
}

fn write(run: &RunState, view: &ExportView, actions: &mut Vec<Action>) {
    actions.push(Action::Send(Command::Export(Box::new(ExportRequest {
        run_id: run.info.record.run_id.clone(),
        which: view.which,
        strength: view.strength as f32 / 100.0,
        kinds: view.kinds.iter().copied().collect(),
        folder: view.folder.trim().to_owned(),
        card: view.card.clone(),
    }))));
}

fn done_ui(ui: &mut Ui, state: &State, files: &[Exported], actions: &mut Vec<Action>) {
    tone_card(ui, Tone::Good, |ui| {
        ui.horizontal_wrapped(|ui| {
            heading(ui, text::DONE);
            if state.in_browser && files.len() > 1 && primary_button(ui, text::DOWNLOAD_ALL).clicked() {
                actions.extend(files.iter().map(|file| Action::Download { path: file.path.clone() }));
            }
        });
        for file in files {
            ui.separator();
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new(text::kind(file.kind)).strong());
                mono(ui, units::bytes(file.bytes));
            });
            marked(ui, Tone::Good, &file.check);
            ui.horizontal_wrapped(|ui| {
                // A path in the browser's storage tells the user nothing, so show the name only.
                let path = || file.path.clone();
                let (shown, offers) = if state.in_browser {
                    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
                    (name, vec![(text::DOWNLOAD, Action::Download { path: path() })])
                } else {
                    let open = (text::OPEN_FOLDER, Action::OpenFolder(path()));
                    (file.path.as_str(), vec![open, (text::COPY_PATH, Action::Copy(path()))])
                };
                ui.add(egui::Label::new(RichText::new(shown).monospace()).wrap());
                for (label, action) in offers {
                    let button = row_button(ui, label);
                    name_of(ui, &button, &format!("{label}: {}", text::kind(file.kind)));
                    if button.clicked() {
                        actions.push(action);
                    }
                }
            });
            for note in &file.notes {
                weak(ui, note);
            }
            for snippet in &file.snippets {
                text_box(ui, |ui| {
                    ui.horizontal_top(|ui| {
                        let button = row_button(ui, text::COPY);
                        name_of(ui, &button, &text::copy_of(snippet));
                        if button.clicked() {
                            actions.push(Action::Copy(snippet.clone()));
                        }
                        ui.add(egui::Label::new(RichText::new(snippet).monospace()).wrap());
                    });
                });
            }
        }
    });
}
