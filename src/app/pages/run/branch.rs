//! Continues a run with other settings, as a new run.

use eframe::egui::{self, DragValue, Ui};
use serde_json::json;

use super::page::{RunView, resume};
use super::text;
use crate::app::actions::Action;
use crate::app::records::{Length, beta, has_setting, is_over, setting};
use crate::app::state::RunState;
use crate::app::text::run;
use crate::app::theme::GRID;
use crate::app::widgets::weak;
use crate::engine::protocol::{RunRecord, Settings};

/// Settings that a branch may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Branch {
    pub(super) beta: f64,
    pub(super) learning_rate: f64,
    pub(super) length: Length,
}

impl Branch {
    pub(super) fn of(record: &RunRecord) -> Self {
        Self {
            beta: beta(record),
            learning_rate: setting(record, "learning_rate").unwrap_or(1e-6),
            length: Length::of(record),
        }
    }

    /// Settings that differ from `before`.
    pub(super) fn changes(self, before: Self) -> Settings {
        let mut settings = Settings::new();
        for (name, new, old) in
            [("beta", self.beta, before.beta), ("learning_rate", self.learning_rate, before.learning_rate)]
        {
            if new != old {
                settings.insert(name.to_owned(), json!(new));
            }
        }
        if self.length != before.length {
            let (name, value) = self.length.setting();
            settings.insert(name.to_owned(), value);
        }
        settings
    }
}

/// Draws the settings to continue with.
pub(super) fn branch_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let record = &run.info.record;
    let before = Branch::of(record);
    let header = egui::CollapsingHeader::new(text::BRANCH).id_salt("branch").open(Some(view.branch_open));
    let header = header.show_unindented(ui, |ui| {
        let mut branch = view.branch.unwrap_or(before);
        weak(ui, text::BRANCH_TEXT);
        if is_over(record) {
            weak(ui, text::BRANCH_MORE);
        }
        ui.horizontal_wrapped(|ui| {
            if has_setting(record, "beta") {
                let label = ui.label(run::BETA).id;
                let field = DragValue::new(&mut branch.beta).range(0.001..=5.0).speed(0.005).max_decimals(4);
                ui.add(field).labelled_by(label);
                ui.add_space(GRID);
            }
            let label = ui.label(text::RATE).id;
            let field = DragValue::new(&mut branch.learning_rate).range(1e-9..=1e-1).speed(1e-7);
            ui.add(field.custom_formatter(|value, _| format!("{value:.1e}"))).labelled_by(label);
            ui.add_space(GRID);
            length_ui(ui, &mut branch.length);
            ui.add_space(GRID);
            let changes = branch.changes(before);
            let is_changed = !changes.is_empty();
            if ui.add_enabled(is_changed, egui::Button::new(text::BRANCH_GO)).clicked() {
                resume(actions, run, changes);
            }
            if !is_changed {
                weak(ui, text::BRANCH_SAME);
            }
        });
        view.branch = Some(branch);
    });
    view.branch_open ^= header.header_response.clicked();
}

/// Draws the length of a branch, in steps or in epochs.
fn length_ui(ui: &mut Ui, length: &mut Length) {
    let (name, field) = match length {
        Length::Steps(steps) => (text::N_STEPS, DragValue::new(steps).range(1..=1_u64 << 40)),
        Length::Epochs(epochs) => (text::EPOCHS, DragValue::new(epochs).range(0.1..=100.0).speed(0.05).max_decimals(2)),
    };
    let label = ui.label(name).id;
    ui.add(field).labelled_by(label);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::records::changed;

    #[test]
    fn a_branch_names_only_what_changed() {
        let before = Branch { beta: 0.1, learning_rate: 5e-5, length: Length::Epochs(1.0) };
        assert!(before.changes(before).is_empty(), "nothing changed");
        let after = Branch { beta: 0.3, ..before };
        assert_eq!(after.changes(before), changed("beta", json!(0.3)));
        let longer = Branch { length: Length::Steps(40).twice(), ..before };
        assert_eq!(longer.changes(before), changed("max_steps", json!(80)));
    }
}
