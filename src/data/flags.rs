//! The audit of labels: pairs that teach nothing, or the wrong thing, found before training.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The text of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditRow<'a> {
    /// What is answered.
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

/// What is odd about one pair; all is `false` and none of a pair that is well.
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
/// Share of pairs in which the base model likes the rejected answer better, above which the columns look swapped.
const SWAPPED: f64 = 0.85;
/// Fewer pairs than this say nothing about the columns.
const SWAPPED_PAIRS: usize = 20;

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

/// How many pairs of a file are odd, and in what way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AuditSummary {
    /// Pairs with the same answer twice.
    pub identical: usize,
    /// Pairs with an empty answer.
    pub empty: usize,
    /// Pairs that were there before.
    pub duplicate: usize,
    /// Pairs that prefer what an earlier pair rejects.
    pub contradicting: usize,
    /// Pairs with an answer that repeats the prompt.
    pub leaks: usize,
    /// Pairs with one answer much longer than the other.
    pub much_longer: usize,
    /// Share of pairs whose chosen answer has more characters, ties half; one half without pairs.
    pub longer_chosen_share: f64,
}

/// Counts what [`audit`] found in `pairs`.
pub fn summary(pairs: &[AuditRow<'_>], flags: &[Flags]) -> AuditSummary {
    let count = |odd: fn(&Flags) -> bool| flags.iter().filter(|flags| odd(flags)).count();
    let half_points: usize = pairs
        .iter()
        .map(|pair| {
            let pair = pair.trimmed();
            match pair.chosen.chars().count().cmp(&pair.rejected.chars().count()) {
                std::cmp::Ordering::Greater => 2,
                std::cmp::Ordering::Equal => 1,
                std::cmp::Ordering::Less => 0,
            }
        })
        .sum();
    AuditSummary {
        identical: count(|flags| flags.identical),
        empty: count(|flags| flags.empty),
        duplicate: count(|flags| flags.duplicate_of.is_some()),
        contradicting: count(|flags| flags.contradicts.is_some()),
        leaks: count(|flags| flags.leaks),
        much_longer: count(|flags| flags.much_longer.is_some()),
        longer_chosen_share: if pairs.is_empty() { 0.5 } else { half_points as f64 / (2 * pairs.len()) as f64 },
    }
}

/// Whether the columns may be swapped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwapSuspicion {
    /// Share of pairs in which the base model gives the rejected answer the higher log-probability per token, ties
    /// half; one half without pairs.
    pub share: f64,
    /// Pairs that were compared.
    pub n_pairs: usize,
    /// What to say, if the share is above 0.85 of at least 20 pairs.
    pub verdict: Option<String>,
}

/// Compares the base model's summed log-probabilities `[chosen, rejected]` per token of `lengths`.
///
/// Pairs without tokens on a side, or with a log-probability that is not finite, are left out.
pub fn swap_suspicion(ref_logps: &[[f32; 2]], lengths: &[[usize; 2]]) -> SwapSuspicion {
    let (mut half_points, mut n_pairs) = (0, 0);
    for (logps, lengths) in ref_logps.iter().zip(lengths) {
        if lengths.contains(&0) || !logps.iter().all(|logp| logp.is_finite()) {
            continue;
        }
        let [chosen, rejected] = [0, 1].map(|side| f64::from(logps[side]) / lengths[side] as f64);
        half_points += usize::from(rejected >= chosen) + usize::from(rejected > chosen);
        n_pairs += 1;
    }
    let share = if n_pairs == 0 { 0.5 } else { half_points as f64 / (2 * n_pairs) as f64 };
    let verdict = (share > SWAPPED && n_pairs >= SWAPPED_PAIRS).then(|| {
        format!(
            "The model, before any training, likes the rejected answer better in {:.0} % of {n_pairs} pairs. Perhaps \
             the columns are swapped; or the rejected answers were written by a model like this one.",
            (100.0 * share).floor()
        )
    });
    SwapSuspicion { share, n_pairs, verdict }
}

impl AuditRow<'_> {
    fn trimmed(&self) -> Self {
        Self { prompt: self.prompt.trim(), chosen: self.chosen.trim(), rejected: self.rejected.trim() }
    }
}

impl Flags {
    /// True if anything is odd.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

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
