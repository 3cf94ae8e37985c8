//! A blind test: two answers without names, a vote by mouse or key, and what the votes say.

use std::collections::BTreeMap;

use eframe::egui::{self, Key, RichText, Ui};
use serde_json::json;

use super::sampling::{Sampling, ask};
use super::text;
use crate::app::actions::Action;
use crate::app::charts::share_scale;
use crate::app::state::{RunState, State};
use crate::app::text::run;
use crate::app::widgets::{
    Tone, card, chip, columns, danger_button, heading, marked, primary_button, small, text_box, weak,
};
use crate::engine::protocol::{Command, PairRow};
use crate::engine::stats::{Vote, win_rate_from_votes};

/// What the original model is compared with: an adapter at a strength. Votes on others say nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Contender {
    run_id: String,
    /// The step that the adapter is of.
    step: usize,
    /// Percent.
    strength: u32,
}

/// What this tab remembers of a contender.
#[derive(Debug, Default)]
pub(super) struct BlindView {
    /// What was asked so far; the last one is on the screen.
    rounds: Vec<Round>,
    /// The prompt of this pair is awaited.
    reading: Option<usize>,
    /// Whether to throw the votes away was asked.
    asking: bool,
    /// As many votes were saved as pairs.
    saved: usize,
}

/// A question and its vote.
#[derive(Debug)]
struct Round {
    prompt: String,
    id: u64,
    /// The engine was asked for the answers.
    known: bool,
    /// Which side is the tuned model: 0 or 1.
    tuned: usize,
    vote: Option<Vote>,
    /// Both answers, base and tuned, as soon as they are whole.
    texts: Option<[String; 2]>,
}

/// What can be asked.
enum Question {
    /// A whole prompt.
    Prompt(String),
    /// A pair of which only the beginning of the prompt is at hand, and its longest sequence.
    Pair { index: usize, max_length: usize },
}

impl BlindView {
    fn votes(&self) -> Vec<Vote> {
        self.rounds.iter().filter_map(|round| round.vote).collect()
    }

    /// True if there are votes that were not saved as pairs.
    pub(super) fn unsaved(&self) -> bool {
        self.votes().len() > self.saved
    }

    /// Takes answers over as soon as they are whole: the state may forget them.
    fn keep_texts(&mut self, state: &State) {
        let Some(round) = self.rounds.last_mut().filter(|round| round.texts.is_none()) else { return };
        let written = state.texts.get(&round.id).map(|text| text.sides.as_slice());
        round.known |= written.is_some();
        if let Some([base, tuned]) = written
            && [base, tuned].iter().all(|side| side.done && !side.failed)
        {
            round.texts = Some([base, tuned].map(|side| side.text.trim().to_owned()));
        }
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
    view.keep_texts(state);
    let questions = questions(state, run);
    begin_when_read(state, view, sampling, next_id, actions);
    card(ui, |ui| {
        heading(ui, text::BLIND_TITLE);
        weak(ui, text::BLIND_TEXT);
        ui.horizontal_wrapped(|ui| {
            if view.rounds.is_empty() {
                let idle = !questions.is_empty() && view.reading.is_none();
                if ui.add_enabled_ui(idle, |ui| primary_button(ui, text::BEGIN)).inner.clicked() {
                    next(view, &questions, sampling, next_id, actions);
                }
                if questions.is_empty() {
                    small(ui, text::NO_QUESTIONS);
                }
            } else {
                small(ui, text::round(view.rounds.len()));
                if view.asking {
                    ui.label(text::reset_votes(view.votes().len()));
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
    // If the run went on, answers that were being written are gone: the question is asked again.
    let gone = |round: &mut Round| round.texts.is_none() && round.known && !state.texts.contains_key(&round.id);
    if let Some(round) = view.rounds.pop_if(gone) {
        begin(view, round.prompt, sampling, next_id, actions);
    } else if let Some(round) = view.rounds.last_mut() {
        match round_ui(ui, state, round) {
            Some(Answer::Vote(vote)) => round.vote = Some(vote),
            Some(Answer::Next) => next(view, &questions, sampling, next_id, actions),
            Some(Answer::Again) => {
                let prompt = std::mem::take(&mut round.prompt);
                view.rounds.pop();
                begin(view, prompt, sampling, next_id, actions);
            }
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

/// What a person says to a question.
enum Answer {
    Vote(Vote),
    Next,
    Again,
    Cancel,
}

/// What can be asked: the watched prompts, then those of the held-out pairs, or of all pairs if none were scored.
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

/// Asks for the next answers, or first for the prompt.
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
    match &questions[view.rounds.len() % questions.len()] {
        Question::Prompt(prompt) => begin(view, prompt.clone(), sampling, next_id, actions),
        &Question::Pair { index, max_length } => {
            view.reading = Some(index);
            actions.push(Action::Send(Command::ReadPair { index, max_length }));
        }
    }
}

/// Goes on when the prompt of a pair has come.
fn begin_when_read(
    state: &State,
    view: &mut BlindView,
    sampling: Sampling,
    next_id: &mut u64,
    actions: &mut Vec<Action>,
) {
    let read = view.reading.and_then(|index| state.pairs.view(index));
    if let Some(pair) = read {
        let prompt = pair.texts[0].clone();
        view.reading = None;
        begin(view, prompt, sampling, next_id, actions);
    }
}

fn begin(view: &mut BlindView, prompt: String, sampling: Sampling, next_id: &mut u64, actions: &mut Vec<Action>) {
    let round = view.rounds.len() as u64;
    // Another seed each time, and again the same ones after a reset.
    let seed = sampling.seed.wrapping_add(round);
    let id = ask(&prompt, Sampling { seed, ..sampling }, next_id, actions);
    let tuned = (mixed(seed ^ 0x9E37_79B9_7F4A_7C15) & 1) as usize;
    view.rounds.push(Round { prompt, id, known: false, tuned, vote: None, texts: None });
}

/// A number that looks random (splitmix64).
fn mixed(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The two answers, and what is said to them.
fn round_ui(ui: &mut Ui, state: &State, round: &Round) -> Option<Answer> {
    let written = state.texts.get(&round.id).map_or(&[][..], |text| text.sides.as_slice());
    let is_whole = round.texts.is_some();
    let has_failed = !is_whole && written.iter().any(|side| side.failed);
    let text_of = |side: usize| {
        let base_or_tuned = usize::from(side == round.tuned);
        let live = written.get(base_or_tuned).map_or("", |side| side.text.trim());
        round.texts.as_ref().map_or(live, |texts| texts[base_or_tuned].as_str()).to_owned()
    };
    let mut answer = None;
    card(ui, |ui| {
        ui.add(egui::Label::new(RichText::new(&round.prompt).strong()).wrap());
        let side = |ui: &mut Ui, index: usize| {
            ui.vertical(|ui| {
                ui.horizontal(|ui| {
                    heading(ui, text::SIDES[index]);
                    if round.vote.is_some() {
                        let ours = index == round.tuned;
                        let name = if ours { text::TUNED_SHORT } else { text::BASE_SHORT };
                        chip(ui, if ours { Tone::Accent } else { Tone::Neutral }, name);
                    } else if !is_whole && !has_failed {
                        ui.spinner();
                    }
                });
                text_box(ui, |ui| {
                    ui.add(egui::Label::new(text_of(index)).wrap());
                });
            });
        };
        columns(ui, 320.0, &mut [&mut |ui| side(ui, 0), &mut |ui| side(ui, 1)]);
        if has_failed {
            marked(ui, Tone::Warn, text::NOT_WRITTEN);
        }
        ui.horizontal_wrapped(|ui| {
            if has_failed {
                answer = primary_button(ui, text::WRITE_AGAIN).clicked().then_some(Answer::Again);
                return;
            }
            if round.vote.is_some() {
                answer = primary_button(ui, text::NEXT).clicked().then_some(Answer::Next);
                return;
            }
            ui.add_enabled_ui(is_whole, |ui| {
                for (label, picked) in [(text::VOTE_A, Some(0)), (text::VOTE_TIE, None), (text::VOTE_B, Some(1))] {
                    if ui.button(label).clicked() {
                        answer = Some(Answer::Vote(vote_for(picked, round.tuned)));
                    }
                }
            });
            if !is_whole && ui.button(run::CANCEL).clicked() {
                answer = Some(Answer::Cancel);
            }
            small(ui, text::KEYS);
        });
    });
    if !ui.ctx().text_edit_focused() && !ui.ctx().any_popup_open() {
        ui.input_mut(|input| {
            let mut pressed = |key| input.consume_key(egui::Modifiers::NONE, key);
            if round.vote.is_none() && is_whole {
                for (key, picked) in [(Key::Num1, Some(0)), (Key::Num2, Some(1)), (Key::Num0, None)] {
                    if pressed(key) {
                        answer = Some(Answer::Vote(vote_for(picked, round.tuned)));
                    }
                }
            } else if round.vote.is_some() && pressed(Key::Space) {
                answer = Some(Answer::Next);
            }
        });
    }
    answer
}

fn vote_for(side: Option<usize>, tuned: usize) -> Vote {
    match side {
        None => Vote::Tie,
        Some(side) if side == tuned => Vote::Tuned,
        Some(_) => Vote::Base,
    }
}

/// What the votes say, and the votes as pairs.
fn result_ui(
    ui: &mut Ui,
    run: &RunState,
    contender: &Contender,
    views: &mut BTreeMap<Contender, BlindView>,
    actions: &mut Vec<Action>,
) {
    let of_run = |other: &Contender| other.run_id == contender.run_id;
    if !views.iter().any(|(other, view)| of_run(other) && !view.votes().is_empty()) {
        return;
    }
    card(ui, |ui| {
        if let Some(rate) = views.get(contender).and_then(|view| win_rate_from_votes(&view.votes())) {
            heading(ui, &text::win_rate(rate.rate, rate.interval));
            share_scale(ui, text::WIN_RATE, rate.rate, rate.interval, &[(text::CHANCE, 0.5)]);
            small(ui, text::votes(rate.wins, rate.losses, rate.ties));
        }
        for (other, view) in views.iter().filter(|(other, _)| of_run(other) && *other != contender) {
            if let Some(rate) = win_rate_from_votes(&view.votes()) {
                let votes = text::votes(rate.wins, rate.losses, rate.ties);
                small(ui, text::other_votes(other.step, other.strength, &votes));
            }
        }
        ui.horizontal_wrapped(|ui| {
            let rounds = views.iter().filter(|(other, _)| of_run(other)).flat_map(|(_, view)| &view.rounds);
            let pairs = votes_as_pairs(rounds);
            let any = !pairs.is_empty();
            if ui.add_enabled(any, egui::Button::new(text::SAVE_VOTES)).clicked() {
                let name = text::votes_file(&run.info.record.name);
                actions.push(Action::SaveFile { name, bytes: pairs.into_bytes() });
                for (_, view) in views.iter_mut().filter(|(other, _)| of_run(other)) {
                    view.saved = view.votes().len();
                }
            }
            small(ui, text::SAVE_VOTES_HELP);
        });
    });
}

/// Votes that prefer a side, as lines of a pairs file.
fn votes_as_pairs<'a>(rounds: impl Iterator<Item = &'a Round>) -> String {
    let mut lines = String::new();
    for round in rounds {
        let Some([base, tuned]) = &round.texts else { continue };
        let (chosen, rejected) = match round.vote {
            Some(Vote::Tuned) => (tuned, base),
            Some(Vote::Base) => (base, tuned),
            Some(Vote::Tie) | None => continue,
        };
        let pair = json!({ "prompt": round.prompt, "chosen": chosen, "rejected": rejected });
        lines += &format!("{pair}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_become_pairs() {
        let round = |vote| Round {
            prompt: "Q".into(),
            id: 0,
            known: true,
            tuned: 1,
            vote,
            texts: Some(["base".to_owned(), "tuned".to_owned()]),
        };
        let rounds = [round(Some(Vote::Tuned)), round(Some(Vote::Tie)), round(Some(Vote::Base)), round(None)];
        let lines = votes_as_pairs(rounds.iter());
        let want = "{\"prompt\":\"Q\",\"chosen\":\"tuned\",\"rejected\":\"base\"}\n\
                    {\"prompt\":\"Q\",\"chosen\":\"base\",\"rejected\":\"tuned\"}\n";
        assert_eq!(lines, want);
    }

    #[test]
    fn sides_are_exchanged_about_half_of_the_time() {
        let first = (0..1000).filter(|&seed| mixed(seed) & 1 == 0).count();
        assert!((450..550).contains(&first), "{first} of 1000");
        assert_eq!(mixed(3), mixed(3), "the same seed gives the same order");
    }
}
