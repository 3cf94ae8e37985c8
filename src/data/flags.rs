//! The audit of labels: pairs that teach nothing, or the wrong thing, found before training.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The text of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditRow<'a> {
    /// The prompt of both answers.
    pub prompt: &'a str,
    /// The preferred answer.
    pub chosen: &'a str,
    /// The other answer.
    pub rejected: &'a str,
}

/// One of the two answers of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The preferred answer.
    Chosen,
    /// The other answer.
    Rejected,
}

/// Faults of one pair; a good pair has only `false` and none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flags {
    /// Both answers are the same: there is nothing to prefer.
    pub identical: bool,
    /// An answer is empty.
    pub empty: bool,
    /// Index of the first pair that is the same.
    pub duplicate_of: Option<usize>,
    /// Index of the first earlier pair that prefers the other of the same two answers.
    pub contradicts: Option<usize>,
    /// An answer repeats its prompt.
    pub leaks: bool,
    /// The answer that is more than three times as long as the other.
    pub much_longer: Option<Side>,
}

/// Characters of one answer per character of the other above which the pair teaches length.
const MUCH_LONGER: usize = 3;
/// Characters that the longer one must have for that.
const LONG: usize = 40;
/// Characters that a prompt must have to be missed in an answer; shorter ones are found there by chance.
const LEAK: usize = 16;

/// Looks at every pair; spaces around a text do not count.
pub fn audit(pairs: &[AuditRow<'_>]) -> Vec<Flags> {
    let mut first: HashMap<AuditRow<'_>, usize> = HashMap::with_capacity(pairs.len());
    let mut flags = Vec::with_capacity(pairs.len());
    for (i, pair) in pairs.iter().enumerate() {
        let pair = pair.trimmed();
        let [chosen, rejected] = [pair.chosen, pair.rejected];
        let identical = chosen == rejected;
        let turned = AuditRow { chosen: rejected, rejected: chosen, ..pair };
        let prompt = one_spaced(pair.prompt);
        let long_prompt = prompt.chars().count() >= LEAK;
        flags.push(Flags {
            identical,
            empty: chosen.is_empty() || rejected.is_empty(),
            duplicate_of: first.get(&pair).copied(),
            contradicts: first.get(&turned).copied().filter(|_| !identical),
            leaks: long_prompt && [chosen, rejected].iter().any(|answer| one_spaced(answer).contains(&prompt)),
            much_longer: much_longer(chosen.chars().count(), rejected.chars().count()),
        });
        first.entry(pair).or_insert(i);
    }
    flags
}

impl AuditRow<'_> {
    fn trimmed(&self) -> Self {
        Self { prompt: self.prompt.trim(), chosen: self.chosen.trim(), rejected: self.rejected.trim() }
    }
}

impl Flags {
    /// A word or two for each thing that is odd, for a table's cell.
    pub fn words(&self) -> Vec<String> {
        let words = [
            (self.identical, "identical"),
            (self.empty, "empty"),
            (self.duplicate_of.is_some(), "duplicate"),
            (self.contradicts.is_some(), "contradicts"),
            (self.leaks, "repeats the prompt"),
            (self.much_longer == Some(Side::Chosen), "chosen much longer"),
            (self.much_longer == Some(Side::Rejected), "rejected much longer"),
        ];
        words.iter().filter(|(odd, _)| *odd).map(|(_, word)| (*word).to_owned()).collect()
    }
}

/// An empty answer is odd in its own way.
fn much_longer(chosen: usize, rejected: usize) -> Option<Side> {
    let (side, long, short) =
        if chosen >= rejected { (Side::Chosen, chosen, rejected) } else { (Side::Rejected, rejected, chosen) };
    (short > 0 && long >= LONG && long > MUCH_LONGER * short).then_some(side)
}

/// Runs of white space as one space, so that a text is found again however it is wrapped.
fn one_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
