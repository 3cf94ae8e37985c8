//! A prompt, answered by both models; in a chat, turn by turn.

use eframe::egui::{self, Button, DragValue, TextEdit, Ui};

use super::page::CompareView;
use super::sampling::{Asked, ask};
use super::text;
use crate::app::actions::Action;
use crate::app::state::{Generation, RunState, State, TextSide};
use crate::app::text::{run, units, votes};
use crate::app::widgets::diff::{self, Piece};
use crate::app::widgets::{
    answer_ui, card, columns, heading, primary_button, row_button, small, strength_ui, text_box, weak,
};
use crate::engine::protocol::{Command, Turn};

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
    card(ui, |ui| {
        let label = ui.label(text::PROMPT).id;
        let field = TextEdit::multiline(&mut view.prompt).desired_rows(2).desired_width(f32::INFINITY);
        let field = ui.add(field.hint_text(text::PROMPT_HINT)).labelled_by(label);
        suggestions_ui(ui, run, view);
        if state.chats() {
            system_ui(ui, view);
        }
        sampling_ui(ui, view);
        let command_enter =
            field.has_focus() && ui.input(|input| input.modifiers.command && input.key_pressed(egui::Key::Enter));
        ui.horizontal_wrapped(|ui| ask_ui(ui, state, shown, command_enter, view, actions));
    });
    let Some(text) = shown else { return };
    if !text.request.turns.is_empty() {
        // The field is empty again, for the next message.
        weak(ui, &text.request.prompt);
    }
    both_ui(ui, &text.sides, scale_of(text), view.diff);
    for turn in text.request.turns.iter().rev() {
        turn_ui(ui, turn, scale_of(text));
    }
}

/// Draws the run's sample prompts, which a click takes over.
fn suggestions_ui(ui: &mut Ui, run: &RunState, view: &mut CompareView) {
    if run.info.prompts.len() < 2 {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        for prompt in run.info.prompts.iter().take(4) {
            let button = row_button(ui, &units::shortened(prompt, PROMPT_LETTERS));
            if button.on_hover_text(prompt).clicked() {
                view.prompt.clone_from(prompt);
            }
        }
    });
}

pub(super) fn system_ui(ui: &mut Ui, view: &mut CompareView) {
    let label = ui.label(text::SYSTEM).on_hover_text(text::SYSTEM_HELP).id;
    let field = TextEdit::multiline(&mut view.system).desired_rows(1).desired_width(f32::INFINITY);
    ui.add(field.hint_text(text::SYSTEM_HINT)).labelled_by(label);
}

pub(super) fn sampling_ui(ui: &mut Ui, view: &mut CompareView) {
    ui.horizontal_wrapped(|ui| {
        strength_ui(ui, &mut view.strength);
        let label = ui.label(text::SEED).id;
        ui.add(DragValue::new(&mut view.seed)).labelled_by(label).on_hover_text(text::SEED_HELP);
        let label = ui.label(text::TEMPERATURE).id;
        let field = DragValue::new(&mut view.temperature).range(0.0..=2.0).speed(0.01).max_decimals(2);
        ui.add(field).labelled_by(label).on_hover_text(text::TEMPERATURE_HELP);
        let label = ui.label(text::MAX_TOKENS).id;
        let field = DragValue::new(&mut view.max_tokens).range(1..=4096);
        ui.add(field).labelled_by(label).on_hover_text(text::MAX_TOKENS_HELP);
    });
}

/// Draws the buttons that ask both models: anew, or as the next turn of the conversation that is shown.
fn ask_ui(
    ui: &mut Ui,
    state: &State,
    shown: Option<&Generation>,
    command_enter: bool,
    view: &mut CompareView,
    actions: &mut Vec<Action>,
) {
    let writing = shown.is_some_and(Generation::is_writing);
    let ready = !view.prompt.trim().is_empty() && !writing;
    let new = ui.add_enabled_ui(ready, |ui| primary_button(ui, text::WRITE_BOTH)).inner;
    let answered = shown.filter(|text| state.chats() && text.sides.iter().all(TextSide::is_whole));
    let reply = answered.filter(|_| ui.add_enabled(ready, Button::new(text::REPLY)).clicked());
    let turns = match reply {
        Some(text) => Some(turns_of(text)),
        None => ((new.clicked() || command_enter) && ready).then(Vec::new),
    };
    if let Some(turns) = turns {
        let system = view.system_prompt(state);
        let is_reply = !turns.is_empty();
        let asked = Asked { prompt: view.prompt.clone(), others: Vec::new(), system, turns };
        let sampling = view.sampling();
        view.asked = Some(ask(asked, sampling, &mut view.next_id, actions));
        if is_reply {
            view.prompt.clear();
        }
    }
    if writing && ui.button(run::CANCEL).clicked() {
        actions.push(Action::Send(Command::Cancel));
    }
    ui.checkbox(&mut view.diff, text::DIFF);
    small(ui, text::SAME_SEED);
}

/// The conversation so far, with the turn that is shown.
fn turns_of(text: &Generation) -> Vec<Turn> {
    let answers = text.sides.iter().map(|side| side.text.trim().to_owned()).collect();
    let last = Turn { prompt: text.request.prompt.clone(), answers };
    text.request.turns.iter().cloned().chain([last]).collect()
}

/// Draws an earlier turn of the conversation.
fn turn_ui(ui: &mut Ui, turn: &Turn, strength: f32) {
    let side = |ui: &mut Ui, title: &str, answer: Option<&String>| {
        small(ui, title);
        text_box(ui, |ui| answer_ui(ui, answer.map_or("", String::as_str), &[], false));
    };
    card(ui, |ui| {
        weak(ui, &turn.prompt);
        let ours = text::tuned(strength);
        columns(
            ui,
            340.0,
            &mut [&mut |ui| side(ui, text::BASE, turn.answers.first()), &mut |ui| side(ui, &ours, turn.answers.get(1))],
        );
    });
}

/// Returns the adapter scale of the tuned model.
pub(super) fn scale_of(text: &Generation) -> f32 {
    text.request.strengths.get(1).copied().unwrap_or(1.0)
}

/// Draws both answers, base and tuned, with the differing words in colour.
pub(super) fn both_ui(ui: &mut Ui, sides: &[TextSide], scale: f32, diff: bool) {
    let [base, tuned] = [0, 1].map(|side| sides.get(side).cloned().unwrap_or_default());
    let [left, right] = match diff {
        true => diff::words_so_far(base.text.trim(), tuned.text.trim(), [base.done, tuned.done]),
        false => Default::default(),
    };
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
            small(ui, text::written(side.text.split_whitespace().count(), side.speed));
        });
    };
    let ours = text::tuned(scale);
    columns(
        ui,
        340.0,
        &mut [&mut |ui| side(ui, text::BASE, &base, &left, false), &mut |ui| side(ui, &ours, &tuned, &right, true)],
    );
}
