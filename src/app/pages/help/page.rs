//! The page itself, from top to bottom.

use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::text;
use crate::app::actions::Action;
use crate::app::state::{BenchState, State, network};
use crate::app::text::{labels, machine, units};
use crate::app::theme::GRID;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{Command, Drill};
use crate::platform::{Environment, NetworkEntry};

/// Draws the page.
pub(crate) fn help_ui(ui: &mut Ui, state: &State, environment: &Environment, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::HELP_TITLE, "");
    widgets::titled_card(ui, text::HOW_TITLE, |ui| {
        for (i, point) in text::HOW.iter().enumerate() {
            ui.horizontal_top(|ui| {
                widgets::mono(ui, format!("{}", i + 1));
                ui.add(egui::Label::new(*point).wrap());
            });
        }
    });
    widgets::titled_card(ui, text::KEYS_TITLE, |ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        egui::Grid::new("keys").num_columns(2).spacing([24.0, 6.0]).show(ui, |ui| {
            for (key, what) in text::KEYS {
                widgets::mono(ui, key);
                // Labels of a grid do not wrap by themselves.
                ui.add(egui::Label::new(what).wrap());
                ui.end_row();
            }
        });
    });
    network_ui(ui, state, environment, actions);
    report_ui(ui, state, environment, actions);
    bench_ui(ui, state, actions);
    drills_ui(ui, state, actions);
    widgets::titled_card(ui, text::ABOUT_TITLE, |ui| {
        ui.label(text::ABOUT);
        widgets::small(ui, text::LICENCES);
    });
}

/// Draws every request, with its size and purpose.
fn network_ui(ui: &mut Ui, state: &State, environment: &Environment, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::NETWORK_TITLE, |ui| {
        ui.add(egui::Label::new(text::NETWORK_NOTE).wrap());
        let [own, others] = network(state);
        let mut offline = state.offline;
        if ui.checkbox(&mut offline, text::OFFLINE).on_hover_text(text::OFFLINE_HELP).changed() {
            actions.push(Action::StayOffline(offline));
        }
        widgets::marked(ui, Tone::Good, &text::network_sum(&others));
        requests_ui(ui, "others", &others);
        if !own.is_empty() {
            egui::CollapsingHeader::new(text::own_requests(&own)).id_salt("own").show(ui, |ui| {
                requests_ui(ui, "own", &own);
            });
        }
        if !environment.policy.is_empty() {
            egui::CollapsingHeader::new(text::POLICY).id_salt("policy").show(ui, |ui| {
                ui.add(egui::Label::new(RichText::new(&environment.policy).monospace()).wrap());
            });
        }
    });
}

/// Draws a table of requests, if there are any.
fn requests_ui(ui: &mut Ui, id: &str, requests: &[&NetworkEntry]) {
    if requests.is_empty() {
        return;
    }
    let table = TableBuilder::new(ui)
        .id_salt(id)
        .striped(true)
        .max_scroll_height(260.0)
        .column(Column::exact(90.0))
        .column(Column::exact(220.0).clip(true))
        .column(Column::remainder().clip(true));
    let table = table.header(22.0, |mut header| {
        for name in text::NETWORK_COLUMNS {
            header.col(|ui| {
                widgets::small(ui, name);
            });
        }
    });
    table.body(|body| {
        body.rows(24.0, requests.len(), |mut row| {
            let NetworkEntry { url, bytes, purpose } = requests[row.index()];
            row.col(|ui| {
                widgets::mono(ui, units::bytes(*bytes));
            });
            row.col(|ui| {
                ui.add(egui::Label::new(machine::purpose(*purpose)).truncate());
            });
            row.col(|ui| {
                ui.add(egui::Label::new(RichText::new(url).monospace()).truncate());
            });
        });
    });
}

/// Draws the report to send along with a bug.
fn report_ui(ui: &mut Ui, state: &State, environment: &Environment, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::REPORT_TITLE, |ui| {
        let gpu = state.gpu();
        let report =
            machine::report(environment, gpu.and_then(|gpu| gpu.as_ref().ok()), gpu.and_then(|gpu| gpu.as_ref().err()));
        widgets::text_box(ui, |ui| {
            ui.add(egui::Label::new(RichText::new(&report).monospace()).wrap());
        });
        if ui.button(labels::COPY_REPORT).clicked() {
            actions.push(Action::Copy(report.clone()));
        }
    });
}

/// Draws the measurement of the GPU's speed.
fn bench_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::BENCH_TITLE, |ui| {
        ui.add(egui::Label::new(text::BENCH_NOTE).wrap());
        ui.add_space(GRID);
        if let BenchState::Running(what) = &state.bench {
            widgets::weak(ui, text::measuring(what));
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            return;
        }
        if let BenchState::Failed(problem) = &state.bench {
            widgets::marked(ui, Tone::Bad, &problem.to_string());
        }
        if let BenchState::Done(report) = &state.bench {
            egui::ScrollArea::both().id_salt("figures").max_height(320.0).show(ui, |ui| {
                ui.add(egui::Label::new(RichText::new(report).monospace()).extend());
            });
            if ui.button(text::COPY_FIGURES).clicked() {
                actions.push(Action::Copy(report.clone()));
            }
        }
        let usable = matches!(state.gpu(), Some(Ok(_))) && !state.at_work() && !state.run_pending;
        let label = if state.bench == BenchState::None { text::BENCH } else { text::BENCH_AGAIN };
        if ui.add_enabled(usable, egui::Button::new(label)).clicked() {
            actions.push(Action::Send(Command::Bench));
        }
    });
}

/// Draws buttons that cause failures on purpose.
fn drills_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::DRILLS_TITLE, |ui| {
        ui.add(egui::Label::new(text::DRILLS_NOTE).wrap());
        ui.add_space(GRID);
        let usable = state.active_run().is_some();
        if !usable {
            widgets::marked(ui, Tone::Neutral, text::DRILLS_NEED_RUN);
        }
        let drills = [Drill::DestroyDevice, Drill::OutOfMemory, Drill::Diverge, Drill::FillStorage, Drill::Crash];
        ui.horizontal_wrapped(|ui| {
            for (drill, name) in drills.into_iter().zip(text::DRILLS) {
                if ui.add_enabled(usable, egui::Button::new(name)).clicked() {
                    actions.push(Action::Send(Command::Drill(drill)));
                }
            }
        });
    });
}
