//! The card for the run's name, evaluations and sample prompts.

use eframe::egui::{self, Ui};

use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::theme::GRID;
use crate::app::widgets;

/// Draws the run's name, evaluations and sample prompts.
pub(super) fn watch_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::WATCH, |ui| {
        let mut watch = state.plan.watch.clone();
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(text::RUN_NAME);
            let mut name = state.plan.name.clone();
            let edit = egui::TextEdit::singleline(&mut name).desired_width(220.0);
            if ui.add(edit).labelled_by(label.id).changed() {
                actions.push(Action::EditName(name));
            }
            ui.add_space(GRID);
            let label = ui.label(text::EVAL_EVERY);
            let every = egui::DragValue::new(&mut watch.eval_steps).range(0..=100_000);
            ui.add(every).labelled_by(label.id).on_hover_text(text::EVAL_EVERY_HELP);
            ui.label(text::EVAL_STEPS);
            let label = ui.label(text::EVAL_PAIRS);
            let most = egui::DragValue::new(&mut watch.max_eval_pairs).range(0..=100_000);
            let most = most.custom_formatter(|most, _| text::most_pairs(most as usize));
            ui.add(most.custom_parser(text::as_most_pairs)).labelled_by(label.id).on_hover_text(text::EVAL_PAIRS_HELP);
            ui.add_space(GRID);
            ui.checkbox(&mut watch.keep_best, text::KEEP_BEST).on_hover_text(text::KEEP_BEST_HELP);
        });
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(text::PATIENCE);
            let patience = egui::DragValue::new(&mut watch.patience).range(0..=1000);
            let patience = patience.custom_formatter(|patience, _| text::patience(patience as usize));
            let patience = ui.add(patience.custom_parser(text::as_patience)).labelled_by(label.id);
            patience.on_hover_text(text::PATIENCE_HELP);
        });
        if let Some(plan) = state.plan_info() {
            let (some, all) = (state.plan.evaluated(plan), plan.held_out.len());
            if some < all {
                widgets::weak(ui, text::some_pairs(some, all));
            }
        }
        let mut samples = !watch.no_samples;
        ui.checkbox(&mut samples, text::SAMPLE_PROMPTS).on_hover_text(text::SAMPLE_PROMPTS_HELP);
        watch.no_samples = !samples;
        if samples {
            widgets::prompts_ui(ui, text::SAMPLE_PROMPT, &mut watch.prompts);
        }
        if watch != state.plan.watch {
            actions.push(Action::EditWatch(watch));
        }
    });
}
