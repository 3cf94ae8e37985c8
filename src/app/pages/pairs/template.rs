//! The chat template, which turns conversations into text. The user may change it, and choose whether answers begin
//! with thoughts.

use eframe::egui::{TextEdit, Ui};
use serde_json::Value;

use super::text::template as words;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::text::labels;
use crate::app::widgets::{self, Tone};
use crate::engine::protocol::{Chat, ChatInfo, Command, PairsCommand, Subject, THINKING};

/// Rows of the editor.
const ROWS: usize = 14;

/// State of this tab.
#[derive(Debug, Default)]
pub(super) struct TemplateView {
    /// The text while it is edited.
    text: String,
    /// The chat settings that `text` was taken from.
    of: Option<ChatInfo>,
}

/// Draws the tab.
pub(super) fn template_ui(ui: &mut Ui, state: &State, view: &mut TemplateView, actions: &mut Vec<Action>) {
    let Some(model) = state.open_model() else {
        widgets::weak(ui, words::NO_MODEL);
        return;
    };
    let chat = &model.chat;
    if view.of.as_ref() != Some(chat) {
        view.text = chat.template.clone().unwrap_or_default();
        view.of = Some(chat.clone());
    }
    if let Some(problem) = &state.pairs.chat_refused {
        widgets::problem_card(ui, Tone::Bad, words::REFUSED, problem, |ui| {
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Chat));
            }
        });
    }
    let conversations = state.pairs.info.as_ref().is_some_and(|info| info.conversations);
    widgets::small(ui, words::what(conversations, chat.template.is_some()));
    if chat.thinks {
        thinking_ui(ui, chat, actions);
    }
    let field = TextEdit::multiline(&mut view.text).desired_rows(ROWS).desired_width(f32::INFINITY).code_editor();
    let field = ui.add(field.hint_text(words::HINT));
    widgets::name_of(ui, &field, words::TEMPLATE);
    let edited = view.text != chat.template.as_deref().unwrap_or_default();
    ui.horizontal_wrapped(|ui| {
        let fits = edited && !view.text.trim().is_empty();
        if ui.add_enabled_ui(fits, |ui| widgets::primary_button(ui, words::USE)).inner.clicked() {
            // Typing the model's own template again counts as no change.
            let template = Some(view.text.clone()).filter(|text| Some(text) != chat.own.as_ref());
            set(template, chat.kwargs.clone(), actions);
        }
        if edited && ui.button(words::UNDO).clicked() {
            view.of = None;
        }
        if changed(chat).is_some() {
            widgets::chip(ui, Tone::Accent, words::CHANGED);
            if ui.button(words::OWN).clicked() {
                set(None, chat.kwargs.clone(), actions);
            }
        }
    });
}

/// Draws the choice whether the template begins answers with thoughts.
fn thinking_ui(ui: &mut Ui, chat: &ChatInfo, actions: &mut Vec<Action>) {
    let now = chat.kwargs.get(THINKING).and_then(Value::as_bool);
    ui.horizontal_wrapped(|ui| {
        ui.label(words::THINKING);
        for (value, label) in [(None, words::AS_IT_IS), (Some(true), words::ON), (Some(false), words::OFF)] {
            let choice = ui.selectable_label(now == value, label);
            widgets::name_of(ui, &choice, &words::thinking(label));
            if choice.clicked() && now != value {
                let mut kwargs = chat.kwargs.clone();
                kwargs.retain(|name, _| name != THINKING);
                kwargs.extend(value.map(|value| (THINKING.to_owned(), Value::Bool(value))));
                set(changed(chat), kwargs, actions);
            }
        }
    });
}

/// The template in use, if it is not the model's own.
fn changed(chat: &ChatInfo) -> Option<String> {
    chat.template.clone().filter(|_| chat.template != chat.own)
}

fn set(template: Option<String>, kwargs: serde_json::Map<String, Value>, actions: &mut Vec<Action>) {
    actions.push(Action::Send(Command::Pairs(PairsCommand::SetChat(Chat { template, kwargs }))));
}
