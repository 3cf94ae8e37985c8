//! Files that are opened by a dialog, a path or a drop, and files that are saved.

use eframe::egui::{self, Key};

use super::answers::Answer;
use super::app::App;
use super::{drops, frame, text};
use crate::app::actions::Step;
use crate::app::state::source_of;
use crate::engine::protocol::{Command, LibraryCommand, ModelCommand, ModelSource, PairsCommand, Problem};
use crate::error::{Error, Result};
use crate::platform::host::{self, PickedFile};
use crate::platform::{Pick, hub_name, read_all};

/// Maximum size of a settings file, in bytes.
const MAX_SETTINGS: u64 = 1 << 20;

impl App {
    /// Opens what is at a path, or says why not where files of this kind are shown.
    pub(super) fn open_path(&mut self, ctx: &egui::Context, pick: Pick, path: &str) {
        match host::files_at(pick, path) {
            Ok(files) => self.opened(ctx, pick, files),
            Err(e) => {
                self.state.recent.forget(path);
                self.not_opened(ctx, pick, &e);
            }
        }
    }

    /// Opens files as what they were picked for.
    pub(super) fn opened(&mut self, ctx: &egui::Context, pick: Pick, files: Vec<PickedFile>) {
        let Some(first) = files.first() else {
            self.toast(ctx, text::EMPTY_FOLDER.to_owned());
            return;
        };
        match pick {
            Pick::ModelFolder | Pick::ModelFiles => {
                // A GGUF file is a model by itself, whatever lies beside it.
                let is_alone = files.len() == 1 && first.name().to_lowercase().ends_with(".gguf");
                let path = if is_alone { first.whole_path() } else { first.place() };
                let folder = first.folder();
                let name = if folder.is_empty() || is_alone { first.name() } else { folder };
                let name = path.as_deref().and_then(hub_name).unwrap_or(name);
                self.send(Command::Model(ModelCommand::Open { source: ModelSource::Picked { name, path } }), files);
                self.go(Step::Model);
            }
            Pick::PairsFile => {
                let file = files.into_iter().take(1).collect();
                self.send(Command::Pairs(PairsCommand::Open { mapping: None }), file);
                self.go(Step::Pairs);
            }
            Pick::Settings => {
                let file = first.clone();
                self.reading.push(Box::pin(async move { Answer::SettingsRead(read_settings(&file).await) }));
                ctx.request_repaint();
            }
            Pick::Archive => {
                self.send(Command::Library(LibraryCommand::Import), files);
                self.go(Step::Runs);
            }
            Pick::Adapter => {
                self.send(Command::Library(LibraryCommand::ImportAdapter), files);
                if self.step != Step::Plan {
                    self.go(Step::Runs);
                }
            }
            Pick::Destination => {
                if let Some(parent) = first.place() {
                    self.views.export.choose_folder(format!("{parent}/{}", first.name()));
                }
            }
        }
    }

    pub(super) fn not_opened(&mut self, ctx: &egui::Context, pick: Pick, error: &Error) {
        let problem = Problem::from(error);
        self.state.notice(&problem.what, false);
        match pick {
            Pick::ModelFolder | Pick::ModelFiles => {
                self.state.model_problem = Some(problem);
                self.go(Step::Model);
            }
            Pick::PairsFile => {
                self.state.pairs.refused = Some(problem);
                self.go(Step::Pairs);
            }
            Pick::Archive => {
                self.state.runs_problem = Some(problem);
                self.go(Step::Runs);
            }
            Pick::Adapter => self.state.runs_problem = Some(problem),
            Pick::Settings | Pick::Destination => self.toast(ctx, problem.to_string()),
        }
    }

    /// Handles files that hover over the window or were dropped.
    pub(super) fn dropped(&mut self, ctx: &egui::Context) {
        let hovering = ctx.input(|input| input.raw.hovered_files.clone());
        let dropped = ctx.input(|input| input.raw.dropped_files.clone());
        if !hovering.is_empty() && ctx.input(|input| input.key_pressed(Key::Escape)) {
            self.views.frame.ignore_drop = true;
        }
        let ignored = self.views.frame.ignore_drop;
        if hovering.is_empty() {
            self.views.frame.ignore_drop = false;
        } else if !ignored {
            frame::drop_ui(ctx, drops::hovered(&hovering).as_ref());
        }
        if dropped.is_empty() || ignored {
            return;
        }
        let files: Vec<PickedFile> = dropped.iter().flat_map(|file| (self.open_drop)(file)).collect();
        let names: Vec<String> = files.iter().map(PickedFile::name).collect();
        match drops::kind(&names) {
            drops::Drop::Pick(pick) => self.opened(ctx, pick, files),
            // A page gets only the name of a dropped folder.
            drops::Drop::Unknown(why) if self.state.in_browser => self.toast(ctx, text::not_by_dropping(&why)),
            drops::Drop::Unknown(why) => self.toast(ctx, why),
        }
    }

    pub(super) fn open_found(&mut self, index: usize) {
        let Some(found) = self.state.found.get(index).cloned() else { return };
        let source = source_of(&found);
        self.send(Command::Model(ModelCommand::Open { source }), host::pick_at(&found.folder));
        self.go(Step::Model);
    }

    /// Asks for the needs of the next model that was found on this computer. One at a time, so that what the user asks
    /// for meanwhile does not wait for all of them.
    pub(super) fn measure_found(&mut self) {
        let is_unknown = |source: &ModelSource| self.state.needs(source).is_none();
        if self.measuring.as_ref().is_some_and(is_unknown) {
            return;
        }
        let next = self.state.found.iter().find(|found| is_unknown(&source_of(found)));
        let Some(source) = next.map(source_of) else { return };
        let files = next.map_or_else(Vec::new, |found| host::pick_at(&found.folder));
        self.measuring = Some(source.clone());
        self.send(Command::Model(ModelCommand::Measure { source }), files);
    }

    pub(super) fn save_file(&self, ctx: &egui::Context, name: &str, bytes: &[u8]) {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        host::save_file(name, bytes, move |saved| {
            drop(sender.send(Answer::Saved(saved)));
            repaint.request_repaint();
        });
    }
}

/// Reads a settings file; an error if it is too large to be one.
async fn read_settings(file: &PickedFile) -> Result<Vec<u8>> {
    let source = file.source()?;
    if source.len() > MAX_SETTINGS {
        return Err(Error::input(text::settings_too_large(source.len()), text::SETTINGS_FILE, file.name()));
    }
    read_all(source.as_ref()).await
}

/// Returns a file of the storage, or all files of a folder in it.
pub(super) async fn stored_files(path: &str) -> Result<Vec<PickedFile>> {
    let store = host::Store::open("").await?;
    let inside = store.folder(path).await.map(|folder| folder.picked().to_vec()).unwrap_or_default();
    if !inside.is_empty() {
        return Ok(inside);
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let files = store.folder(folder).await?;
    Ok(files.picked().iter().filter(|file| file.name() == name).cloned().collect())
}
