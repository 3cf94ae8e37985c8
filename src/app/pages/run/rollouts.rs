//! The answers that a run writes while it is trained: side by side for each prompt, with their rewards.

use eframe::egui::{self, RichText, Slider, Ui};

use super::text;
use crate::app::state::{Rollouts, RunState};
use crate::app::text::units;
use crate::app::widgets::{Tone, card, chip, columns, heading, link_button, mono, slider, text_box};
use crate::engine::protocol::Answered;

/// Maximum number of answers shown for a prompt.
const ANSWERS: usize = 8;
/// Maximum number of prompts shown for a step.
const PROMPTS: usize = 4;

/// Draws the answers of a step, the latest unless another was chosen.
pub(super) fn rollouts_ui(ui: &mut Ui, run: &RunState, chosen: &mut Option<usize>) {
    let Some(last) = run.rollouts.len().checked_sub(1) else { return };
    let mut index = chosen.map_or(last, |step| run.rollouts.partition_point(|rollouts| rollouts.step < step)).min(last);
    card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            heading(ui, text::ROLLOUTS).on_hover_text(text::ROLLOUTS_HELP);
            if last > 0 {
                let label = ui.label(RichText::new(text::ROLLOUTS_STEP).small()).id;
                let steps: Vec<usize> = run.rollouts.iter().map(|rollouts| rollouts.step).collect();
                let shown = move |i: f64, _| steps.get(i as usize).copied().unwrap_or(0).to_string();
                let field = Slider::new(&mut index, 0..=last).step_by(1.0).custom_formatter(shown);
                let field = field.clamping(egui::SliderClamping::Always);
                if slider(ui, field).labelled_by(label).changed() {
                    *chosen = run.rollouts.get(index).map(|rollouts| rollouts.step).filter(|_| index < last);
                }
                if chosen.is_some() && link_button(ui, text::LATEST).clicked() {
                    *chosen = None;
                }
            }
        });
        if let Some(rollouts) = run.rollouts.get(index) {
            step_ui(ui, rollouts);
        }
    });
}

fn step_ui(ui: &mut Ui, rollouts: &Rollouts) {
    let to_one_prompt = |a: &Answered, b: &Answered| (a.row, &a.prompt) == (b.row, &b.prompt);
    for answers in rollouts.answers.chunk_by(to_one_prompt).take(PROMPTS) {
        ui.add(egui::Label::new(RichText::new(units::shortened(answers[0].prompt.trim(), 400)).strong()).wrap());
        let best = answers.iter().map(|answer| answer.advantage).fold(f64::NEG_INFINITY, f64::max);
        let mut cells: Vec<_> = answers
            .iter()
            .take(ANSWERS)
            .map(|answer| {
                let is_best = answers.len() > 1 && answer.advantage >= best && best > 0.0;
                move |ui: &mut Ui| answer_ui(ui, answer, &rollouts.rewards, is_best)
            })
            .collect();
        for row in cells.chunks_mut(4) {
            let mut row: Vec<&mut dyn FnMut(&mut Ui)> =
                row.iter_mut().map(|cell| cell as &mut dyn FnMut(&mut Ui)).collect();
            columns(ui, 220.0, &mut row);
        }
    }
}

fn answer_ui(ui: &mut Ui, answer: &Answered, names: &[String], is_best: bool) {
    ui.vertical(|ui| {
        text_box(ui, |ui| {
            ui.add(egui::Label::new(units::shortened(answer.text.trim(), 600)).wrap());
        });
        ui.horizontal_wrapped(|ui| {
            if is_best {
                chip(ui, Tone::Good, text::BEST_ANSWER);
            }
            for (name, reward) in names.iter().zip(&answer.rewards) {
                mono(ui, text::reward(name, *reward));
            }
            mono(ui, text::advantage(answer.advantage));
        });
    });
}
