//! Pairs files: rows of tables, problems, and a pair as the model sees it.

use serde::{Deserialize, Serialize};

use super::{Chat, Kind, Mapping, Passage, Problem};

/// Commands about the pairs, or rows of another kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairsCommand {
    /// Open a pairs file, which comes beside the command.
    Open {
        /// Columns to read, or none to guess.
        mapping: Option<Mapping>,
    },
    /// Take some rows out of the pairs, or back in.
    Skip {
        /// Their indices.
        rows: Vec<usize>,
        /// True to leave them out.
        skip: bool,
    },
    /// Swap chosen and rejected in all rows.
    Swap,
    /// Swap chosen and rejected in one row, as an edit of it.
    SwapRow {
        /// Its index among the usable rows.
        index: usize,
    },
    /// Open pairs made of the open rows with verdicts: a liked and a disliked answer to the same prompt.
    Make,
    /// Change the texts of a row; the file stays as it is.
    Edit {
        /// Its index among the usable rows.
        index: usize,
        /// Texts of prompt, chosen and rejected: one for each passage of the [`PairView`].
        texts: [Vec<String>; 3],
    },
    /// Write the rows that are not skipped as JSON Lines, edits included.
    Write,
    /// Set how the open model's conversations become text.
    SetChat(Chat),
    /// Show a pair as the model sees it.
    Read {
        /// Its index among the usable rows.
        index: usize,
        /// Longest sequence in tokens.
        max_length: usize,
    },
    /// Find the usable rows that hold a text.
    Find {
        /// The text, in any case.
        text: String,
    },
}

/// A pair in a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// Line of the file, from 1.
    pub line: usize,
    /// Beginning of the prompt.
    pub prompt: String,
    /// Beginning of the preferred answer.
    pub chosen: String,
    /// Beginning of the other answer.
    pub rejected: String,
    /// Characters of prompt, chosen and rejected.
    pub chars: [usize; 3],
    /// Oddities of the pair, a word each.
    pub flags: Vec<String>,
    /// True if it is skipped.
    pub skipped: bool,
    /// Scores that others gave the two answers, if the file has them.
    pub scores: Option<[f64; 2]>,
}

/// A pairs file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairsInfo {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Rows in the file.
    pub lines: usize,
    /// Rows that can be used and were kept.
    pub usable: usize,
    /// Usable rows beyond what fits in memory here, which are skipped.
    pub beyond: usize,
    /// Rows that the person skips.
    pub skipped: usize,
    /// Rows that cannot be used.
    pub problems: Vec<LineProblem>,
    /// Number of rows that cannot be used; `problems` has the first.
    pub problem_count: usize,
    /// The same rows by reason, the most frequent first; rare reasons are left out if there are very many.
    pub problem_kinds: Vec<ProblemKind>,
    /// Kind of its rows.
    pub kind: Kind,
    /// Explanation and remedy, if no row can be used and the columns tell what the file is instead.
    pub purpose: Option<Problem>,
    /// Common name of the file's format, and how its rows are read; none if it has no name.
    pub shape: Option<String>,
    /// The columns that were read.
    pub mapping: Mapping,
    /// The columns that the first row has.
    pub columns: Vec<String>,
    /// True if chosen and rejected were swapped.
    pub swapped: bool,
    /// Number of changes so far that no file has: edits of rows, or pairs made of other rows.
    pub edits: usize,
    /// Number of pairs that liked and disliked answers to the same prompts make; 0 for rows without verdicts.
    #[serde(default)]
    pub to_make: usize,
    /// Counts of what is odd, by word.
    pub flags: Vec<(String, usize)>,
    /// Share of pairs whose preferred answer is longer; ties count half.
    pub longer_wins: f64,
    /// True if rows are conversations.
    pub conversations: bool,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineProblem {
    /// Line of the file, from 1.
    pub line: usize,
    /// Description of the problem.
    pub what: String,
    /// Remedy.
    pub fix: String,
    /// The beginning of the row.
    pub excerpt: String,
}

/// Rows that cannot be used for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemKind {
    /// Number of rows.
    pub count: usize,
    /// Lines of the first rows.
    pub lines: Vec<usize>,
    /// The first of them.
    pub first: LineProblem,
}

/// A pair in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairView {
    /// Its index among the usable rows.
    pub index: usize,
    /// Line of the file.
    pub line: usize,
    /// Prompt, chosen and rejected as in the file, or as they were edited.
    pub parts: [Vec<Passage>; 3],
    /// Sequences that the model sees (of a pair, chosen and rejected), or why there are none.
    pub seen: Result<Vec<SeenSequence>, Problem>,
}

impl PairView {
    /// Texts of prompt, chosen and rejected, the messages of each joined.
    pub fn texts(&self) -> [String; 3] {
        self.parts
            .each_ref()
            .map(|part| part.iter().map(|passage| passage.text.as_str()).collect::<Vec<_>>().join("\n"))
    }
}

/// A sequence as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSequence {
    /// The text of each token, special ones included.
    pub tokens: Vec<String>,
    /// Tokens of the prompt, which are not scored.
    pub prompt_len: usize,
    /// Tokens that are truncated.
    pub cut: usize,
}
