//! A failed run: the cause, the safe state, and the ways on; also the countdown before a run recovers by itself.

use eframe::egui::{self, RichText, Ui};
use serde_json::json;

use super::page::{RunView, resume};
use super::text;
use crate::app::actions::{Action, send};
use crate::app::charts::{Chart, Hue, Mark, Series, tight};
use crate::app::records::{changed, lower_rate, setting};
use crate::app::state::{RunState, State};
use crate::app::text::{run, units};
use crate::app::widgets::{
    Tone, card, heading, link_button, name_of, primary_button, problem_text, small, text_box, tone_card,
};
use crate::engine::protocol::{
    Command, Failure, Fix, LibraryCommand, PairView, PairsCommand, Problem, RunCommand, RunRecord, Settings,
};
use crate::platform::host;

/// Steps that are shown before a break.
const BEFORE_BREAK: f64 = 12.0;

pub(super) fn failed_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    failure: &Failure,
    safe: Option<usize>,
    view: &mut RunView,
    actions: &mut Vec<Action>,
) {
    match failure {
        Failure::Diverged { step, what, pairs } => {
            tone_card(ui, Tone::Bad, |ui| {
                heading(ui, &text::diverged(*step));
                ui.label(text::diverged_text(what, safe));
                ui.horizontal_wrapped(|ui| {
                    if safe.is_some() && primary_button(ui, run::LOWER_RATE).clicked() {
                        resume(actions, run, lower_rate(&run.info.record));
                    }
                    let label = if view.show_batch { text::HIDE_BATCH } else { text::SHOW_BATCH };
                    if !pairs.is_empty() && ui.button(label).clicked() {
                        view.show_batch = !view.show_batch;
                    }
                    if ui.button(text::KEEP_ANYWAY).clicked() {
                        send(
                            actions,
                            Command::Library(LibraryCommand::Open { run_id: run.info.record.run_id.clone() }),
                        );
                    }
                });
                if view.show_batch {
                    batch_ui(ui, state, pairs, actions);
                }
            });
            let loss = run.series("loss");
            card(ui, |ui| {
                let at = *step as f64;
                let mark = Mark { step: at, text: text::diverged(*step) };
                Chart::new(run::LOSS, run::LOSS_HELP)
                    .line(Series::new(run::TRAIN, loss, Hue::First))
                    .marks(vec![mark])
                    .view(Some([(at - BEFORE_BREAK).max(0.0), at + 1.0]))
                    .show(ui);
            });
        }
        Failure::OutOfMemory { problem, fixes } => {
            tone_card(ui, Tone::Bad, |ui| {
                heading(ui, text::OUT_OF_MEMORY);
                problem_text(ui, problem);
                ui.label(text::safe(safe));
                for (i, fix) in fixes.iter().enumerate() {
                    fix_ui(ui, run, fix, i == 0, actions);
                }
                ui.horizontal_wrapped(|ui| {
                    if safe.is_some() && ui.button(text::FROM_CHECKPOINT).clicked() {
                        resume(actions, run, Settings::new());
                    }
                    if ui.button(text::PLAN_ANEW).clicked() {
                        let RunRecord { settings, inputs, watch, name, .. } = run.info.record.clone();
                        actions.push(Action::UseSettings { settings, inputs, watch, name });
                    }
                });
            });
        }
        Failure::DeviceLost { problem } => {
            lost_ui(ui, run, text::DEVICE_LOST, problem, safe, actions);
        }
        Failure::Other { problem } => lost_ui(ui, run, text::FAILED, problem, safe, actions),
    }
}

fn fix_ui(ui: &mut Ui, run: &RunState, fix: &Fix, best: bool, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        let button = if best { primary_button(ui, &fix.label) } else { ui.button(&fix.label) };
        if button.clicked() {
            resume(actions, run, fix.settings.clone());
        }
        if fix.saves > 0 {
            small(ui, text::saves(&units::bytes(fix.saves)));
        }
    });
}

fn lost_ui(
    ui: &mut Ui,
    run: &RunState,
    title: &str,
    problem: &Problem,
    safe: Option<usize>,
    actions: &mut Vec<Action>,
) {
    tone_card(ui, Tone::Bad, |ui| {
        heading(ui, title);
        ui.label(RichText::new(text::safe(safe)).strong());
        problem_text(ui, problem);
        ui.horizontal_wrapped(|ui| {
            restart_buttons(ui, run, actions);
            if ui.button(text::GIVE_UP).clicked() {
                actions.push(Action::CloseRun);
            }
        });
    });
}

fn restart_buttons(ui: &mut Ui, run: &RunState, actions: &mut Vec<Action>) {
    if primary_button(ui, text::RESTART).clicked() {
        resume(actions, run, Settings::new());
    }
    if let Some(smaller) = smaller_steps(&run.info.record)
        && ui.button(text::SMALLER).clicked()
    {
        resume(actions, run, smaller);
    }
}

/// Settings for the same batches, one pair at a time; none if the run already takes one.
fn smaller_steps(record: &RunRecord) -> Option<Settings> {
    let pairs = setting(record, "per_device_train_batch_size").filter(|pairs| *pairs > 1.0)?;
    let parts = setting(record, "gradient_accumulation_steps").unwrap_or(1.0);
    let mut settings = changed("per_device_train_batch_size", json!(1));
    settings.insert("gradient_accumulation_steps".to_owned(), json!((pairs * parts) as u64));
    Some(settings)
}

fn batch_ui(ui: &mut Ui, state: &State, pairs: &[usize], actions: &mut Vec<Action>) {
    for &index in pairs {
        text_box(ui, |ui| {
            let Some(row) = state.pairs.rows.get(index) else { return drop(small(ui, text::ROW_GONE)) };
            let shown = [&row.prompt, &row.chosen, &row.rejected];
            let is_cut = shown.iter().zip(row.chars).any(|(text, chars)| text.chars().count() < chars);
            let whole = state.pairs.view(index).map(PairView::texts);
            let [prompt, chosen, rejected] = whole.as_ref().map_or(shown, |texts| texts.each_ref());
            small(ui, text::line(row.line));
            ui.add(egui::Label::new(RichText::new(prompt).strong()).wrap());
            side_ui(ui, Hue::First, run::CHOSEN, chosen);
            side_ui(ui, Hue::Second, run::REJECTED, rejected);
            if is_cut && whole.is_none() {
                let link = link_button(ui, text::WHOLE);
                name_of(ui, &link, &text::whole_of(row.line));
                if link.clicked() {
                    send(actions, Command::Pairs(PairsCommand::Read { index, max_length: state.plan.max_length() }));
                }
            }
        });
    }
}

/// An answer with the name of its side.
fn side_ui(ui: &mut Ui, hue: Hue, name: &str, answer: &str) {
    tight(ui, |ui| {
        ui.label(RichText::new(name).small().strong().color(hue.color(ui)));
        ui.add(egui::Label::new(answer).wrap());
    });
}

/// Draws the countdown to when the run continues by itself.
pub(super) fn recovering_ui(
    ui: &mut Ui,
    run: &RunState,
    failure: &Failure,
    safe: Option<usize>,
    until: f64,
    actions: &mut Vec<Action>,
) {
    tone_card(ui, Tone::Warn, |ui| {
        heading(ui, &run::failed(failure));
        ui.label(RichText::new(text::safe(safe)).strong());
        ui.label(text::recovering(until - host::seconds()));
        ui.horizontal_wrapped(|ui| {
            restart_buttons(ui, run, actions);
            if ui.button(text::GIVE_UP).clicked() {
                send(actions, Command::Run(RunCommand::Stop));
            }
        });
        ui.ctx().request_repaint_after_secs(0.5);
    });
}
