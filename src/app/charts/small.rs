//! Figures without axes: a sparkline, a share on its scale, a colour for a change.

use eframe::egui::{self, Color32, CornerRadius, Rect, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::series::{Hue, Unit};
use crate::app::text::chart;
use crate::engine::stats;

/// Maximum width of a scale.
const SCALE: f32 = 560.0;

/// A small line without axes.
pub(crate) fn sparkline(ui: &mut Ui, label: &str, values: &[f64], size: egui::Vec2, hue: Hue) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let values = stats::sparkline(values, (size.x / 2.0).max(2.0) as usize);
    if values.len() > 1 {
        let [low, high] = bounds(&values);
        let span = high - low;
        let inner = rect.shrink2(vec2(1.0, 3.0));
        let step = inner.width() / (values.len() - 1) as f32;
        let point = |(i, value): (usize, &f64)| {
            let up = ((value - low) / span) as f32;
            pos2(inner.left() + i as f32 * step, inner.bottom() - up * inner.height())
        };
        let points: Vec<egui::Pos2> = values.iter().enumerate().map(point).collect();
        ui.painter().line(points, Stroke::new(1.5, hue.color(ui)));
    }
    let ends = values.first().zip(values.last());
    let text = ends
        .map_or_else(|| label.to_owned(), |(a, b)| chart::from_to(label, &Unit::Plain.text(*a), &Unit::Plain.text(*b)));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
    response.on_hover_text(text)
}

/// Bounds of the values of a line. Values that differ by little lie in the middle of the room of a value that could be
/// seen, so that noise does not look like a fall.
fn bounds(values: &[f64]) -> [f64; 2] {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = (low + high) / 2.0;
    let half = ((high - low) / 2.0).max(Unit::Plain.room(middle, middle));
    [middle - half, middle + half]
}

/// Hues of the shares to compare with, in their order.
const OTHERS: [Hue; 3] = [Hue::Second, Hue::Quiet, Hue::Third];

/// A share with its interval on a line from 0 to 100 %, and other shares to compare it with.
pub(crate) fn share_scale(
    ui: &mut Ui,
    label: &str,
    share: f64,
    interval: [f64; 2],
    others: &[(&str, f64)],
) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width().min(SCALE), 22.0), Sense::hover());
    let track = Rect::from_center_size(rect.center(), vec2(rect.width() - 8.0, 6.0));
    let x = |value: f64| egui::lerp(track.x_range(), value.clamp(0.0, 1.0) as f32);
    let painter = ui.painter();
    let round = CornerRadius::same(3);
    painter.rect_filled(track, round, ui.visuals().weak_text_color().gamma_multiply(0.25));
    let color = Hue::First.color(ui);
    let band = Rect::from_x_y_ranges(x(interval[0])..=x(interval[1]), track.y_range());
    painter.rect_filled(band, round, color.gamma_multiply(0.45));
    for (i, (_, other)) in others.iter().enumerate() {
        let tint = OTHERS[i % OTHERS.len()].color(ui);
        painter.vline(x(*other), rect.shrink(3.0).y_range(), Stroke::new(2.0, tint));
    }
    painter.circle_filled(pos2(x(share), track.center().y), 5.0, color);
    let [low, high] = interval.map(|bound| Unit::Percent.text(bound));
    let mut text = chart::share(label, &Unit::Percent.text(share), [&low, &high]);
    for (name, other) in others {
        text += &chart::other(name, &Unit::Percent.text(*other));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
    response.on_hover_text(text)
}

/// A colour from orange (lower) to blue (higher) for a change from -1 to 1; none for no change.
pub(crate) fn diverging(ui: &Ui, change: f32) -> Color32 {
    let strength = change.abs().clamp(0.0, 1.0).sqrt();
    let hue = if change < 0.0 { Hue::Second } else { Hue::Third };
    hue.color(ui).gamma_multiply(0.75 * strength)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_by_little_do_not_fill_a_line() {
        let height = |values: &[f64]| {
            let [low, high] = bounds(values);
            values.iter().map(|value| ((value - low) / (high - low) * 100.0).round()).collect::<Vec<_>>()
        };
        assert_eq!(height(&[0.6932, 0.6929]), [50.0, 50.0], "a loss that stays");
        assert_eq!(height(&[0.0, 0.0]), [50.0, 50.0], "nothing");
        assert_eq!(height(&[0.69, 0.2, 0.4]), [100.0, 0.0, 41.0], "a loss that falls");
    }
}
