//! The page itself, from top to bottom; its parts are in sibling modules.

use std::collections::BTreeMap;

use eframe::egui::{RichText, Ui};

use super::blind::{BlindView, Contender, blind_ui};
use super::held_out::{HeldOutView, held_out_ui};
use super::list::{ListView, list_ui};
use super::prompts::prompts_ui;
use super::sampling::Sampling;
use super::text;
use super::what_if::what_if_ui;
use crate::app::actions::{Action, Demo, Step};
use crate::app::state::{RunState, State};
use crate::app::text::{labels, run};
use crate::app::widgets::{
    Tone, chip, comparable_ui, name_of, page_title, primary_button, refused_ui, small, starting_ui, tabs, titled_card,
    weak,
};
use crate::engine::protocol::{Command, LibraryCommand, RunRecord, Subject};

/// Number of stored runs that are offered.
const OFFERED: usize = 8;

/// State of this page.
#[derive(Debug)]
pub(crate) struct CompareView {
    pub(super) tab: Tab,
    /// Id of the run that the other fields are about.
    pub(super) run_id: String,
    /// Id of the next request.
    pub(super) next_id: u64,
    pub(super) prompt: String,
    /// System prompt of conversations; empty for none.
    pub(super) system: String,
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) max_tokens: usize,
    /// Percent.
    pub(super) strength: u32,
    pub(super) diff: bool,
    pub(super) asked: Option<u64>,
    pub(super) list: ListView,
    pub(super) held_out: HeldOutView,
    /// Blind tests by adapter; opening another run keeps them.
    pub(super) blind: BTreeMap<Contender, BlindView>,
    /// Beta chosen on the slider; none for the run's own.
    pub(super) beta: Option<f64>,
}

impl Default for CompareView {
    fn default() -> Self {
        Self {
            tab: Tab::Prompts,
            run_id: String::new(),
            next_id: 1,
            prompt: String::new(),
            system: String::new(),
            seed: 7,
            temperature: 0.0,
            max_tokens: 120,
            strength: 100,
            diff: true,
            asked: None,
            list: ListView::default(),
            held_out: HeldOutView::default(),
            blind: BTreeMap::new(),
            beta: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Prompts,
    List,
    Pairs,
    Blind,
    WhatIf,
}

impl CompareView {
    /// Sampling options as they are set.
    pub(super) fn sampling(&self) -> Sampling {
        Sampling {
            seed: self.seed,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            strength: self.strength as f32 / 100.0,
        }
    }

    /// Returns the system prompt; an empty one where the open model answers no conversations.
    pub(super) fn system_prompt(&self, state: &State) -> String {
        if state.chats() { self.system.trim().to_owned() } else { String::new() }
    }

    /// True if there are votes that were not saved as pairs.
    pub(crate) fn unsaved_votes(&self) -> bool {
        self.blind.values().any(BlindView::unsaved)
    }

    /// Resets what was about another run, except its votes.
    pub(super) fn follow(&mut self, run: &RunState) {
        if self.run_id == run.info.record.run_id {
            return;
        }
        *self = Self {
            tab: self.tab,
            run_id: run.info.record.run_id.clone(),
            next_id: self.next_id,
            prompt: run.info.prompts.first().cloned().unwrap_or_else(|| std::mem::take(&mut self.prompt)),
            seed: self.seed,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            list: ListView::of(&run.info.prompts),
            blind: std::mem::take(&mut self.blind),
            ..Self::default()
        };
    }
}

/// Draws the page.
pub(crate) fn compare_ui(ui: &mut Ui, state: &State, view: &mut CompareView, actions: &mut Vec<Action>) {
    page_title(ui, labels::step_name(Step::Compare), text::SUBTITLE);
    refused_ui(ui, Subject::Compare, state.compare_problem.as_ref(), actions);
    refused_ui(ui, Subject::Runs, state.runs_problem.as_ref(), actions);
    if state.run_pending {
        return starting_ui(ui, state, actions);
    }
    let Some(run) = &state.run else { return choose_ui(ui, state, actions) };
    if !comparable_ui(ui, run, actions) {
        return;
    }
    view.follow(run);
    ui.horizontal_wrapped(|ui| {
        let record = &run.info.record;
        ui.label(RichText::new(&record.name).strong());
        small(ui, text::which(&record.model_name, record.best_step.unwrap_or(record.step)));
    });
    let all = [
        (Tab::Prompts, text::PROMPTS.to_owned()),
        (Tab::List, text::LIST.to_owned()),
        (Tab::Pairs, text::PAIRS.to_owned()),
        (Tab::Blind, text::BLIND.to_owned()),
        (Tab::WhatIf, text::WHAT_IF.to_owned()),
    ];
    tabs(ui, &mut view.tab, &all);
    let sampling = view.sampling();
    match view.tab {
        Tab::Prompts => prompts_ui(ui, state, run, view, actions),
        Tab::List => list_ui(ui, state, run, view, actions),
        Tab::Pairs => held_out_ui(ui, state, run, &mut view.held_out, actions),
        Tab::Blind => blind_ui(ui, state, run, &mut view.blind, sampling, &mut view.next_id, actions),
        Tab::WhatIf => what_if_ui(ui, state, run, view, actions),
    }
}

/// Draws the runs that can be opened, while none is open.
fn choose_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    titled_card(ui, text::EMPTY_TITLE, |ui| {
        weak(ui, run::EMPTY_TEXT);
        let stored: Vec<&RunRecord> = state.runs.iter().flatten().take(OFFERED).collect();
        for run in &stored {
            ui.horizontal_wrapped(|ui| {
                let button = ui.button(text::OPEN);
                name_of(ui, &button, &format!("{} {}", text::OPEN, run.name));
                if button.clicked() {
                    actions.push(Action::Send(Command::Library(LibraryCommand::Open { run_id: run.run_id.clone() })));
                }
                ui.label(RichText::new(&run.name).strong());
                chip(ui, Tone::Neutral, run::run_status(state, run));
                small(ui, text::which(&run.model_name, run.step));
            });
        }
        if stored.is_empty() && primary_button(ui, run::TRY_DEMO).clicked() {
            actions.push(Action::Demo(Demo::Run));
        }
    });
}
