//! Warnings about a run, each with its offer.

use eframe::egui::{self, Sides, Ui};
use serde_json::{Value, json};

use super::page::{RunView, resume};
use super::text;
use crate::app::actions::{Action, Step, send};
use crate::app::records::{changed, lower_rate};
use crate::app::state::{RunPhase, RunState, State};
use crate::app::text::run;
use crate::app::widgets::{Icon, Tone, icon, link_button, row_button, tone_card};
use crate::engine::protocol::{Command, RunCommand, RunRecord, Settings};
use crate::engine::run::warnings::{Action as Offer, Warning};

/// Number of warnings shown at a time.
const WARNINGS: usize = 3;
/// Least height of a warning.
const ROW: f32 = 26.0;

/// Draws the warnings, the latest first, a row for each; all but the latest three are folded away.
pub(super) fn warnings_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut RunView, actions: &mut Vec<Action>) {
    let shown = run.warnings.iter().enumerate().filter(|(_, warning)| !warning.dismissed);
    let shown: Vec<(usize, &Warning)> = shown.map(|(i, warning)| (i, &warning.warning)).rev().collect();
    if shown.is_empty() {
        return;
    }
    let hidden = shown.len().saturating_sub(WARNINGS);
    let most = if view.all_warnings { shown.len() } else { WARNINGS };
    tone_card(ui, Tone::Warn, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        for warning in shown.into_iter().take(most) {
            warning_ui(ui, state, run, warning, view, actions);
        }
        let fold = if view.all_warnings { text::FEWER_WARNINGS.to_owned() } else { text::more_warnings(hidden) };
        if hidden > 0 && link_button(ui, &fold).clicked() {
            view.all_warnings = !view.all_warnings;
        }
    });
}

/// Draws a warning, with its offer at the right.
fn warning_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    (i, warning): (usize, &Warning),
    view: &mut RunView,
    actions: &mut Vec<Action>,
) {
    let left = |ui: &mut Ui| {
        icon(ui, Icon::Warning, Tone::Warn);
        ui.add(egui::Label::new(run::warning(warning.step, &warning.text)).wrap());
    };
    let right = |ui: &mut Ui| {
        if link_button(ui, run::DISMISS).clicked() {
            actions.push(Action::DismissWarning(i));
        }
        let label = warning.action.label();
        let offered = !label.is_empty() && is_possible(warning, state, run);
        if offered && row_button(ui, label).clicked() {
            act_on(warning, run, view, actions);
        }
    };
    Sides::new().height(ROW).shrink_left().wrap().show(ui, left, right);
}

/// True if the offer of a warning can be taken now.
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
        Offer::StopAtBest => send(actions, Command::Run(RunCommand::Stop)),
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
        send(actions, Command::Run(RunCommand::Pause));
        actions.push(Action::Toast(text::LOWERING.to_owned()));
    } else {
        resume(actions, run, settings);
    }
}

/// Adds an SFT loss on the chosen answers, with weight 0.1, to the losses of a run.
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
