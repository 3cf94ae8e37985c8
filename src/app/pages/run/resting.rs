//! A resting run (paused, finished or only opened), and its buttons.

use eframe::egui::{RichText, Ui};

use super::branch::branch_ui;
use super::page::{RunView, resume};
use super::text;
use crate::app::actions::{Action, Step, send};
use crate::app::charts::tight;
use crate::app::records::{as_many_again, continued, is_over, resumed};
use crate::app::state::RunState;
use crate::app::text::{run, units};
use crate::app::widgets::{Icon, Tone, card, heading, icon, mono, primary_button, tone_card, weak};
use crate::engine::protocol::{RunRecord, Settings, Status, Summary};

/// Share of a pass over the pairs below which a run has seen too little to be judged by.
const A_PART: f64 = 0.5;

pub(super) fn paused_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(ui, &text::paused(run.step()));
        let saved = run.saved.map(|saved| (units::bytes(saved.bytes), saved.seconds));
        weak(ui, text::paused_text(run.step(), saved, run.unsaved.is_some()));
        ui.horizontal_wrapped(|ui| {
            if primary_button(ui, text::RESUME).clicked() {
                resume(actions, run, Settings::new());
            }
            go_buttons(ui, actions);
        });
        branch_ui(ui, run, view, actions);
    });
}

fn go_buttons(ui: &mut Ui, actions: &mut Vec<Action>) {
    if ui.button(text::COMPARE).clicked() {
        actions.push(Action::Go(Step::Compare));
    }
    if ui.button(text::EXPORT).clicked() {
        actions.push(Action::Go(Step::Export));
    }
}

pub(super) fn summary_ui(
    ui: &mut Ui,
    run: &RunState,
    summary: &Summary,
    view: &mut RunView,
    actions: &mut Vec<Action>,
) {
    let record = &summary.record;
    let (tone, title, comment) = run::verdict(summary);
    tone_card(ui, tone, |ui| {
        ui.horizontal(|ui| {
            icon(ui, if tone == Tone::Warn { Icon::Warning } else { Icon::Check }, tone);
            heading(ui, title);
        });
        if let Some((step, pass)) = few_steps(run) {
            ui.label(RichText::new(text::few_steps(step, pass)).strong());
        }
        if !comment.is_empty() {
            ui.label(comment);
        }
        let mut facts = Vec::new();
        if let (Some(before), Some(after)) = (&summary.before, &summary.after) {
            facts.push((text::WON, text::before_and_after(before, after)));
        }
        facts.extend(record.best_step.map(|step| (text::BEST_STEP, step.to_string())));
        // A run that was stopped took less than was planned.
        let expected = run.expected.filter(|_| record.status == Status::Finished);
        facts.push((text::TIME, text::took(record.seconds, expected.map(|parts| parts.total()))));
        let (planned, used) = (units::bytes(summary.planned_bytes), units::bytes(summary.device_bytes));
        facts.push((text::MEMORY, text::planned_and_used(&planned, &used)));
        for (name, value) in facts {
            tight(ui, |ui| {
                weak(ui, name);
                mono(ui, value);
            });
        }
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| {
            if primary_button(ui, text::COMPARE).clicked() {
                actions.push(Action::Go(Step::Compare));
            }
            if ui.button(text::EXPORT).clicked() {
                actions.push(Action::Go(Step::Export));
            }
            if ui.button(text::TRAIN_MORE).clicked() {
                train_more(record, actions);
            }
        });
        if record.checkpoint.is_some() {
            branch_ui(ui, run, view, actions);
        }
    });
}

/// Steps of a run that has seen only a part of its pairs, and about how many a pass over them takes.
fn few_steps(run: &RunState) -> Option<(usize, usize)> {
    let (step, epoch) = (run.step(), run.latest("epoch")?);
    (epoch > 0.0 && epoch < A_PART).then(|| (step, (step as f64 / epoch).round() as usize))
}

/// Trains as many steps again: from the checkpoint if there is one, else as a new plan.
fn train_more(record: &RunRecord, actions: &mut Vec<Action>) {
    let more = as_many_again(record);
    if record.checkpoint.is_some() {
        return send(actions, resumed(record, more));
    }
    let mut settings = record.settings.clone();
    settings.extend(more);
    let RunRecord { inputs, watch, name, .. } = record.clone();
    actions.push(Action::UseSettings { settings, inputs, watch, name });
    actions.push(Action::Go(Step::Plan));
}

pub(super) fn opened_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let record = &run.info.record;
    card(ui, |ui| {
        let saved = record.checkpoint.is_some();
        ui.horizontal_wrapped(|ui| {
            if !is_over(record) && primary_button(ui, run::go_on(record)).clicked() {
                send(actions, continued(record));
            }
            if saved {
                go_buttons(ui, actions);
            }
            if record.status == Status::Finished && ui.button(text::TRAIN_MORE).clicked() {
                train_more(record, actions);
            }
        });
        if saved {
            branch_ui(ui, run, view, actions);
        }
    });
}
