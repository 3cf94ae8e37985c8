//! The rows that cannot be used, grouped by what is wrong with them.

use eframe::egui::{self, RichText, Ui};

use super::page::PairsView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::text::units;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{PairsInfo, ProblemKind};

pub(super) fn problems_ui(
    ui: &mut Ui,
    state: &State,
    info: &PairsInfo,
    view: &mut PairsView,
    actions: &mut Vec<Action>,
) {
    if info.problem_count == 0 {
        widgets::marked(ui, Tone::Good, text::NO_PROBLEMS);
        if let Some(fates) = state.figures().and_then(text::fates) {
            widgets::marked(ui, Tone::Warn, &fates);
        }
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label(text::problems_skipped(info.problem_count, info.usable));
        if !state.pairs.files.is_empty() && ui.button(text::EDIT_COLUMNS).clicked() {
            view.mapping = Some(info.mapping.clone());
        }
        if ui.button(text::SAVE_REPORT).clicked() {
            let bytes = text::problem_report(info).into_bytes();
            actions.push(Action::SaveFile { name: format!("{}-problems.txt", info.name), bytes });
        }
    });
    for kind in &info.problem_kinds {
        kind_ui(ui, kind);
    }
    let more = info.problem_count - info.problem_kinds.iter().map(|kind| kind.count).sum::<usize>();
    if more > 0 {
        widgets::weak(ui, text::more_problems(more));
    }
}

/// Rows that cannot be used for the same reason.
fn kind_ui(ui: &mut Ui, kind: &ProblemKind) {
    ui.separator();
    ui.horizontal_top(|ui| {
        widgets::icon(ui, widgets::Icon::Cross, Tone::Bad);
        ui.vertical(|ui| {
            ui.add(egui::Label::new(text::problem_kind(kind)).wrap());
            widgets::small(ui, &kind.first.fix);
            if kind.count > 1 {
                widgets::small(ui, text::kind_lines(kind));
            }
            if !kind.first.excerpt.is_empty() {
                let excerpt = RichText::new(units::one_line(&kind.first.excerpt)).monospace();
                ui.add(egui::Label::new(excerpt).truncate());
            }
        });
    });
}
