//! A list of prompts, all answered by both models.

use eframe::egui::{self, Ui};
use serde_json::json;

use super::page::CompareView;
use super::prompts::{both_ui, sampling_ui, scale_of, system_ui};
use super::sampling::{Asked, ask};
use super::text;
use crate::app::actions::Action;
use crate::app::state::{Generation, RunState, State, TextSide};
use crate::app::text::run;
use crate::app::widgets::{card, primary_button, prompts_ui, small, weak};
use crate::engine::protocol::Command;

/// State of this tab.
#[derive(Debug, Default)]
pub(super) struct ListView {
    prompts: Vec<String>,
    /// Id of the request whose answers are shown.
    asked: Option<u64>,
}

impl ListView {
    /// Begins with these prompts, or with an empty field.
    pub(super) fn of(prompts: &[String]) -> Self {
        let prompts = if prompts.is_empty() { vec![String::new()] } else { prompts.to_vec() };
        Self { prompts, asked: None }
    }
}

/// Draws the tab.
pub(super) fn list_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut CompareView, actions: &mut Vec<Action>) {
    let shown = view.list.asked.and_then(|id| state.texts.get(&id));
    card(ui, |ui| {
        prompts_ui(ui, text::PROMPT, &mut view.list.prompts);
        let has_lines = view.list.prompts.iter().any(|prompt| prompt.trim().contains('\n'));
        if has_lines && ui.button(text::SPLIT).on_hover_text(text::SPLIT_HELP).clicked() {
            let lines = view.list.prompts.iter().flat_map(|prompt| prompt.lines());
            view.list.prompts = lines.filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        }
        if state.chats() {
            system_ui(ui, view);
        }
        sampling_ui(ui, view);
        ui.horizontal_wrapped(|ui| ask_ui(ui, state, run, shown, view, actions));
    });
    let Some(text) = shown else { return };
    for (prompt, sides) in text.answers() {
        weak(ui, prompt);
        both_ui(ui, sides, scale_of(text), view.diff);
    }
}

/// Draws the buttons that ask for all answers, cancel them, and save them.
fn ask_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    shown: Option<&Generation>,
    view: &mut CompareView,
    actions: &mut Vec<Action>,
) {
    let writing = shown.is_some_and(Generation::is_writing);
    let mut prompts = view.list.prompts.iter().filter(|prompt| !prompt.trim().is_empty()).cloned();
    let first = prompts.next().filter(|_| !writing);
    let button = ui.add_enabled_ui(first.is_some(), |ui| primary_button(ui, text::GENERATE_ALL)).inner;
    if let Some(prompt) = first.filter(|_| button.clicked()) {
        let system = view.system_prompt(state);
        let asked = Asked { prompt, others: prompts.collect(), system, turns: Vec::new() };
        view.list.asked = Some(ask(asked, view.sampling(), &mut view.next_id, actions));
    }
    if writing && ui.button(run::CANCEL).clicked() {
        actions.push(Action::Send(Command::Cancel));
    }
    ui.checkbox(&mut view.diff, text::DIFF);
    small(ui, text::LIST_HELP);
    let Some(shown) = shown else { return };
    let done = whole_answers(shown).count();
    small(ui, text::answered(done, shown.answers().count()));
    let save = ui.add_enabled(done > 0, egui::Button::new(text::SAVE_ANSWERS));
    if save.on_hover_text(text::SAVE_ANSWERS_HELP).clicked() {
        let name = text::answers_file(&run.info.record.name);
        actions.push(Action::SaveFile { name, bytes: answer_lines(shown).into_bytes() });
    }
}

/// Returns each prompt that both models have answered to the end, with the answers of base and tuned.
fn whole_answers(text: &Generation) -> impl Iterator<Item = (&str, [&str; 2])> {
    text.answers().filter(|(_, sides)| sides.iter().all(TextSide::is_whole)).filter_map(|(prompt, sides)| match sides {
        [base, tuned] => Some((prompt, [base.text.trim(), tuned.text.trim()])),
        _ => None,
    })
}

/// Returns a line of JSON for each of them.
fn answer_lines(text: &Generation) -> String {
    let line = |(prompt, [base, tuned]): (&str, [&str; 2])| {
        let line = json!({ "prompt": prompt, "base": base, "tuned": tuned });
        format!("{line}\n")
    };
    whole_answers(text).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::GenerateRequest;

    #[test]
    fn only_what_both_models_have_written_to_the_end_is_saved() {
        let request = GenerateRequest {
            id: 1,
            prompt: "Is it \"open\"?".to_owned(),
            others: vec!["Who are you?".to_owned()],
            system: String::new(),
            turns: Vec::new(),
            seed: 7,
            temperature: 0.0,
            max_new_tokens: 8,
            strengths: vec![0.0, 1.0],
            runs: Vec::new(),
        };
        let side = |text: &str, failed| TextSide { text: text.to_owned(), done: true, failed, ..TextSide::default() };
        let sides = vec![side(" No.", false), side("Yes,\ngladly! ", false), side("Go", false), side("A fri", true)];
        let lines = answer_lines(&Generation { request, sides });
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 1, "the last answer was cut off: {lines:?}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).expect("a line of JSON");
        assert_eq!(line, json!({ "prompt": "Is it \"open\"?", "base": "No.", "tuned": "Yes,\ngladly!" }));
    }
}
