//! The run page: how it stands and what can be done about it, the figures that decide, what the model says.

use eframe::egui::{self, DragValue, Id, Modal, RichText, Sides, Slider, Ui};
use serde_json::{Value, json};

use super::actions::{Action, Step};
use super::charts::{Chart, Hue, Mark, Series, Unit, tight};
use super::diff::{self, Piece};
use super::methods::{self, Figure, method_of};
use super::rollouts_ui::rollouts_ui;
use super::state::{Connection, ModelState, RunPhase, RunState, State, Unsaved, accuracy_of};
use super::text::{self, run as words};
use super::theme::{self, GRID};
use super::widgets::{
    Icon, Tone, answer_ui, card, chip, columns, danger_button, fraction, heading, icon, icon_button, key_value,
    link_button, mono, name_of, page_title, primary_button, problem_card, problem_text, progress_bar, progress_ui,
    slider, small, text_box, titled_card, tone_card, weak,
};
use crate::engine::presets::EPOCHS;
use crate::engine::protocol::{
    Command, Failure, Fix, Problem, RunRecord, Settings, Status, Subject, Summary, settings, step_of,
};
use crate::engine::stats;
use crate::engine::warnings::{Action as Offer, FEW_HELD_OUT, Warning};
use crate::platform::{Pick, host};

/// Weight of the moving average of training curves.
const SMOOTHING: f64 = 0.6;
/// Height of the three figures.
const FIGURE_HEIGHT: f32 = 288.0;
/// Warnings that are shown at a time.
const WARNINGS: usize = 3;
/// Steps that are shown before a break.
const BEFORE_BREAK: f64 = 12.0;
/// Watched prompts that are shown.
const PROMPTS: usize = 6;
/// The setting that counts steps.
const MAX_STEPS: &str = "max_steps";

/// What this page remembers.
#[derive(Debug, Default)]
pub(super) struct RunView {
    /// The run that the rest is about.
    run_id: String,
    /// Index of the samples that are shown; none follows the latest.
    sample: Option<usize>,
    /// The step whose answers are shown; none follows the latest.
    rollouts: Option<usize>,
    /// Discarding was asked for.
    confirm_discard: bool,
    /// All warnings are shown.
    all_warnings: bool,
    /// The pairs of the broken step are shown.
    show_batch: bool,
    /// Settings as edited for a branch.
    branch: Option<Branch>,
    /// Settings to go on with as soon as the run rests.
    when_paused: Option<Settings>,
    /// Weight of the moving average, if it was changed.
    smoothing: Option<f64>,
}

impl RunView {
    /// Forgets what was about another run.
    fn follow(&mut self, run: &RunState) {
        if self.run_id != run.info.record.run_id {
            let run_id = run.info.record.run_id.clone();
            *self = Self { run_id, smoothing: self.smoothing, ..Self::default() };
        }
    }
}

/// Settings that a branch may change.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Branch {
    beta: f64,
    learning_rate: f64,
    length: Length,
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    /// So many steps.
    Steps(u64),
    /// So many passes over the pairs.
    Epochs(f64),
}

impl Length {
    fn of(record: &RunRecord) -> Self {
        match setting(record, MAX_STEPS) {
            Some(steps) if steps > 0.0 => Self::Steps(steps as u64),
            _ => Self::Epochs(setting(record, EPOCHS).unwrap_or(3.0)),
        }
    }

    fn twice(self) -> Self {
        match self {
            Self::Steps(steps) => Self::Steps(2 * steps),
            Self::Epochs(epochs) => Self::Epochs(2.0 * epochs),
        }
    }

    /// The setting that says so.
    fn setting(self) -> (&'static str, Value) {
        match self {
            Self::Steps(steps) => (MAX_STEPS, json!(steps)),
            Self::Epochs(epochs) => (EPOCHS, json!(epochs)),
        }
    }
}

impl Branch {
    fn of(record: &RunRecord) -> Self {
        Self {
            beta: beta(record),
            learning_rate: setting(record, "learning_rate").unwrap_or(1e-6),
            length: Length::of(record),
        }
    }

    /// What is not as it was.
    fn changes(self, before: Self) -> Settings {
        let mut settings = Settings::new();
        for (name, new, old) in
            [("beta", self.beta, before.beta), ("learning_rate", self.learning_rate, before.learning_rate)]
        {
            if new != old {
                settings.insert(name.to_owned(), json!(new));
            }
        }
        if self.length != before.length {
            let (name, value) = self.length.setting();
            settings.insert(name.to_owned(), value);
        }
        settings
    }
}

/// A number among the settings of a run.
pub(super) fn setting(record: &RunRecord, name: &str) -> Option<f64> {
    record.settings.get(name).and_then(Value::as_f64)
}

/// Beta of a run.
pub(super) fn beta(record: &RunRecord) -> f64 {
    setting(record, "beta").unwrap_or(0.1)
}

/// True if the method of a run has a setting.
pub(super) fn has_setting(record: &RunRecord, name: &str) -> bool {
    settings(method_of(&record.settings)).any(|setting| setting.key == name)
}

/// Draws the page.
pub(super) fn run_ui(ui: &mut Ui, state: &State, view: &mut RunView, actions: &mut Vec<Action>) {
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

fn send(actions: &mut Vec<Action>, command: Command) {
    actions.push(Action::Send(command));
}

fn resume(actions: &mut Vec<Action>, run: &RunState, settings: Settings) {
    send(actions, resumed(&run.info.record, settings));
}

/// Goes on with a run. With other settings, one that has taken all its steps takes as many again, unless they say how
/// many.
pub(super) fn resumed(record: &RunRecord, mut settings: Settings) -> Command {
    let is_told = [MAX_STEPS, EPOCHS].iter().any(|name| settings.contains_key(*name));
    if is_over(record) && !settings.is_empty() && !is_told {
        settings.extend(as_many_again(record));
    }
    Command::Resume { run_id: record.run_id.clone(), settings }
}

/// Goes on with an interrupted run; with one that diverged at a lower learning rate, or it would do so again.
pub(super) fn continued(record: &RunRecord) -> Command {
    let again = record.checkpoint.is_some() && record.status == Status::Diverged;
    resumed(record, if again { lower_rate(record) } else { Settings::new() })
}

/// True if all steps were taken.
fn is_over(record: &RunRecord) -> bool {
    record.step >= record.n_steps
}

/// A run twice as long.
fn as_many_again(record: &RunRecord) -> Settings {
    let (name, value) = Length::of(record).twice().setting();
    changed(name, value)
}

fn changed(name: &str, value: Value) -> Settings {
    Settings::from_iter([(name.to_owned(), value)])
}

/// Goes on with other settings, once the run that a warning was about has paused.
pub(super) fn when_paused(run: &RunState, view: &mut RunView) -> Option<Command> {
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
    page_title(ui, text::step_name(Step::Run), "");
    refused_ui(ui, Subject::Run, state.run_problem.as_ref(), actions);
    refused_ui(ui, Subject::Runs, state.runs_problem.as_ref().filter(|problem| problem.wants_model()), actions);
    if state.run_pending {
        return starting_ui(ui, state, actions);
    }
    titled_card(ui, words::EMPTY_TITLE, |ui| {
        weak(ui, words::EMPTY_TEXT);
        ui.horizontal_wrapped(|ui| {
            let ready = state.open_model().is_some() && state.pairs.info.is_some();
            if ready {
                if primary_button(ui, words::GO_TO_PLAN).clicked() {
                    actions.push(Action::Go(Step::Plan));
                }
            } else {
                if primary_button(ui, words::TRY_DEMO).clicked() {
                    actions.push(Action::Demo);
                }
                if ui.button(words::GO_TO_PLAN).clicked() {
                    actions.push(Action::Go(Step::Plan));
                }
            }
        });
    });
    for run in state.continuable().take(3) {
        card(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                chip(ui, Tone::Accent, words::status(run.status));
                ui.label(RichText::new(&run.name).strong());
                mono(ui, words::step_of(run.step, run.n_steps));
                let label = words::go_on(run);
                let button = ui.button(label);
                name_of(ui, &button, &format!("{label} {}", run.name));
                if button.clicked() {
                    send(actions, continued(run));
                }
            });
        });
    }
}

/// Why a run could not be begun, continued or opened, and a way on if its model is all that is missing.
pub(super) fn refused_ui(ui: &mut Ui, subject: Subject, problem: Option<&Problem>, actions: &mut Vec<Action>) {
    let Some(problem) = problem else { return };
    problem_card(ui, Tone::Bad, words::REFUSED, problem, |ui| {
        if problem.wants_model() && primary_button(ui, words::OPEN_MODEL).clicked() {
            actions.push(Action::Pick(Pick::ModelFolder));
        }
        if ui.button(words::DISMISS).clicked() {
            actions.push(Action::DismissProblem(subject));
        }
    });
}

/// A run was asked for: what the engine does before it begins or is open.
pub(super) fn starting_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(ui, words::STARTING);
        match (&state.model, &state.pairs.loading) {
            (ModelState::Loading(progress), _) => progress_ui(ui, progress, text::Unit::Bytes),
            (_, Some(loading)) => progress_ui(ui, &loading.progress, loading.unit),
            _ => drop(progress_bar(ui, words::STARTING, None)),
        }
        if ui.button(words::CANCEL).clicked() {
            send(actions, Command::Cancel);
        }
    });
}

/// A button in a row of text or of a table.
pub(super) fn row_button(ui: &mut Ui, text: &str) -> egui::Response {
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = egui::vec2(8.0, 2.0);
        ui.spacing_mut().interact_size.y = 24.0;
        ui.add(egui::Button::new(RichText::new(text).small()))
    })
    .inner
}

fn header_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    // Without an engine nothing goes on, and nothing can be asked for.
    let is_gone = !matches!(state.connection, Connection::Ready(_)) && run.is_active();
    let (tone, phase) = if is_gone { (Tone::Bad, words::INTERRUPTED.to_owned()) } else { standing(run) };
    card(ui, |ui| {
        let name = RichText::new(&run.info.record.name).heading().strong();
        Sides::new().shrink_left().truncate().show(
            ui,
            |ui| {
                chip(ui, tone, &phase);
                ui.add(egui::Label::new(name).truncate());
            },
            |ui| {
                if !is_gone && !state.run_pending {
                    buttons_ui(ui, run, view, actions);
                }
            },
        );
        let now = host::seconds();
        let mut facts = vec![words::step_of(run.step(), run.n_steps())];
        facts.extend(run.latest("epoch").map(words::epoch));
        facts.push(words::elapsed(run.elapsed(now)));
        let running = !is_gone && matches!(run.phase, RunPhase::Running | RunPhase::Pausing | RunPhase::Stopping);
        if running {
            facts.extend(run.eta().map(words::left));
            facts.extend(run.tokens_per_second().map(words::speed));
        }
        tight(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 20.0;
            for fact in facts {
                mono(ui, fact);
            }
            if running && state.on_battery {
                chip(ui, Tone::Neutral, text::ON_BATTERY);
            }
        });
        progress_bar(ui, words::PROGRESS, Some(run.fraction()));
        // Evaluations, samples and saves between the steps; what comes before the first has a card of its own.
        if let (Some((phase, progress)), true) = (&run.progress, running) {
            small(ui, text::work(*phase, progress));
        }
        if running {
            ui.ctx().request_repaint_after_secs(1.0);
        }
    });
}

/// How the run stands, in a word or two.
fn standing(run: &RunState) -> (Tone, String) {
    let (tone, word) = match &run.phase {
        RunPhase::Preparing => (Tone::Accent, words::PREPARING),
        RunPhase::Running => (Tone::Accent, words::TRAINING),
        RunPhase::Pausing => (Tone::Neutral, words::PAUSING),
        RunPhase::Stopping => (Tone::Neutral, words::STOPPING),
        RunPhase::Paused => (Tone::Neutral, words::status(Status::Paused)),
        RunPhase::Finished(_) if run.info.record.status == Status::Stopped => {
            (Tone::Good, words::status(Status::Stopped))
        }
        RunPhase::Finished(_) => (Tone::Good, words::FINISHED),
        RunPhase::Failed { failure: Failure::Diverged { .. }, .. } => (Tone::Bad, words::status(Status::Diverged)),
        RunPhase::Failed { .. } => (Tone::Bad, words::status(Status::Failed)),
        RunPhase::Recovering { .. } => (Tone::Warn, words::RECOVERING),
        RunPhase::Opened => (Tone::Neutral, words::status(run.info.record.status)),
    };
    (tone, word.to_owned())
}

/// From right to left.
fn buttons_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let more = |ui: &mut Ui, view: &mut RunView| {
        ui.menu_button(words::MORE, |ui| {
            if ui.button(words::DISCARD).clicked() {
                view.confirm_discard = true;
                ui.close();
            }
        });
    };
    match &run.phase {
        RunPhase::Preparing => {
            if ui.button(words::CANCEL).clicked() {
                send(actions, Command::Cancel);
            }
        }
        RunPhase::Running => {
            more(ui, view);
            if icon_button(ui, Icon::Stop, words::STOP).clicked() {
                send(actions, Command::Stop);
            }
            if icon_button(ui, Icon::Pause, words::PAUSE).clicked() {
                send(actions, Command::Pause);
            }
        }
        // What can be done is beside the countdown.
        RunPhase::Recovering { .. } => more(ui, view),
        RunPhase::Pausing | RunPhase::Stopping => {
            weak(ui, words::FINISHING);
            ui.spinner();
        }
        RunPhase::Paused | RunPhase::Finished(_) | RunPhase::Failed { .. } | RunPhase::Opened => {
            more(ui, view);
            if ui.button(words::CLOSE).clicked() {
                actions.push(Action::CloseRun);
            }
        }
    }
}

/// The shell offers to restart; what matters here is the run.
fn crashed_ui(ui: &mut Ui, run: &RunState) {
    tone_card(ui, Tone::Bad, |ui| {
        heading(ui, words::CRASHED);
        ui.label(words::safe(run.info.record.saved_step()));
    });
}

fn problems_ui(ui: &mut Ui, state: &State, run: &RunState, actions: &mut Vec<Action>) {
    refused_ui(ui, Subject::Run, state.run_problem.as_ref(), actions);
    if let Some(Unsaved { problem, full }) = &run.unsaved {
        problem_card(ui, Tone::Warn, words::not_saved(*full, run.is_active()), problem, |ui| {
            if *full && ui.button(words::FREE_SPACE).clicked() {
                actions.push(Action::Go(Step::Runs));
            }
            if ui.button(words::EXPORT_NOW).clicked() {
                actions.push(Action::Go(Step::Export));
            }
        });
    }
}

fn preparing_ui(ui: &mut Ui, run: &RunState) {
    card(ui, |ui| {
        match &run.progress {
            Some((phase, progress)) => {
                heading(ui, text::phase(*phase));
                progress_bar(ui, text::phase(*phase), fraction(progress));
                small(ui, text::progress(progress, text::phase_unit(*phase)));
            }
            None => {
                heading(ui, words::STARTING);
                progress_bar(ui, words::STARTING, None);
            }
        }
        small(ui, words::FIRST_TIME);
    });
}

fn paused_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(ui, &words::paused(run.step()));
        let saved = run.saved.map(|saved| (text::bytes(saved.bytes), saved.seconds));
        weak(ui, words::paused_text(run.step(), saved, run.unsaved.is_some()));
        ui.horizontal_wrapped(|ui| {
            if primary_button(ui, words::RESUME).clicked() {
                resume(actions, run, Settings::new());
            }
            go_buttons(ui, actions);
        });
        branch_ui(ui, run, view, actions);
    });
}

fn go_buttons(ui: &mut Ui, actions: &mut Vec<Action>) {
    if ui.button(words::COMPARE).clicked() {
        actions.push(Action::Go(Step::Compare));
    }
    if ui.button(words::EXPORT).clicked() {
        actions.push(Action::Go(Step::Export));
    }
}

/// Other settings to go on with.
fn branch_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let record = &run.info.record;
    let before = Branch::of(record);
    egui::CollapsingHeader::new(words::BRANCH).id_salt("branch").show_unindented(ui, |ui| {
        let mut branch = view.branch.unwrap_or(before);
        weak(ui, words::BRANCH_TEXT);
        if is_over(record) {
            weak(ui, words::BRANCH_MORE);
        }
        ui.horizontal_wrapped(|ui| {
            if has_setting(record, "beta") {
                let label = ui.label(words::BETA).id;
                let field = DragValue::new(&mut branch.beta).range(0.001..=5.0).speed(0.005).max_decimals(4);
                ui.add(field).labelled_by(label);
                ui.add_space(GRID);
            }
            let label = ui.label(words::RATE).id;
            let field = DragValue::new(&mut branch.learning_rate).range(1e-9..=1e-1).speed(1e-7);
            ui.add(field.custom_formatter(|value, _| format!("{value:.1e}"))).labelled_by(label);
            ui.add_space(GRID);
            length_ui(ui, &mut branch.length);
            ui.add_space(GRID);
            let changes = branch.changes(before);
            if ui.add_enabled(!changes.is_empty(), egui::Button::new(words::BRANCH_GO)).clicked() {
                resume(actions, run, changes);
            }
        });
        view.branch = Some(branch);
    });
}

/// How long a branch is, in what counts.
fn length_ui(ui: &mut Ui, length: &mut Length) {
    let (name, field) = match length {
        Length::Steps(steps) => (words::N_STEPS, DragValue::new(steps).range(1..=1_u64 << 40)),
        Length::Epochs(epochs) => {
            (words::EPOCHS, DragValue::new(epochs).range(0.1..=100.0).speed(0.05).max_decimals(2))
        }
    };
    let label = ui.label(name).id;
    ui.add(field).labelled_by(label);
}

fn summary_ui(ui: &mut Ui, run: &RunState, summary: &Summary, view: &mut RunView, actions: &mut Vec<Action>) {
    let record = &summary.record;
    let (tone, title, comment) = words::verdict(summary);
    tone_card(ui, tone, |ui| {
        ui.horizontal(|ui| {
            icon(ui, if tone == Tone::Warn { Icon::Warning } else { Icon::Check }, tone);
            heading(ui, title);
        });
        if !comment.is_empty() {
            ui.label(comment);
        }
        let mut facts = Vec::new();
        if let (Some(before), Some(after)) = (&summary.before, &summary.after) {
            facts.push((words::WON, words::before_and_after(before, after)));
        }
        facts.extend(record.best_step.map(|step| (words::BEST_STEP, step.to_string())));
        facts.push((words::TIME, text::duration(record.seconds)));
        let (planned, used) = (text::bytes(summary.planned_bytes), text::bytes(summary.device_bytes));
        facts.push((words::MEMORY, words::planned_and_used(&planned, &used)));
        for (name, value) in facts {
            tight(ui, |ui| {
                weak(ui, name);
                mono(ui, value);
            });
        }
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| {
            if primary_button(ui, words::COMPARE).clicked() {
                actions.push(Action::Go(Step::Compare));
            }
            if ui.button(words::EXPORT).clicked() {
                actions.push(Action::Go(Step::Export));
            }
            if ui.button(words::TRAIN_MORE).clicked() {
                train_more(record, actions);
            }
        });
        if record.checkpoint.is_some() {
            branch_ui(ui, run, view, actions);
        }
    });
}

/// As many steps again, from the checkpoint if there is one, or else from the plan.
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

fn failed_ui(
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
                heading(ui, &words::diverged(*step));
                ui.label(words::diverged_text(what, safe));
                ui.horizontal_wrapped(|ui| {
                    if safe.is_some() && primary_button(ui, words::LOWER_RATE).clicked() {
                        resume(actions, run, lower_rate(&run.info.record));
                    }
                    let label = if view.show_batch { words::HIDE_BATCH } else { words::SHOW_BATCH };
                    if !pairs.is_empty() && ui.button(label).clicked() {
                        view.show_batch = !view.show_batch;
                    }
                    if ui.button(words::KEEP_ANYWAY).clicked() {
                        send(actions, Command::OpenRun { run_id: run.info.record.run_id.clone() });
                    }
                });
                if view.show_batch {
                    batch_ui(ui, state, pairs, actions);
                }
            });
            let loss = run.series("loss");
            card(ui, |ui| {
                let at = *step as f64;
                let mark = Mark { step: at, text: words::diverged(*step) };
                Chart::new(words::LOSS, words::LOSS_HELP)
                    .line(Series::new(words::TRAIN, loss, Hue::First))
                    .marks(vec![mark])
                    .view(Some([(at - BEFORE_BREAK).max(0.0), at + 1.0]))
                    .show(ui);
            });
        }
        Failure::OutOfMemory { problem, fixes } => {
            tone_card(ui, Tone::Bad, |ui| {
                heading(ui, words::OUT_OF_MEMORY);
                problem_text(ui, problem);
                ui.label(words::safe(safe));
                for (i, fix) in fixes.iter().enumerate() {
                    fix_ui(ui, run, fix, i == 0, actions);
                }
                ui.horizontal_wrapped(|ui| {
                    if safe.is_some() && ui.button(words::FROM_CHECKPOINT).clicked() {
                        resume(actions, run, Settings::new());
                    }
                    if ui.button(words::PLAN_ANEW).clicked() {
                        let RunRecord { settings, inputs, watch, name, .. } = run.info.record.clone();
                        actions.push(Action::UseSettings { settings, inputs, watch, name });
                    }
                });
            });
        }
        Failure::DeviceLost { problem } => {
            lost_ui(ui, run, words::DEVICE_LOST, problem, safe, actions);
        }
        Failure::Other { problem } => lost_ui(ui, run, words::FAILED, problem, safe, actions),
    }
}

fn lower_rate(record: &RunRecord) -> Settings {
    let rate = setting(record, "learning_rate").unwrap_or(1e-6) / 3.0;
    // Two digits are enough, and easier to read.
    changed("learning_rate", json!(format!("{rate:.1e}").parse().unwrap_or(rate)))
}

fn fix_ui(ui: &mut Ui, run: &RunState, fix: &Fix, best: bool, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        let button = if best { primary_button(ui, &fix.label) } else { ui.button(&fix.label) };
        if button.clicked() {
            resume(actions, run, fix.settings.clone());
        }
        if fix.saves > 0 {
            small(ui, words::saves(&text::bytes(fix.saves)));
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
        ui.label(RichText::new(words::safe(safe)).strong());
        problem_text(ui, problem);
        ui.horizontal_wrapped(|ui| {
            restart_buttons(ui, run, actions);
            if ui.button(words::GIVE_UP).clicked() {
                actions.push(Action::CloseRun);
            }
        });
    });
}

fn restart_buttons(ui: &mut Ui, run: &RunState, actions: &mut Vec<Action>) {
    if primary_button(ui, words::RESTART).clicked() {
        resume(actions, run, Settings::new());
    }
    if let Some(smaller) = smaller_steps(&run.info.record)
        && ui.button(words::SMALLER).clicked()
    {
        resume(actions, run, smaller);
    }
}

/// The same batches, one pair at a time; none if that is so already.
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
            let Some(row) = state.pairs.rows.get(index) else { return drop(small(ui, words::ROW_GONE)) };
            let shown = [&row.prompt, &row.chosen, &row.rejected];
            let is_cut = shown.iter().zip(row.chars).any(|(text, chars)| text.chars().count() < chars);
            let whole = state.pairs.view(index);
            let [prompt, chosen, rejected] = whole.map_or(shown, |pair| pair.texts.each_ref());
            small(ui, words::line(row.line));
            ui.add(egui::Label::new(RichText::new(prompt).strong()).wrap());
            side_ui(ui, Hue::First, words::CHOSEN, chosen);
            side_ui(ui, Hue::Second, words::REJECTED, rejected);
            if is_cut && whole.is_none() {
                let link = link_button(ui, words::WHOLE);
                name_of(ui, &link, &words::whole_of(row.line));
                if link.clicked() {
                    send(actions, Command::ReadPair { index, max_length: state.plan.max_length() });
                }
            }
        });
    }
}

/// An answer with the name of its side.
pub(super) fn side_ui(ui: &mut Ui, hue: Hue, name: &str, answer: &str) {
    tight(ui, |ui| {
        ui.label(RichText::new(name).small().strong().color(hue.color(ui)));
        ui.add(egui::Label::new(answer).wrap());
    });
}

/// Counts down to when the run is continued by itself.
fn recovering_ui(
    ui: &mut Ui,
    run: &RunState,
    failure: &Failure,
    safe: Option<usize>,
    until: f64,
    actions: &mut Vec<Action>,
) {
    tone_card(ui, Tone::Warn, |ui| {
        heading(ui, &text::failed(failure));
        ui.label(RichText::new(words::safe(safe)).strong());
        ui.label(words::recovering(until - host::seconds()));
        ui.horizontal_wrapped(|ui| {
            restart_buttons(ui, run, actions);
            if ui.button(words::GIVE_UP).clicked() {
                send(actions, Command::Stop);
            }
        });
        ui.ctx().request_repaint_after_secs(0.5);
    });
}

fn opened_ui(ui: &mut Ui, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let record = &run.info.record;
    card(ui, |ui| {
        let saved = record.checkpoint.is_some();
        ui.horizontal_wrapped(|ui| {
            if !is_over(record) && primary_button(ui, words::go_on(record)).clicked() {
                send(actions, continued(record));
            }
            if saved {
                go_buttons(ui, actions);
            }
            if record.status == Status::Finished && ui.button(words::TRAIN_MORE).clicked() {
                train_more(record, actions);
            }
        });
        if saved {
            branch_ui(ui, run, view, actions);
        }
    });
}

fn warnings_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let shown = run.warnings.iter().enumerate().filter(|(_, warning)| !warning.dismissed);
    let most = if view.all_warnings { usize::MAX } else { WARNINGS };
    let hidden = shown.clone().count().saturating_sub(most);
    for (i, warning) in shown.rev().take(most) {
        let warning = &warning.warning;
        tone_card(ui, Tone::Warn, |ui| {
            ui.horizontal_top(|ui| {
                icon(ui, Icon::Warning, Tone::Warn);
                ui.vertical(|ui| {
                    ui.add(egui::Label::new(words::warning(warning.step, &warning.text)).wrap());
                    ui.horizontal_wrapped(|ui| {
                        let label = words::offer(warning.action, run.info.record.watch.keep_best);
                        let offered = !label.is_empty() && is_possible(warning, state, run);
                        if offered && ui.button(label).clicked() {
                            act_on(warning, run, view, actions);
                        }
                        if link_button(ui, words::DISMISS).clicked() {
                            actions.push(Action::DismissWarning(i));
                        }
                    });
                });
            });
        });
    }
    if hidden > 0 && link_button(ui, &words::more_warnings(hidden)).clicked() {
        view.all_warnings = true;
    }
}

/// True if what a warning offers can be done now.
fn is_possible(warning: &Warning, state: &State, run: &RunState) -> bool {
    let steps = matches!(run.phase, RunPhase::Running);
    let rests = run.info.record.checkpoint.is_some() || matches!(run.phase, RunPhase::Paused);
    match warning.action {
        _ if state.run_pending => false,
        Offer::None => false,
        Offer::StopAtBest => steps,
        Offer::LowerLearningRate | Offer::AddSft => steps || (!run.is_active() && rests),
        Offer::InspectPairs => state.pairs.info.is_some(),
        Offer::HoldOutMore | Offer::RaiseMaxLength => true,
    }
}

fn act_on(warning: &Warning, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    match warning.action {
        Offer::None => {}
        Offer::StopAtBest => send(actions, Command::Stop),
        Offer::InspectPairs => actions.push(Action::Go(Step::Pairs)),
        Offer::HoldOutMore => actions.push(Action::GoToField("eval_split")),
        Offer::RaiseMaxLength => actions.push(Action::GoToField("max_length")),
        Offer::LowerLearningRate => go_on_with(lower_rate(&run.info.record), run, view, actions),
        Offer::AddSft => go_on_with(with_sft(&run.info.record), run, view, actions),
    }
}

/// Continues with other settings, after a pause if steps are being taken.
fn go_on_with(settings: Settings, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    if run.is_active() {
        view.when_paused = Some(settings);
        send(actions, Command::Pause);
        actions.push(Action::Toast(words::LOWERING.to_owned()));
    } else {
        resume(actions, run, settings);
    }
}

/// The losses of a run with a tenth of plain learning of the chosen answers.
fn with_sft(record: &RunRecord) -> Settings {
    let mut losses = match record.settings.get("loss_type") {
        Some(Value::Array(losses)) => losses.clone(),
        Some(loss @ Value::String(_)) => vec![loss.clone()],
        _ => vec![json!("sigmoid")],
    };
    let mut weights = match record.settings.get("loss_weights") {
        Some(Value::Array(weights)) => weights.clone(),
        _ => vec![json!(1.0); losses.len()],
    };
    losses.push(json!("sft"));
    weights.push(json!(0.1));
    let mut settings = changed("loss_type", Value::Array(losses));
    settings.insert("loss_weights".to_owned(), Value::Array(weights));
    settings
}

/// The three figures that decide.
fn figures_ui(ui: &mut Ui, run: &RunState, view: &mut RunView) {
    let smoothing = view.smoothing.unwrap_or(SMOOTHING);
    let figures = &methods::row(method_of(&run.info.record.settings)).figures;
    let figure = |figure: &'static Figure| {
        move |ui: &mut Ui| {
            card(ui, |ui| {
                let bottom = ui.cursor().top() + FIGURE_HEIGHT;
                ui.set_min_height(FIGURE_HEIGHT);
                figure_ui(ui, run, figure, smoothing, bottom);
            });
        }
    };
    let [mut first, mut second, mut third] = figures.each_ref().map(figure);
    columns(ui, 300.0, &mut [&mut first, &mut second, &mut third]);
}

fn figure_ui(ui: &mut Ui, run: &RunState, figure: &Figure, smoothing: f64, bottom: f32) {
    let hues = [Hue::First, Hue::Second, Hue::Third];
    match figure {
        Figure::Won => won_ui(ui, run, end(run), bottom),
        Figure::Change => {
            let beta = beta(&run.info.record);
            let over_beta = |name| -> Vec<[f64; 2]> { run.series(name).iter().map(|[x, y]| [*x, y / beta]).collect() };
            let (chosen, rejected) = (over_beta("rewards/chosen"), over_beta("rewards/rejected"));
            Chart::new(words::CHANGE, words::CHANGE_HELP)
                .line(Series::new(words::CHOSEN, &chosen, Hue::First).smoothed(smoothing))
                .line(Series::new(words::REJECTED, &rejected, Hue::Second).smoothed(smoothing))
                .marks(marks(run))
                .until(end(run))
                .down_to(bottom)
                .show(ui);
        }
        Figure::Lines { title, help, lines } => {
            let evaluations: Vec<_> = lines.iter().map(|(_, metric)| run.eval_series(metric)).collect();
            let mut chart = Chart::new(title, help).marks(marks(run)).until(end(run)).down_to(bottom);
            for (((name, metric), held_out), hue) in lines.iter().zip(&evaluations).zip(hues) {
                chart = match held_out.as_slice() {
                    [] => chart.line(Series::new(*name, run.series(metric), hue).smoothed(smoothing)),
                    points => chart.line(Series::new(*name, points, Hue::Third).dashed()),
                };
            }
            chart.show(ui);
        }
    }
}

/// Where charts end: at the last step, unless the run is over and ended before.
fn end(run: &RunState) -> usize {
    let is_over = match run.phase {
        RunPhase::Finished(_) => true,
        RunPhase::Opened => matches!(run.info.record.status, Status::Finished | Status::Stopped),
        _ => false,
    };
    if is_over { run.step() } else { run.n_steps() }
}

/// What was noticed, and the step that broke the run.
fn marks(run: &RunState) -> Vec<Mark> {
    let shown = run.warnings.iter().filter(|warning| !warning.dismissed && warning.warning.step > 0);
    let mark = |warning: &Warning| Mark { step: warning.step as f64, text: warning.text.clone() };
    let broken = match &run.phase {
        RunPhase::Failed { failure: Failure::Diverged { step, .. }, .. } => {
            Some(Mark { step: *step as f64, text: words::diverged(*step) })
        }
        _ => None,
    };
    shown.map(|warning| mark(&warning.warning)).chain(broken).collect()
}

fn won_ui(ui: &mut Ui, run: &RunState, end: usize, bottom: f32) {
    let record = &run.info.record;
    ui.label(RichText::new(words::WON).strong()).on_hover_text(words::WON_HELP);
    if record.n_held_out == 0 {
        weak(ui, words::NO_HELD_OUT);
        return;
    }
    let Some([before, now]) = record.won else {
        weak(ui, words::NOT_SCORED);
        return;
    };
    let n = record.n_held_out;
    let interval_of = |share: f64| stats::wilson_interval((share * n as f64).round() as u64, n as u64);
    let interval = interval_of(now);
    // There is no change to show before a second evaluation.
    let is_first = run.evaluations.len() == 1;
    tight(ui, |ui| {
        let palette = theme::palette(ui);
        if !is_first {
            ui.label(RichText::new(text::percent(before)).text_style(theme::figure()).color(palette.weak));
            arrow(ui, palette.weak);
        }
        ui.label(RichText::new(text::percent(now)).text_style(theme::figure()).strong());
    });
    small(ui, words::of_pairs(n, interval));
    if n < FEW_HELD_OUT {
        small(ui, words::few(n));
    }
    let point = |metrics| Some([step_of(metrics) as f64, accuracy_of(metrics)?]);
    let points: Vec<[f64; 2]> = run.evaluations.iter().filter_map(point).collect();
    let band = points.iter().map(|[_, share]| interval_of(*share)).collect();
    let chart = Chart::new(words::WON, words::WON_HELP)
        .untitled()
        .unit(Unit::Percent)
        .line(Series::new(words::HELD_OUT, &points, Hue::First).within(band))
        .level(words::LONGER, Hue::Second, record.longer_wins)
        .marks(marks(run))
        .until(end)
        .down_to(bottom);
    let chart = if is_first { chart } else { chart.level(words::BEFORE, Hue::Quiet, before) };
    let chart = match record.likelier_wins {
        Some(share) => chart.level(words::LIKELIER, Hue::Third, share),
        None => chart,
    };
    chart.show(ui);
}

/// An arrow between two figures, drawn because not every font has one.
fn arrow(ui: &mut Ui, color: egui::Color32) {
    let size = egui::vec2(22.0, ui.text_style_height(&theme::figure()));
    let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
    let from = rect.left_center() + egui::vec2(1.0, 2.0);
    ui.painter().arrow(from, egui::vec2(rect.width() - 3.0, 0.0), egui::Stroke::new(2.0, color));
}

/// What the model says to the watched prompts.
fn samples_ui(ui: &mut Ui, run: &RunState, view: &mut RunView) {
    let (Some((first, before)), Some(last)) = (run.samples.first(), run.samples.len().checked_sub(1)) else { return };
    card(ui, |ui| {
        let mut index = view.sample.unwrap_or(last).min(last);
        ui.horizontal_wrapped(|ui| {
            heading(ui, words::PROMPTS).on_hover_text(words::PROMPTS_HELP);
            if last > 0 {
                ui.add_space(GRID);
                let label = ui.label(RichText::new(words::SAMPLE_STEP).small()).id;
                let step_at = |i: f64| run.samples.get(i as usize).map_or(0, |(step, _)| *step);
                let steps = Slider::new(&mut index, 0..=last).step_by(1.0);
                let steps =
                    steps.custom_formatter(move |i, _| step_at(i).to_string()).clamping(egui::SliderClamping::Always);
                if slider(ui, steps).labelled_by(label).changed() {
                    view.sample = (index < last).then_some(index);
                }
                if view.sample.is_some() && link_button(ui, words::LATEST).clicked() {
                    view.sample = None;
                }
            }
        });
        let Some((step, texts)) = run.samples.get(index) else { return };
        for (i, prompt) in run.info.prompts.iter().enumerate().take(PROMPTS) {
            ui.add(egui::Label::new(RichText::new(prompt).strong()).wrap());
            let [base, now] = [before, texts].map(|texts| texts.get(i).map_or("", |text| text.trim()));
            let [left, right] = diff::words(base, now);
            let side = |ui: &mut Ui, title: String, answer: &str, pieces: &[Piece<'_>], tuned: bool| {
                small(ui, title);
                text_box(ui, |ui| answer_ui(ui, answer, pieces, tuned));
            };
            if step == first {
                side(ui, words::before_at(*first), base, &[], false);
                continue;
            }
            columns(
                ui,
                320.0,
                &mut [
                    &mut |ui| {
                        ui.vertical(|ui| side(ui, words::before_at(*first), base, &left, false));
                    },
                    &mut |ui| {
                        ui.vertical(|ui| side(ui, words::now_at(*step), now, &right, true));
                    },
                ],
            );
        }
    });
}

/// The curves that one looks at when something is odd.
fn curves_ui(ui: &mut Ui, run: &RunState, view: &mut RunView) {
    let smoothing = view.smoothing.unwrap_or(SMOOTHING);
    let end = end(run);
    card(ui, |ui| {
        let chart = |ui: &mut Ui, title: &str, body: &dyn Fn(&mut Ui)| {
            egui::CollapsingHeader::new(title).id_salt(("curve", title)).show_unindented(ui, |ui| body(ui));
        };
        chart(ui, words::LOSS, &|ui| {
            let (train, held_out) = (run.series("loss"), run.eval_series("eval_loss"));
            let chart = Chart::new(words::LOSS, words::LOSS_HELP)
                .untitled()
                .line(Series::new(words::TRAIN, train, Hue::First).smoothed(smoothing))
                .line(Series::new(words::HELD_OUT, &held_out, Hue::Third).dashed())
                .marks(marks(run))
                .until(end);
            let usual = run
                .info
                .record
                .settings
                .get("loss_type")
                .is_none_or(|loss| *loss == json!("sigmoid") || *loss == json!(["sigmoid"]));
            let level = std::f64::consts::LN_2;
            let chart = if usual { chart.level(words::AT_START, Hue::Quiet, level) } else { chart };
            chart.show(ui);
        });
        chart(ui, words::LEARNING_RATE, &|ui| {
            let rate = run.series("learning_rate");
            Chart::new(words::LEARNING_RATE, "")
                .untitled()
                .line(Series::new(words::LEARNING_RATE, rate, Hue::First))
                .unit(Unit::Small)
                .until(end)
                .show(ui);
        });
        chart(ui, words::GRADIENT, &|ui| {
            let norm = run.series("grad_norm");
            Chart::new(words::GRADIENT, words::GRADIENT_HELP)
                .untitled()
                .line(Series::new(words::TRAIN, norm, Hue::First).smoothed(smoothing))
                .marks(marks(run))
                .until(end)
                .show(ui);
        });
        chart(ui, words::SPEED, &|ui| {
            Chart::new(words::STEP_TIME, "")
                .untitled()
                .line(Series::new(words::STEP_TIME, &run.step_seconds, Hue::First))
                .unit(Unit::Seconds)
                .until(end)
                .show(ui);
            let (planned, used) = (run.info.planned_bytes, run.info.device_bytes);
            if planned > 0 {
                key_value(ui, words::PLANNED, text::bytes(planned));
            }
            if used > 0 {
                key_value(ui, words::USED, text::bytes(used));
            }
        });
        ui.horizontal(|ui| {
            let mut weight = smoothing;
            let label = ui.label(RichText::new(words::SMOOTHING).small()).id;
            if slider(ui, Slider::new(&mut weight, 0.0..=0.99).max_decimals(2)).labelled_by(label).changed() {
                view.smoothing = Some(weight);
            }
        });
    });
}

fn footer_ui(ui: &mut Ui, run: &RunState) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 24.0;
        let record = &run.info.record;
        if let Some(step) = record.best_step {
            small(ui, words::best(step, record.watch.keep_best));
        }
        if let Some(saved) = run.saved {
            let ago = host::seconds() - saved.at;
            small(ui, words::saved(saved.step, &text::bytes(saved.bytes), saved.seconds, ago));
        }
    });
}

/// Asks whether to throw a run away; true until there is an answer.
pub(super) fn discard_ui(ui: &mut Ui, run_id: &str, actions: &mut Vec<Action>) -> bool {
    let frame = egui::Frame::popup(ui.style()).inner_margin(20.0);
    let modal = Modal::new(Id::unique("discard run")).frame(frame).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        heading(ui, words::DISCARD_TITLE);
        ui.label(words::DISCARD_TEXT);
        ui.horizontal(|ui| {
            if danger_button(ui, words::DISCARD_YES).clicked() {
                send(actions, Command::Discard { run_id: run_id.to_owned() });
                ui.close();
            }
            if ui.button(words::DISCARD_NO).clicked() {
                ui.close();
            }
        });
    });
    !modal.should_close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_names_only_what_changed() {
        let before = Branch { beta: 0.1, learning_rate: 5e-5, length: Length::Epochs(1.0) };
        assert!(before.changes(before).is_empty(), "nothing changed");
        let after = Branch { beta: 0.3, ..before };
        assert_eq!(after.changes(before), changed("beta", json!(0.3)));
        let longer = Branch { length: Length::Steps(40).twice(), ..before };
        assert_eq!(longer.changes(before), changed("max_steps", json!(80)));
    }
}
