//! The page itself, from top to bottom; its parts are in sibling modules.

use std::mem::{Discriminant, discriminant};

use eframe::egui::{RichText, Ui};

use super::branch::Branch;
use super::curves::curves_ui;
use super::failed::{failed_ui, recovering_ui};
use super::figures::figures_ui;
use super::header::header_ui;
use super::resting::{opened_ui, paused_ui, summary_ui};
use super::rollouts::rollouts_ui;
use super::samples::samples_ui;
use super::text;
use super::warnings::warnings_ui;
use crate::app::actions::{Action, Demo, Step, send};
use crate::app::records::{continued, resumed};
use crate::app::state::{Connection, RunPhase, RunState, State};
use crate::app::text::{labels, run, units};
use crate::app::widgets::{
    Renaming, Tone, card, chip, discard_ui, fraction, heading, mono, name_of, page_title, primary_button, problem_card,
    progress_bar, refused_ui, small, starting_ui, titled_card, tone_card, weak,
};
use crate::engine::protocol::{Command, Settings, Subject};
use crate::platform::host;

/// State of this page.
#[derive(Debug, Default)]
pub(crate) struct RunView {
    /// Id of the run that the other fields are about.
    pub(super) run_id: String,
    /// Index of the shown samples; none follows the latest.
    pub(super) sample: Option<usize>,
    /// Step of the shown answers; none follows the latest.
    pub(super) rollouts: Option<usize>,
    /// True while the user is asked whether to discard the run.
    pub(super) confirm_discard: bool,
    /// True to show all warnings.
    pub(super) all_warnings: bool,
    /// True to show the pairs of the broken step.
    pub(super) show_batch: bool,
    /// The name of the run while it is being changed.
    pub(super) renaming: Option<Renaming>,
    /// Settings as edited for a branch.
    pub(super) branch: Option<Branch>,
    /// True while the settings of a branch are shown.
    pub(super) branch_open: bool,
    /// Kind of the phase that the branch is shown in.
    phase: Option<Discriminant<RunPhase>>,
    /// Settings to continue with as soon as the run rests.
    pub(super) when_paused: Option<Settings>,
    /// Weight of the moving average, if it was changed.
    pub(super) smoothing: Option<f64>,
}

impl RunView {
    /// Resets what was about another run, and closes what was about another phase.
    pub(super) fn follow(&mut self, run: &RunState) {
        if self.run_id != run.info.record.run_id {
            let run_id = run.info.record.run_id.clone();
            *self = Self { run_id, smoothing: self.smoothing, ..Self::default() };
        }
        let phase = Some(discriminant(&run.phase));
        if self.phase != phase {
            (self.phase, self.branch, self.branch_open) = (phase, None, false);
        }
    }
}

/// Draws the page.
pub(crate) fn run_ui(ui: &mut Ui, state: &State, view: &mut RunView, actions: &mut Vec<Action>) {
    let Some(run) = &state.run else { return empty_ui(ui, state, actions) };
    header_ui(ui, state, run, view, actions);
    if matches!(state.connection, Connection::Crashed(_)) && run.is_active() {
        crashed_ui(ui, run);
    }
    problems_ui(ui, state, run, actions);
    match &run.phase {
        _ if state.run_pending => starting_ui(ui, state, actions),
        RunPhase::Preparing => preparing_ui(ui, run),
        RunPhase::Paused => paused_ui(ui, run, view, actions),
        RunPhase::Finished(summary) => summary_ui(ui, run, summary, view, actions),
        RunPhase::Failed { failure, safe_step } => failed_ui(ui, state, run, failure, *safe_step, view, actions),
        RunPhase::Recovering { failure, safe_step, until } => {
            recovering_ui(ui, run, failure, *safe_step, *until, actions);
        }
        RunPhase::Opened => opened_ui(ui, run, view, actions),
        _ => {}
    }
    warnings_ui(ui, state, run, view, actions);
    view.confirm_discard = view.confirm_discard && discard_ui(ui, &run.info.record.run_id, actions);
    if run.history.is_empty() && run.evaluations.is_empty() && run.samples.is_empty() {
        return;
    }
    figures_ui(ui, run, view);
    rollouts_ui(ui, run, &mut view.rollouts);
    samples_ui(ui, run, view);
    curves_ui(ui, run, view);
    footer_ui(ui, run);
}

pub(super) fn resume(actions: &mut Vec<Action>, run: &RunState, settings: Settings) {
    send(actions, resumed(&run.info.record, settings));
}

/// Returns the command that continues with other settings, once the run that a warning was about has paused.
pub(crate) fn when_paused(run: &RunState, view: &mut RunView) -> Option<Command> {
    view.follow(run);
    match run.phase {
        RunPhase::Paused => view.when_paused.take().map(|settings| resumed(&run.info.record, settings)),
        RunPhase::Pausing => None,
        _ => {
            view.when_paused = None;
            None
        }
    }
}

fn empty_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    page_title(ui, labels::step_name(Step::Run), "");
    refused_ui(ui, Subject::Run, state.run_problem.as_ref(), actions);
    refused_ui(ui, Subject::Runs, state.runs_problem.as_ref().filter(|problem| problem.wants_model()), actions);
    if state.run_pending {
        return starting_ui(ui, state, actions);
    }
    titled_card(ui, text::EMPTY_TITLE, |ui| {
        weak(ui, text::EMPTY_TEXT);
        ui.horizontal_wrapped(|ui| {
            let ready = state.open_model().is_some() && state.pairs.info.is_some();
            if ready {
                if primary_button(ui, text::GO_TO_PLAN).clicked() {
                    actions.push(Action::Go(Step::Plan));
                }
            } else {
                if primary_button(ui, run::TRY_DEMO).clicked() {
                    actions.push(Action::Demo(Demo::Run));
                }
                if ui.button(text::GO_TO_PLAN).clicked() {
                    actions.push(Action::Go(Step::Plan));
                }
            }
        });
    });
    for run in state.continuable().take(3) {
        card(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                chip(ui, Tone::Accent, run::status(run.status));
                ui.label(RichText::new(&run.name).strong());
                mono(ui, text::step_of(run.step, run.n_steps));
                let label = run::go_on(run);
                let button = ui.button(label);
                name_of(ui, &button, &format!("{label} {}", run.name));
                if button.clicked() {
                    send(actions, continued(run));
                }
            });
        });
    }
}

/// Says which step of the run is safe. The shell offers to restart the engine.
fn crashed_ui(ui: &mut Ui, run: &RunState) {
    tone_card(ui, Tone::Bad, |ui| {
        heading(ui, text::CRASHED);
        ui.label(text::safe(run.info.record.saved_step()));
    });
}

fn problems_ui(ui: &mut Ui, state: &State, run: &RunState, actions: &mut Vec<Action>) {
    refused_ui(ui, Subject::Run, state.run_problem.as_ref(), actions);
    if let Some(problem) = &run.unsaved {
        problem_card(ui, Tone::Warn, text::not_saved(problem.is_full(), run.is_active()), problem, |ui| {
            if problem.is_full() && ui.button(text::FREE_SPACE).clicked() {
                actions.push(Action::Go(Step::Runs));
            }
            if ui.button(text::EXPORT_NOW).clicked() {
                actions.push(Action::Go(Step::Export));
            }
        });
    }
}

fn preparing_ui(ui: &mut Ui, run: &RunState) {
    card(ui, |ui| {
        match &run.progress {
            Some((phase, progress)) => {
                heading(ui, run::phase(*phase));
                progress_bar(ui, run::phase(*phase), fraction(progress));
                small(ui, units::progress(progress, run::phase_unit(*phase)));
            }
            None => {
                heading(ui, run::STARTING);
                progress_bar(ui, run::STARTING, None);
            }
        }
        if let Some(parts) = run.expected {
            small(ui, text::whole(parts.total()));
        }
        small(ui, text::FIRST_TIME);
    });
}

fn footer_ui(ui: &mut Ui, run: &RunState) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 24.0;
        let record = &run.info.record;
        if let Some(step) = record.best_step {
            small(ui, text::best(step, record.watch.keep_best));
        }
        if let Some(saved) = run.saved {
            let ago = host::seconds() - saved.at;
            small(ui, text::saved(saved.step, &units::bytes(saved.bytes), saved.seconds, ago));
        }
    });
}
