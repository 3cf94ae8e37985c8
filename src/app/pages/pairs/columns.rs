//! The mapping of the file's columns, and its editor.

use eframe::egui::{self, Ui};

use super::page::PairsView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::widgets;
use crate::engine::protocol::{Kind, PairsInfo};

/// Draws the columns that are read, and lets the user change them.
pub(super) fn mapping_ui(
    ui: &mut Ui,
    state: &State,
    info: &PairsInfo,
    view: &mut PairsView,
    actions: &mut Vec<Action>,
) {
    let Some(mut mapping) = view.mapping.clone() else {
        ui.horizontal_wrapped(|ui| {
            if info.kind == Kind::Pairs {
                widgets::weak(ui, text::COLUMNS);
                widgets::mono(ui, text::mapping(&info.mapping));
            } else {
                widgets::small(ui, text::read_as(info.kind, &info.columns));
            }
            if !state.pairs.files.is_empty() && widgets::link_button(ui, text::EDIT_COLUMNS).clicked() {
                view.mapping = Some(info.mapping.clone());
            }
        });
        return;
    };
    widgets::text_box(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let beside = text::column_beside(&mapping);
            let fields = [
                (text::COLUMN_PROMPT, &mut mapping.prompt, true),
                (text::COLUMN_CHOSEN, &mut mapping.chosen, false),
                (text::COLUMN_REJECTED, &mut mapping.rejected, false),
                (beside, &mut mapping.system, true),
            ];
            for (i, (name, value, may_be_empty)) in fields.into_iter().enumerate() {
                ui.label(name);
                let shown = if value.is_empty() { text::NO_COLUMN } else { value.as_str() };
                let combo =
                    egui::ComboBox::from_id_salt(("column", i)).selected_text(shown.to_owned()).show_ui(ui, |ui| {
                        if may_be_empty {
                            ui.selectable_value(value, String::new(), text::NO_COLUMN);
                        }
                        for column in &info.columns {
                            ui.selectable_value(value, column.clone(), column);
                        }
                    });
                widgets::name_of(ui, &combo.response, name);
            }
        });
        let complete = !mapping.chosen.is_empty() && !mapping.rejected.is_empty();
        let complete = complete && mapping.chosen != mapping.rejected;
        ui.horizontal_wrapped(|ui| {
            let apply = ui.add_enabled_ui(complete, |ui| widgets::primary_button(ui, text::APPLY_COLUMNS)).inner;
            let cancel = ui.button(text::KEEP_COLUMNS);
            if apply.clicked() {
                actions.push(Action::RemapPairs(mapping.clone()));
            }
            view.mapping = if apply.clicked() || cancel.clicked() { None } else { Some(mapping.clone()) };
        });
    });
}
