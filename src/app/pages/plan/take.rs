//! The run's needs: memory by its parts, the limit, fixes, time.

use eframe::egui::{self, Color32, CornerRadius, Rect, RichText, Sense, Stroke, Ui};

use super::fields::wrong_ui;
use super::page::PlanView;
use super::text;
use crate::app::actions::{Action, Step};
use crate::app::fields::{self, Kind};
use crate::app::state::{FEW_ENOUGH, RunParts, State, Trial};
use crate::app::text::{labels, setting, units};
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Icon, Tone};
use crate::engine::protocol::{Command, Fix, PlanInfo, Watch};
use crate::platform::host;

/// Share of a run's time, and seconds, from which a part of it has links that make it shorter.
const LONG_SHARE: f64 = 0.1;
const LONG_SECONDS: f64 = 10.0;

/// Memory, time, disk, checks.
pub(super) fn take_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::heading(ui, text::TAKES);
            if state.plan.pending {
                widgets::small(ui, setting::PLANNING);
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
            widgets::marked(ui, Tone::Warn, labels::ON_BATTERY);
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
            widgets::small(ui, format!("{name} {}", units::bytes(bytes)));
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

/// Draws the limit on a run's memory, which the user may set.
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

/// Draws the changes that would make the run fit, best first.
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

/// Draws links that make the long parts of the run shorter.
fn shorter_ui(ui: &mut Ui, state: &State, plan: &PlanInfo, parts: RunParts, actions: &mut Vec<Action>) {
    let offers = shorter(&state.plan.watch, parts, state.plan.evaluated(plan));
    if offers.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        for (label, why, watch) in offers {
            if widgets::link_button(ui, &label).on_hover_text(why).clicked() {
                actions.push(Action::EditWatch(watch));
            }
        }
    });
}

/// Ways to make the long parts of a run shorter: the words of a link, its consequence, and the monitoring of the run
/// then. An evaluation scores so many pairs.
fn shorter(watch: &Watch, parts: RunParts, scored: usize) -> Vec<(String, String, Watch)> {
    let long = |seconds: f64| seconds >= LONG_SECONDS && seconds > LONG_SHARE * parts.total();
    let mut offers = Vec::new();
    if long(parts.evaluations) && scored > FEW_ENOUGH {
        let fewer = Watch { max_eval_pairs: FEW_ENOUGH, ..watch.clone() };
        offers.push((text::evaluate_on(FEW_ENOUGH), text::some_pairs(FEW_ENOUGH, scored), fewer));
    }
    // The evaluations before and after the run stay.
    if long(parts.evaluations + parts.answers.unwrap_or(0.0)) && parts.rounds > 2 {
        let ends = Watch { eval_steps: 0, ..watch.clone() };
        offers.push((text::EVALUATE_ENDS.to_owned(), text::evaluations_left_out(parts.rounds - 2), ends));
    }
    if long(parts.answers.unwrap_or(0.0)) {
        let none = Watch { no_samples: true, ..watch.clone() };
        offers.push((text::NO_SAMPLES.to_owned(), text::answers_left_out(watch.prompts.len()), none));
    }
    offers
}

fn time_ui(ui: &mut Ui, state: &State, plan: &PlanInfo, actions: &mut Vec<Action>) {
    let measured = state.plan.run_parts();
    let guessed = state.guessed_parts();
    match (measured.zip(plan.step_seconds), guessed) {
        (Some((parts, step)), _) => ui.label(text::time(parts, step)),
        (None, Some((run, step, parts))) => ui.label(text::guessed_time(parts, step, &run.name)),
        (None, None) => ui.label(text::NO_TIME),
    };
    if let Some(parts) = measured.or(guessed.map(|(.., parts)| parts)) {
        shorter_ui(ui, state, plan, parts, actions);
    }
    ui.horizontal_wrapped(|ui| match &state.plan.trial {
        Trial::Running { step, since } => {
            let seconds = (host::seconds() - since).max(0.0);
            widgets::weak(ui, text::trying(*step, seconds));
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            ui.ctx().request_repaint_after_secs(1.0);
        }
        trial => {
            let usable = plan.blocked.is_none() && !state.at_work() && !state.run_pending;
            let label = if matches!(trial, Trial::None) { text::TRIAL } else { text::TRIAL_AGAIN };
            if ui.add_enabled(usable, egui::Button::new(label)).clicked() {
                actions.push(Action::Send(state.trial_of_plan()));
            }
        }
    });
    if let Trial::Done { step_seconds, device_bytes, planned_bytes } = &state.plan.trial {
        widgets::marked(ui, Tone::Good, &text::tried(*step_seconds, *device_bytes, *planned_bytes));
    }
}
