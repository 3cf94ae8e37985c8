//! Answers of the platform: files that were chosen, saved or read, and models that were found.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use eframe::egui;

use super::app::App;
use super::frame::PathQuestion;
use super::text;
use crate::engine::protocol::{Command, LibraryCommand, Problem};
use crate::error::{Error, Result};
use crate::platform::host::{self, PickedFile};
use crate::platform::{FoundModel, Pick};

/// An answer of the platform.
pub(super) enum Answer {
    /// Files were chosen, or there is no dialog to choose them in.
    Picked(Pick, Result<Vec<PickedFile>>),
    /// A file was saved, or not.
    Saved(Result<String>),
    /// A folder could not be shown.
    NotShown(Error),
    /// A settings file was read.
    SettingsRead(Result<Vec<u8>>),
    /// Files were found in the storage, to be saved elsewhere.
    Found(Result<Vec<PickedFile>>),
    /// True if this tab has the GPU, false if another one has it.
    Claimed(bool),
    /// Models that other programs keep on this computer.
    FoundModels(Vec<FoundModel>),
    /// The browser was asked to keep what is stored.
    Persisted,
}

/// Wakes a reader by drawing again.
struct Repaint(egui::Context);

impl Wake for Repaint {
    fn wake(self: Arc<Self>) {
        self.0.request_repaint();
    }
}

impl App {
    /// Continues with what is being read, without waiting.
    pub(super) fn read_on(&mut self, ctx: &egui::Context) {
        let waker = Waker::from(Arc::new(Repaint(ctx.clone())));
        let mut context = Context::from_waker(&waker);
        let mut done = Vec::new();
        self.reading.retain_mut(|reading| match reading.as_mut().poll(&mut context) {
            Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            Poll::Pending => true,
        });
        for answer in done {
            self.answered(ctx, answer);
        }
    }

    pub(super) fn answered(&mut self, ctx: &egui::Context, answer: Answer) {
        match answer {
            Answer::Picked(pick, Ok(files)) => self.opened(ctx, pick, files),
            // The computer has no dialogs, so a path is asked for instead.
            Answer::Picked(pick, Err(e @ Error::Device { .. })) => {
                let problem = Problem::from(&e);
                self.state.notice(&problem.to_string(), false);
                self.views.frame.ask_for_path = Some(PathQuestion { pick, problem, path: String::new() });
            }
            Answer::Picked(pick, Err(e)) => self.not_opened(ctx, pick, &e),
            Answer::Saved(Ok(path)) => self.toast(ctx, text::saved_to(&path)),
            Answer::Saved(Err(Error::Cancelled)) => {}
            Answer::Saved(Err(e)) | Answer::SettingsRead(Err(e)) | Answer::Found(Err(e)) | Answer::NotShown(e) => {
                self.toast(ctx, e.to_string());
            }
            Answer::SettingsRead(Ok(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(settings) => self.take_settings(ctx, settings),
                Err(e) => self.toast(ctx, text::not_settings(&e.to_string())),
            },
            Answer::Found(Ok(files)) => {
                for file in &files {
                    let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
                    host::save_copy(file, move |saved| {
                        drop(sender.send(Answer::Saved(saved)));
                        repaint.request_repaint();
                    });
                }
            }
            Answer::Claimed(claimed) => {
                self.state.other_tab = !claimed;
                self.follow_fragment(ctx);
            }
            Answer::FoundModels(found) => {
                self.state.found = found;
                if self.was_ready {
                    self.measure_found();
                }
            }
            Answer::Persisted => self.send(Command::Library(LibraryCommand::MeasureStorage), Vec::new()),
        }
    }

    /// Looks for models on this computer; they arrive as an [`Answer`].
    pub(super) fn look_for_models(&self, ctx: &egui::Context) {
        let (sender, repaint) = (self.answers.0.clone(), ctx.clone());
        host::system_models(move |found| {
            drop(sender.send(Answer::FoundModels(found)));
            repaint.request_repaint();
        });
    }
}
