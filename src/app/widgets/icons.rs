//! Icons, drawn because not every font has them, and the help behind one.

use eframe::egui::{self, Color32, CornerRadius, Response, Sense, Stroke, Ui, WidgetInfo};

use super::parts::{Tone, tone_colors};
use crate::app::text::labels;
use crate::app::theme;

/// Simple pictures, drawn by lines, so that no font has to have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Icon {
    /// A tick.
    Check,
    /// A cross.
    Cross,
    /// A triangle with an exclamation mark.
    Warning,
    /// A ring with an i.
    Info,
    /// A filled dot.
    Dot,
    /// A triangle to the right.
    Play,
    /// Two bars.
    Pause,
    /// A square.
    Stop,
}

/// An icon on its own; it says nothing to screen readers, so text must stand beside it.
pub(crate) fn icon(ui: &mut Ui, icon: Icon, tone: Tone) {
    let height = ui.text_style_height(&egui::TextStyle::Body);
    let (rect, _) = ui.allocate_exact_size(egui::vec2(16.0, height), Sense::hover());
    let (color, _) = tone_colors(ui, tone);
    paint_icon(ui, icon, rect.center(), 6.0, color);
}

/// A ring with an i that explains on hover, on a click and to the keyboard; `name` is what it explains, and `help` the
/// explanation for screen readers.
pub(crate) fn info(ui: &mut Ui, name: &str, help: &str, explain: impl Fn(&mut Ui)) -> Response {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(18.0, 18.0), Sense::click());
    let palette = theme::palette(ui);
    let color = if response.hovered() || response.has_focus() { palette.accent } else { palette.weak };
    paint_icon(ui, Icon::Info, rect.center(), 7.0, color);
    let label = labels::about(name);
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::Button, true, &label));
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_description(help));
    // A click leaves the focus here, until the next one elsewhere.
    if response.clicked() {
        response.request_focus();
    }
    if response.has_focus() {
        let popup = egui::Popup::from_response(&response).kind(egui::PopupKind::Tooltip).open(true);
        popup.width(ui.spacing().tooltip_width).interactable(false).show(&explain);
        return response;
    }
    response.on_hover_ui(explain)
}

/// Draws an icon around `center`, `r` to each side.
pub(crate) fn paint_icon(ui: &Ui, icon: Icon, center: egui::Pos2, r: f32, color: Color32) {
    let painter = ui.painter();
    let stroke = Stroke::new(1.6, color);
    let at = |x: f32, y: f32| center + egui::vec2(x * r, y * r);
    match icon {
        Icon::Check => {
            painter.line(vec![at(-0.8, 0.05), at(-0.2, 0.65), at(0.85, -0.6)], stroke);
        }
        Icon::Cross => {
            painter.line_segment([at(-0.65, -0.65), at(0.65, 0.65)], stroke);
            painter.line_segment([at(-0.65, 0.65), at(0.65, -0.65)], stroke);
        }
        Icon::Warning => {
            let shape = vec![at(0.0, -0.9), at(1.0, 0.8), at(-1.0, 0.8)];
            painter.add(egui::Shape::closed_line(shape, stroke));
            painter.line_segment([at(0.0, -0.3), at(0.0, 0.25)], stroke);
            painter.circle_filled(at(0.0, 0.52), 0.9, color);
        }
        Icon::Info => {
            painter.circle_stroke(center, r * 0.95, Stroke::new(1.2, color));
            painter.line_segment([at(0.0, -0.05), at(0.0, 0.5)], stroke);
            painter.circle_filled(at(0.0, -0.42), 1.0, color);
        }
        Icon::Dot => {
            painter.circle_filled(center, r * 0.6, color);
        }
        Icon::Play => {
            let shape = vec![at(-0.6, -0.85), at(0.85, 0.0), at(-0.6, 0.85)];
            painter.add(egui::Shape::convex_polygon(shape, color, Stroke::NONE));
        }
        Icon::Pause => {
            for x in [-0.65, 0.15] {
                let bar = egui::Rect::from_min_max(at(x, -0.8), at(x + 0.5, 0.8));
                painter.rect_filled(bar, CornerRadius::same(1), color);
            }
        }
        Icon::Stop => {
            let square = egui::Rect::from_min_max(at(-0.7, -0.7), at(0.7, 0.7));
            painter.rect_filled(square, CornerRadius::same(1), color);
        }
    }
}
