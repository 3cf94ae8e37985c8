//! The stored runs: what each was and came to, what changed from one to the next, their curves together.

use std::collections::{BTreeMap, BTreeSet};

use eframe::egui::{self, Align, Id, Layout, Modal, RichText, TextEdit, Ui, vec2};
use egui_extras::{Column, TableBuilder};
use serde_json::Value;

use super::actions::{Action, Step};
use super::charts::{Chart, Hue, Series, Unit, sparkline};
use super::run_ui::{beta, continued, refused_ui, row_button, setting};
use super::state::{State, series};
use super::text::{self, run as run_words, runs as words};
use super::widgets::{
    Tone, card, chip, columns, danger_button, heading, link_button, mono, name_of, page_title, primary_button,
    progress_bar, small, text_box, titled_card, tone_colors, weak,
};
use crate::engine::protocol::{Command, ModelSource, RunRecord, Settings, Status, Subject};
use crate::platform::Pick;

/// Runs whose curves are drawn together.
const OVERLAID: usize = 6;
/// Height of the table before it scrolls.
const TABLE_HEIGHT: f32 = 380.0;
/// Settings that no person changed.
const NOT_SHOWN: [&str; 2] = ["output_dir", "run_name"];
/// Titles of the table's columns, with what they sort by.
const COLUMNS: [(&str, Option<Sort>); 12] = [
    ("", None),
    (words::NAME, None),
    (words::STATUS, None),
    (words::MODEL, None),
    (words::BETA, None),
    (words::RANK, None),
    (words::WON, Some(Sort::Won)),
    (words::LOSS, None),
    (words::CHANGES, None),
    (words::SIZE, Some(Sort::Size)),
    (words::DATE, Some(Sort::Date)),
    ("", None),
];

/// Which runs come first: the newest, the largest, those that win most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sort {
    #[default]
    Date,
    Size,
    Won,
}

/// The runs in the order that was asked for; the other way round if `reversed`.
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

/// What this page remembers.
#[derive(Debug, Default)]
pub(super) struct RunsView {
    sort: Sort,
    reversed: bool,
    selected: BTreeSet<String>,
    /// Histories that were asked for, by run, at which step.
    asked: BTreeMap<String, usize>,
    /// The run whose details are open, with its name and notes as edited.
    open: Option<(String, String, String)>,
    /// Runs to delete, if the person says so.
    delete: Vec<String>,
    listed: bool,
}

/// Draws the page.
pub(super) fn runs_ui(ui: &mut Ui, state: &State, view: &mut RunsView, actions: &mut Vec<Action>) {
    page_title(ui, text::step_name(Step::Runs), words::SUBTITLE);
    if !view.listed {
        view.listed = true;
        actions.push(Action::Send(Command::ListRuns));
        actions.push(Action::Send(Command::MeasureStorage));
    }
    refused_ui(ui, Subject::Runs, state.runs_problem.as_ref(), actions);
    storage_ui(ui, state, actions);
    let Some(runs) = &state.runs else {
        weak(ui, words::LOADING);
        return;
    };
    if runs.is_empty() {
        return titled_card(ui, words::EMPTY_TITLE, |ui| {
            weak(ui, words::EMPTY_TEXT);
            if primary_button(ui, run_words::TRY_DEMO).clicked() {
                actions.push(Action::Demo);
            }
        });
    }
    let known: BTreeSet<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
    view.selected.retain(|run_id| known.contains(run_id.as_str()));
    card(ui, |ui| {
        // Narrow windows scroll sideways.
        egui::ScrollArea::horizontal().id_salt("runs").show(ui, |ui| table_ui(ui, state, runs, view, actions));
    });
    details_ui(ui, state, runs, view, actions);
    overlay_ui(ui, state, runs, view, actions);
    delete_ui(ui, runs, view, actions);
}

fn storage_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        if ui.button(words::IMPORT).clicked() {
            actions.push(Action::Pick(Pick::Archive));
        }
        if ui.button(words::REFRESH).clicked() {
            actions.push(Action::Send(Command::ListRuns));
            actions.push(Action::Send(Command::MeasureStorage));
        }
        let storage = &state.storage;
        let quota = storage.quota.map(text::bytes);
        small(ui, words::used(&text::bytes(storage.used), quota.as_deref()));
        if state.in_browser && !storage.persisted {
            small(ui, words::NOT_KEPT);
        }
    });
    if let Some(quota) = state.storage.quota.filter(|quota| *quota > 0) {
        progress_bar(ui, words::STORAGE, Some(state.storage.used as f32 / quota as f32));
    }
}

/// The run before `run` with the same model.
fn before<'a>(runs: &'a [RunRecord], run: &RunRecord) -> Option<&'a RunRecord> {
    let earlier = runs.iter().filter(|other| other.model_name == run.model_name && other.created < run.created);
    earlier.max_by(|a, b| a.created.total_cmp(&b.created))
}

/// Settings that differ: name, before, now.
fn changes(before: &Settings, now: &Settings) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let shown = names.into_iter().filter(|name| !NOT_SHOWN.contains(&name.as_str()));
    let value = |settings: &Settings, name: &String| settings.get(name).map_or_else(|| "–".to_owned(), short);
    shown
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| (name.clone(), value(before, name), value(now, name)))
        .collect()
}

/// A setting as a person would write it.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

fn tone(state: &State, run: &RunRecord) -> Tone {
    match run.status {
        _ if state.is_at_work(run) => Tone::Accent,
        Status::Finished => Tone::Good,
        Status::Running | Status::Paused => Tone::Accent,
        Status::Stopped => Tone::Neutral,
        Status::Diverged | Status::Failed => Tone::Bad,
    }
}

fn table_ui(ui: &mut Ui, state: &State, runs: &[RunRecord], view: &mut RunsView, actions: &mut Vec<Action>) {
    // What is left for the name and for model and pairs.
    let fixed = [28.0, 84.0, 40.0, 36.0, 98.0, 80.0, 74.0, 70.0, 88.0, 60.0];
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
                row.set_selected(view.open.as_ref().is_some_and(|(run_id, ..)| *run_id == run.run_id));
                row.col(|ui| select_ui(ui, run, view));
                row.col(|ui| {
                    let name = link_button(ui, &run.name);
                    name_of(ui, &name, &words::details(&run.name));
                    if name.clicked() {
                        toggle_details(run, view);
                    }
                });
                row.col(|ui| {
                    let (color, _) = tone_colors(ui, tone(state, run));
                    ui.label(RichText::new(text::run_status(state, run)).small().color(color));
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
                    let won = run.won.map(words::won);
                    mono(ui, won.unwrap_or_else(|| "–".to_owned()));
                });
                row.col(|ui| {
                    sparkline(ui, words::LOSS, &run.sparkline, vec2(76.0, 22.0), Hue::First);
                });
                row.col(|ui| {
                    let changed = before(runs, run).map(|earlier| changes(&earlier.settings, &run.settings));
                    let text = changed.as_ref().map_or_else(|| "–".to_owned(), |list| words::changes(list.len()));
                    let label = small(ui, text);
                    if let Some(list) = changed.filter(|list| !list.is_empty()) {
                        let lines: Vec<String> = list.iter().map(|(n, a, b)| words::change(n, a, b)).collect();
                        label.on_hover_text(lines.join("\n"));
                    }
                });
                row.col(|ui| {
                    mono(ui, text::bytes(run.bytes));
                });
                row.col(|ui| {
                    mono(ui, text::date(run.created));
                });
                row.col(|ui| {
                    let button = row_button(ui, words::OPEN);
                    name_of(ui, &button, &format!("{} {}", words::OPEN, run.name));
                    if button.clicked() {
                        actions.push(Action::Send(Command::OpenRun { run_id: run.run_id.clone() }));
                        actions.push(Action::Go(Step::Compare));
                    }
                });
            });
        });
}

/// The title of a column that sorts by it, and the other way round when it is chosen again.
fn sort_ui(ui: &mut Ui, title: &str, sort: Sort, view: &mut RunsView) {
    let chosen = view.sort == sort;
    let button = ui.selectable_label(chosen, RichText::new(title).small());
    name_of(ui, &button, &words::sort_by(title));
    if button.clicked() {
        view.reversed = chosen && !view.reversed;
        view.sort = sort;
    }
}

fn select_ui(ui: &mut Ui, run: &RunRecord, view: &mut RunsView) {
    let mut chosen = view.selected.contains(&run.run_id);
    let checkbox = ui.add(egui::Checkbox::without_text(&mut chosen));
    name_of(ui, &checkbox, &words::select(&run.name));
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
    view.open = (!is_open).then(|| (run.run_id.clone(), run.name.clone(), run.notes.clone()));
}

fn details_ui(ui: &mut Ui, state: &State, runs: &[RunRecord], view: &mut RunsView, actions: &mut Vec<Action>) {
    let Some((run_id, name, notes)) = &mut view.open else { return };
    let Some(run) = runs.iter().find(|run| run.run_id == *run_id) else {
        view.open = None;
        return;
    };
    let mut delete = false;
    card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            heading(ui, &run.name);
            chip(ui, tone(state, run), text::run_status(state, run));
            mono(ui, words::steps(run.step, run.n_steps));
            mono(ui, text::duration(run.seconds));
            mono(ui, text::bytes(run.bytes));
        });
        ui.horizontal_wrapped(|ui| {
            let offered = run.step < run.n_steps && state.may_continue();
            if offered && primary_button(ui, run_words::go_on(run)).clicked() {
                actions.push(Action::Send(continued(run)));
                actions.push(Action::Go(Step::Run));
            }
            if ui.button(words::DUPLICATE).on_hover_text(words::DUPLICATE_HELP).clicked() {
                actions.push(Action::UseSettings {
                    settings: run.settings.clone(),
                    inputs: run.inputs.clone(),
                    watch: run.watch.clone(),
                    name: run.name.clone(),
                });
                actions.push(Action::Go(Step::Plan));
            }
            delete = danger_button(ui, words::DELETE).clicked();
        });
        ui.horizontal(|ui| {
            let label = ui.label(words::RUN_NAME).id;
            ui.add(TextEdit::singleline(name).desired_width(280.0)).labelled_by(label);
        });
        let label = ui.label(words::NOTES).id;
        let field = TextEdit::multiline(notes).desired_rows(2).desired_width(f32::INFINITY);
        ui.add(field.hint_text(words::NOTES_HINT)).labelled_by(label);
        let edited = (name.trim() != run.name || *notes != run.notes) && !name.trim().is_empty();
        if ui.add_enabled(edited, egui::Button::new(words::SAVE)).clicked() {
            let (run_id, name, notes) = (run.run_id.clone(), name.trim().to_owned(), notes.clone());
            actions.push(Action::Send(Command::DescribeRun { run_id, name, notes }));
        }
        ui.add_space(4.0);
        ui.label(RichText::new(words::CHANGES_TITLE).strong());
        match before(runs, run).map(|earlier| changes(&earlier.settings, &run.settings)) {
            None => drop(weak(ui, words::FIRST)),
            Some(list) if list.is_empty() => drop(weak(ui, words::SAME)),
            Some(list) => {
                egui::Grid::new("run changes").num_columns(3).spacing([24.0, 4.0]).show(ui, |ui| {
                    for (name, before, now) in list {
                        mono(ui, name);
                        ui.label(RichText::new(before).monospace().weak());
                        ui.label(RichText::new(now).monospace().strong());
                        ui.end_row();
                    }
                });
            }
        }
        egui::CollapsingHeader::new(words::SETTINGS).id_salt("all settings").show_unindented(ui, |ui| {
            text_box(ui, |ui| {
                let lines: Vec<String> =
                    run.settings.iter().map(|(name, value)| format!("{name} = {}", short(value))).collect();
                ui.add(egui::Label::new(RichText::new(lines.join("\n")).monospace()).wrap());
            });
            if let ModelSource::Picked { path: Some(path), .. } = &run.model {
                small(ui, path.as_str());
            }
        });
    });
    if delete {
        view.delete = vec![run.run_id.clone()];
    }
}

/// Curves of the selected runs together.
fn overlay_ui(ui: &mut Ui, state: &State, runs: &[RunRecord], view: &mut RunsView, actions: &mut Vec<Action>) {
    let chosen: Vec<&RunRecord> =
        runs.iter().filter(|run| view.selected.contains(&run.run_id)).take(OVERLAID).collect();
    if chosen.is_empty() {
        small(ui, words::OVERLAY_HELP);
        return;
    }
    for run in &chosen {
        // Again when it has taken further steps.
        if view.asked.insert(run.run_id.clone(), run.step) != Some(run.step) {
            actions.push(Action::Send(Command::ReadHistory { run_id: run.run_id.clone() }));
        }
    }
    ui.horizontal_wrapped(|ui| {
        heading(ui, words::OVERLAY);
        if view.selected.len() > 1 && danger_button(ui, &words::delete_several(view.selected.len())).clicked() {
            view.delete = view.selected.iter().cloned().collect();
        }
    });
    let chart = |ui: &mut Ui, title: &'static str, metric: &str, unit: Unit, smoothing: f64| {
        let lines: Vec<(&RunRecord, Vec<[f64; 2]>)> = chosen
            .iter()
            .map(|run| (*run, state.histories.get(&run.run_id).map_or_else(Vec::new, |all| series(all, metric))))
            .collect();
        card(ui, |ui| {
            let mut chart = Chart::new(title, "").unit(unit);
            for (i, (run, points)) in lines.iter().enumerate() {
                chart = chart.line(Series::new(run.name.clone(), points, Hue::of(i)).smoothed(smoothing));
            }
            chart.show(ui);
        });
    };
    columns(
        ui,
        300.0,
        &mut [
            &mut |ui| chart(ui, words::ACCURACY, "eval_preference_accuracy", Unit::Percent, 0.0),
            &mut |ui| chart(ui, words::MARGIN, "eval_rewards/margins", Unit::Plain, 0.0),
            &mut |ui| chart(ui, words::TRAIN_LOSS, "loss", Unit::Plain, 0.6),
        ],
    );
}

fn delete_ui(ui: &Ui, runs: &[RunRecord], view: &mut RunsView, actions: &mut Vec<Action>) {
    let doomed: Vec<&RunRecord> = runs.iter().filter(|run| view.delete.contains(&run.run_id)).collect();
    let title = match doomed.as_slice() {
        [] => return view.delete.clear(),
        [run] => words::delete_title(&run.name),
        runs => words::delete_titles(runs.len()),
    };
    let frame = egui::Frame::popup(ui.style()).inner_margin(20.0);
    let modal = Modal::new(Id::unique("delete run")).frame(frame).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        heading(ui, &title);
        ui.label(words::DELETE_TEXT);
        mono(ui, text::bytes(doomed.iter().map(|run| run.bytes).sum()));
        ui.horizontal(|ui| {
            if danger_button(ui, words::DELETE_YES).clicked() {
                let delete = |run: &&RunRecord| Action::Send(Command::DeleteRun { run_id: run.run_id.clone() });
                actions.extend(doomed.iter().map(delete));
                actions.push(Action::Send(Command::MeasureStorage));
                ui.close();
            }
            if ui.button(words::DELETE_NO).clicked() {
                ui.close();
            }
        });
    });
    if modal.should_close() {
        view.delete.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::protocol::{Chat, Inputs, Watch};

    #[test]
    fn runs_are_sorted_by_a_column_both_ways() {
        let run = |run_id: &str, created: f64, bytes: u64, won: Option<[f64; 2]>| RunRecord {
            run_id: run_id.to_owned(),
            name: String::new(),
            notes: String::new(),
            status: Status::Finished,
            created,
            seconds: 0.0,
            model: ModelSource::Demo,
            model_name: String::new(),
            model_bytes: 0,
            licence: None,
            pairs_name: String::new(),
            chat: Chat::default(),
            settings: Settings::new(),
            inputs: Inputs::default(),
            watch: Watch { eval_steps: 0, keep_best: true, prompts: Vec::new(), save_seconds: 60.0 },
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
