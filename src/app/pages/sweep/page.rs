//! The page itself, from top to bottom; the figures are in a sibling module.

use eframe::egui::{self, RichText, ScrollArea, TextEdit, Ui};

use super::figures::figures_ui;
use super::text;
use crate::app::actions::{Action, Demo, Step};
use crate::app::charts::{Hue, legend_ui};
use crate::app::state::{Course, ModelState, State, SweepState, Tried};
use crate::app::text::units::Unit;
use crate::app::text::{labels, run, setting, units};
use crate::app::widgets::{
    Tone, card, chip, danger_button, heading, link_button, page_title, primary_button, problem_card, progress_bar,
    progress_ui, small, titled_card, weak,
};
use crate::engine::protocol::{Command, Judgement, LibraryCommand, Over, RunCommand, Subject, SweepRun, short};
use crate::platform::host;

/// State of this page.
#[derive(Debug)]
pub(crate) struct SweepView {
    over: Over,
    /// The values typed so far; none proposes values around the plan's own.
    typed: Option<String>,
}

impl Default for SweepView {
    fn default() -> Self {
        Self { over: Over::Beta, typed: None }
    }
}

/// Draws the page.
pub(crate) fn sweep_ui(ui: &mut Ui, state: &State, view: &mut SweepView, actions: &mut Vec<Action>) {
    page_title(ui, text::TITLE, text::SUBTITLE);
    let sweep = &state.sweep;
    if let Course::Failed(problem) = &sweep.course {
        problem_card(ui, Tone::Bad, text::REFUSED, problem, |ui| {
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Sweep));
            }
        });
    }
    if state.sweeps() {
        going_ui(ui, sweep, actions);
    } else {
        start_ui(ui, state, view, actions);
    }
    if sweep.tried.is_empty() {
        return;
    }
    advice_ui(ui, sweep, actions);
    figures_ui(ui, sweep);
    values_ui(ui, sweep, actions);
}

/// Draws, before and after a sweep, its description, the values, and the buttons that start it.
fn start_ui(ui: &mut Ui, state: &State, view: &mut SweepView, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(
            ui,
            match state.sweep.course {
                Course::None | Course::Failed(_) => text::WHAT_TITLE,
                Course::Running | Course::Stopping | Course::Done => text::AGAIN_TITLE,
                Course::Stopped => text::STOPPED_TITLE,
            },
        );
        ui.add(egui::Label::new(text::WHAT).wrap());
        if let ModelState::Loading(progress) = &state.model {
            progress_ui(ui, progress, Unit::Bytes);
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            return;
        }
        let is_own = state.open_model().is_some() && state.pairs.info.is_some();
        let values = is_own.then(|| values_field(ui, state, view));
        weak(ui, text::TAKES);
        let blocked = state.start_blocked();
        ui.horizontal_wrapped(|ui| {
            if let Some(values) = &values {
                let may = blocked.is_none() && values.is_ok();
                let button = ui.add_enabled_ui(may, |ui| primary_button(ui, text::START)).inner;
                if let Ok(values) = values
                    && button.clicked()
                {
                    actions.push(Action::Sweep { over: view.over, values: values.clone() });
                }
            }
            let free = matches!(state.gpu(), Some(Ok(_))) && !state.other_tab && !state.at_work();
            let button = ui.add_enabled_ui(free, |ui| match is_own {
                true => ui.button(text::ON_DEMO),
                false => primary_button(ui, text::ON_DEMO),
            });
            if button.inner.clicked() {
                actions.push(Action::Demo(Demo::Sweep));
            }
        });
        if let Some(Err(what)) = &values {
            small(ui, what);
        } else if let Some(blocked) = blocked.filter(|_| is_own || state.at_work() || state.gpu().is_none()) {
            small(ui, setting::blocked(&blocked));
        } else if is_own {
            small(ui, text::own(state));
        }
    });
}

/// Draws the choice of the setting and of its values; an error says what is wrong with the typed text.
fn values_field(ui: &mut Ui, state: &State, view: &mut SweepView) -> Result<Vec<f64>, String> {
    let own = state.plan.value(view.over.key()).and_then(serde_json::Value::as_f64).unwrap_or(0.1);
    let proposed = || view.over.spread(own).into_iter().map(short).collect::<Vec<_>>().join(", ");
    let mut typed = view.typed.clone().unwrap_or_else(proposed);
    ui.horizontal_wrapped(|ui| {
        for over in Over::ALL {
            if ui.radio(view.over == over, text::name(over)).on_hover_text(text::name_help(over)).clicked() {
                (view.over, view.typed) = (over, None);
            }
        }
        let label = ui.label(text::VALUES).on_hover_text(text::VALUES_HELP).id;
        let field = ui.add(TextEdit::singleline(&mut typed).desired_width(260.0)).labelled_by(label);
        if field.changed() {
            view.typed = Some(typed.clone());
        }
        small(ui, text::in_plan(view.over, own));
    });
    parsed(&typed)
}

/// Parses numbers above 0 with commas between them.
fn parsed(typed: &str) -> Result<Vec<f64>, String> {
    let number = |word: &str| word.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    let words = typed.split([',', ';']).filter(|word| !word.trim().is_empty());
    let values: Option<Vec<f64>> = words.map(number).collect();
    match values {
        Some(values) if values.len() > 1 => Ok(values),
        Some(_) => Err(text::TWO.to_owned()),
        None => Err(setting::wants(setting::A_LIST)),
    }
}

/// Draws the progress of a sweep, and the button that stops it.
fn going_ui(ui: &mut Ui, sweep: &SweepState, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        let now = sweep.now.and_then(|value| sweep.tried.iter().find(|tried| tried.value == value));
        ui.horizontal_wrapped(|ui| {
            heading(
                ui,
                &match (&sweep.course, now) {
                    (Course::Stopping, tried) => run::stopping_trial(tried.map(|tried| (tried.step, tried.n_steps))),
                    (_, Some(tried)) => text::going(sweep.over, tried),
                    (_, None) => text::PREPARING.to_owned(),
                },
            );
            let now = host::seconds();
            small(ui, text::times(now - sweep.since, sweep.left(now)));
        });
        progress_bar(ui, text::PROGRESS, Some(sweep.fraction()));
        ui.horizontal_wrapped(|ui| {
            let stops = sweep.course == Course::Stopping;
            if ui.add_enabled_ui(!stops, |ui| danger_button(ui, text::STOP)).inner.clicked() {
                actions.push(Action::Send(Command::Run(RunCommand::Stop)));
            }
            weak(ui, text::STOP_NOTE);
        });
    });
}

/// Draws the value to train with, and the button that takes it into the plan.
fn advice_ui(ui: &mut Ui, sweep: &SweepState, actions: &mut Vec<Action>) {
    let Some(standing) = sweep.standing.as_ref().filter(|_| !sweep.course.is_active()) else { return };
    titled_card(ui, text::ADVICE, |ui| {
        ui.add(egui::Label::new(RichText::new(&standing.advice.text).strong()).wrap());
        let Some(value) = standing.advice.value else { return };
        if primary_button(ui, &text::use_value(sweep.over, value)).clicked() {
            use_value(sweep, value, actions);
        }
    });
}

/// Makes the plan train as the sweep did, with this value.
fn use_value(sweep: &SweepState, value: f64, actions: &mut Vec<Action>) {
    let mut settings = sweep.settings.clone();
    settings.insert(sweep.over.key().to_owned(), value.into());
    actions.push(Action::EditSettings(settings));
    actions.push(Action::GoToField(sweep.over.key()));
}

/// Draws every value: the figures of its model, the verdict on it, and its run.
fn values_ui(ui: &mut Ui, sweep: &SweepState, actions: &mut Vec<Action>) {
    titled_card(ui, text::EACH, |ui| {
        ScrollArea::horizontal().id_salt("sweep table").show(ui, |ui| {
            egui::Grid::new("sweep table").striped(true).num_columns(7).spacing([20.0, 6.0]).show(ui, |ui| {
                ui.label(RichText::new(text::name(sweep.over)).strong());
                for (name, help) in text::COLUMNS {
                    ui.label(RichText::new(name).strong()).on_hover_text(help);
                }
                ui.end_row();
                for (at, tried) in sweep.tried.iter().enumerate() {
                    value_ui(ui, sweep, at, tried, actions);
                    ui.end_row();
                }
            });
        });
        for judgement in sweep.standing.iter().flat_map(|standing| &standing.judgements) {
            small(ui, units::capitalized(&judgement.text));
        }
    });
}

fn value_ui(ui: &mut Ui, sweep: &SweepState, at: usize, tried: &Tried, actions: &mut Vec<Action>) {
    let own = |run: &&SweepRun| run.value == tried.value;
    let run = sweep.standing.as_ref().and_then(|standing| standing.runs.iter().find(own));
    let judgement = |judgement: &&Judgement| judgement.value == tried.value;
    let judgement = sweep.standing.as_ref().and_then(|standing| standing.judgements.iter().find(judgement));
    legend_ui(ui, Hue::of(at), false, &short(tried.value), "");
    match judgement {
        Some(judgement) => drop(chip(ui, text::tone(judgement.verdict), text::verdict(judgement.verdict))),
        None if sweep.now == Some(tried.value) && sweep.course.is_active() => {
            drop(chip(ui, Tone::Accent, &text::step(tried)));
        }
        None if sweep.course.is_active() => drop(chip(ui, Tone::Neutral, text::WAITS)),
        None => drop(chip(ui, Tone::Neutral, text::NOT_TRIED)),
    }
    for cell in text::cells(tried.points.last().filter(|point| point.step > 0), run) {
        ui.label(cell);
    }
    ui.horizontal(|ui| {
        let Some(run_id) = tried.run_id.as_ref().filter(|_| !sweep.course.is_active()) else { return };
        if link_button(ui, text::USE).clicked() {
            use_value(sweep, tried.value, actions);
        }
        if link_button(ui, text::OPEN_RUN).clicked() {
            actions.push(Action::Send(Command::Library(LibraryCommand::Open { run_id: run_id.clone() })));
            actions.push(Action::Go(Step::Compare));
        }
    });
}
