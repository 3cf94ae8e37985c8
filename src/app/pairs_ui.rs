//! Check the pairs: a table of them, one in full and as the model sees it, lengths, and rows that cannot be used.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{self, Color32, RichText, Stroke, Ui};
use egui_extras::{Column, TableBuilder};
use egui_plot::{Bar, BarChart, Plot, VLine};

use super::actions::{Action, Step};
use super::start_ui::by_path_ui;
use super::state::State;
use super::template_ui::{TemplateView, template_ui};
use super::text;
use super::theme::{self, GRID};
use super::widgets::{self, Tone};
use crate::engine::protocol::{
    Command, Kind, Mapping, PairView, PairsInfo, PlanInfo, ProblemKind, SeenSequence, Subject,
};
use crate::platform::Pick;

/// Bars of the histogram at the most.
const BARS: u32 = 40;
/// The height of a button that shows rows with a flag.
const CHIP_HEIGHT: f32 = 28.0;
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
    /// How conversations become text.
    Template,
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
    /// The path of another file as it is typed.
    path: String,
    /// The field for that is in sight although pairs are open.
    by_path: bool,
    /// Only rows with this flag are in the table.
    flag: Option<String>,
    /// Of the template.
    template: TemplateView,
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
        None => widgets::card(ui, |ui| table_ui(ui, state, None, view, actions)),
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
    let used = info.usable.saturating_sub(info.skipped);
    view.flag.take_if(|flag| !info.flags.iter().any(|(known, _)| known == flag));
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
        if let Some(purpose) = &info.purpose {
            widgets::problem_card(ui, Tone::Warn, text::NO_PAIRS, purpose, |_| {});
        }
        if let Some(shape) = &info.shape {
            widgets::small(ui, shape);
        }
        mapping_ui(ui, state, info, view, actions);
        if info.usable > 0 {
            if !info.flags.is_empty() {
                ui.horizontal_wrapped(|ui| flags_ui(ui, state, info, view));
            }
            if info.kind == Kind::Pairs {
                widgets::small(ui, text::longer_wins(info.longer_wins));
            }
            held_out_ui(ui, state, actions);
        }
        if info.beyond > 0 {
            widgets::marked(ui, Tone::Warn, &text::beyond(info.beyond));
        }
        accept_ui(ui, state, info, actions);
        ui.horizontal_wrapped(|ui| {
            let next = if state.open_model().is_some() { Step::Plan } else { Step::Model };
            if used > 0 && widgets::primary_button(ui, text::next(next)).clicked() {
                actions.push(Action::Go(next));
            }
            let other = match info.usable {
                0 => widgets::primary_button(ui, text::OPEN_OTHER_PAIRS),
                _ => ui.button(text::OPEN_OTHER_PAIRS),
            };
            if other.clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            if info.usable > 0 && !state.in_browser && widgets::link_button(ui, text::BY_PATH).clicked() {
                view.by_path = !view.by_path;
            }
            if info.usable > 0
                && info.kind == Kind::Pairs
                && ui.button(text::SWAP).on_hover_text(text::SWAP_HELP).clicked()
            {
                actions.push(Action::Send(Command::SwapPairs));
            }
        });
        if (info.usable == 0 || view.by_path) && !state.in_browser {
            by_path_ui(ui, &mut view.path, Pick::PairsFile, &state.recent.pairs, actions);
        }
    });
    widgets::card(ui, |ui| {
        if info.usable == 0 {
            return problems_ui(ui, state, info, view, actions);
        }
        let all = [
            (Tab::Table, text::TAB_TABLE.to_owned()),
            (Tab::Read, text::TAB_READ.to_owned()),
            (Tab::Lengths, text::TAB_LENGTHS.to_owned()),
            (Tab::Template, text::template::TAB.to_owned()),
            (Tab::Problems, text::tab_problems(info.problem_count)),
        ];
        widgets::tabs(ui, &mut view.tab, &all);
        ui.separator();
        match view.tab {
            Tab::Table => {
                let flagged = flagged_ui(ui, state, view, actions);
                table_ui(ui, state, flagged.as_deref(), view, actions);
            }
            Tab::Read => read_ui(ui, state, view, actions),
            Tab::Lengths => lengths_ui(ui, state, actions),
            Tab::Template => template_ui(ui, state, &mut view.template, actions),
            Tab::Problems => problems_ui(ui, state, info, view, actions),
        }
    });
}

/// What is odd about some rows; a click shows them in the table, and changes nothing.
fn flags_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView) {
    for (flag, n) in &info.flags {
        let skipped = state.pairs.rows.iter().filter(|row| row.skipped && row.flags.contains(flag)).count();
        let chosen = view.flag.as_ref() == Some(flag);
        let chip = egui::Button::selectable(chosen, text::flagged(flag, *n, skipped)).frame_when_inactive(true);
        let response = ui.add(chip.min_size(egui::vec2(0.0, CHIP_HEIGHT)));
        widgets::name_of(ui, &response, &text::show_flagged(flag, chosen));
        if response.clicked() {
            view.flag = if chosen { None } else { Some(flag.clone()) };
            view.tab = Tab::Table;
        }
    }
}

/// The rows of the chosen flag, and what can be done with all of them.
fn flagged_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) -> Option<Vec<usize>> {
    let flag = view.flag.clone()?;
    let rows = state.pairs.rows.iter().enumerate().filter(|(_, row)| row.flags.contains(&flag));
    let (skipped, kept): (Vec<_>, Vec<_>) = rows.clone().map(|(i, row)| (i, row.skipped)).partition(|row| row.1);
    let indices = |rows: &[(usize, bool)]| rows.iter().map(|(index, _)| *index).collect::<Vec<_>>();
    ui.horizontal_wrapped(|ui| {
        ui.label(text::only_flagged(&flag, kept.len() + skipped.len(), skipped.len()));
        if !kept.is_empty() && ui.button(text::skip_these(kept.len())).clicked() {
            actions.push(Action::Send(Command::SkipPairs { rows: indices(&kept), skip: true }));
        }
        if !skipped.is_empty() && ui.button(text::take_back(skipped.len())).clicked() {
            actions.push(Action::Send(Command::SkipPairs { rows: indices(&skipped), skip: false }));
        }
        if widgets::link_button(ui, text::SHOW_ALL_ROWS).clicked() {
            view.flag = None;
        }
    });
    Some(rows.map(|(index, _)| index).collect())
}

/// Which columns are read, and their choice.
fn mapping_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView, actions: &mut Vec<Action>) {
    let Some(mut mapping) = view.mapping.clone() else {
        ui.horizontal_wrapped(|ui| {
            if info.kind == Kind::Pairs {
                widgets::weak(ui, text::COLUMNS);
                widgets::mono(ui, text::mapping(&info.mapping));
            } else {
                widgets::small(ui, text::read_as(info.kind, &info.columns));
            }
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

/// The rows, or only some of them.
fn table_ui(ui: &mut Ui, state: &State, only: Option<&[usize]>, view: &mut PairsView, actions: &mut Vec<Action>) {
    let rows = &state.pairs.rows;
    let palette = theme::palette(ui);
    let width = ui.available_width();
    let rest = (width - 64.0 - 150.0 - 70.0 - 60.0).max(360.0);
    let names = text::row_columns(state.kind());
    let shares = [0.28, 0.36, 0.36];
    let in_use: f32 = (1..4).filter(|i| !names[*i].is_empty()).map(|i| shares[i - 1]).sum();
    let of_texts = |i: usize| if names[i + 1].is_empty() { 0.0 } else { rest * shares[i] / in_use };
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
        for width in [64.0, of_texts(0), of_texts(1), of_texts(2), 150.0, 70.0] {
            table = table.column(Column::exact(width.floor()).clip(true));
        }
        let table = table.header(24.0, |mut header| {
            for (i, name) in names.into_iter().enumerate() {
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
            body.rows(32.0, only.map_or(rows.len(), <[usize]>::len), |mut table_row| {
                let index = only.map_or(table_row.index(), |only| only[table_row.index()]);
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
        if let Some(scores) = state.pairs.rows[view.index].scores {
            widgets::weak(ui, text::scores(scores));
        }
        ui.separator();
        ui.selectable_value(&mut view.raw, false, text::AS_SEEN);
        ui.selectable_value(&mut view.raw, true, text::AS_FILED);
    });
    match shown {
        None => {
            widgets::weak(ui, text::READING_PAIR);
        }
        Some(pair) if view.raw => raw_ui(ui, state.kind(), pair),
        Some(pair) => match &pair.seen {
            Ok(seen) => seen_ui(ui, seen),
            Err(problem) => {
                widgets::tone_card(ui, Tone::Warn, |ui| widgets::problem_text(ui, problem));
                raw_ui(ui, state.kind(), pair);
            }
        },
    }
}

fn raw_ui(ui: &mut Ui, kind: Kind, pair: &PairView) {
    let shown = text::sides(kind).into_iter().zip(&pair.texts).filter(|(name, _)| !name.is_empty());
    for (name, content) in shown {
        widgets::weak(ui, name);
        widgets::text_box(ui, |ui| {
            ui.add(egui::Label::new(content).wrap());
        });
    }
}

fn seen_ui(ui: &mut Ui, seen: &[SeenSequence]) {
    widgets::small(ui, text::TOKENS_LEGEND);
    let [chosen, rejected] = seen else {
        return seen.iter().for_each(|sequence| sequence_ui(ui, text::SEQUENCE, sequence));
    };
    let side = |side: usize, sequence| move |ui: &mut Ui| sequence_ui(ui, text::SIDES[side], sequence);
    widgets::columns(ui, 380.0, &mut [&mut side(1, chosen), &mut side(2, rejected)]);
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
    for kind in &info.problem_kinds {
        kind_ui(ui, kind);
    }
    let more = info.problem_count - info.problem_kinds.iter().map(|kind| kind.count).sum::<usize>();
    if more > 0 {
        widgets::weak(ui, text::more_problems(more));
    }
}

/// Rows that cannot be used for the same reason.
fn kind_ui(ui: &mut Ui, kind: &ProblemKind) {
    ui.separator();
    ui.horizontal_top(|ui| {
        widgets::icon(ui, widgets::Icon::Cross, Tone::Bad);
        ui.vertical(|ui| {
            ui.add(egui::Label::new(text::problem_kind(kind)).wrap());
            widgets::small(ui, &kind.first.fix);
            if kind.count > 1 {
                widgets::small(ui, text::kind_lines(kind));
            }
            if !kind.first.excerpt.is_empty() {
                let excerpt = RichText::new(text::one_line(&kind.first.excerpt)).monospace();
                ui.add(egui::Label::new(excerpt).truncate());
            }
        });
    });
}
