//! A blind test: two answers without names, a vote by mouse or key, and what the votes say.

use eframe::egui::{self, Key, RichText, Ui};
use serde_json::json;

use super::actions::Action;
use super::charts::share_scale;
use super::compare_ui::{Sampling, ask};
use super::state::{RunState, State};
use super::text::{self, compare as words};
use super::widgets::{Tone, card, chip, columns, heading, primary_button, small, text_box, weak};
use crate::engine::protocol::{Command, PairRow};
use crate::engine::stats::{Vote, win_rate_from_votes};

/// Tokens of a pair that is read for its prompt.
const READ_LENGTH: usize = 2048;

/// What this tab remembers.
#[derive(Debug, Default)]
pub(super) struct BlindView {
    /// What was asked so far; the last one is on the screen.
    rounds: Vec<Round>,
    /// The prompt of this pair is awaited.
    reading: Option<usize>,
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
    /// Both answers, base and tuned, as soon as there is a vote.
    texts: [String; 2],
}

/// What can be asked.
enum Question {
    /// A whole prompt.
    Prompt(String),
    /// A pair of which only the beginning of the prompt is at hand.
    Pair(usize),
}

/// Draws the tab.
pub(super) fn blind_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    view: &mut BlindView,
    sampling: Sampling,
    next_id: &mut u64,
    actions: &mut Vec<Action>,
) {
    let questions = questions(state, run);
    ask_for_read(state, view, sampling, next_id, actions);
    card(ui, |ui| {
        heading(ui, words::BLIND_TITLE);
        weak(ui, words::BLIND_TEXT);
        ui.horizontal_wrapped(|ui| {
            if view.rounds.is_empty() {
                let idle = !questions.is_empty() && view.reading.is_none();
                if ui.add_enabled_ui(idle, |ui| primary_button(ui, words::BEGIN)).inner.clicked() {
                    next(view, &questions, sampling, next_id, actions);
                }
                if questions.is_empty() {
                    small(ui, words::NO_QUESTIONS);
                }
            } else {
                small(ui, words::round(view.rounds.len()));
                if ui.button(words::RESET).clicked() {
                    *view = BlindView::default();
                }
            }
        });
    });
    // If the run went on, its answers are gone: the question is asked again.
    let gone = |round: &mut Round| {
        let known = state.texts.contains_key(&round.id);
        round.known |= known;
        round.vote.is_none() && round.known && !known
    };
    if let Some(round) = view.rounds.pop_if(gone) {
        begin(view, round.prompt, sampling, next_id, actions);
    } else if let Some(round) = view.rounds.last() {
        let (vote, go_on) = round_ui(ui, state, round);
        if let Some(vote) = vote {
            cast(state, view, vote);
        } else if go_on {
            next(view, &questions, sampling, next_id, actions);
        }
    } else if view.reading.is_some() {
        card(ui, |ui| {
            ui.spinner();
            weak(ui, words::READING);
        });
    }
    result_ui(ui, run, view, actions);
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
            Some(_) => questions.push(Question::Pair(index)),
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
        Question::Pair(index) => {
            view.reading = Some(*index);
            actions.push(Action::Send(Command::ReadPair { index: *index, max_length: READ_LENGTH }));
        }
    }
}

/// Goes on when the prompt of a pair has come.
fn ask_for_read(state: &State, view: &mut BlindView, sampling: Sampling, next_id: &mut u64, actions: &mut Vec<Action>) {
    let read = state.pairs.view.as_ref().filter(|pair| view.reading == Some(pair.index));
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
    view.rounds.push(Round { prompt, id, known: false, tuned, vote: None, texts: Default::default() });
}

/// A number that looks random (splitmix64).
fn mixed(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The two answers; what was voted, and whether to go on.
fn round_ui(ui: &mut Ui, state: &State, round: &Round) -> (Option<Vote>, bool) {
    let written = state.texts.get(&round.id);
    let done = written.is_some_and(|text| text.sides.iter().all(|side| side.done));
    let text_of = |side: usize| {
        let base_or_tuned = usize::from(side == round.tuned);
        let live = written.and_then(|text| text.sides.get(base_or_tuned)).map(|side| side.text.as_str());
        live.unwrap_or(&round.texts[base_or_tuned]).to_owned()
    };
    let (mut vote, mut go_on) = (None, false);
    card(ui, |ui| {
        ui.add(egui::Label::new(RichText::new(&round.prompt).strong()).wrap());
        let side = |ui: &mut Ui, index: usize| {
            ui.vertical(|ui| {
                ui.horizontal(|ui| {
                    heading(ui, words::SIDES[index]);
                    if round.vote.is_some() {
                        let ours = index == round.tuned;
                        let name = if ours { words::TUNED_SHORT } else { words::BASE_SHORT };
                        chip(ui, if ours { Tone::Accent } else { Tone::Neutral }, name);
                    } else if !done {
                        ui.spinner();
                    }
                });
                text_box(ui, |ui| {
                    ui.add(egui::Label::new(text_of(index)).wrap());
                });
            });
        };
        columns(ui, 320.0, &mut [&mut |ui| side(ui, 0), &mut |ui| side(ui, 1)]);
        ui.horizontal_wrapped(|ui| {
            if round.vote.is_some() {
                go_on |= primary_button(ui, words::NEXT).clicked();
                return;
            }
            ui.add_enabled_ui(done, |ui| {
                for (label, picked) in [(words::VOTE_A, Some(0)), (words::VOTE_TIE, None), (words::VOTE_B, Some(1))] {
                    if ui.button(label).clicked() {
                        vote = Some(vote_for(picked, round.tuned));
                    }
                }
            });
            small(ui, words::KEYS);
        });
    });
    if !ui.ctx().text_edit_focused() && !ui.ctx().any_popup_open() {
        ui.input_mut(|input| {
            let mut pressed = |key| input.consume_key(egui::Modifiers::NONE, key);
            if round.vote.is_none() && done {
                for (key, picked) in [(Key::Num1, Some(0)), (Key::Num2, Some(1)), (Key::Num0, None)] {
                    if pressed(key) {
                        vote = Some(vote_for(picked, round.tuned));
                    }
                }
            } else if round.vote.is_some() && pressed(Key::Space) {
                go_on = true;
            }
        });
    }
    (vote, go_on)
}

fn vote_for(side: Option<usize>, tuned: usize) -> Vote {
    match side {
        None => Vote::Tie,
        Some(side) if side == tuned => Vote::Tuned,
        Some(_) => Vote::Base,
    }
}

/// Keeps the vote with both answers, which the state may forget.
fn cast(state: &State, view: &mut BlindView, vote: Vote) {
    let Some(round) = view.rounds.last_mut() else { return };
    round.vote = Some(vote);
    if let Some(text) = state.texts.get(&round.id) {
        round.texts = [0, 1].map(|side| text.sides.get(side).map(|side| side.text.clone()).unwrap_or_default());
    }
}

/// What the votes say, and the votes as pairs.
fn result_ui(ui: &mut Ui, run: &RunState, view: &BlindView, actions: &mut Vec<Action>) {
    let votes: Vec<Vote> = view.rounds.iter().filter_map(|round| round.vote).collect();
    let Some(rate) = win_rate_from_votes(&votes) else { return };
    card(ui, |ui| {
        heading(ui, &words::win_rate(rate.rate, rate.interval));
        share_scale(ui, words::WIN_RATE, rate.rate, rate.interval, &[(words::CHANCE, 0.5)]);
        small(ui, words::votes(rate.wins, rate.losses, rate.ties));
        ui.horizontal_wrapped(|ui| {
            let pairs = votes_as_pairs(&view.rounds);
            let any = !pairs.is_empty();
            if ui.add_enabled(any, egui::Button::new(words::SAVE_VOTES)).clicked() {
                let name = format!("{}-votes.jsonl", text::file_name(&run.info.record.name));
                actions.push(Action::SaveFile { name, bytes: pairs.into_bytes() });
            }
            small(ui, words::SAVE_VOTES_HELP);
        });
    });
}

/// Votes that prefer a side, as lines of a pairs file.
fn votes_as_pairs(rounds: &[Round]) -> String {
    let mut lines = String::new();
    for round in rounds {
        let [base, tuned] = &round.texts;
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
            texts: ["base".to_owned(), "tuned".to_owned()],
        };
        let rounds = [round(Some(Vote::Tuned)), round(Some(Vote::Tie)), round(Some(Vote::Base)), round(None)];
        let lines = votes_as_pairs(&rounds);
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
