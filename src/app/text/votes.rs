//! Sentences of a blind test.

use super::units;

pub(crate) const SIDES: [&str; 2] = ["A", "B"];
pub(crate) const VOTE_A: &str = "A is better";
pub(crate) const VOTE_B: &str = "B is better";
pub(crate) const VOTE_TIE: &str = "No difference";
pub(crate) const NEXT: &str = "Next";
pub(crate) const KEYS: &str = "Keys: 1 for A, 2 for B, 0 for no difference, space for the next";
pub(crate) const NOT_WRITTEN: &str = "This was not written to its end.";
pub(crate) const WRITE_AGAIN: &str = "Write again";
pub(crate) const TITLE: &str = "Which answer is better?";
pub(crate) const TEXT: &str =
    "Two answers in random order, without names. Vote as you like; the names show after the vote.";
pub(crate) const START: &str = "Start the test";
pub(crate) const CHANCE: &str = "chance";

pub(crate) fn round(n: usize) -> String {
    format!("Question {n}")
}

/// Share of votes that the model of this name won.
pub(crate) fn win_rate(name: &str, rate: f64, interval: [f64; 2]) -> String {
    let [low, high] = interval.map(|bound| format!("{:.0}", bound * 100.0));
    format!("{name} wins {} ({low}–{high} %)", units::percent(rate))
}

/// Votes for each of the two names, of which the base model's comes first.
pub(crate) fn tally([base, tuned]: [&str; 2], wins: u64, losses: u64, ties: u64) -> String {
    format!("{wins} for {tuned}, {losses} for {base}, {ties} without difference")
}
