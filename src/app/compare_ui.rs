//! The page that compares the tuned model with the one it came from: prompts side by side, held-out pairs, a blind
//! test, and what another beta would make of the same figures.

use std::collections::BTreeMap;

use eframe::egui::{self, DragValue, RichText, Slider, TextEdit, Ui};
use serde_json::json;

use super::actions::{Action, Step};
use super::blind_ui::{BlindView, Contender, blind_ui};
use super::charts::histogram;
use super::diff::{self, Piece};
use super::held_out_ui::{HeldOutView, held_out_ui, score_ui};
use super::run_ui::{beta, refused_ui, resumed, row_button, starting_ui};
use super::state::{Generation, RunPhase, RunState, State, TextSide};
use super::text::{self, compare as words, run as run_words};
use super::widgets::{
    Tone, answer_ui, card, chip, columns, heading, mono, name_of, page_title, primary_button, slider, small, tabs,
    text_box, titled_card, weak,
};
use crate::engine::protocol::{Command, GenerateRequest, HeldOutPair, RunRecord, Settings, Subject};
use crate::engine::stats;

/// Stored runs that are offered.
const OFFERED: usize = 8;
/// Letters of a prompt on a button.
const PROMPT_LETTERS: usize = 36;

/// What this page remembers.
#[derive(Debug)]
pub(super) struct CompareView {
    tab: Tab,
    /// The run that the rest is about.
    run_id: String,
    /// The next request's.
    next_id: u64,
    prompt: String,
    seed: u64,
    temperature: f32,
    max_tokens: usize,
    /// Percent.
    strength: u32,
    diff: bool,
    asked: Option<u64>,
    held_out: HeldOutView,
    /// One blind test for each adapter, and none is forgotten.
    blind: BTreeMap<Contender, BlindView>,
    /// As slid to; none for the run's own.
    beta: Option<f64>,
}

impl Default for CompareView {
    fn default() -> Self {
        Self {
            tab: Tab::Prompts,
            run_id: String::new(),
            next_id: 1,
            prompt: String::new(),
            seed: 7,
            temperature: 0.0,
            max_tokens: 120,
            strength: 100,
            diff: true,
            asked: None,
            held_out: HeldOutView::default(),
            blind: BTreeMap::new(),
            beta: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Prompts,
    Pairs,
    Blind,
    WhatIf,
}

impl CompareView {
    /// True if there are votes that were not saved as pairs.
    pub(super) fn unsaved_votes(&self) -> bool {
        self.blind.values().any(BlindView::unsaved)
    }

    /// Forgets what was about another run, but for its votes.
    fn follow(&mut self, run: &RunState) {
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
            blind: std::mem::take(&mut self.blind),
            ..Self::default()
        };
    }
}

/// How texts are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) max_tokens: usize,
    pub(super) strength: f32,
}

/// Asks for a text of the base and of the tuned model; the request's id.
pub(super) fn ask(prompt: &str, sampling: Sampling, next_id: &mut u64, actions: &mut Vec<Action>) -> u64 {
    let id = *next_id;
    *next_id += 1;
    actions.push(Action::Send(Command::Generate(Box::new(GenerateRequest {
        id,
        prompt: prompt.to_owned(),
        seed: sampling.seed,
        temperature: sampling.temperature,
        max_new_tokens: sampling.max_tokens,
        strengths: vec![0.0, sampling.strength],
    }))));
    id
}

/// Draws the page.
pub(super) fn compare_ui(ui: &mut Ui, state: &State, view: &mut CompareView, actions: &mut Vec<Action>) {
    page_title(ui, text::step_name(Step::Compare), words::SUBTITLE);
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
        small(ui, words::which(&record.model_name, record.best_step.unwrap_or(record.step)));
    });
    let all = [
        (Tab::Prompts, words::PROMPTS.to_owned()),
        (Tab::Pairs, words::PAIRS.to_owned()),
        (Tab::Blind, words::BLIND.to_owned()),
        (Tab::WhatIf, words::WHAT_IF.to_owned()),
    ];
    tabs(ui, &mut view.tab, &all);
    let sampling = Sampling {
        seed: view.seed,
        temperature: view.temperature,
        max_tokens: view.max_tokens,
        strength: view.strength as f32 / 100.0,
    };
    match view.tab {
        Tab::Prompts => prompts_ui(ui, state, run, view, actions),
        Tab::Pairs => held_out_ui(ui, state, run, &mut view.held_out, actions),
        Tab::Blind => blind_ui(ui, state, run, &mut view.blind, sampling, &mut view.next_id, actions),
        Tab::WhatIf => what_if_ui(ui, state, run, view, actions),
    }
}

/// Without a run: what can be opened.
fn choose_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    titled_card(ui, words::EMPTY_TITLE, |ui| {
        weak(ui, words::EMPTY_TEXT);
        let stored: Vec<&RunRecord> = state.runs.iter().flatten().take(OFFERED).collect();
        for run in &stored {
            ui.horizontal_wrapped(|ui| {
                let button = ui.button(words::OPEN);
                name_of(ui, &button, &format!("{} {}", words::OPEN, run.name));
                if button.clicked() {
                    actions.push(Action::Send(Command::OpenRun { run_id: run.run_id.clone() }));
                }
                ui.label(RichText::new(&run.name).strong());
                chip(ui, Tone::Neutral, text::run_status(state, run));
                small(ui, words::which(&run.model_name, run.step));
            });
        }
        if stored.is_empty() && primary_button(ui, run_words::TRY_DEMO).clicked() {
            actions.push(Action::Demo);
        }
    });
}

/// True if the run can be compared now; otherwise says what is in the way.
pub(super) fn comparable_ui(ui: &mut Ui, run: &RunState, actions: &mut Vec<Action>) -> bool {
    match &run.phase {
        RunPhase::Paused | RunPhase::Finished(_) | RunPhase::Opened => return true,
        RunPhase::Failed { .. } => card(ui, |ui| {
            heading(ui, words::FAILED_TITLE);
            weak(ui, words::FAILED_TEXT);
            if primary_button(ui, words::OPEN_SAFE).clicked() {
                actions.push(Action::Send(Command::OpenRun { run_id: run.info.record.run_id.clone() }));
            }
        }),
        phase => card(ui, |ui| {
            heading(ui, words::BUSY_TITLE);
            weak(ui, words::BUSY_TEXT);
            ui.horizontal_wrapped(|ui| {
                let can = *phase == RunPhase::Running;
                if can && primary_button(ui, run_words::PAUSE).clicked() {
                    actions.push(Action::Send(Command::Pause));
                }
                if ui.button(words::SHOW_RUN).clicked() {
                    actions.push(Action::Go(Step::Run));
                }
            });
        }),
    }
    false
}

fn prompts_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut CompareView, actions: &mut Vec<Action>) {
    let shown = view.asked.and_then(|id| state.texts.get(&id));
    let writing = shown.is_some_and(|text| text.sides.iter().any(|side| !side.done));
    card(ui, |ui| {
        let label = ui.label(words::PROMPT).id;
        let field = TextEdit::multiline(&mut view.prompt).desired_rows(2).desired_width(f32::INFINITY);
        let field = ui.add(field.hint_text(words::PROMPT_HINT)).labelled_by(label);
        if run.info.prompts.len() > 1 {
            ui.horizontal_wrapped(|ui| {
                for prompt in run.info.prompts.iter().take(4) {
                    let button = row_button(ui, &text::shortened(prompt, PROMPT_LETTERS));
                    if button.on_hover_text(prompt).clicked() {
                        view.prompt.clone_from(prompt);
                    }
                }
            });
        }
        ui.horizontal_wrapped(|ui| {
            strength_ui(ui, &mut view.strength);
            let label = ui.label(words::SEED).id;
            ui.add(DragValue::new(&mut view.seed)).labelled_by(label);
            let label = ui.label(words::TEMPERATURE).id;
            let field = DragValue::new(&mut view.temperature).range(0.0..=2.0).speed(0.01).max_decimals(2);
            ui.add(field).labelled_by(label).on_hover_text(words::TEMPERATURE_HELP);
            let label = ui.label(words::MAX_TOKENS).id;
            ui.add(DragValue::new(&mut view.max_tokens).range(1..=4096)).labelled_by(label);
        });
        ui.horizontal_wrapped(|ui| {
            let command_enter =
                field.has_focus() && ui.input(|input| input.modifiers.command && input.key_pressed(egui::Key::Enter));
            let ready = !view.prompt.trim().is_empty();
            let go = ui.add_enabled_ui(ready && !writing, |ui| primary_button(ui, words::WRITE_BOTH)).inner;
            if (go.clicked() || command_enter) && ready && !writing {
                let sampling = Sampling {
                    seed: view.seed,
                    temperature: view.temperature,
                    max_tokens: view.max_tokens,
                    strength: view.strength as f32 / 100.0,
                };
                view.asked = Some(ask(&view.prompt, sampling, &mut view.next_id, actions));
            }
            if writing && ui.button(run_words::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
            ui.checkbox(&mut view.diff, words::DIFF);
            small(ui, words::SAME_SEED);
        });
    });
    if let Some(text) = shown {
        both_ui(ui, text, view.diff);
    }
}

/// The factor on the adapter, in percent.
pub(super) fn strength_ui(ui: &mut Ui, strength: &mut u32) {
    let label = ui.label(words::STRENGTH).on_hover_text(words::STRENGTH_HELP).id;
    slider(ui, Slider::new(strength, 0..=150).suffix(" %").step_by(5.0)).labelled_by(label);
}

/// What both wrote, with the words that differ in colour.
fn both_ui(ui: &mut Ui, text: &Generation, diff: bool) {
    let [base, tuned] = [0, 1].map(|side| text.sides.get(side).cloned().unwrap_or_default());
    let [left, right] = if diff { diff::words(base.text.trim(), tuned.text.trim()) } else { Default::default() };
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
                weak(ui, words::NOT_WRITTEN);
            }
            small(ui, words::words(side.text.split_whitespace().count()));
        });
    };
    let ours = words::tuned(strength);
    columns(
        ui,
        340.0,
        &mut [&mut |ui| side(ui, words::BASE, &base, &left, false), &mut |ui| side(ui, &ours, &tuned, &right, true)],
    );
}

/// Log-ratios of tuned to base, chosen and rejected.
fn log_ratios(pairs: &[HeldOutPair]) -> Vec<[f64; 2]> {
    pairs.iter().map(|pair| [pair.tuned[0] - pair.base[0], pair.tuned[1] - pair.base[1]]).collect()
}

fn what_if_ui(ui: &mut Ui, state: &State, run: &RunState, view: &mut CompareView, actions: &mut Vec<Action>) {
    let record = &run.info.record;
    let own = beta(record);
    card(ui, |ui| {
        heading(ui, words::WHAT_IF_TITLE);
        weak(ui, words::WHAT_IF_TEXT);
        chip(ui, Tone::Warn, words::NOT_A_RUN);
        let Some(pairs) = state.held_out_at(1.0) else {
            score_ui(ui, state, run, 1.0, actions);
            return;
        };
        let ratios = log_ratios(pairs);
        let mut beta = view.beta.unwrap_or(own);
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(run_words::BETA).id;
            ui.spacing_mut().slider_width = 280.0;
            let beta_slider = Slider::new(&mut beta, 0.01..=1.0).logarithmic(true).max_decimals(3);
            if slider(ui, beta_slider).labelled_by(label).changed() {
                view.beta = Some(beta);
            }
            if view.beta.is_some() && ui.button(words::OWN_BETA).clicked() {
                view.beta = None;
            }
        });
        let (here, there) = (stats::what_if(own, &ratios), stats::what_if(beta, &ratios));
        egui::Grid::new("what if").num_columns(3).min_row_height(0.0).spacing([32.0, 6.0]).show(ui, |ui| {
            ui.label("");
            weak(ui, words::at_run_beta(own));
            weak(ui, words::at_beta(beta));
            ui.end_row();
            for (name, a, b) in [
                (words::LOSS, text::number(here.loss), text::number(there.loss)),
                (words::MARGIN, text::number(here.margin), text::number(there.margin)),
                (words::ACCURACY, text::percent(here.accuracy), text::percent(there.accuracy)),
                (words::WEIGHT, text::number(here.mean_gradient_weight), text::number(there.mean_gradient_weight)),
            ] {
                ui.label(name);
                mono(ui, a);
                mono(ui, b);
                ui.end_row();
            }
        });
        small(ui, words::WEIGHTS_HELP);
        histogram(ui, words::WEIGHTS, &there.weights, [0.0, 1.0], 20);
        ui.horizontal_wrapped(|ui| {
            let can = record.checkpoint.is_some() && (beta - own).abs() > 1e-9;
            let go = ui.add_enabled(can, egui::Button::new(words::BRANCH));
            if go.clicked() {
                let beta = format!("{beta:.3}").parse().unwrap_or(beta);
                let settings = Settings::from_iter([("beta".to_owned(), json!(beta))]);
                actions.push(Action::Send(resumed(record, settings)));
                actions.push(Action::Go(Step::Run));
            }
            small(ui, words::pairs(ratios.len()));
        });
    });
}
