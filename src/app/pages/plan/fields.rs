//! The fields of the settings, with presets, help and errors.

use eframe::egui::{self, Align, RichText, Ui};
use serde_json::Value;

use super::losses::losses_ui;
use super::page::PlanView;
use super::share::share_ui;
use super::text;
use crate::app::actions::Action;
use crate::app::fields::{self, Kind};
use crate::app::methods;
use crate::app::state::State;
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Tone};
use crate::engine::plan::field_help::field_help;
use crate::engine::plan::presets::{EPOCHS, Preset};
use crate::engine::protocol::{Method, Problem, Settings};

/// The setting that overrules the epochs.
const MAX_STEPS: &str = "max_steps";
/// The settings whose product is the rows of a step.
const BATCH_SIZE: &str = "per_device_train_batch_size";
const ACCUMULATION: &str = "gradient_accumulation_steps";

pub(super) fn settings_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    let changes = state.plan.changes();
    widgets::card(ui, |ui| {
        let method = state.plan.method();
        ui.horizontal_wrapped(|ui| match method {
            Method::Dpo => presets_ui(ui, state, view, &changes, actions),
            Method::Sft
            | Method::Reward
            | Method::Kto
            | Method::Orpo
            | Method::Cpo
            | Method::Grpo
            | Method::Rloo
            | Method::Ppo => {
                widgets::heading(ui, text::SETTINGS);
                match changes.as_slice() {
                    _ if state.plan.preset.is_none() => _ = widgets::weak(ui, text::DEMO_SETTINGS),
                    [] => _ = widgets::weak(ui, text::METHOD_SETTINGS),
                    changes => {
                        widgets::chip(ui, Tone::Accent, &text::changed_settings(changes.len()));
                        if widgets::link_button(ui, text::RESET).clicked() {
                            actions.push(Action::ChooseMethod(method));
                        }
                    }
                }
            }
        });
        suited_ui(ui, state, actions);
        ui.add_space(GRID);
        let mut edited = None;
        let (method, first) = (state.plan.method(), methods::row(state.plan.method()).first);
        let in_sight = first.iter().filter_map(|key| fields::one(method, key));
        grid_ui(ui, state, view, &changes, in_sight, &mut edited);
        ui.add_space(GRID);
        let rest = || fields::of(method).filter(|(key, _)| !first.contains(key));
        let more = egui::CollapsingHeader::new(text::MORE).id_salt("more").open(view.show.map(|_| view.more));
        let shown = more.show(ui, |ui| grid_ui(ui, state, view, &changes, rest(), &mut edited));
        if shown.fully_closed() {
            // Changed settings stay in sight while the others are hidden. Invalid text counts as changed, too.
            let is_apart = |(key, _): &(&str, Kind)| changes.contains(key) || view.typed.contains_key(key);
            let apart: Vec<_> = rest().filter(is_apart).collect();
            grid_ui(ui, state, view, &changes, apart.into_iter(), &mut edited);
        }
        if let Some(settings) = edited {
            actions.push(Action::EditSettings(settings));
        }
        ui.separator();
        share_ui(ui, state, actions);
    });
}

/// Draws the presets, and the changes to the chosen one.
fn presets_ui(ui: &mut Ui, state: &State, view: &mut PlanView, changes: &[&str], actions: &mut Vec<Action>) {
    widgets::heading(ui, text::PRESET);
    for preset in Preset::ALL {
        let chosen = state.plan.preset == Some(preset) && changes.is_empty();
        let response = ui.selectable_label(chosen, preset.label()).on_hover_text(preset.purpose());
        if response.clicked() {
            view.typed.clear();
            actions.push(Action::UsePreset(preset));
        }
    }
    match state.plan.preset {
        None => _ = widgets::weak(ui, text::DEMO_SETTINGS),
        Some(preset) if changes.is_empty() => _ = widgets::weak(ui, preset.purpose()),
        Some(preset) => {
            widgets::chip(ui, Tone::Accent, &text::changed_preset(preset.label(), changes.len()));
            let reset = widgets::link_button(ui, text::RESET);
            widgets::name_of(ui, &reset, &text::reset_to(preset.label()));
            if reset.clicked() {
                actions.push(Action::ResetSettings(preset));
            }
        }
    }
}

/// Draws the reasons for settings that were suited to the rows and the device, and the way back to the preset's own.
fn suited_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    for reason in &state.plan.reasons {
        widgets::marked(ui, Tone::Good, reason);
    }
    let preset = state.plan.preset.filter(|_| !state.plan.reasons.is_empty());
    if let Some(preset) = preset.filter(|preset| widgets::link_button(ui, &text::own_values(preset.label())).clicked())
    {
        actions.push(Action::ResetSettings(preset));
    }
}

/// Draws fields side by side, as many as there is room for.
fn grid_ui(
    ui: &mut Ui,
    state: &State,
    view: &mut PlanView,
    changes: &[&str],
    all: impl Iterator<Item = (&'static str, Kind)>,
    edited: &mut Option<Settings>,
) {
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return;
    }
    let n = ((ui.available_width() / 215.0).floor() as usize).clamp(1, 3).min(all.len());
    for row in all.chunks(n) {
        ui.columns(n, |columns| {
            for (ui, &(key, kind)) in columns.iter_mut().zip(row) {
                ui.vertical(|ui| field_ui(ui, state, view, key, kind, changes.contains(&key), edited));
            }
        });
    }
}

/// Draws a setting: name, value, help, and what is wrong with it.
fn field_ui(
    ui: &mut Ui,
    state: &State,
    view: &mut PlanView,
    key: &'static str,
    kind: Kind,
    is_changed: bool,
    edited: &mut Option<Settings>,
) {
    let row = ui.spacing().interact_size.y;
    ui.spacing_mut().interact_size.y = 18.0;
    let label = name_ui(ui, state, view, key, kind, is_changed, edited);
    ui.spacing_mut().interact_size.y = row;
    let overruled = key == EPOCHS && state.plan.value(MAX_STEPS).and_then(Value::as_f64).is_some_and(|n| n > 0.0);
    let (response, new) = ui.add_enabled_ui(!overruled, |ui| value_ui(ui, state, view, key, kind, label)).inner;
    if overruled {
        widgets::small(ui, text::STEPS_DECIDE);
    }
    if let Some(new) = new {
        *edited = Some(new);
    }
    if view.show == Some(key) {
        response.scroll_to_me(Some(Align::Center));
        response.request_focus();
        view.show = None;
    }
    if let Some(Err(wrong)) = view.typed.get(key).map(|typed| fields::parsed(kind, typed)) {
        wrong_ui(ui, &wrong);
    }
    ui.add_space(4.0);
}

/// Draws a setting's name with its help, and a way back if it was changed.
fn name_ui(
    ui: &mut Ui,
    state: &State,
    view: &mut PlanView,
    key: &'static str,
    kind: Kind,
    is_changed: bool,
    edited: &mut Option<Settings>,
) -> egui::Id {
    let help = field_help(key);
    let name = help.map_or(key, |help| help.label);
    let row = ui.horizontal(|ui| {
        let label = widgets::small(ui, name);
        let spoken = help.map_or(key, |help| help.what);
        widgets::info(ui, name, spoken, |ui| {
            ui.label(RichText::new(name).strong());
            widgets::small(ui, key);
            let Some(help) = help else { return };
            ui.label(help.what);
            if !help.range.is_empty() {
                let default = fields::displayed(kind, Some(&state.plan.default_of(key)));
                widgets::weak(ui, text::help_range(help.range, kind, &default));
            }
            for effect in text::help_effects(kind, [help.too_low, help.too_high]) {
                if !effect.is_empty() {
                    widgets::weak(ui, effect);
                }
            }
        });
        if is_changed {
            let before = state.plan.unchanged().get(key).cloned().unwrap_or_default();
            let shown = fields::displayed(kind, Some(&before));
            let reset = widgets::link_button(ui, text::RESET).on_hover_text(&shown);
            widgets::name_of(ui, &reset, &text::reset_field(name, &shown));
            if reset.clicked() {
                view.typed.remove(key);
                *edited = Some(with_setting(state, key, before));
            }
        }
        label.id
    });
    row.inner
}

/// Draws the error of a typed value.
pub(super) fn wrong_ui(ui: &mut Ui, wrong: &str) {
    let color = theme::palette(ui).bad;
    ui.label(RichText::new(wrong).small().color(color));
}

/// Draws the control of a setting; returns the edited settings when there is a new value.
fn value_ui(
    ui: &mut Ui,
    state: &State,
    view: &mut PlanView,
    key: &'static str,
    kind: Kind,
    label: egui::Id,
) -> (egui::Response, Option<Settings>) {
    let value = state.plan.value(key);
    let (response, new) = match kind {
        Kind::Losses => return losses_ui(ui, state, key),
        Kind::Choice(choices) => choice_ui(ui, key, kind, choices, value),
        Kind::Maybe => choice_ui(ui, key, kind, &["", "true", "false"], value),
        Kind::Switch => {
            let mut on = value.and_then(Value::as_bool).unwrap_or(false);
            let response = ui.checkbox(&mut on, text::ON).labelled_by(label);
            let new = response.changed().then(|| Value::from(on));
            (response, new)
        }
        Kind::Number(..)
        | Kind::Optional(..)
        | Kind::Positive
        | Kind::Fraction
        | Kind::Percent
        | Kind::Whole(..)
        | Kind::OptionalWhole(..)
        | Kind::Steps { .. }
        | Kind::Words
        | Kind::Numbers => match per_step(state, key) {
            None => text_ui(ui, view, key, kind, value, label, 200.0),
            Some(per_step) => {
                let row = ui.horizontal(|ui| {
                    let edit = text_ui(ui, view, key, kind, value, label, 56.0);
                    widgets::small(ui, per_step);
                    edit
                });
                row.inner
            }
        },
    };
    (response, new.map(|value| with_setting(state, key, value)))
}

/// Draws a choice of words.
fn choice_ui(
    ui: &mut Ui,
    key: &'static str,
    kind: Kind,
    choices: &[&str],
    value: Option<&Value>,
) -> (egui::Response, Option<Value>) {
    let now = fields::shown(value);
    let mut new = None;
    let combo = egui::ComboBox::from_id_salt(key).width(184.0).selected_text(now.clone()).show_ui(ui, |ui| {
        for choice in choices {
            let name = if choice.is_empty() { text::NOTHING } else { choice };
            if ui.selectable_label(now == *choice, name).clicked() {
                new = fields::parsed(kind, choice).ok();
            }
        }
    });
    widgets::name_of(ui, &combo.response, field_help(key).map_or(key, |help| help.label));
    (combo.response, new)
}

/// Draws a field for text, which keeps what is typed until it is a value.
fn text_ui(
    ui: &mut Ui,
    view: &mut PlanView,
    key: &'static str,
    kind: Kind,
    value: Option<&Value>,
    label: egui::Id,
    width: f32,
) -> (egui::Response, Option<Value>) {
    let mut typed = view.typed.get(key).cloned().unwrap_or_else(|| fields::displayed(kind, value));
    let width = ui.available_width().min(width);
    let edit = egui::TextEdit::singleline(&mut typed).desired_width(width).font(egui::TextStyle::Monospace);
    let edit = if let Kind::Steps { by, .. } = kind { edit.hint_text(by) } else { edit };
    let response = ui.add(edit).labelled_by(label);
    let mut new = None;
    if response.changed() {
        new = fields::parsed(kind, &typed).ok();
        view.typed.insert(key, typed);
    } else if !response.has_focus() && view.typed.get(key).is_some_and(|typed| fields::parsed(kind, typed).is_ok()) {
        view.typed.remove(key);
    }
    (response, new)
}

/// The rows of a step, which stand beside the batch size and the gradient accumulation.
fn per_step(state: &State, key: &str) -> Option<String> {
    let other = match key {
        BATCH_SIZE => ACCUMULATION,
        ACCUMULATION => BATCH_SIZE,
        _ => return None,
    };
    let number = |key: &str| state.plan.value(key).and_then(Value::as_f64).map(|n| n as usize);
    let (own, other) = (number(key)?, number(other)?);
    text::per_step(state.plan.method(), other, own.saturating_mul(other))
}

/// The edited settings with one changed; the adapter's scale follows its rank, so that the rank alone changes no scale.
pub(super) fn with_setting(state: &State, key: &str, value: Value) -> Settings {
    let mut settings = state.plan.settings.clone();
    if key == "r" {
        let number = |key: &str| state.plan.value(key).and_then(Value::as_f64);
        if let (Some(rank), Some(alpha), Some(new)) = (number("r"), number("lora_alpha"), value.as_f64()) {
            settings.insert("lora_alpha".to_owned(), Value::from(alpha / rank * new));
        }
    }
    if value.is_null() {
        settings.shift_remove(key);
    } else {
        settings.insert(key.to_owned(), value);
    }
    settings
}

/// The setting that a problem is about; one that tells on memory if the problem names none.
pub(super) fn field_of(method: Method, problem: &Problem) -> &'static str {
    let usual = if method.is_online() { "per_device_train_batch_size" } else { "max_length" };
    fields::of(method).map(|(key, _)| key).find(|key| problem.setting.as_deref() == Some(key)).unwrap_or(usual)
}
