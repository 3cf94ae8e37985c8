//! Rows that cannot be used, by their reasons.

use std::collections::HashMap;

use crate::data::LineError;
use crate::engine::protocol::{LineProblem, ProblemKind};

/// Kinds of unusable rows that are told, and lines of each.
const SHOWN_KINDS: usize = 50;
const SHOWN_LINES: usize = 8;

/// An unusable row, for people.
pub(super) fn line_problem(error: LineError) -> LineProblem {
    LineProblem { line: error.line, what: error.what, fix: error.fix, excerpt: error.excerpt }
}

/// Groups unusable rows by reason. Numbers in a reason are ignored: another place in the row is not another kind.
pub(super) fn kinds_of(errors: &[LineError]) -> Vec<ProblemKind> {
    let mut places: HashMap<(String, &str), usize> = HashMap::new();
    let mut kinds: Vec<ProblemKind> = Vec::new();
    for error in errors {
        let what = error.what.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let place = *places.entry((what, error.fix.as_str())).or_insert_with(|| {
            let first = line_problem(error.clone());
            kinds.push(ProblemKind { count: 0, lines: Vec::new(), first });
            kinds.len() - 1
        });
        kinds[place].count += 1;
        if kinds[place].lines.len() < SHOWN_LINES {
            kinds[place].lines.push(error.line);
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    kinds.truncate(SHOWN_KINDS);
    kinds
}
