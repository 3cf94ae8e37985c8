//! Training of the next run: the method, its starting point, and the rewards that judge its answers.

use eframe::egui::{self, Ui};

use super::text;
use crate::app::actions::Action;
use crate::app::methods;
use crate::app::state::State;
use crate::app::theme::GRID;
use crate::app::widgets::{self, Tone, refused_ui};
use crate::engine::protocol::{Inputs, Method, RULES, Rule, RunRecord, Subject};
use crate::platform::Pick;

/// State of these cards.
#[derive(Debug, Default)]
pub(super) struct MethodView {
    /// The rule typed so far.
    rule: String,
}

/// Draws the choice of the method, and of the run that it starts from.
pub(super) fn method_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let method = state.plan.method();
    let kind = state.pairs.info.as_ref().map(|pairs| pairs.kind);
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::heading(ui, text::METHOD);
            for other in methods::serving(kind) {
                let row = methods::row(*other);
                let response = ui.selectable_label(*other == method, row.label).on_hover_text(row.purpose);
                if response.clicked() && *other != method {
                    actions.push(Action::ChooseMethod(*other));
                }
            }
        });
        widgets::weak(ui, methods::row(method).purpose);
        start_from_ui(ui, state, actions);
    });
}

/// Draws the choice of the run that the next one starts from.
fn start_from_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let inputs = &state.plan.inputs;
    // A reward model may start from a model that writes. The reverse would leave nothing that can write.
    let scores = state.plan.method() == Method::Reward;
    let runs: Vec<&RunRecord> = state.tuned_runs(false).chain(state.tuned_runs(true).filter(|_| scores)).collect();
    let mut chosen = inputs.start_from.clone();
    ui.horizontal_wrapped(|ui| {
        ui.label(text::START_FROM);
        let run = |run_id: &String| runs.iter().find(|run| run.run_id == *run_id).map(|run| run.name.clone());
        let now = chosen.as_ref().map_or(text::BASE_MODEL.to_owned(), |id| run(id).unwrap_or_else(|| id.clone()));
        let combo = egui::ComboBox::from_id_salt("start from").selected_text(now).show_ui(ui, |ui| {
            ui.selectable_value(&mut chosen, None, text::BASE_MODEL);
            for run in &runs {
                ui.selectable_value(&mut chosen, Some(run.run_id.clone()), &run.name);
            }
        });
        widgets::name_of(ui, &combo.response, text::START_FROM);
        if ui.button(text::ADD_ADAPTER).on_hover_text(text::ADD_ADAPTER_NOTE).clicked() {
            actions.push(Action::Pick(Pick::Adapter));
        }
    });
    refused_ui(ui, Subject::Runs, state.runs_problem.as_ref(), actions);
    if chosen != inputs.start_from {
        actions.push(Action::EditInputs(Inputs { start_from: chosen, ..inputs.clone() }));
    }
}

/// Draws the choice of the rewards that judge answers: reward models that were trained here, and rules.
pub(super) fn rewards_ui(ui: &mut Ui, state: &State, view: &mut MethodView, actions: &mut Vec<Action>) {
    if !state.plan.method().is_online() {
        return;
    }
    let mut rewards = state.plan.inputs.rewards.clone();
    widgets::titled_card(ui, text::REWARDS, |ui| {
        widgets::weak(ui, text::REWARDS_NOTE);
        let mut any = false;
        for run in state.tuned_runs(true) {
            any = true;
            let reward = Inputs::run_reward(&run.run_id);
            let mut chosen = rewards.contains(&reward);
            if ui.checkbox(&mut chosen, &run.name).changed() {
                rewards.retain(|other| *other != reward);
                rewards.extend(chosen.then_some(reward));
            }
        }
        if !any {
            widgets::marked(ui, Tone::Neutral, text::NO_REWARD_MODELS);
        }
        if ui.button(text::ADD_REWARD_MODEL).on_hover_text(text::ADD_ADAPTER_NOTE).clicked() {
            actions.push(Action::Pick(Pick::Adapter));
        }
        rules_ui(ui, view, &mut rewards);
    });
    if rewards != state.plan.inputs.rewards {
        actions.push(Action::EditInputs(Inputs { rewards, ..state.plan.inputs.clone() }));
    }
}

/// Draws the chosen rules, and a field for another one.
fn rules_ui(ui: &mut Ui, view: &mut MethodView, rewards: &mut Vec<String>) {
    let mut removed = None;
    for (at, rule) in rewards.iter().enumerate().filter(|(_, reward)| !Inputs::is_run(reward)) {
        ui.horizontal(|ui| {
            widgets::mono(ui, rule);
            let button = widgets::link_button(ui, text::REMOVE);
            widgets::name_of(ui, &button, &text::remove_rule(rule));
            removed = if button.clicked() { Some(at) } else { removed };
        });
    }
    if let Some(at) = removed {
        rewards.remove(at);
    }
    let parsed = view.rule.trim().parse::<Rule>();
    ui.horizontal(|ui| {
        let label = ui.label(text::REWARD_RULE);
        let field = egui::TextEdit::singleline(&mut view.rule).hint_text(RULES).desired_width(420.0);
        let response = ui.add(field).labelled_by(label.id);
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let add = ui.add_enabled(parsed.is_ok(), egui::Button::new(text::ADD_RULE)).clicked();
        if let (Ok(rule), true) = (&parsed, add || entered) {
            rewards.push(rule.to_string());
            view.rule.clear();
        }
    });
    if let (Err(wrong), false) = (&parsed, view.rule.trim().is_empty()) {
        ui.add_space(GRID / 2.0);
        widgets::marked(ui, Tone::Bad, wrong);
    }
}
