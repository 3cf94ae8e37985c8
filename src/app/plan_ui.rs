//! Settings of a run, and what it would take: memory, time, disk, and why it cannot begin, if so.

use std::collections::BTreeMap;

use eframe::egui::{self, Align, Color32, CornerRadius, Rect, RichText, Sense, Stroke, Ui};
use serde_json::Value;

use super::actions::{Action, Step};
use super::fields::{self, Kind};
use super::method_ui::{MethodView, method_ui, rewards_ui};
use super::methods;
use super::state::{Blocked, State, Trial};
use super::text;
use super::theme::{self, GRID};
use super::widgets::{self, Icon, Tone};
use crate::engine::presets::{Preset, field_help};
use crate::engine::protocol::{Command, Fix, Method, PlanInfo, Problem, Settings, Subject};
use crate::platform::Pick;
use crate::platform::host;

/// What this page remembers.
#[derive(Debug, Default)]
pub(super) struct PlanView {
    /// What is typed and not a value yet, by setting.
    typed: BTreeMap<&'static str, String>,
    /// Of the method and the rewards.
    method: MethodView,
    /// The other settings are in sight.
    more: bool,
    /// A field to scroll to and mark.
    show: Option<&'static str>,
    /// The limit on memory as it is typed, in GB.
    limit: Option<String>,
}

impl PlanView {
    /// Brings a setting of a method into sight when the page is next drawn.
    pub(super) fn show_field(&mut self, method: Method, key: &'static str) {
        self.more |= !methods::row(method).first.contains(&key);
        self.show = Some(key);
    }

    /// What is typed is not wanted any more: the settings came from elsewhere.
    pub(super) fn forget_typed(&mut self) {
        self.typed.clear();
    }

    /// A field that holds something that is no value.
    fn wrong(&self, method: Method) -> Option<Problem> {
        self.typed.iter().find_map(|(key, typed)| {
            let (key, kind) = fields::one(method, key)?;
            let what = fields::parsed(kind, typed).err()?;
            let name = field_help(key).map_or(key, |help| help.label);
            let what = format!("{name}: {what}");
            Some(Problem { what, fix: text::CORRECT_FIELD.to_owned(), at: key.to_owned() })
        })
    }
}

/// Draws the page.
pub(super) fn plan_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::PLAN_TITLE, text::PLAN_SUBTITLE);
    start_ui(ui, state, view, actions);
    if let Some(problem) = &state.plan.problem {
        widgets::problem_card(ui, Tone::Bad, text::PLAN_REFUSED, problem, |ui| {
            if ui.button(text::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Plan));
            }
        });
    }
    if let Some(problem) = &state.run_problem {
        widgets::problem_card(ui, Tone::Bad, text::RUN_REFUSED, problem, |ui| {
            if ui.button(text::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Run));
            }
        });
    }
    method_ui(ui, state, actions);
    rewards_ui(ui, state, &mut view.method, actions);
    settings_ui(ui, state, view, actions);
    take_ui(ui, state, view, actions);
    watch_ui(ui, state, actions);
}

fn settings_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    let changes = state.plan.changes();
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| match state.plan.method() {
            Method::Dpo => presets_ui(ui, state, view, &changes, actions),
            method => {
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
            // In sight all the same.
            // What was typed and is no value counts as changed, too.
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

/// The presets, and what was changed in the chosen one.
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

/// Fields beside each other, as many as there is room for.
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

/// A setting: name, value, help, and what is wrong with it.
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

/// What is wrong with what was typed.
fn wrong_ui(ui: &mut Ui, wrong: &str) {
    let color = theme::palette(ui).bad;
    ui.label(RichText::new(wrong).small().color(color));
}

/// The control of a setting; a new value comes back when there is one.
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

/// Settings to take elsewhere.
fn share_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        widgets::weak(ui, text::SETTINGS_AS);
        if ui.button(text::AS_LINK).clicked() {
            actions.push(Action::Copy(text::settings_link(&host::address(), &state.plan.settings)));
        }
        if ui.button(text::AS_FILE).on_hover_text(text::AS_FILE_HELP).clicked() {
            let bytes = serde_json::to_vec_pretty(&state.plan.settings).unwrap_or_default();
            let name = text::settings_file(&state.plan.name);
            actions.push(Action::SaveFile { name, bytes });
        }
        if ui.button(text::FROM_FILE).clicked() {
            actions.push(Action::Pick(Pick::Settings));
        }
    });
    egui::CollapsingHeader::new(text::COMMAND).id_salt("command").show(ui, |ui| {
        let command = text::command_line(state);
        widgets::text_box(ui, |ui| {
            ui.add(egui::Label::new(RichText::new(&command).monospace()).wrap());
        });
        if state.pairs.info.as_ref().is_some_and(|pairs| pairs.skipped > 0) {
            widgets::small(ui, text::COMMAND_SKIPS_NOTHING);
        }
        if ui.button(text::AS_COMMAND).clicked() {
            actions.push(Action::Copy(command));
        }
    });
}

/// Memory, time, disk, checks.
fn take_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::heading(ui, text::TAKES);
            if state.plan.pending {
                widgets::small(ui, text::PLANNING);
            }
        });
        let Some(plan) = state.figures() else {
            match state.plan_info().and_then(|plan| plan.blocked.as_ref()) {
                Some(problem) => widgets::problem_text(ui, problem),
                None => _ = widgets::weak(ui, text::NO_PLAN),
            }
            return;
        };
        if plan.n_steps > 0 {
            memory_ui(ui, state, plan, view, actions);
            ui.add_space(GRID);
            ui.label(text::steps(plan, state.kind()));
            time_ui(ui, state, plan, actions);
            ui.label(text::disk(plan.checkpoint_bytes));
            ui.add_space(GRID);
        } else {
            widgets::weak(ui, text::NO_FIGURES);
        }
        for check in &plan.checks {
            widgets::marked(ui, if check.good { Tone::Good } else { Tone::Warn }, &check.text);
        }
        if state.on_battery {
            widgets::marked(ui, Tone::Warn, text::ON_BATTERY);
        }
    });
}

/// Bytes by component against the limit.
fn memory_ui(ui: &mut Ui, state: &State, plan: &PlanInfo, view: &mut PlanView, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui);
    let total: u64 = plan.memory.iter().sum();
    let limit = state.memory_limit();
    let fits = limit.is_none_or(|limit| total <= limit);
    let scale = total.max(limit.unwrap_or(0)).max(1) as f32 * 1.04;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), 26.0), Sense::hover());
    let measured = matches!(state.plan.trial, Trial::Done { .. });
    let label = text::memory_label(total, limit, measured);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Meter, true, &label));
    let painter = ui.painter();
    painter.rect_filled(rect, CornerRadius::same(5), palette.inset);
    let mut left = rect.left();
    for (bytes, color) in plan.memory.iter().zip(palette.series) {
        let width = *bytes as f32 / scale * rect.width();
        let bar = Rect::from_min_size(egui::pos2(left, rect.top()), egui::vec2(width, rect.height()));
        painter.rect_filled(bar.shrink2(egui::vec2(0.5, 0.0)), CornerRadius::same(2), color);
        left += width;
    }
    if let Some(limit) = limit {
        let x = rect.left() + limit as f32 / scale * rect.width();
        let stroke = Stroke::new(2.0, if fits { palette.text } else { palette.bad });
        painter.line_segment([egui::pos2(x, rect.top() - 4.0), egui::pos2(x, rect.bottom() + 4.0)], stroke);
    }
    ui.horizontal_wrapped(|ui| {
        for ((name, bytes), color) in text::MEMORY_PARTS.iter().zip(plan.memory).zip(palette.series) {
            swatch(ui, color);
            widgets::small(ui, format!("{name} {}", text::bytes(bytes)));
        }
    });
    if plan.models.len() > 1 {
        widgets::small(ui, text::models(&plan.models));
    }
    ui.horizontal_wrapped(|ui| {
        let (icon, tone) = match limit {
            None if !measured => (Icon::Dot, Tone::Neutral),
            _ if fits => (Icon::Check, Tone::Good),
            _ => (Icon::Cross, Tone::Bad),
        };
        widgets::icon(ui, icon, tone);
        ui.label(RichText::new(&label).strong());
        if limit.is_none() && !measured {
            widgets::weak(ui, text::NO_LIMIT);
        }
        limit_ui(ui, state, view, actions);
    });
    if !fits || !plan.fixes.is_empty() {
        fixes_ui(ui, state, &plan.fixes, fits, view, actions);
    }
}

fn swatch(ui: &mut Ui, color: Color32) {
    let (rect, _) = ui.allocate_exact_size(egui::vec2(10.0, 10.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(2), color);
}

/// Bytes that a run may take, if the person knows better.
fn limit_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    let Some(mut typed) = view.limit.clone() else {
        if widgets::link_button(ui, text::EDIT_LIMIT).clicked() {
            let now = state.memory_limit().map(|limit| format!("{:.1}", limit as f64 / 1e9));
            view.limit = Some(now.unwrap_or_default());
        }
        return;
    };
    let label = widgets::small(ui, text::LIMIT_GB);
    let response = ui.add(egui::TextEdit::singleline(&mut typed).desired_width(60.0)).labelled_by(label.id);
    let parsed = fields::parsed(Kind::Positive, &typed);
    let entered = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    let set = ui.add_enabled(parsed.is_ok(), egui::Button::new(text::SET_LIMIT)).clicked() || entered;
    let clear = ui.button(text::CLEAR_LIMIT).clicked();
    if let Err(wrong) = &parsed {
        wrong_ui(ui, wrong);
    }
    let gigabytes = parsed.ok().and_then(|value| value.as_f64()).filter(|_| set);
    if let Some(gigabytes) = gigabytes {
        actions.push(Action::EditLimit(Some((gigabytes * 1e9) as u64)));
    }
    if clear {
        actions.push(Action::EditLimit(None));
    }
    view.limit = if gigabytes.is_some() || clear { None } else { Some(typed) };
}

/// What would make it fit, best first.
fn fixes_ui(ui: &mut Ui, state: &State, fixes: &[Fix], fits: bool, view: &mut PlanView, actions: &mut Vec<Action>) {
    if !fits {
        ui.label(if fixes.is_empty() { text::NO_FIXES } else { text::FIXES });
    }
    ui.horizontal_wrapped(|ui| {
        for fix in fixes {
            if ui.button(text::fix(&fix.label, fix.saves)).clicked() {
                let mut settings = state.plan.settings.clone();
                settings.extend(fix.settings.clone());
                view.typed.clear();
                actions.push(Action::EditSettings(settings));
            }
        }
        if !fits && widgets::link_button(ui, text::SMALLER_MODEL).clicked() {
            actions.push(Action::Go(Step::Model));
        }
    });
}

fn time_ui(ui: &mut Ui, state: &State, plan: &PlanInfo, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        ui.label(text::time(state.plan.run_parts(), plan.step_seconds));
        match &state.plan.trial {
            Trial::Running => {
                widgets::weak(ui, text::TRYING);
                if ui.button(text::CANCEL).clicked() {
                    actions.push(Action::Send(Command::Cancel));
                }
            }
            trial => {
                let usable = plan.blocked.is_none() && state.active_run().is_none() && !state.run_pending;
                let label = if matches!(trial, Trial::None) { text::TRIAL } else { text::TRIAL_AGAIN };
                if ui.add_enabled(usable, egui::Button::new(label)).clicked() {
                    actions.push(Action::Send(Command::Trial { settings: state.plan.settings.clone() }));
                }
            }
        }
    });
    if let Trial::Done { step_seconds, device_bytes, planned_bytes } = &state.plan.trial {
        widgets::marked(ui, Tone::Good, &text::tried(*step_seconds, *device_bytes, *planned_bytes));
    }
}

/// What happens beside the steps: name, evaluations, prompts.
fn watch_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
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
            ui.add(egui::DragValue::new(&mut watch.eval_steps).range(0..=100_000)).labelled_by(label.id);
            ui.label(text::EVAL_STEPS);
            ui.add_space(GRID);
            ui.checkbox(&mut watch.keep_best, text::KEEP_BEST);
        });
        widgets::weak(ui, text::WATCH_PROMPTS);
        prompts_ui(ui, &mut watch.prompts);
        if watch != state.plan.watch {
            actions.push(Action::EditWatch(watch));
        }
    });
}

/// Prompts, each in a field of its own, as one may have several lines.
fn prompts_ui(ui: &mut Ui, prompts: &mut Vec<String>) {
    let mut removed = None;
    for (index, prompt) in prompts.iter_mut().enumerate() {
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 96.0).max(120.0);
            let field = ui.add(egui::TextEdit::multiline(prompt).desired_rows(1).desired_width(width));
            widgets::name_of(ui, &field, &text::watch_prompt(index + 1));
            let remove = ui.button(text::REMOVE);
            widgets::name_of(ui, &remove, &text::remove_prompt(index + 1));
            if remove.clicked() {
                removed = Some(index);
            }
        });
    }
    if let Some(index) = removed {
        prompts.remove(index);
    }
    if ui.button(text::ADD_PROMPT).clicked() {
        prompts.push(String::new());
    }
}

/// The button that begins the run, or says why not and leads there.
fn start_ui(ui: &mut Ui, state: &State, view: &PlanView, actions: &mut Vec<Action>) {
    let blocked = view.wrong(state.plan.method()).map(Blocked::Settings).or_else(|| state.start_blocked());
    ui.horizontal_wrapped(|ui| {
        let palette = theme::palette(ui);
        let (label, fill, color) = match &blocked {
            None => (text::START.to_owned(), palette.accent, palette.on_accent),
            Some(blocked) => (text::blocked(blocked), palette.warn_soft, palette.warn),
        };
        let icon = if blocked.is_some() { Icon::Warning } else { Icon::Play };
        if widgets::big_button(ui, icon, &label, fill, color, egui::vec2(180.0, 42.0)).clicked() {
            actions.push(leads_to(state, blocked.as_ref()));
        }
        if let Some(Blocked::Settings(problem)) = &blocked {
            widgets::weak(ui, &problem.fix);
        }
    });
    ui.add_space(GRID);
}

/// What the button does.
fn leads_to(state: &State, blocked: Option<&Blocked>) -> Action {
    match blocked {
        None => Action::Start,
        Some(Blocked::Engine | Blocked::NoGpu | Blocked::OtherTab) => Action::Go(Step::Start),
        Some(Blocked::Running) => Action::Go(Step::Run),
        Some(Blocked::Model) => Action::Go(Step::Model),
        Some(Blocked::Pairs | Blocked::NoUsablePairs | Blocked::PairProblems(_)) => Action::Go(Step::Pairs),
        Some(Blocked::Rewards) => Action::Toast(text::REWARDS_FIRST.to_owned()),
        Some(Blocked::Settings(problem)) => {
            Action::GoToField(field_of(state.plan.method(), &problem.at, &problem.what))
        }
        Some(Blocked::Planning) => Action::Toast(text::PLANNING.to_owned()),
        Some(Blocked::NotPlanned) => Action::Plan,
    }
}

/// The setting that a problem is about, by its place or its words.
fn field_of(method: Method, at: &str, what: &str) -> &'static str {
    let names = |text: &str, key: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == key);
    let is_it = |key: &&str| names(at, key) || (key.len() > 1 && names(what, key));
    let usual = if method.is_online() { "per_device_train_batch_size" } else { "max_length" };
    fields::of(method).map(|(key, _)| key).find(is_it).unwrap_or(usual)
}
