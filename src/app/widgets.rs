//! Pieces that the pages share: cards, buttons, chips, bars, icons.

use eframe::egui::{
    self, Align, Color32, CornerRadius, Frame, Layout, Margin, Response, RichText, Sense, Stroke, StrokeKind, Ui,
    WidgetInfo,
};

use super::diff::Piece;
use super::state::RecentPath;
use super::text;
use super::theme::{self, GRID};
use crate::engine::protocol::{Problem, Progress};
use crate::platform::Pick;

/// How something stands, for its colour and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing special.
    Neutral,
    /// Active or ours.
    Accent,
    /// It went well.
    Good,
    /// Deserves a look.
    Warn,
    /// It failed.
    Bad,
}

/// Simple pictures, drawn by lines, so that no font has to have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Icon {
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

/// A tone's foreground and background.
pub(super) fn tone_colors(ui: &Ui, tone: Tone) -> (Color32, Color32) {
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
pub(super) fn page_title(ui: &mut Ui, title: &str, subtitle: &str) {
    let response = ui.label(RichText::new(title).text_style(theme::title()).strong());
    name_heading(ui, &response, title);
    if !subtitle.is_empty() {
        ui.label(RichText::new(subtitle).color(theme::palette(ui).weak));
    }
    ui.add_space(GRID);
}

/// A card as wide as there is room.
pub(super) fn card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = theme::palette(ui);
    tinted_card(ui, palette.card, palette.border, add)
}

/// A card with a heading.
pub(super) fn titled_card<R>(ui: &mut Ui, title: &str, add: impl FnOnce(&mut Ui) -> R) -> R {
    card(ui, |ui| {
        heading(ui, title);
        add(ui)
    })
}

/// A card in the colours of `tone`.
pub(super) fn tone_card<R>(ui: &mut Ui, tone: Tone, add: impl FnOnce(&mut Ui) -> R) -> R {
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
pub(super) fn heading(ui: &mut Ui, text: &str) -> Response {
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
pub(super) fn weak(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = theme::palette(ui).weak;
    ui.label(RichText::new(text).color(color))
}

/// Small text that matters less.
pub(super) fn small(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = theme::palette(ui).weak;
    ui.label(RichText::new(text).small().color(color))
}

/// A number or a place, in digits of equal width.
pub(super) fn mono(ui: &mut Ui, text: impl Into<String>) -> Response {
    ui.label(RichText::new(text).monospace())
}

/// A name and a value at the right edge, on a row of its own.
pub(super) fn key_value(ui: &mut Ui, key: &str, value: impl Into<String>) {
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

/// The one thing to do next.
pub(super) fn primary_button(ui: &mut Ui, text: &str) -> Response {
    let palette = theme::palette(ui);
    filled_button(ui, text, palette.accent, palette.on_accent)
}

/// Something that throws work away.
pub(super) fn danger_button(ui: &mut Ui, text: &str) -> Response {
    let palette = theme::palette(ui);
    ui.add(egui::Button::new(RichText::new(text).color(palette.bad)).stroke(Stroke::new(1.0, palette.bad)))
}

/// A button in colours of its own.
pub(super) fn filled_button(ui: &mut Ui, text: &str, fill: Color32, color: Color32) -> Response {
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
pub(super) fn link_button(ui: &mut Ui, text: &str) -> Response {
    ui.add(egui::Link::new(text))
}

/// A button with a drawn icon before its text.
pub(super) fn icon_button(ui: &mut Ui, icon: Icon, text: &str) -> Response {
    let gap = egui::Atom::custom(egui::IdSalt::new("icon"), egui::vec2(14.0, 14.0));
    let response = ui.add(egui::Button::new((gap, text)));
    let center = egui::pos2(response.rect.left() + 20.0, response.rect.center().y);
    paint_icon(ui, icon, center, 6.0, ui.style().interact(&response).fg_stroke.color);
    response
}

/// A slider whose way so far is seen on a card.
pub(super) fn slider(ui: &mut Ui, slider: egui::Slider<'_>) -> Response {
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
pub(super) fn big_button(
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

/// A small word in a rounded box.
pub(super) fn chip(ui: &mut Ui, tone: Tone, text: &str) -> Response {
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
pub(super) fn marked(ui: &mut Ui, tone: Tone, text: &str) -> Response {
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

/// An icon on its own; it says nothing to screen readers, so text must stand beside it.
pub(super) fn icon(ui: &mut Ui, icon: Icon, tone: Tone) {
    let height = ui.text_style_height(&egui::TextStyle::Body);
    let (rect, _) = ui.allocate_exact_size(egui::vec2(16.0, height), Sense::hover());
    let (color, _) = tone_colors(ui, tone);
    paint_icon(ui, icon, rect.center(), 6.0, color);
}

/// A ring with an i that explains on hover, on a click and to the keyboard; `name` is what it explains, and `help` the
/// explanation for screen readers.
pub(super) fn info(ui: &mut Ui, name: &str, help: &str, explain: impl Fn(&mut Ui)) -> Response {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(18.0, 18.0), Sense::click());
    let palette = theme::palette(ui);
    let color = if response.hovered() || response.has_focus() { palette.accent } else { palette.weak };
    paint_icon(ui, Icon::Info, rect.center(), 7.0, color);
    let label = text::about(name);
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
pub(super) fn paint_icon(ui: &Ui, icon: Icon, center: egui::Pos2, r: f32, color: Color32) {
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

/// A bar that fills from the left; `name` tells screen readers what it is about.
pub(super) fn progress_bar(ui: &mut Ui, name: &str, fraction: Option<f32>) -> Response {
    let width = ui.available_width();
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, 8.0), Sense::hover());
    let palette = theme::palette(ui);
    let radius = CornerRadius::same(4);
    ui.painter().rect_filled(rect, radius, palette.border);
    let mut filled = rect;
    match fraction {
        Some(fraction) => filled.set_width(rect.width() * fraction.clamp(0.0, 1.0)),
        // Not known: a piece in the middle.
        None => filled = egui::Rect::from_center_size(rect.center(), egui::vec2(rect.width() * 0.3, rect.height())),
    }
    ui.painter().rect_filled(filled, radius, palette.accent);
    let label =
        fraction.map_or_else(|| name.to_owned(), |fraction| format!("{name} {}", text::percent(fraction.into())));
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::ProgressIndicator, true, &label));
    response
}

/// The share of some work that is done, if it is known how much there is.
pub(super) fn fraction(progress: &Progress) -> Option<f32> {
    (progress.total > 0).then(|| progress.done as f32 / progress.total as f32)
}

/// Progress with its words: what, how much of how much, how fast, how long still.
pub(super) fn progress_ui(ui: &mut Ui, progress: &Progress, unit: text::Unit) {
    ui.label(text::capitalized(&progress.what));
    progress_bar(ui, &progress.what, fraction(progress));
    small(ui, text::progress(progress, unit));
}

/// What was found and what would work, in the colours of `tone`; buttons may follow.
pub(super) fn problem_card(ui: &mut Ui, tone: Tone, title: &str, problem: &Problem, add: impl FnOnce(&mut Ui)) {
    tone_card(ui, tone, |ui| {
        ui.horizontal_top(|ui| {
            icon(ui, if tone == Tone::Bad { Icon::Cross } else { Icon::Warning }, tone);
            heading(ui, title);
        });
        problem_text(ui, problem);
        // Without buttons, the row is nothing.
        ui.spacing_mut().interact_size.y = 0.0;
        ui.horizontal_wrapped(add);
    });
}

/// What was found and what would work, without a card.
pub(super) fn problem_text(ui: &mut Ui, problem: &Problem) {
    ui.add(egui::Label::new(&problem.what).wrap());
    if !problem.fix.is_empty() {
        ui.add(egui::Label::new(RichText::new(&problem.fix).strong()).wrap());
    }
    if !problem.at.is_empty() {
        small(ui, &problem.at);
    }
}

/// A row of tabs.
pub(super) fn tabs<T: Copy + PartialEq>(ui: &mut Ui, chosen: &mut T, all: &[(T, String)]) {
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

/// Cards beside each other where there is room for `min_width` each, below each other where not.
pub(super) fn columns(ui: &mut Ui, min_width: f32, add: &mut [&mut dyn FnMut(&mut Ui)]) {
    let room = ((ui.available_width() + GRID * 2.0) / (min_width + GRID * 2.0)).floor().max(1.0) as usize;
    let n_columns = room.min(add.len()).max(1);
    for row in add.chunks_mut(n_columns) {
        if n_columns == 1 {
            row.iter_mut().for_each(|add| add(ui));
        } else {
            ui.spacing_mut().item_spacing.x = GRID * 2.0;
            ui.columns(n_columns, |columns| {
                for (ui, add) in columns.iter_mut().zip(row) {
                    ui.spacing_mut().item_spacing.x = GRID;
                    // Not as columns do it, which stretch text to both edges.
                    ui.vertical(|ui| add(ui));
                }
            });
            ui.spacing_mut().item_spacing.x = GRID;
        }
    }
}

/// A name for screen readers that says more than a widget's own words.
pub(super) fn name_of(ui: &Ui, response: &Response, name: &str) {
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(name));
}

/// An answer of the model, with the words in colour that another answer does not have; without pieces as it is.
pub(super) fn answer_ui(ui: &mut Ui, answer: &str, pieces: &[Piece<'_>], tuned: bool) {
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
pub(super) fn text_box(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
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

/// A field for a path and a button that opens it: for those who know it, and where there are no dialogs. The path comes
/// back when it is to be opened.
pub(super) fn path_field(ui: &mut Ui, typed: &mut String, pick: Pick) -> Option<String> {
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 90.0).clamp(120.0, 520.0);
        let edit = egui::TextEdit::singleline(typed).hint_text(text::path_hint(pick)).desired_width(width);
        let field = ui.add(edit.font(egui::TextStyle::Monospace));
        name_of(ui, &field, text::path_of(pick));
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let open = ui.add_enabled(!typed.trim().is_empty(), egui::Button::new(text::OPEN_PATH));
        name_of(ui, &open, text::open_path(pick));
        let is_asked = (entered || open.clicked()) && !typed.trim().is_empty();
        is_asked.then(|| typed.trim().to_owned())
    })
    .inner
}

/// Links to what was opened before; the path of one that was clicked comes back.
pub(super) fn recent_ui(ui: &mut Ui, recent: &[RecentPath]) -> Option<String> {
    if recent.is_empty() {
        return None;
    }
    let mut clicked = None;
    ui.horizontal_wrapped(|ui| {
        weak(ui, text::RECENT);
        for RecentPath { name, path } in recent {
            let link = link_button(ui, name).on_hover_text(path);
            name_of(ui, &link, &text::open_again(name));
            if link.clicked() {
                clicked = Some(path.clone());
            }
        }
    });
    clicked
}

/// Draws a border around `rect`.
pub(super) fn outline(ui: &Ui, rect: egui::Rect, color: Color32) {
    ui.painter().rect_stroke(rect, CornerRadius::same(6), Stroke::new(1.0, color), StrokeKind::Inside);
}
