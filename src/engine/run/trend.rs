//! Figures behind the warnings: a metric of late against its beginning, and repetitions in a text.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

use crate::engine::stats::median;

/// Steps of which the median is "usual".
const USUAL: usize = 50;
/// Fewest of them.
const USUAL_LEAST: usize = 10;
/// Latest steps of which the median is "now": one odd step alone is none.
const NOW: usize = 3;

/// One metric: how it began, and what it was lately.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    window: usize,
    /// The first `window` values.
    pub(super) first: Vec<f64>,
    /// The last values, oldest first.
    last: VecDeque<f64>,
}

impl Series {
    /// Without a value yet; means are of `window` values.
    pub(super) fn new(window: usize) -> Self {
        Self { window, first: Vec::new(), last: VecDeque::new() }
    }

    /// Takes in a value, if there is one.
    pub(super) fn push(&mut self, value: Option<f64>) {
        let Some(value) = value else { return };
        if self.first.len() < self.window {
            self.first.push(value);
        }
        if self.last.len() == USUAL + NOW {
            self.last.pop_front();
        }
        self.last.push_back(value);
    }

    /// Mean of the last `window` values, once there are so many.
    pub(super) fn recent(&self) -> Option<f64> {
        let from = self.last.len().checked_sub(self.window)?;
        Some(self.last.iter().skip(from).sum::<f64>() / self.window as f64)
    }

    /// True if the last `window` values are none of the first.
    pub(super) fn is_past_first(&self) -> bool {
        self.last.len() >= 2 * self.window
    }

    /// Medians of the latest values and of those before, once there are enough.
    pub(super) fn now_and_usual(&self) -> Option<(f64, f64)> {
        let from = self.last.len().checked_sub(NOW).filter(|from| *from >= USUAL_LEAST)?;
        let values: Vec<f64> = self.last.iter().copied().collect();
        Some((median(&values[from..])?, median(&values[..from])?))
    }
}

/// Mean of some values; none of none.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Share of a text that is said before in the same text: by fours of words, or by eights of characters in scripts
/// without spaces, and in one endless word. A short text has none.
pub(super) fn repeated_share(text: &str) -> f64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let chars: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    if chars.len() > 15 * words.len() { repeated(&chars, 8) } else { repeated(&words, 4) }
}

fn repeated<T: Eq + Hash>(units: &[T], n: usize) -> f64 {
    /// Fewer than these say nothing.
    const LEAST: usize = 16;
    let grams = units.windows(n);
    let total = grams.len();
    let distinct = grams.collect::<HashSet<_>>().len();
    if total < LEAST { 0.0 } else { (total - distinct) as f64 / total as f64 }
}
