//! Bars that show progress.

use eframe::egui::{self, CornerRadius, Response, Sense, Ui, WidgetInfo};

use super::parts::small;
use crate::app::text::units::{self, Unit};
use crate::app::theme;
use crate::engine::protocol::Progress;

/// A bar that fills from the left; `name` tells screen readers what it is about.
pub(crate) fn progress_bar(ui: &mut Ui, name: &str, fraction: Option<f32>) -> Response {
    let width = ui.available_width();
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, 8.0), Sense::hover());
    let palette = theme::palette(ui);
    let radius = CornerRadius::same(4);
    ui.painter().rect_filled(rect, radius, palette.border);
    let mut filled = rect;
    match fraction {
        Some(fraction) => filled.set_width(rect.width() * fraction.clamp(0.0, 1.0)),
        // The share is not known: draw a piece in the middle.
        None => filled = egui::Rect::from_center_size(rect.center(), egui::vec2(rect.width() * 0.3, rect.height())),
    }
    ui.painter().rect_filled(filled, radius, palette.accent);
    let label =
        fraction.map_or_else(|| name.to_owned(), |fraction| format!("{name} {}", units::percent(fraction.into())));
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::ProgressIndicator, true, &label));
    response
}

/// The share of some work that is done, if it is known how much there is.
pub(crate) fn fraction(progress: &Progress) -> Option<f32> {
    (progress.total > 0).then(|| progress.done as f32 / progress.total as f32)
}

/// Progress in words: name, amount, speed and time left.
pub(crate) fn progress_ui(ui: &mut Ui, progress: &Progress, unit: Unit) {
    ui.label(units::capitalized(&progress.what));
    progress_bar(ui, &progress.what, fraction(progress));
    small(ui, units::progress(progress, unit));
}
