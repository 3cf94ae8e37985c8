//! A blind test: two answers without names, a vote by mouse or key, and the result of the votes.

use std::collections::BTreeMap;

use eframe::egui::{self, Ui};

use super::sampling::{Asked, Sampling, ask};
use super::text;
use crate::app::actions::Action;
use crate::app::charts::share_scale;
use crate::app::state::{RunState, State};
use crate::app::text::votes;
use crate::app::widgets::{Answer, Ballot, card, danger_button, heading, primary_button, small, weak};
use crate::engine::protocol::{Command, PairRow, PairsCommand};
use crate::engine::stats::win_rate_from_votes;

/// Opponent of the base model: an adapter at a scale. Votes on one opponent say nothing about the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Contender {
    run_id: String,
    /// Step of the adapter.
    step: usize,
    /// Percent.
    strength: u32,
}

/// State of this tab for one contender.
#[derive(Debug, Default)]
pub(super) struct BlindView {
    /// Questions asked so far, with their votes.
    ballot: Ballot,
    /// Index of the pair whose prompt is awaited.
    reading: Option<usize>,
    /// True while the user is asked whether to discard the votes.
    asking: bool,
    /// Number of votes that were saved as pairs.
    saved: usize,
}

/// A question that can be asked.
enum Question {
    /// A whole prompt.
    Prompt(String),
    /// A pair whose prompt is shortened here and must be read first, with the longest sequence to read.
    Pair { index: usize, max_length: usize },
}

impl BlindView {
    /// True if there are votes that were not saved as pairs.
    pub(super) fn unsaved(&self) -> bool {
        self.ballot.votes().len() > self.saved
    }
}

/// Draws the tab.
pub(super) fn blind_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    views: &mut BTreeMap<Contender, BlindView>,
    sampling: Sampling,
    next_id: &mut u64,
    actions: &mut Vec<Action>,
) {
    let record = &run.info.record;
    let contender = Contender {
        run_id: record.run_id.clone(),
        step: record.best_step.unwrap_or(record.step),
        strength: (sampling.strength * 100.0).round() as u32,
    };
    let view = views.entry(contender.clone()).or_default();
    view.ballot.keep_texts(state);
    let questions = questions(state, run);
    begin_when_read(state, view, sampling, next_id, actions);
    card(ui, |ui| {
        heading(ui, votes::TITLE);
        weak(ui, votes::TEXT);
        ui.horizontal_wrapped(|ui| {
            if view.ballot.rounds() == 0 {
                let idle = !questions.is_empty() && view.reading.is_none();
                if ui.add_enabled_ui(idle, |ui| primary_button(ui, votes::START)).inner.clicked() {
                    next(view, &questions, sampling, next_id, actions);
                }
                if questions.is_empty() {
                    small(ui, text::NO_QUESTIONS);
                }
            } else {
                small(ui, votes::round(view.ballot.rounds()));
                if view.asking {
                    ui.label(text::reset_votes(view.ballot.votes().len()));
                    if danger_button(ui, text::RESET_YES).clicked() {
                        *view = BlindView::default();
                    } else if ui.button(text::RESET_NO).clicked() {
                        view.asking = false;
                    }
                } else if ui.button(text::RESET).clicked() {
                    if view.unsaved() {
                        view.asking = true;
                    } else {
                        *view = BlindView::default();
                    }
                }
            }
        });
    });
    if view.ballot.rounds() > 0 {
        match view.ballot.show(ui, state, [text::BASE_SHORT, text::TUNED_SHORT]) {
            Some(Answer::Next) => next(view, &questions, sampling, next_id, actions),
            Some(Answer::Again(prompt)) => begin(view, prompt, sampling, next_id, actions),
            Some(Answer::Cancel) => actions.push(Action::Send(Command::Cancel)),
            None => {}
        }
    } else if view.reading.is_some() {
        card(ui, |ui| {
            ui.spinner();
            weak(ui, text::READING);
        });
    }
    result_ui(ui, run, &contender, views, actions);
}

/// Questions that can be asked: the sample prompts, then the prompts of the held-out pairs scored last.
fn questions(state: &State, run: &RunState) -> Vec<Question> {
    let mut questions: Vec<Question> = run.info.prompts.iter().cloned().map(Question::Prompt).collect();
    let held_out = state.held_out.last().map(|(_, pairs)| pairs.iter().map(|pair| pair.index).collect::<Vec<_>>());
    let indices = held_out.unwrap_or_default();
    let whole = |row: &PairRow| row.prompt.chars().count() >= row.chars[0];
    for index in indices {
        match state.pairs.rows.get(index) {
            Some(row) if whole(row) => questions.push(Question::Prompt(row.prompt.clone())),
            Some(_) => questions.push(Question::Pair { index, max_length: state.plan.max_length() }),
            None => {}
        }
    }
    questions
}

/// Asks for the answers to the next question, or first for its prompt.
fn next(
    view: &mut BlindView,
    questions: &[Question],
    sampling: Sampling,
    next_id: &mut u64,
    actions: &mut Vec<Action>,
) {
    if questions.is_empty() {
        return;
    }
    match &questions[view.ballot.rounds() % questions.len()] {
        Question::Prompt(prompt) => begin(view, prompt.clone(), sampling, next_id, actions),
        &Question::Pair { index, max_length } => {
            view.reading = Some(index);
            actions.push(Action::Send(Command::Pairs(PairsCommand::Read { index, max_length })));
        }
    }
}

/// Continues once the prompt of a pair has been read.
fn begin_when_read(
    state: &State,
    view: &mut BlindView,
    sampling: Sampling,
    next_id: &mut u64,
    actions: &mut Vec<Action>,
) {
    let read = view.reading.and_then(|index| state.pairs.view(index));
    if let Some(pair) = read {
        let [prompt, ..] = pair.texts();
        view.reading = None;
        begin(view, prompt, sampling, next_id, actions);
    }
}

fn begin(view: &mut BlindView, prompt: String, sampling: Sampling, next_id: &mut u64, actions: &mut Vec<Action>) {
    let seed = view.ballot.next_seed(sampling.seed);
    let id = ask(Asked { prompt: prompt.clone(), ..Asked::default() }, Sampling { seed, ..sampling }, next_id, actions);
    view.ballot.asked(prompt, id, seed);
}

/// Draws the result of the votes, and the button that saves them as pairs.
fn result_ui(
    ui: &mut Ui,
    run: &RunState,
    contender: &Contender,
    views: &mut BTreeMap<Contender, BlindView>,
    actions: &mut Vec<Action>,
) {
    let of_run = |other: &Contender| other.run_id == contender.run_id;
    if !views.iter().any(|(other, view)| of_run(other) && !view.ballot.votes().is_empty()) {
        return;
    }
    card(ui, |ui| {
        if let Some(rate) = views.get(contender).and_then(|view| win_rate_from_votes(&view.ballot.votes())) {
            heading(ui, &votes::win_rate(text::THE_TUNED, rate.rate, rate.interval));
            share_scale(ui, text::WIN_RATE, rate.rate, rate.interval, &[(votes::CHANCE, 0.5)]);
            small(ui, votes::tally([text::BASE_SHORT, text::TUNED_SHORT], rate.wins, rate.losses, rate.ties));
        }
        for (other, view) in views.iter().filter(|(other, _)| of_run(other) && *other != contender) {
            if let Some(rate) = win_rate_from_votes(&view.ballot.votes()) {
                let tally = votes::tally([text::BASE_SHORT, text::TUNED_SHORT], rate.wins, rate.losses, rate.ties);
                small(ui, text::other_votes(other.step, other.strength, &tally));
            }
        }
        ui.horizontal_wrapped(|ui| {
            let pairs: String =
                views.iter().filter(|(other, _)| of_run(other)).map(|(_, view)| view.ballot.as_pairs()).collect();
            let any = !pairs.is_empty();
            if ui.add_enabled(any, egui::Button::new(text::SAVE_VOTES)).clicked() {
                let name = text::votes_file(&run.info.record.name);
                actions.push(Action::SaveFile { name, bytes: pairs.into_bytes() });
                for (_, view) in views.iter_mut().filter(|(other, _)| of_run(other)) {
                    view.saved = view.ballot.votes().len();
                }
            }
            small(ui, text::SAVE_VOTES_HELP);
        });
    });
}
