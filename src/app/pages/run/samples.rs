//! Answers of the model to the sample prompts.

use eframe::egui::{self, RichText, Slider, Ui};

use super::page::RunView;
use super::text;
use crate::app::state::RunState;
use crate::app::theme::GRID;
use crate::app::widgets::diff::{self, Piece};
use crate::app::widgets::{answer_ui, card, columns, heading, link_button, slider, small, text_box};
use crate::engine::protocol::SampleAnswer;

/// Number of sample prompts shown.
const PROMPTS: usize = 6;

/// The words of an answer, if there is one.
fn words(answer: Option<&SampleAnswer>) -> &str {
    answer.map_or("", |answer| answer.text.trim())
}

/// Draws the model's answers to the sample prompts.
pub(super) fn samples_ui(ui: &mut Ui, run: &RunState, view: &mut RunView) {
    let (Some((first, before)), Some(last)) = (run.samples.first(), run.samples.len().checked_sub(1)) else { return };
    card(ui, |ui| {
        let mut index = view.sample.unwrap_or(last).min(last);
        ui.horizontal_wrapped(|ui| {
            heading(ui, text::PROMPTS).on_hover_text(text::PROMPTS_HELP);
            if last > 0 {
                ui.add_space(GRID);
                let label = ui.label(RichText::new(text::SAMPLE_STEP).small()).id;
                let step_at = |i: f64| run.samples.get(i as usize).map_or(0, |(step, _)| *step);
                let steps = Slider::new(&mut index, 0..=last).step_by(1.0);
                let steps =
                    steps.custom_formatter(move |i, _| step_at(i).to_string()).clamping(egui::SliderClamping::Always);
                if slider(ui, steps).labelled_by(label).changed() {
                    view.sample = (index < last).then_some(index);
                }
                if view.sample.is_some() && link_button(ui, text::LATEST).clicked() {
                    view.sample = None;
                }
            }
        });
        let Some((step, answers)) = run.samples.get(index) else { return };
        for (i, prompt) in run.info.prompts.iter().enumerate().take(PROMPTS) {
            ui.add(egui::Label::new(RichText::new(prompt).strong()).wrap());
            let [base, now] = [before, answers].map(|answers| answers.get(i));
            let side =
                |ui: &mut Ui, title: String, answer: Option<&SampleAnswer>, pieces: &[Piece<'_>], tuned: bool| {
                    let end = answer.filter(|answer| answer.cut).map(|_| Piece { text: text::CUT, same: true });
                    let pieces: Vec<Piece<'_>> = pieces.iter().copied().chain(end).collect();
                    small(ui, title);
                    text_box(ui, |ui| answer_ui(ui, "", &pieces, tuned));
                };
            if step == first {
                side(ui, text::before_at(*first), base, &[Piece { text: words(base), same: true }], false);
                continue;
            }
            let [left, right] = diff::words(words(base), words(now));
            columns(
                ui,
                320.0,
                &mut [
                    &mut |ui| {
                        ui.vertical(|ui| side(ui, text::before_at(*first), base, &left, false));
                    },
                    &mut |ui| {
                        ui.vertical(|ui| side(ui, text::now_at(*step), now, &right, true));
                    },
                ],
            );
        }
    });
}
