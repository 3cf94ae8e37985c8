//! A blind test between two models: answers without names, a vote by mouse or key, and the votes so far.

use eframe::egui::{self, Key, RichText, Ui};
use serde_json::json;

use super::buttons::primary_button;
use super::parts::{Tone, card, chip, columns, heading, marked, small, text_box};
use crate::app::state::State;
use crate::app::text::{run, votes};
use crate::engine::stats::Vote;

/// Questions that were asked, with their votes. One of the two models is the base model and the other the tuned one, or
/// whatever their names say.
#[derive(Debug, Default)]
pub(crate) struct Ballot {
    /// All questions; the last one is on the screen.
    rounds: Vec<Round>,
}

/// A question and its vote.
#[derive(Debug)]
struct Round {
    prompt: String,
    id: u64,
    /// True once the state has seen the request for the answers.
    known: bool,
    /// Side of the tuned model: 0 or 1.
    tuned: usize,
    vote: Option<Vote>,
    /// Both answers, base and tuned, as soon as they are whole.
    texts: Option<[String; 2]>,
}

/// Request of the ballot after a question was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The next question is wanted.
    Next,
    /// This prompt is to be asked again: its answers are gone, or were not written to their end.
    Again(String),
    /// The answers are no longer wanted.
    Cancel,
}

impl Ballot {
    /// Every vote, in order.
    pub(crate) fn votes(&self) -> Vec<Vote> {
        self.rounds.iter().filter_map(|round| round.vote).collect()
    }

    /// Number of questions that were asked.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// Seed of the next question: another one each time, and the same ones again in a new ballot.
    pub(crate) fn next_seed(&self, seed: u64) -> u64 {
        seed.wrapping_add(self.rounds.len() as u64)
    }

    /// Records a question that the request of this id asked, with this seed.
    pub(crate) fn asked(&mut self, prompt: String, id: u64, seed: u64) {
        let tuned = (mixed(seed ^ 0x9E37_79B9_7F4A_7C15) & 1) as usize;
        self.rounds.push(Round { prompt, id, known: false, tuned, vote: None, texts: None });
    }

    /// Keeps answers as soon as they are whole, because the state may forget them.
    pub(crate) fn keep_texts(&mut self, state: &State) {
        let Some(round) = self.rounds.last_mut().filter(|round| round.texts.is_none()) else { return };
        let written = state.texts.get(&round.id).map(|text| text.sides.as_slice());
        round.known |= written.is_some();
        if let Some([base, tuned]) = written
            && [base, tuned].iter().all(|side| side.is_whole())
        {
            round.texts = Some([base, tuned].map(|side| side.text.trim().to_owned()));
        }
    }

    /// Draws the current question and takes the vote; `names` are those of the base model and of the tuned model.
    pub(crate) fn show(&mut self, ui: &mut Ui, state: &State, names: [&str; 2]) -> Option<Answer> {
        // Answers that were being written are gone once another run is opened.
        let gone = |round: &mut Round| round.texts.is_none() && round.known && !state.texts.contains_key(&round.id);
        if let Some(round) = self.rounds.pop_if(gone) {
            return Some(Answer::Again(round.prompt));
        }
        let round = self.rounds.last_mut()?;
        match round_ui(ui, state, round, names)? {
            Said::Vote(vote) => {
                round.vote = Some(vote);
                None
            }
            Said::Next => Some(Answer::Next),
            Said::Again => self.rounds.pop().map(|round| Answer::Again(round.prompt)),
            Said::Cancel => Some(Answer::Cancel),
        }
    }

    /// Votes that prefer a side, as lines of a pairs file.
    pub(crate) fn as_pairs(&self) -> String {
        let mut lines = String::new();
        for round in &self.rounds {
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
}

/// The user's reply to a question.
enum Said {
    Vote(Vote),
    Next,
    Again,
    Cancel,
}

/// Draws the two answers; returns the user's reply.
fn round_ui(ui: &mut Ui, state: &State, round: &Round, names: [&str; 2]) -> Option<Said> {
    let written = state.texts.get(&round.id).map_or(&[][..], |text| text.sides.as_slice());
    let is_whole = round.texts.is_some();
    let has_failed = !is_whole && written.iter().any(|side| side.failed);
    let text_of = |side: usize| {
        let base_or_tuned = usize::from(side == round.tuned);
        let live = written.get(base_or_tuned).map_or("", |side| side.text.trim());
        round.texts.as_ref().map_or(live, |texts| texts[base_or_tuned].as_str()).to_owned()
    };
    let mut said = None;
    card(ui, |ui| {
        ui.add(egui::Label::new(RichText::new(&round.prompt).strong()).wrap());
        let side = |ui: &mut Ui, index: usize| {
            ui.vertical(|ui| {
                ui.horizontal(|ui| {
                    heading(ui, votes::SIDES[index]);
                    if round.vote.is_some() {
                        let ours = index == round.tuned;
                        chip(ui, if ours { Tone::Accent } else { Tone::Neutral }, names[usize::from(ours)]);
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
            marked(ui, Tone::Warn, votes::NOT_WRITTEN);
        }
        ui.horizontal_wrapped(|ui| {
            if has_failed {
                said = primary_button(ui, votes::WRITE_AGAIN).clicked().then_some(Said::Again);
                return;
            }
            if round.vote.is_some() {
                said = primary_button(ui, votes::NEXT).clicked().then_some(Said::Next);
                return;
            }
            ui.add_enabled_ui(is_whole, |ui| {
                for (label, picked) in [(votes::VOTE_A, Some(0)), (votes::VOTE_TIE, None), (votes::VOTE_B, Some(1))] {
                    if ui.button(label).clicked() {
                        said = Some(Said::Vote(vote_for(picked, round.tuned)));
                    }
                }
            });
            if !is_whole && ui.button(run::CANCEL).clicked() {
                said = Some(Said::Cancel);
            }
            small(ui, votes::KEYS);
        });
    });
    said.or_else(|| said_by_key(ui, round))
}

/// Returns the reply given by a key.
fn said_by_key(ui: &Ui, round: &Round) -> Option<Said> {
    if ui.ctx().text_edit_focused() || ui.ctx().any_popup_open() {
        return None;
    }
    ui.input_mut(|input| {
        let mut pressed = |key| input.consume_key(egui::Modifiers::NONE, key);
        match (round.vote.is_some(), round.texts.is_some()) {
            (false, true) => [(Key::Num1, Some(0)), (Key::Num2, Some(1)), (Key::Num0, None)]
                .into_iter()
                .find(|(key, _)| pressed(*key))
                .map(|(_, picked)| Said::Vote(vote_for(picked, round.tuned))),
            (true, _) => pressed(Key::Space).then_some(Said::Next),
            (false, false) => None,
        }
    })
}

fn vote_for(side: Option<usize>, tuned: usize) -> Vote {
    match side {
        None => Vote::Tie,
        Some(side) if side == tuned => Vote::Tuned,
        Some(_) => Vote::Base,
    }
}

/// A number that looks random (splitmix64).
fn mixed(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
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
        let rounds = [Some(Vote::Tuned), Some(Vote::Tie), Some(Vote::Base), None].map(round).into();
        let want = "{\"prompt\":\"Q\",\"chosen\":\"tuned\",\"rejected\":\"base\"}\n\
                    {\"prompt\":\"Q\",\"chosen\":\"base\",\"rejected\":\"tuned\"}\n";
        assert_eq!(Ballot { rounds }.as_pairs(), want);
    }

    #[test]
    fn sides_are_swapped_about_half_of_the_time() {
        let first = (0..1000).filter(|&seed| mixed(seed) & 1 == 0).count();
        assert!((450..550).contains(&first), "{first} of 1000");
        assert_eq!(mixed(3), mixed(3), "the same seed gives the same order");
    }
}
