//! Figures without axes: a sparkline, a share on its scale, a histogram, a colour for a change.

use eframe::egui::{
    self, Align2, Color32, CornerRadius, Rect, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use super::series::{Hue, Unit};
use crate::app::text::chart;
use crate::engine::stats;

/// Maximum width of a scale.
const SCALE: f32 = 560.0;

/// A small line without axes.
pub(crate) fn sparkline(ui: &mut Ui, label: &str, values: &[f64], size: egui::Vec2, hue: Hue) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let values = stats::sparkline(values, (size.x / 2.0).max(2.0) as usize);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() > 1 {
        let span = if high > low { high - low } else { 1.0 };
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

/// Histogram of the number of values in each of `bins` equal parts of `range`.
pub(crate) fn histogram(ui: &mut Ui, label: &str, values: &[f64], range: [f64; 2], bins: usize) -> Response {
    let counts = bin(values, range, bins);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 110.0), Sense::hover());
    let font = egui::TextStyle::Small.resolve(ui.style());
    let weak = ui.visuals().weak_text_color();
    let foot = rect.bottom() - 16.0;
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let width = rect.width() / bins.max(1) as f32;
    let painter = ui.painter();
    for (i, count) in counts.iter().enumerate() {
        let left = rect.left() + i as f32 * width;
        let height = (foot - rect.top() - 14.0) * *count as f32 / most as f32;
        let bar = Rect::from_min_max(pos2(left + 1.0, foot - height), pos2(left + width - 1.0, foot));
        painter.rect_filled(bar, CornerRadius { nw: 2, ne: 2, sw: 0, se: 0 }, Hue::First.color(ui));
        if *count > 0 {
            let at = pos2(bar.center().x, bar.top() - 1.0);
            painter.text(at, Align2::CENTER_BOTTOM, count.to_string(), font.clone(), weak);
        }
    }
    painter.hline(rect.x_range(), foot, Stroke::new(1.0, weak.gamma_multiply(0.5)));
    let middle = (range[0] + range[1]) / 2.0;
    let ends = [
        (rect.left(), Align2::LEFT_TOP, range[0]),
        (rect.center().x, Align2::CENTER_TOP, middle),
        (rect.right(), Align2::RIGHT_TOP, range[1]),
    ];
    for (x, align, value) in ends {
        painter.text(pos2(x, foot + 3.0), align, value.to_string(), font.clone(), weak);
    }
    let list: Vec<String> = counts.iter().map(usize::to_string).collect();
    let text = chart::counts(label, &list, range);
    response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &text));
    response
}

fn bin(values: &[f64], range: [f64; 2], bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins.max(1)];
    let width = (range[1] - range[0]) / counts.len() as f64;
    for value in values.iter().filter(|value| value.is_finite()) {
        let at = ((value - range[0]) / width).max(0.0) as usize;
        let last = counts.len() - 1;
        counts[at.min(last)] += 1;
    }
    counts
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
    fn values_are_binned_within_the_range() {
        assert_eq!(bin(&[0.0, 0.49, 0.5, 1.0, 2.0, -1.0, f64::NAN], [0.0, 1.0], 2), [3, 3]);
        assert_eq!(bin(&[], [0.0, 1.0], 3), [0, 0, 0]);
    }
}
