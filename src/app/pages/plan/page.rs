//! The page itself, from top to bottom; its parts are in sibling modules.

use std::collections::BTreeMap;

use eframe::egui::{self, Ui};

use super::fields::{field_of, settings_ui};
use super::method::{MethodView, method_ui, rewards_ui};
use super::take::take_ui;
use super::text;
use super::watch::watch_ui;
use crate::app::actions::{Action, Step};
use crate::app::state::{Blocked, State};
use crate::app::text::{labels, setting};
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Icon, Tone};
use crate::app::{fields, methods};
use crate::engine::plan::field_help::field_help;
use crate::engine::protocol::{Method, Problem, Subject};

/// State of this page.
#[derive(Debug, Default)]
pub(crate) struct PlanView {
    /// Typed text that is not a value yet, by setting.
    pub(super) typed: BTreeMap<&'static str, String>,
    /// State of the cards for the method and the rewards.
    pub(super) method: MethodView,
    /// True to show the other settings.
    pub(super) more: bool,
    /// A field to scroll to and mark.
    pub(super) show: Option<&'static str>,
    /// The limit on memory typed so far, in GB.
    pub(super) limit: Option<String>,
}

impl PlanView {
    /// Brings a setting of a method into sight when the page is next drawn.
    pub(crate) fn show_field(&mut self, method: Method, key: &'static str) {
        self.more |= !methods::row(method).first.contains(&key);
        self.show = Some(key);
    }

    /// Discards typed text, because settings from elsewhere have replaced it.
    pub(crate) fn forget_typed(&mut self) {
        self.typed.clear();
    }

    /// True if the text of a field is no value.
    pub(crate) fn is_wrong(&self, method: Method) -> bool {
        self.wrong(method).is_some()
    }

    /// Describes a field whose text is no value, if there is one.
    pub(super) fn wrong(&self, method: Method) -> Option<Problem> {
        self.typed.iter().find_map(|(key, typed)| {
            let (key, kind) = fields::one(method, key)?;
            let what = fields::parsed(kind, typed).err()?;
            let name = field_help(key).map_or(key, |help| help.label);
            let what = format!("{name}: {what}");
            Some(Problem::with_setting(key, what, text::CORRECT_FIELD))
        })
    }
}

/// Width from which the settings and what they take stand side by side.
const SIDE_BY_SIDE: f32 = 1400.0;

/// Draws the page.
pub(crate) fn plan_ui(ui: &mut Ui, state: &State, view: &mut PlanView, actions: &mut Vec<Action>) {
    widgets::page_title(ui, text::PLAN_TITLE, text::PLAN_SUBTITLE);
    start_ui(ui, state, view, actions);
    if let Some(problem) = &state.plan.problem {
        widgets::problem_card(ui, Tone::Bad, text::PLAN_REFUSED, problem, |ui| {
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Plan));
            }
        });
    }
    if let Some(problem) = &state.run_problem {
        widgets::problem_card(ui, Tone::Bad, text::RUN_REFUSED, problem, |ui| {
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Run));
            }
        });
    }
    // Two columns keep the settings and their cost in sight together.
    let two = ui.available_width() >= SIDE_BY_SIDE;
    let mut parts = |ui: &mut Ui, first: bool, second: bool| {
        if first {
            method_ui(ui, state, actions);
            rewards_ui(ui, state, &mut view.method, actions);
            settings_ui(ui, state, view, actions);
        }
        if second {
            take_ui(ui, state, view, actions);
            watch_ui(ui, state, actions);
        }
    };
    if !two {
        return parts(ui, true, true);
    }
    ui.columns(2, |columns| {
        for (i, ui) in columns.iter_mut().enumerate() {
            // Undo the layout of columns, which stretches text to both edges.
            ui.vertical(|ui| parts(ui, i == 0, i == 1));
        }
    });
}

/// Draws the button that starts the run, or says why it cannot start and leads there.
fn start_ui(ui: &mut Ui, state: &State, view: &PlanView, actions: &mut Vec<Action>) {
    let blocked = view.wrong(state.plan.method()).map(Blocked::Settings).or_else(|| state.start_blocked());
    ui.horizontal_wrapped(|ui| {
        let palette = theme::palette(ui);
        let (label, fill, color) = match &blocked {
            None => (text::START.to_owned(), palette.accent, palette.on_accent),
            Some(blocked) => (setting::blocked(blocked), palette.warn_soft, palette.warn),
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

/// Returns the action of the start button.
fn leads_to(state: &State, blocked: Option<&Blocked>) -> Action {
    match blocked {
        None => Action::Start,
        Some(Blocked::Engine | Blocked::NoGpu | Blocked::OtherTab) => Action::Go(Step::Start),
        Some(Blocked::Running) => Action::Go(Step::Run),
        Some(Blocked::Racing) => Action::Go(Step::Race),
        Some(Blocked::Sweeping) => Action::Go(Step::Sweep),
        Some(Blocked::Model) => Action::Go(Step::Model),
        Some(Blocked::Pairs | Blocked::NoUsablePairs | Blocked::PairProblems(_)) => Action::Go(Step::Pairs),
        Some(Blocked::Rewards) => Action::Toast(text::REWARDS_FIRST.to_owned()),
        Some(Blocked::Settings(problem)) => Action::GoToField(field_of(state.plan.method(), problem)),
        Some(Blocked::Planning) => Action::Toast(setting::PLANNING.to_owned()),
        Some(Blocked::NotPlanned) => Action::Plan,
    }
}
