//! The page itself, from top to bottom; its parts are in sibling modules.

use eframe::egui::{self, RichText, Ui};

use super::columns::mapping_ui;
use super::edit::Edit;
use super::lengths::lengths_ui;
use super::problems::problems_ui;
use super::read::read_ui;
use super::rows::{Flag, Order, Sorted, flags_ui, rows_ui};
use super::table::table_ui;
use super::template::{TemplateView, template_ui};
use super::text::{self, template as words};
use crate::app::actions::{Action, Step};
use crate::app::state::State;
use crate::app::text::labels;
use crate::app::text::units::Unit;
use crate::app::theme::GRID;
use crate::app::widgets::{self, Tone, by_path_ui};
use crate::engine::protocol::{Command, Kind, Mapping, PairsCommand, PairsInfo, PlanInfo, Subject};
use crate::platform::Pick;

/// Views of the pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tab {
    /// All rows.
    #[default]
    Table,
    /// One row in full.
    Read,
    /// Lengths of the pairs.
    Lengths,
    /// The template that turns conversations into text.
    Template,
    /// Rows that cannot be used.
    Problems,
}

/// State of this page.
#[derive(Debug, Default)]
pub(crate) struct PairsView {
    pub(super) tab: Tab,
    /// Index of the pair that is read.
    pub(super) index: usize,
    /// True to show the pair as in the file, false as the model sees it.
    pub(super) raw: bool,
    /// The pair, the longest sequence and the generation of the pairs in the latest request.
    pub(super) asked: Option<(usize, usize, u64)>,
    /// Columns while they are edited.
    pub(super) mapping: Option<Mapping>,
    /// The generation of the pairs that the columns are edited for.
    pub(super) generation: u64,
    /// The path of another file typed so far.
    pub(super) path: String,
    /// True if the path field is shown although pairs are open.
    pub(super) by_path: bool,
    /// Flag of the rows in the table; none for all rows.
    pub(super) flag: Option<Flag>,
    /// Text of the search field.
    pub(super) search: String,
    /// Text that the rows in the table hold; empty for all rows.
    pub(super) searched: String,
    /// Order of the rows in the table.
    pub(super) order: Order,
    /// The rows in that order.
    pub(super) sorted: Sorted,
    /// Texts of a row while they are edited.
    pub(super) edit: Option<Edit>,
    /// State of the template's tab.
    pub(super) template: TemplateView,
}

/// Draws the page.
pub(crate) fn pairs_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::PAIRS_TITLE, text::PAIRS_SUBTITLE);
    let pairs = &state.pairs;
    if view.generation != pairs.generation {
        view.generation = pairs.generation;
        view.mapping = None;
        view.edit = None;
        // The results stay with their rows, also where some of those are skipped or swapped.
        if pairs.found.is_none() {
            view.searched.clear();
        }
    }
    if let Some(problem) = &pairs.refused {
        widgets::problem_card(ui, Tone::Bad, text::PAIRS_REFUSED, problem, |ui| {
            if ui.button(text::PICK_OTHER_FILE).clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Pairs));
            }
        });
    }
    if let Some(loading) = &pairs.loading {
        widgets::titled_card(ui, text::PAIRS_LOADING, |ui| {
            widgets::progress_ui(ui, &loading.progress, loading.unit);
            ui.horizontal_wrapped(|ui| {
                if loading.unit == Unit::Bytes {
                    ui.label(text::rows_so_far(loading.rows, loading.problems));
                }
                if ui.button(labels::CANCEL).clicked() {
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
            if widgets::primary_button(ui, labels::OPEN_PAIRS).clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            widgets::weak(ui, labels::DROP_ANYWHERE);
        });
        widgets::small(ui, text::paste(state.in_browser));
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
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::heading(ui, &info.name);
            ui.label(text::pairs_summary(info, state.figures()));
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
            flags_ui(ui, state, info, view);
            if info.kind == Kind::Pairs {
                widgets::small(ui, text::longer_wins(info.longer_wins));
            }
            held_out_ui(ui, state, actions);
        }
        if info.beyond > 0 {
            widgets::marked(ui, Tone::Warn, &text::beyond(info.beyond));
        }
        accept_ui(ui, state, info, actions);
        ways_on_ui(ui, state, info, view, actions);
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
            (Tab::Template, words::TAB.to_owned()),
            (Tab::Problems, text::tab_problems(info.problem_count)),
        ];
        widgets::tabs(ui, &mut view.tab, &all);
        ui.separator();
        match view.tab {
            Tab::Table => {
                let rows = rows_ui(ui, state, view, actions);
                table_ui(ui, state, rows.as_deref(), view, actions);
            }
            Tab::Read => read_ui(ui, state, view, actions),
            Tab::Lengths => lengths_ui(ui, state, actions),
            Tab::Template => template_ui(ui, state, &mut view.template, actions),
            Tab::Problems => problems_ui(ui, state, info, view, actions),
        }
    });
}

/// Draws the buttons that go to the next page, open another file, or change all rows.
fn ways_on_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView, actions: &mut Vec<Action>) {
    let used = info.usable.saturating_sub(info.skipped);
    ui.horizontal_wrapped(|ui| {
        let next = if state.open_model().is_some() { Step::Plan } else { Step::Model };
        if used > 0 && widgets::primary_button(ui, labels::next(next)).clicked() {
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
        if info.usable > 0 && info.kind == Kind::Pairs && ui.button(text::SWAP).on_hover_text(text::SWAP_HELP).clicked()
        {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Swap)));
        }
        if info.to_make > 0 && ui.button(text::make(info.to_make)).on_hover_text(text::MAKE_HELP).clicked() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Make)));
        }
        if info.edits > 0 && ui.button(text::WRITE_ROWS).on_hover_text(text::WRITE_ROWS_HELP).clicked() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Write)));
        }
    });
}

/// Draws the number of held-out pairs, and how they are chosen.
fn held_out_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let number = |key: &str| state.plan.value(key).and_then(serde_json::Value::as_f64);
    ui.horizontal_wrapped(|ui| {
        let held_out = state.figures().map(|plan| plan.held_out.len());
        // The requested share stands in until a plan gives the real one: the demo's file says which pairs are held out.
        let planned = state.figures().map(|plan| plan.held_out.len() as f64 / n_pairs(plan) as f64);
        let share = planned.or_else(|| number("eval_split")).unwrap_or(0.0);
        let seed = number("seed").unwrap_or(42.0);
        widgets::small(ui, text::held_out(held_out, share, seed as u64));
        if widgets::link_button(ui, text::CHANGE).clicked() {
            actions.push(Action::GoToField("eval_split"));
        }
    });
}

/// Number of pairs in a plan, held out or not.
fn n_pairs(plan: &PlanInfo) -> usize {
    plan.held_out.len() + plan.n_train
}

/// Asks the user to agree to training on the usable rows only.
fn accept_ui(ui: &mut Ui, state: &State, info: &PairsInfo, actions: &mut Vec<Action>) {
    if info.problem_count == 0 || info.usable == 0 {
        return;
    }
    let mut accepted = state.pairs.accepted;
    if ui.checkbox(&mut accepted, text::accept(info.usable - info.skipped, info.problem_count)).changed() {
        actions.push(Action::AcceptProblems(accepted));
    }
}
