//! Fields for paths, and links to what was opened before.

use eframe::egui::{self, Ui};

use super::buttons::link_button;
use super::parts::{name_of, weak};
use crate::app::actions::Action;
use crate::app::state::RecentPath;
use crate::app::text::labels;
use crate::platform::Pick;

/// Opens a path that is typed, or was opened before.
pub(crate) fn by_path_ui(
    ui: &mut Ui,
    typed: &mut String,
    pick: Pick,
    recent: &[RecentPath],
    actions: &mut Vec<Action>,
) {
    let path = path_field(ui, typed, pick);
    if let Some(path) = path.or(recent_ui(ui, recent)) {
        actions.push(Action::OpenPath(pick, path));
    }
}

/// A field for a path and a button that opens it: for users who know the path, and where there are no dialogs. Returns
/// the path when it is to be opened.
pub(crate) fn path_field(ui: &mut Ui, typed: &mut String, pick: Pick) -> Option<String> {
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 90.0).clamp(120.0, 520.0);
        let edit = egui::TextEdit::singleline(typed).hint_text(labels::path_hint(pick)).desired_width(width);
        let field = ui.add(edit.font(egui::TextStyle::Monospace));
        name_of(ui, &field, labels::path_of(pick));
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let open = ui.add_enabled(!typed.trim().is_empty(), egui::Button::new(labels::OPEN_PATH));
        name_of(ui, &open, labels::open_path(pick));
        let is_asked = (entered || open.clicked()) && !typed.trim().is_empty();
        is_asked.then(|| typed.trim().to_owned())
    })
    .inner
}

/// Links to what was opened before; returns the path of the clicked one.
fn recent_ui(ui: &mut Ui, recent: &[RecentPath]) -> Option<String> {
    if recent.is_empty() {
        return None;
    }
    let mut clicked = None;
    ui.horizontal_wrapped(|ui| {
        weak(ui, labels::RECENT);
        for RecentPath { name, path } in recent {
            let link = link_button(ui, name).on_hover_text(path);
            name_of(ui, &link, &labels::open_again(name));
            if link.clicked() {
                clicked = Some(path.clone());
            }
        }
    });
    clicked
}
