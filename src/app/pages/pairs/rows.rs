//! Rows of the table: by a flag, by a search, and in an order; flags of odd rows, and tools for all rows of a flag.

use eframe::egui::{self, ComboBox, TextEdit, Ui};

use super::page::{PairsView, Tab};
use super::read::CHIP_HEIGHT;
use super::text;
use crate::app::actions::Action;
use crate::app::state::{PlannedFlag, State};
use crate::app::widgets;
use crate::engine::protocol::{Command, PairRow, PairsCommand, PairsInfo};

/// Flag of rows in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flag {
    /// An oddity that the file shows by itself.
    Odd(String),
    /// Fate of the row in the planned run, which depends on the model and the settings.
    Planned(PlannedFlag),
}

impl Flag {
    fn name(&self) -> &str {
        match self {
            Self::Odd(word) => word,
            Self::Planned(flag) => text::planned_flag(*flag),
        }
    }

    /// Indices of its rows.
    fn rows(&self, state: &State) -> Vec<usize> {
        match self {
            Self::Odd(word) => {
                let rows = state.pairs.rows.iter().enumerate();
                rows.filter(|(_, row)| row.flags.contains(word)).map(|(index, _)| index).collect()
            }
            Self::Planned(flag) => state.planned_rows(*flag),
        }
    }

    fn holds(&self, state: &State, index: usize, row: &PairRow) -> bool {
        match self {
            Self::Odd(word) => row.flags.contains(word),
            Self::Planned(flag) => state.planned_flag(index) == Some(*flag),
        }
    }
}

/// Order of the rows in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// Order of the file.
    #[default]
    File,
    /// Most characters first.
    Longest,
    /// Fewest characters first.
    Shortest,
}

impl Order {
    const ALL: [Self; 3] = [Self::File, Self::Longest, Self::Shortest];
}

/// Rows in an order other than the file's, kept from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Generation and number of the rows, and their order.
    key: (u64, usize, Order),
    rows: Vec<usize>,
}

impl Sorted {
    fn of(&mut self, state: &State, order: Order) -> &[usize] {
        let rows = &state.pairs.rows;
        let key = (state.pairs.generation, rows.len(), order);
        if self.key != key {
            self.key = key;
            self.rows = (0..rows.len()).collect();
            let chars = |row: &usize| rows[*row].chars.iter().sum::<usize>();
            match order {
                Order::File => {}
                Order::Longest => self.rows.sort_by_key(|row| std::cmp::Reverse(chars(row))),
                Order::Shortest => self.rows.sort_by_key(chars),
            }
        }
        &self.rows
    }
}

/// Draws the flags of rows with their numbers; a click filters the table by a flag, and changes nothing else.
pub(super) fn flags_ui(ui: &mut Ui, state: &State, info: &PairsInfo, view: &mut PairsView) {
    let odd = info.flags.iter().map(|(word, n)| (Flag::Odd(word.clone()), *n));
    let planned = state.planned_flags().into_iter().map(|(flag, n)| (Flag::Planned(flag), n));
    let flags: Vec<(Flag, usize)> = odd.chain(planned).collect();
    view.flag.take_if(|flag| !flags.iter().any(|(known, _)| known == flag));
    if flags.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        for (flag, n) in flags {
            let skipped = flag.rows(state).into_iter().filter(|row| is_skipped(state, *row)).count();
            let chosen = view.flag.as_ref() == Some(&flag);
            let label = text::flagged(flag.name(), n, skipped);
            let chip = egui::Button::selectable(chosen, label).frame_when_inactive(true);
            let response = ui.add(chip.min_size(egui::vec2(0.0, CHIP_HEIGHT)));
            widgets::name_of(ui, &response, &text::show_flagged(flag.name(), chosen));
            if response.clicked() {
                view.flag = if chosen { None } else { Some(flag) };
                view.tab = Tab::Table;
            }
        }
    });
}

/// Draws the search field, the order, and the tools for the rows of the chosen flag; returns the indices of the rows to
/// show, or none for all rows as in the file.
pub(super) fn rows_ui(
    ui: &mut Ui,
    state: &State,
    view: &mut PairsView,
    actions: &mut Vec<Action>,
) -> Option<Vec<usize>> {
    ui.horizontal_wrapped(|ui| {
        search_ui(ui, state, view, actions);
        order_ui(ui, view);
    });
    flag_tools_ui(ui, state, view, actions);
    let found = state.pairs.found.as_ref().filter(|found| found.text == view.searched && !view.searched.is_empty());
    if view.flag.is_none() && found.is_none() && view.order == Order::File {
        return None;
    }
    let rows = &state.pairs.rows;
    let kept = |row: &usize| {
        found.is_none_or(|found| found.rows.binary_search(row).is_ok())
            && view.flag.as_ref().is_none_or(|flag| flag.holds(state, *row, &rows[*row]))
    };
    Some(view.sorted.of(state, view.order).iter().copied().filter(kept).collect())
}

fn search_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    let label = ui.label(text::SEARCH).id;
    let field = TextEdit::singleline(&mut view.search).desired_width(220.0).hint_text(text::SEARCH_HINT);
    let response = ui.add(field).labelled_by(label);
    let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    let wanted = view.search.trim();
    if entered && wanted != view.searched {
        view.searched = wanted.to_owned();
        if !wanted.is_empty() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Find { text: wanted.to_owned() })));
        }
    }
    if view.searched.is_empty() {
        return;
    }
    if let Some(found) = state.pairs.found.as_ref().filter(|found| found.text == view.searched) {
        ui.label(text::found(found.rows.len()));
    }
    if widgets::link_button(ui, text::CLEAR_SEARCH).clicked() {
        view.search.clear();
        view.searched.clear();
    }
}

fn order_ui(ui: &mut Ui, view: &mut PairsView) {
    let label = ui.label(text::ORDER).id;
    let shown = ComboBox::from_id_salt("order").selected_text(text::order(view.order)).show_ui(ui, |ui| {
        for order in Order::ALL {
            ui.selectable_value(&mut view.order, order, text::order(order));
        }
    });
    shown.response.labelled_by(label);
}

/// Draws what can be done with all rows of the chosen flag.
fn flag_tools_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    let Some(flag) = view.flag.clone() else { return };
    let (skipped, kept): (Vec<usize>, Vec<usize>) =
        flag.rows(state).into_iter().partition(|row| is_skipped(state, *row));
    ui.horizontal_wrapped(|ui| {
        ui.label(text::only_flagged(flag.name(), kept.len() + skipped.len(), skipped.len()));
        if !kept.is_empty() && ui.button(text::skip_these(kept.len())).clicked() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Skip { rows: kept, skip: true })));
        }
        if !skipped.is_empty() && ui.button(text::take_back(skipped.len())).clicked() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::Skip { rows: skipped, skip: false })));
        }
        if matches!(flag, Flag::Planned(PlannedFlag::Truncated)) {
            raise_ui(ui, state, actions);
        }
        if widgets::link_button(ui, text::SHOW_ALL_ROWS).clicked() {
            view.flag = None;
        }
    });
}

fn is_skipped(state: &State, row: usize) -> bool {
    state.pairs.rows.get(row).is_some_and(|row| row.skipped)
}

/// Draws the button that raises max length to the longest row, as far as the model takes it.
pub(super) fn raise_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let plan = state.plan_info().filter(|plan| !plan.truncated.is_empty());
    let (Some(plan), Some(model)) = (plan, state.open_model()) else { return };
    let longest = plan.lengths.iter().copied().max().unwrap_or(0) as usize;
    let length = longest.min(model.max_positions);
    if length > state.plan.max_length() && ui.button(text::raise(length)).clicked() {
        let mut settings = state.plan.settings.clone();
        settings.insert("max_length".to_owned(), length.into());
        actions.push(Action::EditSettings(settings));
    }
}
