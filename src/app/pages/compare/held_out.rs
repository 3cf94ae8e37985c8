//! Held-out pairs, scored by the base model and the tuned one: the held-out accuracy at each adapter scale, which pairs
//! are the worst, and any of them token by token.

use eframe::egui::{self, Align, Layout, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::text;
use crate::app::actions::Action;
use crate::app::charts::{self, Hue, share_scale, tight};
use crate::app::records::beta;
use crate::app::state::{RunState, State, is_same_strength};
use crate::app::text::run;
use crate::app::theme;
use crate::app::widgets::{
    Icon, Tone, card, fraction, heading, icon, mono, name_of, primary_button, progress_bar, row_button, small,
    strength_ui, tabs, weak,
};
use crate::engine::protocol::{Command, CompareCommand, HeldOutPair, Inspection, TokenChange};
use crate::engine::stats;

/// Adapter scales offered for scoring, in percent.
const DOSES: [u32; 6] = [25, 50, 75, 100, 125, 150];
/// Number of tokens named as the origin of a margin.
const ORIGINS: usize = 6;
/// Width beside the bars, for the adapter scale and its result.
const BESIDE_SCALE: f32 = 290.0;
/// Maximum width of a bar.
const SCALE: f32 = 360.0;
/// Height of the table.
const TABLE_HEIGHT: f32 = 300.0;

/// State of this tab.
#[derive(Debug)]
pub(super) struct HeldOutView {
    sort: Sort,
    /// Percent.
    strength: u32,
    /// Index of the pair shown token by token.
    inspected: Option<usize>,
    /// Strengths that are to be scored one after the other, the next one last.
    queue: Vec<u32>,
    /// The one of them that was asked for.
    asked: Option<u32>,
    /// The part of that which the page is yet to be scrolled to.
    scroll_to: ScrollTo,
}

/// A part of an inspection, below the table, that the page is scrolled to once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScrollTo {
    Nothing,
    /// The progress, then the tokens.
    Progress,
    Tokens,
}

impl Default for HeldOutView {
    fn default() -> Self {
        let (queue, asked, scroll_to) = (Vec::new(), None, ScrollTo::Nothing);
        Self { sort: Sort::Worst, strength: 100, inspected: None, queue, asked, scroll_to }
    }
}

/// Order of the pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Worst,
    Improved,
    Flipped,
    All,
}

/// Margins of a pair, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standing {
    /// Chosen minus rejected, by the base model.
    pub(super) base: f64,
    /// Chosen minus rejected, by the tuned model.
    pub(super) tuned: f64,
}

impl Standing {
    pub(super) fn of(pair: &HeldOutPair) -> Self {
        Self { base: pair.base[0] - pair.base[1], tuned: pair.tuned[0] - pair.tuned[1] }
    }

    /// Margin gained by training.
    fn gain(self) -> f64 {
        self.tuned - self.base
    }
}

/// Draws the tab.
pub(super) fn held_out_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    view: &mut HeldOutView,
    actions: &mut Vec<Action>,
) {
    let strength = view.strength as f32 / 100.0;
    card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            heading(ui, text::HELD_OUT);
            strength_ui(ui, &mut view.strength);
        });
        match state.held_out_at(strength) {
            Some(pairs) => counts_ui(ui, pairs, run.info.record.longer_wins),
            None => score_ui(ui, state, run, strength, actions),
        }
    });
    if state.held_out.is_empty() {
        return;
    }
    doses_ui(ui, state, view, actions);
    if let Some(pairs) = state.held_out_at(strength) {
        table_ui(ui, state, run, pairs, strength, view, actions);
    }
    inspection_ui(ui, state, run, strength, view);
}

/// Draws the button that scores the held-out pairs, or the progress of scoring.
pub(super) fn score_ui(ui: &mut Ui, state: &State, run: &RunState, strength: f32, actions: &mut Vec<Action>) {
    if run.info.record.n_held_out == 0 {
        weak(ui, run::NO_HELD_OUT);
        return;
    }
    if let Some(pending) = state.held_out_pending {
        weak(ui, text::scoring(pending));
        progress_bar(ui, text::HELD_OUT, run.progress.as_ref().and_then(|(_, progress)| fraction(progress)));
        if ui.button(run::CANCEL).clicked() {
            actions.push(Action::Send(Command::Cancel));
        }
        return;
    }
    if primary_button(ui, &text::score(run.info.record.n_held_out)).clicked() {
        actions.push(Action::Send(Command::Compare(CompareCommand::ScoreHeldOut { strength })));
    }
}

/// Draws the held-out accuracy, against a baseline that costs nothing: that of always preferring the longer answer.
fn counts_ui(ui: &mut Ui, pairs: &[HeldOutPair], longer: f64) {
    let n = pairs.len() as u64;
    let count = |won: &dyn Fn(&HeldOutPair) -> bool| pairs.iter().filter(|pair| won(pair)).count() as u64;
    let tuned = count(&|pair| Standing::of(pair).tuned > 0.0);
    let base = count(&|pair| Standing::of(pair).base > 0.0);
    let gained = count(&|pair| Standing::of(pair).gain() > 0.0);
    let share = |wins: u64| wins as f64 / n.max(1) as f64;
    let interval = stats::wilson_interval(tuned, n);
    let others = [(run::LONGER, longer), (text::BASE_SHORT, share(base))];
    ui.label(RichText::new(text::held_out_accuracy(tuned, n, interval)).strong());
    share_scale(ui, text::HELD_OUT, share(tuned), interval, &others);
    tight(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        charts::legend_ui(ui, Hue::Quiet, false, &text::base_wins(base, n), "");
        charts::legend_ui(ui, Hue::Second, false, &text::longer_wins(longer), "");
        small(ui, text::gained(gained, n)).on_hover_text(text::GAINED_HELP);
    });
    if (share(tuned) - longer).abs() < 0.05 && share(tuned) > share(base) {
        ui.horizontal_top(|ui| {
            icon(ui, Icon::Warning, Tone::Warn);
            ui.label(text::ONLY_LENGTH);
        });
    }
}

/// Draws the held-out accuracy at each adapter scale.
fn doses_ui(ui: &mut Ui, state: &State, view: &mut HeldOutView, actions: &mut Vec<Action>) {
    go_on_scoring(state, view, actions);
    card(ui, |ui| {
        let mut doses: Vec<u32> = state.held_out.iter().map(|(s, _)| (s * 100.0).round() as u32).collect();
        doses.extend(DOSES);
        doses.sort_unstable();
        doses.dedup();
        ui.horizontal_wrapped(|ui| {
            heading(ui, text::DOSES).on_hover_text(text::DOSES_HELP);
            let missing = doses.iter().copied().filter(|dose| !is_scored(state, *dose)).rev().collect::<Vec<_>>();
            if let Some(pending) = state.held_out_pending {
                weak(ui, text::scoring(pending));
                if row_button(ui, run::CANCEL).clicked() {
                    view.queue.clear();
                    actions.push(Action::Send(Command::Cancel));
                }
            } else if !missing.is_empty() && row_button(ui, text::SCORE_ALL).clicked() {
                view.queue = missing;
            }
        });
        let scale = (ui.available_width() - BESIDE_SCALE).clamp(40.0, SCALE);
        egui::Grid::new("doses").num_columns(3).spacing([20.0, 2.0]).show(ui, |ui| {
            for dose in doses {
                let strength = dose as f32 / 100.0;
                mono(ui, format!("{dose:>3} %"));
                match state.held_out_at(strength) {
                    Some(pairs) => {
                        let wins = pairs.iter().filter(|pair| Standing::of(pair).tuned > 0.0).count() as u64;
                        let n = pairs.len() as u64;
                        let interval = stats::wilson_interval(wins, n);
                        ui.scope(|ui| {
                            ui.set_width(scale);
                            share_scale(ui, &text::at_dose(dose), wins as f64 / n.max(1) as f64, interval, &[]);
                        });
                        mono(ui, text::accuracy(wins, n, interval));
                    }
                    None => {
                        let idle = state.held_out_pending.is_none();
                        let button = ui.add_enabled_ui(idle, |ui| row_button(ui, text::SCORE)).inner;
                        name_of(ui, &button, &text::at_dose(dose));
                        if button.clicked() {
                            actions.push(Action::Send(Command::Compare(CompareCommand::ScoreHeldOut { strength })));
                        }
                        if state.held_out_pending == Some(strength) {
                            ui.spinner();
                        }
                    }
                }
                ui.end_row();
            }
        });
    });
}

fn is_scored(state: &State, dose: u32) -> bool {
    state.held_out_at(dose as f32 / 100.0).is_some()
}

/// Asks for the next of the strengths that are to be scored, unless the last one was cancelled or refused.
fn go_on_scoring(state: &State, view: &mut HeldOutView, actions: &mut Vec<Action>) {
    if state.held_out_pending.is_some() {
        return;
    }
    if view.asked.take().is_some_and(|asked| !is_scored(state, asked)) {
        view.queue.clear();
    }
    view.asked = view.queue.pop();
    if let Some(dose) = view.asked {
        actions.push(Action::Send(Command::Compare(CompareCommand::ScoreHeldOut { strength: dose as f32 / 100.0 })));
    }
}

/// Returns the pairs in the chosen order.
fn sorted(pairs: &[HeldOutPair], sort: Sort) -> Vec<&HeldOutPair> {
    let mut all: Vec<(&HeldOutPair, Standing)> = pairs.iter().map(|pair| (pair, Standing::of(pair))).collect();
    match sort {
        Sort::Worst => all.sort_by(|(_, a), (_, b)| a.tuned.total_cmp(&b.tuned)),
        Sort::Improved => all.sort_by(|(_, a), (_, b)| b.gain().total_cmp(&a.gain())),
        Sort::Flipped => {
            all.retain(|(_, standing)| standing.base > 0.0 && standing.tuned <= 0.0);
            all.sort_by(|(_, a), (_, b)| a.gain().total_cmp(&b.gain()));
        }
        Sort::All => all.sort_by_key(|(pair, _)| pair.index),
    }
    all.into_iter().map(|(pair, _)| pair).collect()
}

fn table_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    pairs: &[HeldOutPair],
    strength: f32,
    view: &mut HeldOutView,
    actions: &mut Vec<Action>,
) {
    card(ui, |ui| {
        let flipped = sorted(pairs, Sort::Flipped).len();
        let all = [
            (Sort::Worst, text::WORST.to_owned()),
            (Sort::Improved, text::IMPROVED.to_owned()),
            (Sort::Flipped, text::flipped(flipped)),
            (Sort::All, text::ALL.to_owned()),
        ];
        tabs(ui, &mut view.sort, &all);
        let rows = sorted(pairs, view.sort);
        if rows.is_empty() {
            weak(ui, text::NO_FLIPPED);
            return;
        }
        // Narrow windows scroll sideways.
        egui::ScrollArea::horizontal().id_salt("held out").show(ui, |ui| {
            rows_ui(ui, state, beta(&run.info.record), &rows, strength, view, actions);
        });
    });
}

/// The rows of the table.
fn rows_ui(
    ui: &mut Ui,
    state: &State,
    beta: f64,
    rows: &[&HeldOutPair],
    strength: f32,
    view: &mut HeldOutView,
    actions: &mut Vec<Action>,
) {
    let wide = (ui.available_width() - 470.0).max(120.0);
    TableBuilder::new(ui)
        .id_salt("held-out pairs")
        .striped(true)
        .cell_layout(Layout::left_to_right(Align::Center))
        .max_scroll_height(TABLE_HEIGHT)
        .auto_shrink([false, true])
        .column(Column::exact(52.0))
        .column(Column::exact(wide).clip(true))
        .columns(Column::exact(90.0), 3)
        .column(Column::exact(90.0))
        .header(24.0, |mut header| {
            let titles = [text::LINE, text::PROMPT_COLUMN, text::BASE_SHORT, text::TUNED_SHORT, text::REWARD, ""];
            for title in titles {
                header.col(|ui| {
                    small(ui, title);
                });
            }
        })
        .body(|body| {
            body.rows(32.0, rows.len(), |mut row| {
                let pair = rows[row.index()];
                let standing = Standing::of(pair);
                let known = state.pairs.rows.get(pair.index);
                row.set_selected(view.inspected == Some(pair.index));
                let line = line_of(state, pair.index);
                row.col(|ui| {
                    mono(ui, line.to_string());
                });
                row.col(|ui| {
                    let prompt = known.map_or("", |row| row.prompt.as_str());
                    let label = ui.add(egui::Label::new(prompt).truncate());
                    if let Some(row) = known {
                        label.on_hover_text(text::hover(row));
                    }
                });
                for value in [standing.base, standing.tuned] {
                    row.col(|ui| {
                        let tone = if value > 0.0 { Tone::Good } else { Tone::Bad };
                        icon(ui, if value > 0.0 { Icon::Check } else { Icon::Cross }, tone);
                        mono(ui, format!("{value:+.1}"));
                    });
                }
                row.col(|ui| {
                    mono(ui, format!("{:+.2}", beta * standing.gain()));
                });
                row.col(|ui| {
                    let button = row_button(ui, text::INSPECT);
                    name_of(ui, &button, &text::inspect(line));
                    if button.clicked() {
                        (view.inspected, view.scroll_to) = (Some(pair.index), ScrollTo::Progress);
                        let command = Command::Compare(CompareCommand::InspectPair { index: pair.index, strength });
                        actions.push(Action::Send(command));
                    }
                });
            });
        });
}

/// The line of a pair in its file; its number where the row is not known here.
fn line_of(state: &State, index: usize) -> usize {
    state.pairs.rows.get(index).map_or(index + 1, |row| row.line)
}

fn inspection_ui(ui: &mut Ui, state: &State, run: &RunState, strength: f32, view: &mut HeldOutView) {
    if state.inspection_pending {
        if view.scroll_to == ScrollTo::Progress {
            ui.scroll_to_cursor(Some(Align::TOP));
            view.scroll_to = ScrollTo::Tokens;
        }
        return card(ui, |ui| {
            weak(ui, text::INSPECTING);
            progress_bar(ui, text::INSPECTING, None);
        });
    }
    let is_shown =
        |found: &&Inspection| view.inspected == Some(found.index) && is_same_strength(found.strength, strength);
    let Some(inspection) = state.inspection.as_ref().filter(is_shown) else { return };
    if view.scroll_to != ScrollTo::Nothing {
        ui.scroll_to_cursor(Some(Align::TOP));
        view.scroll_to = ScrollTo::Nothing;
    }
    card(ui, |ui| {
        heading(ui, &text::inspected(line_of(state, inspection.index)));
        ui.add(egui::Label::new(RichText::new(&inspection.prompt).strong()).wrap());
        let most = inspection.sides.iter().flatten().map(|token| change(token).abs()).fold(0.1, f32::max);
        legend_ui(ui, most);
        let names = [(Hue::First, run::CHOSEN), (Hue::Second, run::REJECTED)];
        let mut sums = [0.0; 2];
        for (i, (side, (hue, name))) in inspection.sides.iter().zip(names).enumerate() {
            sums[i] = side.iter().map(|token| f64::from(change(token))).sum();
            ui.add_space(6.0);
            tight(ui, |ui| {
                ui.label(RichText::new(name).strong().color(hue.color(ui)));
                mono(ui, text::nats(sums[i]));
                small(ui, text::tokens(side.len()));
            });
            tokens_ui(ui, side, most);
        }
        ui.add_space(8.0);
        ui.label(RichText::new(text::margin(inspection.margin, beta(&run.info.record), sums)).strong());
        origins_ui(ui, inspection);
    });
}

/// Change of a token's log-probability, in nats.
fn change(token: &TokenChange) -> f32 {
    token.tuned - token.base
}

/// Makes spaces and line ends visible.
fn visible(text: &str) -> String {
    let text = text.replace('\n', "\\n").replace('\t', "\\t");
    if text.trim().is_empty() { text.replace(' ', "_") } else { text }
}

fn tokens_ui(ui: &mut Ui, tokens: &[TokenChange], most: f32) {
    tight(ui, |ui| {
        ui.spacing_mut().item_spacing = egui::vec2(2.0, 5.0);
        for token in tokens {
            let change = change(token);
            let text = RichText::new(visible(&token.text)).background_color(charts::diverging(ui, change / most));
            ui.label(text).on_hover_text(text::token(&visible(&token.text), token.base, token.tuned, change));
        }
    });
}

/// Draws the legend of the colours.
fn legend_ui(ui: &mut Ui, most: f32) {
    tight(ui, |ui| {
        small(ui, text::LESS_LIKELY);
        mono(ui, format!("{:+.1}", -most));
        let (rect, response) = ui.allocate_exact_size(egui::vec2(140.0, 12.0), egui::Sense::hover());
        let parts = 28;
        for i in 0..parts {
            let left = rect.left() + rect.width() * i as f32 / parts as f32;
            let piece = egui::Rect::from_min_size(
                egui::pos2(left, rect.top()),
                egui::vec2(rect.width() / parts as f32, rect.height()),
            );
            let value = (i as f32 + 0.5) / parts as f32 * 2.0 - 1.0;
            ui.painter().rect_filled(piece, 0.0, charts::diverging(ui, value));
        }
        let border = egui::Stroke::new(1.0, theme::palette(ui).border);
        ui.painter().rect_stroke(rect, 0.0, border, egui::StrokeKind::Outside);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, text::SCALE));
        mono(ui, format!("{most:+.1}"));
        small(ui, text::MORE_LIKELY);
    });
}

/// Draws the tokens that make the margin, the strongest first.
fn origins_ui(ui: &mut Ui, inspection: &Inspection) {
    let [chosen, rejected] = &inspection.sides;
    let mut parts: Vec<(f32, &str, bool)> = chosen.iter().map(|t| (change(t), t.text.as_str(), true)).collect();
    parts.extend(rejected.iter().map(|t| (-change(t), t.text.as_str(), false)));
    parts.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    small(ui, text::ORIGINS);
    tight(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        for (value, token, is_chosen) in parts.into_iter().take(ORIGINS) {
            let (hue, side) = if is_chosen { (Hue::First, run::CHOSEN) } else { (Hue::Second, run::REJECTED) };
            let text = format!("{} {value:+.1}", visible(token).trim());
            ui.label(RichText::new(text).monospace().color(hue.color(ui))).on_hover_text(side);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(index: usize, base: f64, tuned: f64) -> HeldOutPair {
        HeldOutPair { index, base: [base, 0.0], tuned: [tuned, 0.0], tokens: [3, 3] }
    }

    #[test]
    fn pairs_are_sorted_by_what_matters() {
        let pairs = [pair(0, 1.0, -1.0), pair(1, -2.0, 3.0), pair(2, -1.0, -5.0), pair(3, 1.0, 2.0)];
        let order = |sort| sorted(&pairs, sort).iter().map(|pair| pair.index).collect::<Vec<_>>();
        assert_eq!(order(Sort::Worst), [2, 0, 3, 1]);
        assert_eq!(order(Sort::Improved), [1, 3, 0, 2]);
        assert_eq!(order(Sort::Flipped), [0], "won by the base model only");
        assert_eq!(order(Sort::All), [0, 1, 2, 3]);
    }
}
