//! Buttons and sliders.

use eframe::egui::{self, Color32, Response, RichText, Stroke, Ui};

use super::icons::{Icon, paint_icon};
use crate::app::theme;

/// Button for the one thing to do next.
pub(crate) fn primary_button(ui: &mut Ui, text: &str) -> Response {
    let palette = theme::palette(ui);
    filled_button(ui, text, palette.accent, palette.on_accent)
}

/// Button that throws work away.
pub(crate) fn danger_button(ui: &mut Ui, text: &str) -> Response {
    let palette = theme::palette(ui);
    ui.add(egui::Button::new(RichText::new(text).color(palette.bad)).stroke(Stroke::new(1.0, palette.bad)))
}

/// A button in colours of its own.
fn filled_button(ui: &mut Ui, text: &str, fill: Color32, color: Color32) -> Response {
    ui.scope(|ui| {
        let widgets = &mut ui.visuals_mut().widgets;
        for (state, fill) in [
            (&mut widgets.inactive, fill),
            (&mut widgets.hovered, fill.lerp_to_gamma(color, 0.15)),
            (&mut widgets.active, fill.lerp_to_gamma(color, 0.3)),
        ] {
            state.weak_bg_fill = fill;
            state.bg_stroke = Stroke::new(1.0, fill);
            state.fg_stroke = Stroke::new(1.0, color);
        }
        ui.add(egui::Button::new(RichText::new(text).strong().color(color)))
    })
    .inner
}

/// A button that looks like a word in a sentence.
pub(crate) fn link_button(ui: &mut Ui, text: &str) -> Response {
    ui.add(egui::Link::new(text))
}

/// A button with a drawn icon before its text.
pub(crate) fn icon_button(ui: &mut Ui, icon: Icon, text: &str) -> Response {
    let gap = egui::Atom::custom(egui::IdSalt::new("icon"), egui::vec2(14.0, 14.0));
    let response = ui.add(egui::Button::new((gap, text)));
    let center = egui::pos2(response.rect.left() + 20.0, response.rect.center().y);
    paint_icon(ui, icon, center, 6.0, ui.style().interact(&response).fg_stroke.color);
    response
}

/// A slider whose filled part is visible on a card.
pub(crate) fn slider(ui: &mut Ui, slider: egui::Slider<'_>) -> Response {
    let palette = theme::palette(ui);
    ui.scope(|ui| {
        let visuals = ui.visuals_mut();
        visuals.selection.bg_fill = palette.accent;
        visuals.widgets.inactive.bg_fill = palette.border;
        ui.add(slider)
    })
    .inner
}

/// A large button in colours of its own, an icon before its text.
pub(crate) fn big_button(
    ui: &mut Ui,
    icon: Icon,
    text: &str,
    fill: Color32,
    color: Color32,
    size: egui::Vec2,
) -> Response {
    ui.scope(|ui| {
        ui.spacing_mut().button_padding.x = 20.0;
        let place = egui::IdSalt::new("icon");
        let atom = egui::Atom::custom(place, egui::vec2(16.0, 16.0));
        let text = RichText::new(text).size(16.0).strong().color(color);
        let drawn = egui::Button::new((atom, text)).fill(fill).min_size(size).wrap().atom_ui(ui);
        if let Some(rect) = drawn.rect(place) {
            paint_icon(ui, icon, rect.center(), 7.0, color);
        }
        drawn.response
    })
    .inner
}

/// A button in a row of text or of a table.
pub(crate) fn row_button(ui: &mut Ui, text: &str) -> Response {
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = egui::vec2(8.0, 2.0);
        ui.spacing_mut().interact_size.y = 24.0;
        ui.add(egui::Button::new(RichText::new(text).small()))
    })
    .inner
}
