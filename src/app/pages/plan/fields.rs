//! The fields of the settings, with presets, help and errors.

use eframe::egui::{self, Align, RichText, Ui};
use serde_json::Value;

use super::page::PlanView;
use super::share::share_ui;
use super::text;
use crate::app::actions::Action;
use crate::app::fields::{self, Kind};
use crate::app::methods;
use crate::app::state::State;
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Tone};
use crate::engine::plan::presets::{Preset, field_help};
use crate::engine::protocol::{Method, Settings};

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
    let help = field_help(key);
    let name = help.map_or(key, |help| help.label);
    let row = ui.spacing().interact_size.y;
    ui.spacing_mut().interact_size.y = 18.0;
    let label = ui.horizontal(|ui| {
        let label = widgets::small(ui, name);
        let spoken = help.map_or(key, |help| help.what);
        widgets::info(ui, name, spoken, |ui| {
            ui.label(RichText::new(name).strong());
            widgets::small(ui, key);
            if let Some(help) = help {
                ui.label(help.what);
            }
            if let Some(help) = help.filter(|help| !help.range.is_empty()) {
                widgets::weak(ui, text::help_range(help.range));
                widgets::weak(ui, text::help_low(help.too_low));
                widgets::weak(ui, text::help_high(help.too_high));
            }
        });
        if is_changed {
            let before = state.plan.unchanged().get(key).cloned().unwrap_or_default();
            let reset = widgets::link_button(ui, text::RESET).on_hover_text(fields::shown(Some(&before)));
            widgets::name_of(ui, &reset, &text::reset_field(name, &fields::shown(Some(&before))));
            if reset.clicked() {
                view.typed.remove(key);
                *edited = Some(with_setting(state, key, before));
            }
        }
        label
    });
    ui.spacing_mut().interact_size.y = row;
    let value = state.plan.value(key);
    let (response, new) = value_ui(ui, view, key, kind, value, label.inner.id);
    if let Some(value) = new {
        *edited = Some(with_setting(state, key, value));
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

/// Draws the error of a typed value.
pub(super) fn wrong_ui(ui: &mut Ui, wrong: &str) {
    let color = theme::palette(ui).bad;
    ui.label(RichText::new(wrong).small().color(color));
}

/// Draws the control of a setting; returns a new value when there is one.
fn value_ui(
    ui: &mut Ui,
    view: &mut PlanView,
    key: &'static str,
    kind: Kind,
    value: Option<&Value>,
    label: egui::Id,
) -> (egui::Response, Option<Value>) {
    let now = fields::shown(value);
    let mut new = None;
    let choices = match kind {
        Kind::Choice(choices) => choices,
        Kind::Maybe => &["", "true", "false"],
        _ => &[],
    };
    let response = match kind {
        Kind::Choice(_) | Kind::Maybe => {
            let combo = egui::ComboBox::from_id_salt(key).width(184.0).selected_text(now.clone()).show_ui(ui, |ui| {
                for choice in choices {
                    let name = if choice.is_empty() { text::NOTHING } else { choice };
                    if ui.selectable_label(now == *choice, name).clicked() {
                        new = fields::parsed(kind, choice).ok();
                    }
                }
            });
            let name = field_help(key).map_or(key, |help| help.label);
            widgets::name_of(ui, &combo.response, name);
            combo.response
        }
        Kind::Switch => {
            let mut on = value.and_then(Value::as_bool).unwrap_or(false);
            let response = ui.checkbox(&mut on, text::ON).labelled_by(label);
            new = response.changed().then(|| Value::from(on));
            response
        }
        _ => {
            let mut typed = view.typed.get(key).cloned().unwrap_or_else(|| now.clone());
            let width = ui.available_width().min(200.0);
            let edit = egui::TextEdit::singleline(&mut typed).desired_width(width).font(egui::TextStyle::Monospace);
            let response = ui.add(edit).labelled_by(label);
            if response.changed() {
                new = fields::parsed(kind, &typed).ok();
                view.typed.insert(key, typed);
            } else if !response.has_focus()
                && view.typed.get(key).is_some_and(|typed| fields::parsed(kind, typed).is_ok())
            {
                view.typed.remove(key);
            }
            response
        }
    };
    (response, new)
}

/// The edited settings with one changed; the adapter's scale follows its rank, so that the rank alone changes no scale.
fn with_setting(state: &State, key: &str, value: Value) -> Settings {
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

/// The setting that a problem is about, by its place or its words.
pub(super) fn field_of(method: Method, at: &str, what: &str) -> &'static str {
    let names = |text: &str, key: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == key);
    let is_it = |key: &&str| names(at, key) || (key.len() > 1 && names(what, key));
    let usual = if method.is_online() { "per_device_train_batch_size" } else { "max_length" };
    fields::of(method).map(|(key, _)| key).find(is_it).unwrap_or(usual)
}
