//! A list of prompts to edit.

use eframe::egui::{TextEdit, Ui};

use super::parts::name_of;
use crate::app::text::prompts as text;

/// Width beside a field, for its button.
const BESIDE_FIELD: f32 = 96.0;

/// Draws each prompt in a field of its own, because a prompt may have several lines; `each` names one of them.
pub(crate) fn prompts_ui(ui: &mut Ui, each: &str, prompts: &mut Vec<String>) {
    let mut removed = None;
    for (index, prompt) in prompts.iter_mut().enumerate() {
        ui.horizontal(|ui| {
            let width = (ui.available_width() - BESIDE_FIELD).max(120.0);
            let field = ui.add(TextEdit::multiline(prompt).desired_rows(1).desired_width(width));
            name_of(ui, &field, &text::numbered(each, index + 1));
            let remove = ui.button(text::REMOVE);
            name_of(ui, &remove, &text::remove(each, index + 1));
            if remove.clicked() {
                removed = Some(index);
            }
        });
    }
    if let Some(index) = removed {
        prompts.remove(index);
    }
    if ui.button(text::ADD).clicked() {
        prompts.push(String::new());
    }
}
