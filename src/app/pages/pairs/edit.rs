//! A row while its texts are edited.

use eframe::egui::{TextEdit, Ui};

use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::text::labels;
use crate::app::widgets;
use crate::engine::protocol::{Command, PairView, PairsCommand, Passage};

/// Lines of a text field at the least.
const LINES: usize = 2;

/// Texts of a row, as edited so far.
#[derive(Debug)]
pub(super) struct Edit {
    /// Index of the row.
    pub(super) index: usize,
    texts: [Vec<String>; 3],
}

impl Edit {
    /// Begins with the texts of a row.
    pub(super) fn of(pair: &PairView) -> Self {
        let texts = |part: &Vec<Passage>| part.iter().map(|passage| passage.text.clone()).collect();
        Self { index: pair.index, texts: pair.parts.each_ref().map(texts) }
    }

    /// True if a text differs from the row's.
    fn changes(&self, pair: &PairView) -> bool {
        let of_row = pair.parts.iter().flatten().map(|passage| &passage.text);
        self.texts.iter().flatten().ne(of_row)
    }
}

/// Draws a field for each text, and the ways to end; true once the edit is at its end.
pub(super) fn edit_ui(ui: &mut Ui, state: &State, pair: &PairView, edit: &mut Edit, actions: &mut Vec<Action>) -> bool {
    widgets::weak(ui, text::editing(pair.line));
    for ((side, part), texts) in text::sides(state.kind()).into_iter().zip(&pair.parts).zip(&mut edit.texts) {
        for (passage, typed) in part.iter().zip(texts) {
            let label = ui.label(text::passage(side, passage)).id;
            let field = TextEdit::multiline(typed).desired_rows(LINES).desired_width(f32::INFINITY);
            ui.add_enabled(passage.editable, field).labelled_by(label).on_disabled_hover_text(text::NOT_EDITABLE);
        }
    }
    widgets::small(ui, text::EDIT_HELP);
    ui.horizontal_wrapped(|ui| {
        let apply =
            ui.add_enabled_ui(edit.changes(pair), |ui| widgets::primary_button(ui, text::SAVE_EDIT)).inner.clicked();
        if apply {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Edit {
                index: edit.index,
                texts: edit.texts.clone(),
            })));
        }
        ui.button(labels::CANCEL).clicked() || apply
    })
    .inner
}
