//! The table of the rows.

use std::sync::Arc;

use eframe::egui::{self, RichText, Ui, WidgetText};
use egui_extras::{Column, TableBuilder, TableRow};

use super::page::{PairsView, Tab};
use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::text::units;
use crate::app::theme;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{Command, PairRow, PairsCommand};

/// Width of a window from which on a text has two lines in the table.
const WIDE: f32 = 1280.0;

/// Draws the rows, or only some of them.
pub(super) fn table_ui(
    ui: &mut Ui,
    state: &State,
    only: Option<&[usize]>,
    view: &mut PairsView,
    actions: &mut Vec<Action>,
) {
    let rows = &state.pairs.rows;
    let width = ui.available_width();
    let rest = (width - 64.0 - 150.0 - 70.0 - 60.0).max(360.0);
    let names = text::row_columns(state.kind());
    let shares = [0.28, 0.36, 0.36];
    let in_use: f32 = (1..4).filter(|i| !names[*i].is_empty()).map(|i| shares[i - 1]).sum();
    let of_texts = |i: usize| if names[i + 1].is_empty() { 0.0 } else { rest * shares[i] / in_use };
    let lines = if ui.ctx().content_rect().width() >= WIDE { 2 } else { 1 };
    let row_height = (ui.text_style_height(&egui::TextStyle::Body) * lines as f32 + 8.0).max(32.0);
    // Height at which the whole table is in sight together with the tabs and the header.
    let height = (ui.clip_rect().height() - 120.0).max(240.0);
    egui::ScrollArea::horizontal().id_salt("pairs").show(ui, |ui| {
        let mut table = TableBuilder::new(ui)
            .id_salt("rows")
            .striped(true)
            .sense(egui::Sense::click())
            .min_scrolled_height(240.0)
            .max_scroll_height(height)
            .auto_shrink([false, true])
            .cell_layout(egui::Layout::left_to_right(egui::Align::Center));
        for width in [64.0, of_texts(0), of_texts(1), of_texts(2), 150.0, 70.0] {
            table = table.column(Column::exact(width.floor()).clip(true));
        }
        let table = table.header(24.0, |mut header| {
            for (i, name) in names.into_iter().enumerate() {
                header.col(|ui| match i {
                    // The header is aligned to the right, like the line numbers below it.
                    0 => {
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            ui.add_space(10.0);
                            widgets::small(ui, name);
                        });
                    }
                    _ => {
                        widgets::small(ui, name);
                    }
                });
            }
        });
        table.body(|body| {
            body.rows(row_height, only.map_or(rows.len(), <[usize]>::len), |mut table_row| {
                let index = only.map_or(table_row.index(), |only| only[table_row.index()]);
                let row = &rows[index];
                row_ui(&mut table_row, state, (index, row), lines, view, actions);
            });
        });
    });
}

/// The cells of a row: its line, its texts in so many lines, what is noticed about it, and whether it is left out.
fn row_ui(
    table_row: &mut TableRow<'_, '_>,
    state: &State,
    (index, row): (usize, &PairRow),
    lines: usize,
    view: &mut PairsView,
    actions: &mut Vec<Action>,
) {
    let cell = |ui: &mut Ui, text: &str| {
        let palette = theme::palette(ui);
        let color = if row.skipped { palette.weak } else { palette.text };
        let text = RichText::new(units::one_line(text)).color(color);
        let text = if row.skipped { text.strikethrough() } else { text };
        let text =
            WidgetText::from(text).into_layout_job(ui.style(), egui::FontSelection::Default, egui::Align::Center);
        let mut job = Arc::unwrap_or_clone(text);
        job.wrap.max_rows = lines;
        job.wrap.break_anywhere = lines == 1;
        ui.add(egui::Label::new(job).wrap().selectable(false));
    };
    table_row.col(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.add_space(10.0);
            let label = RichText::new(units::count(row.line)).monospace();
            let read = ui.add(egui::Link::new(label));
            ui.ctx().accesskit_node_builder(read.id, |node| node.set_label(text::inspect_line(row.line)));
            if read.clicked() {
                view.index = index;
                view.tab = Tab::Read;
            }
        });
    });
    for text in [&row.prompt, &row.chosen, &row.rejected] {
        table_row.col(|ui| cell(ui, text));
    }
    table_row.col(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        if state.holds_out(index) {
            widgets::chip(ui, Tone::Accent, text::HELD_OUT_ROW);
        }
        if let Some(flag) = state.planned_flag(index) {
            widgets::chip(ui, Tone::Warn, text::planned_flag(flag));
        }
        for flag in &row.flags {
            widgets::chip(ui, Tone::Warn, flag);
        }
    });
    table_row.col(|ui| {
        let mut skipped = row.skipped;
        let response = ui.checkbox(&mut skipped, "");
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(text::skip_line(row.line)));
        if response.changed() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Skip { rows: vec![index], skip: skipped })));
        }
    });
    if table_row.response().double_clicked() {
        view.index = index;
        view.tab = Tab::Read;
    }
}
