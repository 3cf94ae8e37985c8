//! Check the pairs: a table of them, one in full and as the model sees it, lengths, and rows that cannot be used.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{self, Color32, RichText, Stroke, Ui};
use egui_extras::{Column, TableBuilder};
use egui_plot::{Bar, BarChart, Plot, VLine};

use super::actions::{Action, Step};
use super::start_ui::by_path_ui;
use super::state::State;
use super::text;
use super::theme::{self, GRID};
use super::widgets::{self, Tone};
use crate::engine::protocol::{Command, LineProblem, Mapping, PairView, PairsInfo, PlanInfo, SeenSequence, Subject};
use crate::platform::Pick;

/// Bars of the histogram at the most.
const BARS: u32 = 40;
/// Tokens of a sequence that are drawn at the most.
const SHOWN_TOKENS: usize = 1500;

/// Views of the pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    /// All rows.
    #[default]
    Table,
    /// One row in full.
    Read,
    /// How long they are.
    Lengths,
    /// What cannot be used.
    Problems,
}

/// What this page remembers.
#[derive(Debug, Default)]
pub(super) struct PairsView {
    tab: Tab,
    /// The pair that is read.
    index: usize,
    /// As in the file, or as the model sees it.
    raw: bool,
    /// The pair and longest sequence that were asked for, and of which state of the pairs.
    asked: Option<(usize, usize, u64)>,
    /// Columns while they are edited.
    mapping: Option<Mapping>,
    /// The state of the pairs that they are edited for.
    generation: u64,
    /// The problems that were there when the tab was last chosen by itself.
    seen_problems: usize,
    /// The path of another file as it is typed.
    path: String,
}

/// Draws the page.
pub(super) fn pairs_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::PAIRS_TITLE, text::PAIRS_SUBTITLE);
    let pairs = &state.pairs;
    if view.generation != pairs.generation {
        view.generation = pairs.generation;
        view.mapping = None;
    }
    if let Some(problem) = &pairs.refused {
        widgets::problem_card(ui, Tone::Bad, text::PAIRS_REFUSED, problem, |ui| {
            if ui.button(text::PICK_OTHER_FILE).clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            if ui.button(text::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Pairs));
            }
        });
    }
    if let Some(loading) = &pairs.loading {
        widgets::titled_card(ui, text::PAIRS_LOADING, |ui| {
            widgets::progress_ui(ui, &loading.progress, loading.unit);
            ui.horizontal_wrapped(|ui| {
                if loading.unit == text::Unit::Bytes {
                    ui.label(text::rows_so_far(loading.rows, loading.problems));
                }
                if ui.button(text::CANCEL).clicked() {
                    actions.push(Action::Send(Command::Cancel));
                }
            });
        });
    }
    match &pairs.info {
        Some(info) => file_ui(ui, state, info, view, actions),
        None if pairs.rows.is_empty() => empty_ui(ui, state, view, actions),
        None => widgets::card(ui, |ui| table_ui(ui, state, view, actions)),
    }
}

fn empty_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            if widgets::primary_button(ui, text::OPEN_PAIRS).clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            widgets::weak(ui, text::DROP_ANYWHERE);
        });
        if !state.in_browser {
            by_path_ui(ui, &mut view.path, Pick::PairsFile, &state.recent.pairs, actions);
        }
        ui.add_space(GRID);
        ui.label(text::PAIRS_FORMAT);
        widgets::text_box(ui, |ui| {
            ui.add(egui::Label::new(RichText::new(text::PAIRS_EXAMPLE).monospace()).wrap());
        });
        widgets::small(ui, text::PAIRS_ALSO);
    });
}

fn file_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView, actions: &mut Vec<Action>) {
    if info.problem_count > 0 && info.usable == 0 && view.seen_problems != info.problem_count {
        view.tab = Tab::Problems;
    }
    view.seen_problems = info.problem_count;
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::heading(ui, &info.name);
            ui.label(text::pairs_summary(info));
            if info.problem_count > 0 {
                widgets::chip(ui, Tone::Warn, &text::problems(info.problem_count));
            }
            if info.swapped {
                widgets::chip(ui, Tone::Accent, text::SWAPPED);
            }
        });
        mapping_ui(ui, state, info, view, actions);
        if !info.flags.is_empty() {
            ui.horizontal_wrapped(|ui| flags_ui(ui, state, info, actions));
        }
        widgets::small(ui, text::longer_wins(info.longer_wins));
        held_out_ui(ui, state, actions);
        if info.beyond > 0 {
            widgets::marked(ui, Tone::Warn, &text::beyond(info.beyond));
        }
        accept_ui(ui, state, info, actions);
        ui.horizontal_wrapped(|ui| {
            let next = if state.open_model().is_some() { Step::Plan } else { Step::Model };
            if widgets::primary_button(ui, text::next(next)).clicked() {
                actions.push(Action::Go(next));
            }
            if ui.button(text::OPEN_OTHER_PAIRS).clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            if ui.button(text::SWAP).on_hover_text(text::SWAP_HELP).clicked() {
                actions.push(Action::Send(Command::SwapPairs));
            }
        });
    });
    widgets::card(ui, |ui| {
        let all = [
            (Tab::Table, text::TAB_TABLE.to_owned()),
            (Tab::Read, text::TAB_READ.to_owned()),
            (Tab::Lengths, text::TAB_LENGTHS.to_owned()),
            (Tab::Problems, text::tab_problems(info.problem_count)),
        ];
        widgets::tabs(ui, &mut view.tab, &all);
        ui.separator();
        match view.tab {
            Tab::Table => table_ui(ui, state, view, actions),
            Tab::Read => read_ui(ui, state, view, actions),
            Tab::Lengths => lengths_ui(ui, state, actions),
            Tab::Problems => problems_ui(ui, state, info, view, actions),
        }
    });
}

/// What is odd about some rows; a click skips all that have the flag, or takes them back in.
fn flags_ui(ui: &mut Ui, state: &State, info: &PairsInfo, actions: &mut Vec<Action>) {
    for (flag, n) in &info.flags {
        let flagged = state.pairs.rows.iter().enumerate().filter(|(_, row)| row.flags.contains(flag));
        let skip = flagged.clone().any(|(_, row)| !row.skipped);
        let what = text::skip_flagged(flag, skip);
        let response = ui.small_button(text::flagged(flag, *n)).on_hover_text(&what);
        widgets::name_of(ui, &response, &what);
        if response.clicked() {
            let rows = flagged.map(|(index, _)| index).collect();
            actions.push(Action::Send(Command::SkipPairs { rows, skip }));
        }
    }
}

/// Which columns are read, and their choice.
fn mapping_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView, actions: &mut Vec<Action>) {
    let Some(mut mapping) = view.mapping.clone() else {
        ui.horizontal_wrapped(|ui| {
            widgets::weak(ui, text::COLUMNS);
            widgets::mono(ui, text::mapping(&info.mapping));
            if !state.pairs.files.is_empty() && widgets::link_button(ui, text::EDIT_COLUMNS).clicked() {
                view.mapping = Some(info.mapping.clone());
            }
        });
        return;
    };
    widgets::text_box(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let fields = [
                (text::COLUMN_PROMPT, &mut mapping.prompt, true),
                (text::COLUMN_CHOSEN, &mut mapping.chosen, false),
                (text::COLUMN_REJECTED, &mut mapping.rejected, false),
                (text::COLUMN_SYSTEM, &mut mapping.system, true),
            ];
            for (name, value, may_be_empty) in fields {
                ui.label(name);
                let shown = if value.is_empty() { text::NO_COLUMN } else { value.as_str() };
                let combo = egui::ComboBox::from_id_salt(name).selected_text(shown.to_owned()).show_ui(ui, |ui| {
                    if may_be_empty {
                        ui.selectable_value(value, String::new(), text::NO_COLUMN);
                    }
                    for column in &info.columns {
                        ui.selectable_value(value, column.clone(), column);
                    }
                });
                widgets::name_of(ui, &combo.response, name);
            }
        });
        let complete = !mapping.chosen.is_empty() && !mapping.rejected.is_empty();
        let complete = complete && mapping.chosen != mapping.rejected;
        ui.horizontal_wrapped(|ui| {
            let apply = ui.add_enabled_ui(complete, |ui| widgets::primary_button(ui, text::APPLY_COLUMNS)).inner;
            let cancel = ui.button(text::KEEP_COLUMNS);
            if apply.clicked() {
                actions.push(Action::RemapPairs(mapping.clone()));
            }
            view.mapping = if apply.clicked() || cancel.clicked() { None } else { Some(mapping.clone()) };
        });
    });
}

/// How many are held out, and how that is chosen.
fn held_out_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let number = |key: &str| state.plan.value(key).and_then(serde_json::Value::as_f64);
    ui.horizontal_wrapped(|ui| {
        let held_out = state.figures().map(|plan| plan.held_out.len());
        // What was asked for, until it is known what came of it: the demo's pairs are held out by its file.
        let planned = state.figures().map(|plan| plan.held_out.len() as f64 / n_pairs(plan) as f64);
        let share = planned.or_else(|| number("eval_split")).unwrap_or(0.0);
        let seed = number("seed").unwrap_or(42.0);
        widgets::small(ui, text::held_out(held_out, share, seed as u64));
        if widgets::link_button(ui, text::CHANGE).clicked() {
            actions.push(Action::GoToField("eval_split"));
        }
    });
}

/// Pairs of a plan, held out or not.
fn n_pairs(plan: &PlanInfo) -> usize {
    plan.held_out.len() + plan.n_train
}

/// Training on what can be used must be agreed to.
fn accept_ui(ui: &mut Ui, state: &State, info: &PairsInfo, actions: &mut Vec<Action>) {
    if info.problem_count == 0 || info.usable == 0 {
        return;
    }
    let mut accepted = state.pairs.accepted;
    if ui.checkbox(&mut accepted, text::accept(info.usable - info.skipped, info.problem_count)).changed() {
        actions.push(Action::AcceptProblems(accepted));
    }
}

fn table_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    let rows = &state.pairs.rows;
    let palette = theme::palette(ui);
    let width = ui.available_width();
    let rest = (width - 64.0 - 150.0 - 70.0 - 60.0).max(360.0);
    // With its tabs and its header in sight, all of it is.
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
        for width in [64.0, rest * 0.28, rest * 0.36, rest * 0.36, 150.0, 70.0] {
            table = table.column(Column::exact(width.floor()).clip(true));
        }
        let table = table.header(24.0, |mut header| {
            for (i, name) in text::PAIR_COLUMNS.into_iter().enumerate() {
                header.col(|ui| match i {
                    // Over the numbers of the lines.
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
            body.rows(32.0, rows.len(), |mut table_row| {
                let index = table_row.index();
                let row = &rows[index];
                let color = if row.skipped { palette.weak } else { palette.text };
                let cell = |ui: &mut Ui, text: &str| {
                    let text = RichText::new(text::one_line(text)).color(color);
                    let text = if row.skipped { text.strikethrough() } else { text };
                    ui.add(egui::Label::new(text).truncate().selectable(false));
                };
                table_row.col(|ui| {
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        ui.add_space(10.0);
                        let label = RichText::new(text::count(row.line)).monospace();
                        let read = ui.add(egui::Link::new(label));
                        ui.ctx().accesskit_node_builder(read.id, |node| node.set_label(text::read_line(row.line)));
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
                    for flag in &row.flags {
                        widgets::chip(ui, Tone::Warn, flag);
                    }
                });
                table_row.col(|ui| {
                    let mut skipped = row.skipped;
                    let response = ui.checkbox(&mut skipped, "");
                    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(text::skip_line(row.line)));
                    if response.changed() {
                        actions.push(Action::Send(Command::SkipPairs { rows: vec![index], skip: skipped }));
                    }
                });
                if table_row.response().double_clicked() {
                    view.index = index;
                    view.tab = Tab::Read;
                }
            });
        });
    });
}

fn read_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    let n = state.pairs.rows.len();
    if n == 0 {
        widgets::weak(ui, text::NO_ROWS);
        return;
    }
    view.index = view.index.min(n - 1);
    let max_length = state.plan.max_length();
    let shown = state.pairs.view(view.index);
    let wanted = Some((view.index, max_length, state.pairs.generation));
    if view.asked != wanted {
        view.asked = wanted;
        actions.push(Action::Send(Command::ReadPair { index: view.index, max_length }));
    }
    ui.horizontal_wrapped(|ui| {
        if ui.add_enabled(view.index > 0, egui::Button::new(text::PREVIOUS)).clicked() {
            view.index -= 1;
        }
        if ui.add_enabled(view.index + 1 < n, egui::Button::new(text::NEXT)).clicked() {
            view.index += 1;
        }
        let mut number = view.index + 1;
        let label = ui.label(text::PAIR);
        ui.add(egui::DragValue::new(&mut number).range(1..=n)).labelled_by(label.id);
        view.index = number.saturating_sub(1).min(n - 1);
        widgets::weak(ui, text::of_pairs(n, state.pairs.rows[view.index].line));
        ui.separator();
        ui.selectable_value(&mut view.raw, false, text::AS_SEEN);
        ui.selectable_value(&mut view.raw, true, text::AS_FILED);
    });
    match shown {
        None => {
            widgets::weak(ui, text::READING_PAIR);
        }
        Some(pair) if view.raw => raw_ui(ui, pair),
        Some(pair) => match &pair.seen {
            Ok(seen) => seen_ui(ui, seen),
            Err(problem) => {
                widgets::tone_card(ui, Tone::Warn, |ui| widgets::problem_text(ui, problem));
                raw_ui(ui, pair);
            }
        },
    }
}

fn raw_ui(ui: &mut Ui, pair: &PairView) {
    for (name, content) in text::SIDES.iter().zip(&pair.texts) {
        widgets::weak(ui, *name);
        widgets::text_box(ui, |ui| {
            ui.add(egui::Label::new(content).wrap());
        });
    }
}

fn seen_ui(ui: &mut Ui, seen: &[SeenSequence; 2]) {
    widgets::small(ui, text::TOKENS_LEGEND);
    let (left, right) = (&seen[0], &seen[1]);
    widgets::columns(
        ui,
        380.0,
        &mut [&mut |ui| sequence_ui(ui, text::SIDES[1], left), &mut |ui| sequence_ui(ui, text::SIDES[2], right)],
    );
}

/// A sequence, token by token.
fn sequence_ui(ui: &mut Ui, name: &str, sequence: &SeenSequence) {
    let palette = theme::palette(ui);
    ui.horizontal_wrapped(|ui| {
        widgets::weak(ui, name);
        widgets::small(ui, text::sequence(sequence.tokens.len(), sequence.prompt_len, sequence.cut));
    });
    let kept = sequence.tokens.len() - sequence.cut.min(sequence.tokens.len());
    let font = egui::TextStyle::Monospace.resolve(ui.style());
    let mut job = LayoutJob::default();
    for (i, token) in sequence.tokens.iter().enumerate().take(SHOWN_TOKENS) {
        let scored = i >= sequence.prompt_len && i < kept;
        let color = match (i >= kept, scored) {
            (true, _) => palette.bad,
            (false, true) => palette.text,
            (false, false) => palette.weak,
        };
        let background = match (scored, i % 2) {
            (false, _) => Color32::TRANSPARENT,
            (true, 0) => palette.accent_soft,
            (true, _) => palette.warn_soft,
        };
        let strikethrough = if i >= kept { Stroke::new(1.0, palette.bad) } else { Stroke::NONE };
        let format = TextFormat {
            font_id: font.clone(),
            color,
            background,
            strikethrough,
            line_height: Some(20.0),
            ..TextFormat::default()
        };
        job.append(&text::token(token), 0.0, format.clone());
        if token.contains('\n') {
            job.append("\n", 0.0, format);
        }
    }
    widgets::text_box(ui, |ui| {
        ui.add(egui::Label::new(job).wrap());
        if sequence.tokens.len() > SHOWN_TOKENS {
            widgets::small(ui, text::more_tokens(sequence.tokens.len() - SHOWN_TOKENS));
        }
    });
}

fn lengths_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(plan) = state.plan_info().filter(|plan| !plan.lengths.is_empty()) else {
        widgets::weak(ui, text::NO_LENGTHS);
        return;
    };
    let palette = theme::palette(ui);
    let limit = plan.full_settings.get("max_length").and_then(serde_json::Value::as_f64).unwrap_or(1024.0);
    let longest = plan.lengths.iter().copied().max().unwrap_or(1);
    ui.horizontal_wrapped(|ui| {
        ui.label(text::lengths(plan.lengths.len(), longest, plan.n_truncated, plan.n_dropped));
        if widgets::link_button(ui, text::CHANGE_LIMIT).clicked() {
            actions.push(Action::GoToField("max_length"));
        }
    });
    let width = longest.div_ceil(BARS).max(1);
    let mut counts = vec![0_u32; (longest / width + 1) as usize];
    for length in &plan.lengths {
        counts[(length / width) as usize] += 1;
    }
    let bars = counts.iter().enumerate().map(|(i, n)| {
        let from = i as f64 * f64::from(width);
        let color = if from + f64::from(width) > limit { palette.warn } else { palette.accent };
        let bar = Bar::new(from + f64::from(width) / 2.0, f64::from(*n)).width(f64::from(width) * 0.9);
        bar.fill(color.gamma_multiply(0.75)).stroke(Stroke::NONE)
    });
    let chart = BarChart::new(text::PAIRS_BY_LENGTH, bars.collect());
    Plot::new("lengths")
        .height(260.0)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_zoom(false)
        .show_grid([false, true])
        .set_margin_fraction(egui::vec2(0.01, 0.06))
        .include_y(0.0)
        .include_x(0.0)
        .x_axis_label(text::TOKENS)
        .y_axis_label(text::PAIRS)
        .show(ui, |plot| {
            plot.bar_chart(chart);
            plot.vline(VLine::new(text::LIMIT, limit).color(palette.bad).width(1.5));
        });
}

fn problems_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView, actions: &mut Vec<Action>) {
    if info.problem_count == 0 {
        widgets::marked(ui, Tone::Good, text::NO_PROBLEMS);
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label(text::problems_left_out(info.problem_count, info.usable));
        if !state.pairs.files.is_empty() && ui.button(text::EDIT_COLUMNS).clicked() {
            view.mapping = Some(info.mapping.clone());
        }
        if ui.button(text::SAVE_REPORT).clicked() {
            let bytes = text::problem_report(info).into_bytes();
            actions.push(Action::SaveFile { name: format!("{}-problems.txt", info.name), bytes });
        }
    });
    for problem in &info.problems {
        problem_ui(ui, problem);
    }
    let more = info.problem_count - info.problems.len();
    if more > 0 {
        widgets::weak(ui, text::more_problems(more));
    }
}

fn problem_ui(ui: &mut Ui, problem: &LineProblem) {
    ui.separator();
    ui.horizontal_top(|ui| {
        widgets::icon(ui, widgets::Icon::Cross, Tone::Bad);
        ui.vertical(|ui| {
            ui.add(egui::Label::new(text::at_line(problem.line, &problem.what)).wrap());
            widgets::small(ui, &problem.fix);
            if !problem.excerpt.is_empty() {
                let excerpt = RichText::new(text::one_line(&problem.excerpt)).monospace();
                ui.add(egui::Label::new(excerpt).truncate());
            }
        });
    });
}
