//! Small pieces of charts: a row of text, an entry of a legend, a mark.

use eframe::egui::{self, Align2, FontId, Id, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::series::{Hue, Mark};
use crate::app::text::{run, units};

/// Letters of a name in a legend.
const LEGEND: usize = 28;

/// A row that wraps and is no higher than its text.
pub(crate) fn tight<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        ui.spacing_mut().item_spacing.y = 3.0;
        ui.horizontal_wrapped(add).inner
    })
    .inner
}

/// A piece of a line with its name and value; all of it stays on one row.
pub(crate) fn legend_ui(ui: &mut Ui, hue: Hue, dashed: bool, name: &str, value: &str) {
    let (color, color_of_name) = (hue.color(ui), ui.visuals().text_color());
    let small = egui::TextStyle::Small.resolve(ui.style());
    let label = format!("{name} {value}").trim_end().to_owned();
    let short = units::shortened(name, LEGEND);
    let is_short = short != name;
    let name = ui.painter().layout_no_wrap(short, small.clone(), color_of_name);
    let value = ui.painter().layout_no_wrap(value.to_owned(), FontId::monospace(small.size), color);
    let (line, gap) = (14.0, 5.0);
    let width = line + gap + name.size().x + gap + value.size().x;
    let size = vec2(width, name.size().y.max(value.size().y));
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    let y = rect.center().y;
    let ends: &[(f32, f32)] = if dashed { &[(0.0, 5.0), (9.0, 14.0)] } else { &[(0.0, 14.0)] };
    for (from, to) in ends {
        ui.painter().hline(rect.left() + from..=rect.left() + to, y, Stroke::new(2.0, color));
    }
    let mut left = rect.left() + line + gap;
    for galley in [name, value] {
        let size = galley.size();
        ui.painter().galley(pos2(left, y - size.y / 2.0), galley, color_of_name);
        left += size.x + gap;
    }
    if is_short {
        response.on_hover_text(label);
    }
}

/// A triangle over the step at which something was noticed; its text shows on hover.
pub(super) fn mark_ui(ui: &Ui, id: Id, at: egui::Pos2, mark: &Mark) {
    let color = ui.visuals().warn_fg_color;
    let (left, right) = (at + vec2(-6.0, 5.0), at + vec2(6.0, 5.0));
    let corners = vec![at + vec2(0.0, -6.0), right, left];
    ui.painter().add(egui::Shape::convex_polygon(corners, color, Stroke::NONE));
    let ink = ui.visuals().extreme_bg_color;
    ui.painter().text(at + vec2(0.0, 0.5), Align2::CENTER_CENTER, "!", FontId::proportional(9.0), ink);
    let response = ui.interact(Rect::from_center_size(at, vec2(18.0, 18.0)), id, Sense::hover());
    let label = run::warning(mark.step as usize, &mark.text);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    response.on_hover_text(label);
}
