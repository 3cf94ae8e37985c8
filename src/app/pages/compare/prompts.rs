//! A prompt, answered by both models.

use eframe::egui::{self, DragValue, TextEdit, Ui};

use super::page::CompareView;
use super::sampling::{Sampling, ask};
use super::text;
use crate::app::actions::Action;
use crate::app::state::{Generation, RunState, State, TextSide};
use crate::app::text::{run, units, votes};
use crate::app::widgets::diff::{self, Piece};
use crate::app::widgets::{
    answer_ui, card, columns, heading, primary_button, row_button, small, strength_ui, text_box, weak,
};
use crate::engine::protocol::Command;

/// Letters of a prompt on a button.
const PROMPT_LETTERS: usize = 36;

pub(super) fn prompts_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    view: &mut CompareView,
    actions: &mut Vec<Action>,
) {
    let shown = view.asked.and_then(|id| state.texts.get(&id));
    let writing = shown.is_some_and(|text| text.sides.iter().any(|side| !side.done));
    card(ui, |ui| {
        let label = ui.label(text::PROMPT).id;
        let field = TextEdit::multiline(&mut view.prompt).desired_rows(2).desired_width(f32::INFINITY);
        let field = ui.add(field.hint_text(text::PROMPT_HINT)).labelled_by(label);
        if run.info.prompts.len() > 1 {
            ui.horizontal_wrapped(|ui| {
                for prompt in run.info.prompts.iter().take(4) {
                    let button = row_button(ui, &units::shortened(prompt, PROMPT_LETTERS));
                    if button.on_hover_text(prompt).clicked() {
                        view.prompt.clone_from(prompt);
                    }
                }
            });
        }
        ui.horizontal_wrapped(|ui| {
            strength_ui(ui, &mut view.strength);
            let label = ui.label(text::SEED).id;
            ui.add(DragValue::new(&mut view.seed)).labelled_by(label);
            let label = ui.label(text::TEMPERATURE).id;
            let field = DragValue::new(&mut view.temperature).range(0.0..=2.0).speed(0.01).max_decimals(2);
            ui.add(field).labelled_by(label).on_hover_text(text::TEMPERATURE_HELP);
            let label = ui.label(text::MAX_TOKENS).id;
            ui.add(DragValue::new(&mut view.max_tokens).range(1..=4096)).labelled_by(label);
        });
        ui.horizontal_wrapped(|ui| {
            let command_enter =
                field.has_focus() && ui.input(|input| input.modifiers.command && input.key_pressed(egui::Key::Enter));
            let ready = !view.prompt.trim().is_empty();
            let go = ui.add_enabled_ui(ready && !writing, |ui| primary_button(ui, text::WRITE_BOTH)).inner;
            if (go.clicked() || command_enter) && ready && !writing {
                let sampling = Sampling {
                    seed: view.seed,
                    temperature: view.temperature,
                    max_tokens: view.max_tokens,
                    strength: view.strength as f32 / 100.0,
                };
                view.asked = Some(ask(&view.prompt, sampling, &mut view.next_id, actions));
            }
            if writing && ui.button(run::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            ui.checkbox(&mut view.diff, text::DIFF);
            small(ui, text::SAME_SEED);
        });
    });
    if let Some(text) = shown {
        both_ui(ui, text, view.diff);
    }
}

/// Draws both answers, with the differing words in colour.
fn both_ui(ui: &mut Ui, text: &Generation, diff: bool) {
    let [base, tuned] = [0, 1].map(|side| text.sides.get(side).cloned().unwrap_or_default());
    let [left, right] = match diff {
        true => diff::words_so_far(base.text.trim(), tuned.text.trim(), [base.done, tuned.done]),
        false => Default::default(),
    };
    let strength = text.request.strengths.get(1).copied().unwrap_or(1.0);
    let side = |ui: &mut Ui, title: &str, side: &TextSide, pieces: &[Piece<'_>], ours: bool| {
        card(ui, |ui| {
            ui.horizontal(|ui| {
                heading(ui, title);
                if !side.done {
                    ui.spinner();
                }
            });
            text_box(ui, |ui| {
                answer_ui(ui, side.text.trim(), pieces, ours);
            });
            if side.failed {
                weak(ui, votes::NOT_WRITTEN);
            }
            small(ui, text::words(side.text.split_whitespace().count()));
        });
    };
    let ours = text::tuned(strength);
    columns(
        ui,
        340.0,
        &mut [&mut |ui| side(ui, text::BASE, &base, &left, false), &mut |ui| side(ui, &ours, &tuned, &right, true)],
    );
}
