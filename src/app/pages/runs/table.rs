//! The table of the runs, and the order of its rows.

use std::collections::BTreeSet;

use eframe::egui::{self, Align, Layout, RichText, Ui, vec2};
use egui_extras::{Column, TableBuilder, TableRow};
use serde_json::Value;

use super::page::RunsView;
use super::text;
use crate::app::actions::{Action, Step};
use crate::app::charts::{Hue, sparkline};
use crate::app::records::{beta, setting};
use crate::app::state::State;
use crate::app::text::{run, units};
use crate::app::widgets::{Tone, link_button, mono, name_of, row_button, small, tone_colors};
use crate::engine::protocol::{Command, LibraryCommand, RunRecord, Settings, Status};

/// Height of the table before it scrolls.
const TABLE_HEIGHT: f32 = 380.0;
/// Settings that are no choice of the user, and so not shown as changes.
const NOT_SHOWN: [&str; 2] = ["output_dir", "run_name"];

/// Titles of the table's columns, with what they sort by.
const COLUMNS: [(&str, Option<Sort>); 12] = [
    ("", None),
    (text::NAME, None),
    (text::STATUS, None),
    (text::MODEL, None),
    (text::BETA, None),
    (text::RANK, None),
    (text::ACCURACY_COLUMN, Some(Sort::Won)),
    (text::LOSS, None),
    (text::CHANGES, None),
    (text::SIZE, Some(Sort::Size)),
    (text::DATE, Some(Sort::Date)),
    ("", None),
];

/// Order of the runs: the newest, the largest, or those of the highest held-out accuracy come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    #[default]
    Date,
    Size,
    Won,
}

/// Returns the runs in the chosen order, reversed if `reversed`.
fn sorted(runs: &[RunRecord], sort: Sort, reversed: bool) -> Vec<&RunRecord> {
    let key = |run: &RunRecord| match sort {
        Sort::Date => run.created,
        Sort::Size => run.bytes as f64,
        Sort::Won => run.won.map_or(-1.0, |[_, now]| now),
    };
    let mut runs: Vec<&RunRecord> = runs.iter().collect();
    runs.sort_by(|a, b| key(b).total_cmp(&key(a)));
    if reversed {
        runs.reverse();
    }
    runs
}

/// The previous run of the same model.
pub(super) fn before<'a>(runs: &'a [RunRecord], run: &RunRecord) -> Option<&'a RunRecord> {
    let earlier = runs.iter().filter(|other| other.model_name == run.model_name && other.created < run.created);
    earlier.max_by(|a, b| a.created.total_cmp(&b.created))
}

/// Settings that differ: name, before, now.
pub(super) fn changes(before: &Settings, now: &Settings) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let shown = names.into_iter().filter(|name| !NOT_SHOWN.contains(&name.as_str()));
    let value = |settings: &Settings, name: &String| settings.get(name).map_or_else(|| "–".to_owned(), short);
    shown
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| (name.clone(), value(before, name), value(now, name)))
        .collect()
}

/// A setting as a person would write it.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

pub(super) fn tone(state: &State, run: &RunRecord) -> Tone {
    match run.status {
        _ if state.is_at_work(run) => Tone::Accent,
        Status::Finished => Tone::Good,
        Status::Running | Status::Paused => Tone::Accent,
        Status::Stopped => Tone::Neutral,
        Status::Diverged | Status::Failed => Tone::Bad,
    }
}

pub(super) fn table_ui(ui: &mut Ui, state: &State, runs: &[RunRecord], view: &mut RunsView, actions: &mut Vec<Action>) {
    // The remaining width is shared by the name, and by model and pairs.
    let fixed = [28.0, 84.0, 52.0, 36.0, 118.0, 80.0, 74.0, 70.0, 88.0, 60.0];
    let gaps = 11.0 * ui.spacing().item_spacing.x;
    let wide = (ui.available_width() - fixed.iter().sum::<f32>() - gaps - 12.0).max(220.0);
    let mut table = TableBuilder::new(ui)
        .id_salt("runs")
        .striped(true)
        .cell_layout(Layout::left_to_right(Align::Center))
        .max_scroll_height(TABLE_HEIGHT)
        .auto_shrink([false, true])
        .column(Column::exact(fixed[0]))
        .column(Column::exact(wide * 0.45).clip(true))
        .column(Column::exact(fixed[1]))
        .column(Column::exact(wide * 0.55).clip(true));
    for width in &fixed[2..] {
        table = table.column(Column::exact(*width));
    }
    table
        .header(28.0, |mut header| {
            for (title, sort) in COLUMNS {
                header.col(|ui| match sort {
                    Some(sort) => sort_ui(ui, title, sort, view),
                    None => drop(small(ui, title)),
                });
            }
        })
        .body(|body| {
            let rows = sorted(runs, view.sort, view.reversed);
            body.rows(34.0, rows.len(), |mut row| {
                let run = rows[row.index()];
                row_ui(&mut row, state, runs, run, view, actions);
            });
        });
}

fn row_ui(
    row: &mut TableRow<'_, '_>,
    state: &State,
    runs: &[RunRecord],
    run: &RunRecord,
    view: &mut RunsView,
    actions: &mut Vec<Action>,
) {
    row.set_selected(view.open.as_ref().is_some_and(|(run_id, ..)| *run_id == run.run_id));
    row.col(|ui| select_ui(ui, run, view));
    row.col(|ui| {
        let name = link_button(ui, &run.name);
        name_of(ui, &name, &text::details(&run.name));
        if name.clicked() {
            toggle_details(run, view);
        }
    });
    row.col(|ui| {
        let (color, _) = tone_colors(ui, tone(state, run));
        ui.label(RichText::new(run::run_status(state, run)).small().color(color));
    });
    row.col(|ui| {
        let text = format!("{} · {}", run.model_name, run.pairs_name);
        ui.add(egui::Label::new(RichText::new(text).small()).truncate());
    });
    row.col(|ui| {
        mono(ui, beta(run).to_string());
    });
    row.col(|ui| {
        mono(ui, setting(run, "r").map_or_else(|| "–".to_owned(), |rank| rank.to_string()));
    });
    row.col(|ui| {
        let won = run.won.map(text::won);
        mono(ui, won.unwrap_or_else(|| "–".to_owned()));
    });
    row.col(|ui| {
        sparkline(ui, text::LOSS, &run.sparkline, vec2(76.0, 22.0), Hue::First);
    });
    row.col(|ui| {
        let changed = before(runs, run).map(|earlier| changes(&earlier.settings, &run.settings));
        let text = changed.as_ref().map_or_else(|| "–".to_owned(), |list| text::changes(list.len()));
        let label = small(ui, text);
        if let Some(list) = changed.filter(|list| !list.is_empty()) {
            let lines: Vec<String> = list.iter().map(|(n, a, b)| text::change(n, a, b)).collect();
            label.on_hover_text(lines.join("\n"));
        }
    });
    row.col(|ui| {
        mono(ui, units::bytes(run.bytes));
    });
    row.col(|ui| {
        mono(ui, units::date(run.created));
    });
    row.col(|ui| {
        let button = row_button(ui, text::OPEN);
        name_of(ui, &button, &format!("{} {}", text::OPEN, run.name));
        if button.clicked() {
            actions.push(Action::Send(Command::Library(LibraryCommand::Open { run_id: run.run_id.clone() })));
            actions.push(Action::Go(Step::Compare));
        }
    });
}

/// Draws the title of a column; a click sorts by it, a second click reverses the order.
fn sort_ui(ui: &mut Ui, title: &str, sort: Sort, view: &mut RunsView) {
    let chosen = view.sort == sort;
    let button = ui.selectable_label(chosen, RichText::new(title).small());
    name_of(ui, &button, &text::sort_by(title));
    if button.clicked() {
        view.reversed = chosen && !view.reversed;
        view.sort = sort;
    }
}

fn select_ui(ui: &mut Ui, run: &RunRecord, view: &mut RunsView) {
    let mut chosen = view.selected.contains(&run.run_id);
    let checkbox = ui.add(egui::Checkbox::without_text(&mut chosen));
    name_of(ui, &checkbox, &text::select(&run.name));
    if checkbox.changed() {
        if chosen {
            view.selected.insert(run.run_id.clone());
        } else {
            view.selected.remove(&run.run_id);
        }
    }
}

fn toggle_details(run: &RunRecord, view: &mut RunsView) {
    let is_open = view.open.as_ref().is_some_and(|(run_id, ..)| *run_id == run.run_id);
    view.open = (!is_open).then(|| (run.run_id.clone(), run.notes.clone()));
    view.renaming = None;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::protocol::{Chat, Inputs, ModelSource, Watch};

    #[test]
    fn runs_are_sorted_by_a_column_both_ways() {
        let run = |run_id: &str, created: f64, bytes: u64, won: Option<[f64; 2]>| RunRecord {
            run_id: run_id.to_owned(),
            name: String::new(),
            notes: String::new(),
            status: Status::Finished,
            created,
            seconds: 0.0,
            step_seconds: None,
            round_seconds: None,
            model: ModelSource::Demo,
            model_name: String::new(),
            model_bytes: 0,
            licence: None,
            pairs_name: String::new(),
            chat: Chat::default(),
            settings: Settings::new(),
            inputs: Inputs::default(),
            watch: Watch { keep_best: true, save_seconds: 60.0, ..Watch::default() },
            step: 0,
            n_steps: 0,
            checkpoint: None,
            best_step: None,
            best: None,
            won,
            n_held_out: 0,
            longer_wins: 0.0,
            likelier_wins: None,
            sparkline: Vec::new(),
            bytes,
        };
        let runs = [run("a", 3.0, 1, Some([0.4, 0.5])), run("b", 1.0, 9, None), run("c", 2.0, 5, Some([0.4, 0.9]))];
        let order = |sort, reversed| -> String {
            sorted(&runs, sort, reversed).iter().map(|run| run.run_id.as_str()).collect()
        };
        assert_eq!((order(Sort::Date, false), order(Sort::Date, true)), ("acb".to_owned(), "bca".to_owned()));
        assert_eq!(order(Sort::Size, false), "bca");
        assert_eq!(order(Sort::Won, false), "cab", "what was not scored comes last");
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let settings = |value: Value| value.as_object().cloned().unwrap_or_default();
        let a = settings(json!({ "beta": 0.1, "r": 16, "loss_type": ["sigmoid"] }));
        let b = settings(json!({ "beta": 0.3, "r": 16, "loss_type": ["sigmoid", "sft"], "seed": 1 }));
        let change = |n: &str, a: &str, b: &str| (n.to_owned(), a.to_owned(), b.to_owned());
        let want =
            [change("beta", "0.1", "0.3"), change("loss_type", "sigmoid", "sigmoid, sft"), change("seed", "–", "1")];
        assert_eq!(changes(&a, &b), want);
        assert!(changes(&a, &a).is_empty(), "the same settings");
    }
}
