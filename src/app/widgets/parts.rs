//! Cards, headings, labels and boxes, all made here so that they look alike.

use eframe::egui::{
    self, Align, Color32, CornerRadius, Frame, Layout, Margin, Response, RichText, Sense, Stroke, StrokeKind, Ui,
    WidgetInfo,
};

use super::diff::Piece;
use super::icons::{Icon, icon};
use crate::app::theme::{self, GRID};
use crate::engine::protocol::Problem;

/// State of something, for its colour and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Neutral,
    /// Active, or the tuned model.
    Accent,
    /// It went well.
    Good,
    /// Deserves a look.
    Warn,
    /// It failed.
    Bad,
}

/// A tone's foreground and background.
pub(crate) fn tone_colors(ui: &Ui, tone: Tone) -> (Color32, Color32) {
    let palette = theme::palette(ui);
    match tone {
        Tone::Neutral => (palette.weak, palette.inset),
        Tone::Accent => (palette.accent, palette.accent_soft),
        Tone::Good => (palette.good, palette.accent_soft),
        Tone::Warn => (palette.warn, palette.warn_soft),
        Tone::Bad => (palette.bad, palette.bad_soft),
    }
}

/// The title of a page, with a sentence below it.
pub(crate) fn page_title(ui: &mut Ui, title: &str, subtitle: &str) {
    let response = ui.label(RichText::new(title).text_style(theme::title()).strong());
    name_heading(ui, &response, title);
    if !subtitle.is_empty() {
        ui.label(RichText::new(subtitle).color(theme::palette(ui).weak));
    }
    ui.add_space(GRID);
}

/// A card as wide as there is room.
pub(crate) fn card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = theme::palette(ui);
    tinted_card(ui, palette.card, palette.border, add)
}

/// A card with a heading.
pub(crate) fn titled_card<R>(ui: &mut Ui, title: &str, add: impl FnOnce(&mut Ui) -> R) -> R {
    card(ui, |ui| {
        heading(ui, title);
        add(ui)
    })
}

/// A card in the colours of `tone`.
pub(crate) fn tone_card<R>(ui: &mut Ui, tone: Tone, add: impl FnOnce(&mut Ui) -> R) -> R {
    let (stroke, fill) = tone_colors(ui, tone);
    tinted_card(ui, fill, stroke.gamma_multiply(0.5), add)
}

fn tinted_card<R>(ui: &mut Ui, fill: Color32, border: Color32, add: impl FnOnce(&mut Ui) -> R) -> R {
    let frame = Frame::new()
        .fill(fill)
        .stroke(Stroke::new(1.0, border))
        .corner_radius(CornerRadius::same(theme::RADIUS))
        .inner_margin(Margin::same(16));
    let response = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        add(ui)
    });
    ui.add_space(4.0);
    response.inner
}

/// A heading inside of a card.
pub(crate) fn heading(ui: &mut Ui, text: &str) -> Response {
    let response = ui.label(RichText::new(text).text_style(egui::TextStyle::Heading).strong());
    name_heading(ui, &response, text);
    response
}

/// Tells screen readers that a label is a heading; unlike a label, a heading has its text as its name.
fn name_heading(ui: &Ui, response: &Response, text: &str) {
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_role(egui::accesskit::Role::Heading);
        node.set_label(text);
    });
}

/// Text that matters less.
pub(crate) fn weak(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = theme::palette(ui).weak;
    ui.label(RichText::new(text).color(color))
}

/// Small text that matters less.
pub(crate) fn small(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = theme::palette(ui).weak;
    ui.label(RichText::new(text).small().color(color))
}

/// A number or a place, in digits of equal width.
pub(crate) fn mono(ui: &mut Ui, text: impl Into<String>) -> Response {
    ui.label(RichText::new(text).monospace())
}

/// A name and a value at the right edge, on a row of its own.
pub(crate) fn key_value(ui: &mut Ui, key: &str, value: impl Into<String>) {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        key_value_row(ui, key, value);
    });
}

fn key_value_row(ui: &mut Ui, key: &str, value: impl Into<String>) {
    ui.horizontal(|ui| {
        weak(ui, key);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| mono(ui, value));
    });
}

/// A small word in a rounded box.
pub(crate) fn chip(ui: &mut Ui, tone: Tone, text: &str) -> Response {
    let (color, fill) = tone_colors(ui, tone);
    let font = egui::TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, color);
    let padding = egui::vec2(8.0, 3.0);
    let (rect, response) = ui.allocate_exact_size(galley.size() + padding * 2.0, Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(9), fill);
    ui.painter().galley(rect.min + padding, galley, color);
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::Label, true, text));
    response
}

/// A line that begins with a mark.
pub(crate) fn marked(ui: &mut Ui, tone: Tone, text: &str) -> Response {
    ui.horizontal_top(|ui| {
        let icon_of = match tone {
            Tone::Good => Icon::Check,
            Tone::Warn => Icon::Warning,
            Tone::Bad => Icon::Cross,
            Tone::Neutral | Tone::Accent => Icon::Dot,
        };
        icon(ui, icon_of, tone);
        ui.add(egui::Label::new(text).wrap())
    })
    .inner
}

/// A card with a problem and its fix, in the colours of `tone`; buttons may follow.
pub(crate) fn problem_card(ui: &mut Ui, tone: Tone, title: &str, problem: &Problem, add: impl FnOnce(&mut Ui)) {
    tone_card(ui, tone, |ui| {
        ui.horizontal_top(|ui| {
            icon(ui, if tone == Tone::Bad { Icon::Cross } else { Icon::Warning }, tone);
            heading(ui, title);
        });
        problem_text(ui, problem);
        // The row takes no height without buttons.
        ui.spacing_mut().interact_size.y = 0.0;
        ui.horizontal_wrapped(add);
    });
}

/// A problem and its fix, without a card.
pub(crate) fn problem_text(ui: &mut Ui, problem: &Problem) {
    ui.add(egui::Label::new(&problem.what).wrap());
    if !problem.fix.is_empty() {
        ui.add(egui::Label::new(RichText::new(&problem.fix).strong()).wrap());
    }
    if !problem.at.is_empty() {
        small(ui, &problem.at);
    }
}

/// A row of tabs.
pub(crate) fn tabs<T: Copy + PartialEq>(ui: &mut Ui, chosen: &mut T, all: &[(T, String)]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (tab, name) in all {
            let response = ui.selectable_label(*chosen == *tab, name);
            let selected = *chosen == *tab;
            ui.ctx().accesskit_node_builder(response.id, |node| {
                node.set_role(egui::accesskit::Role::Tab);
                node.set_selected(selected);
            });
            if response.clicked() {
                *chosen = *tab;
            }
        }
    });
}

/// Cards side by side where there is room for `min_width` each, otherwise one below the other.
pub(crate) fn columns(ui: &mut Ui, min_width: f32, add: &mut [&mut dyn FnMut(&mut Ui)]) {
    columns_of(ui, min_width, add.len(), &mut |ui, i| add[i](ui));
}

/// The same for `n` similar cards, which are drawn by their index.
pub(crate) fn columns_of(ui: &mut Ui, min_width: f32, n: usize, add: &mut dyn FnMut(&mut Ui, usize)) {
    let room = ((ui.available_width() + GRID * 2.0) / (min_width + GRID * 2.0)).floor().max(1.0) as usize;
    let n_columns = room.min(n).max(1);
    for first in (0..n).step_by(n_columns) {
        if n_columns == 1 {
            add(ui, first);
        } else {
            ui.spacing_mut().item_spacing.x = GRID * 2.0;
            ui.columns(n_columns, |columns| {
                for (ui, i) in columns.iter_mut().zip(first..n) {
                    ui.spacing_mut().item_spacing.x = GRID;
                    // Undo the layout of columns, which stretches text to both edges.
                    ui.vertical(|ui| add(ui, i));
                }
            });
            ui.spacing_mut().item_spacing.x = GRID;
        }
    }
}

/// A name for screen readers that says more than a widget's own words.
pub(crate) fn name_of(ui: &Ui, response: &Response, name: &str) {
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(name));
}

/// An answer of the model, with the words in colour that another answer lacks; plain if there are no pieces.
pub(crate) fn answer_ui(ui: &mut Ui, answer: &str, pieces: &[Piece<'_>], tuned: bool) {
    let palette = theme::palette(ui);
    let font = egui::TextStyle::Body.resolve(ui.style());
    let plain = egui::TextFormat { font_id: font, color: palette.text, ..Default::default() };
    let (color, fill) =
        if tuned { (palette.chosen, palette.accent_soft) } else { (palette.rejected, palette.warn_soft) };
    let marked = egui::TextFormat { color, background: fill, ..plain.clone() };
    let mut job = egui::text::LayoutJob::default();
    if pieces.is_empty() {
        job.append(answer, 0.0, plain.clone());
    }
    for piece in pieces {
        job.append(piece.text, 0.0, if piece.same { plain.clone() } else { marked.clone() });
    }
    ui.add(egui::Label::new(job).wrap());
}

/// A box with a fine border for text that was written by someone else: pairs, answers, commands.
pub(crate) fn text_box(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    let palette = theme::palette(ui);
    let frame = Frame::new()
        .fill(palette.inset)
        .stroke(Stroke::new(1.0, palette.border))
        .corner_radius(CornerRadius::same(6))
        .inner_margin(Margin::same(10));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        add(ui);
    });
}

/// Draws a border around `rect`.
pub(crate) fn outline(ui: &Ui, rect: egui::Rect, color: Color32) {
    ui.painter().rect_stroke(rect, CornerRadius::same(6), Stroke::new(1.0, color), StrokeKind::Inside);
}
