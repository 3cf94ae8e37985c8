//! The settings as a link, a command, a file.

use eframe::egui::{self, RichText, Ui};

use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::widgets;
use crate::platform::{Pick, host};

/// Draws the ways to share the settings: a link, a file, a command.
pub(super) fn share_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        widgets::weak(ui, text::SETTINGS_AS);
        if ui.button(text::AS_LINK).on_hover_text(text::AS_LINK_HELP).clicked() {
            actions.push(Action::Copy(text::settings_link(&host::address(), &state.plan.settings)));
        }
        if ui.button(text::AS_FILE).on_hover_text(text::AS_FILE_HELP).clicked() {
            let bytes = serde_json::to_vec_pretty(&state.plan.settings).unwrap_or_default();
            let name = text::settings_file(&state.plan.name);
            actions.push(Action::SaveFile { name, bytes });
        }
        if ui.button(text::FROM_FILE).clicked() {
            actions.push(Action::Pick(Pick::Settings));
        }
    });
    egui::CollapsingHeader::new(text::COMMAND).id_salt("command").show(ui, |ui| {
        let command = text::command_line(state);
        widgets::text_box(ui, |ui| {
            ui.add(egui::Label::new(RichText::new(&command).monospace()).wrap());
        });
        if state.pairs.info.as_ref().is_some_and(|pairs| pairs.skipped > 0) {
            widgets::small(ui, text::COMMAND_SKIPS_NOTHING);
        }
        if state.pairs.info.as_ref().is_some_and(|pairs| pairs.edits > 0) {
            widgets::small(ui, text::COMMAND_HAS_NO_EDITS);
        }
        if state.open_model().is_some_and(|model| model.chat.template != model.chat.own) {
            widgets::small(ui, text::COMMAND_HAS_NO_TEMPLATE);
        }
        if ui.button(text::AS_COMMAND).clicked() {
            actions.push(Action::Copy(command));
        }
    });
}
