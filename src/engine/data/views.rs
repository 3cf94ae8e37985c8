//! Rows as a person sees them: in a table, and one in full.

use super::pairs::{Pairs, no_row};
use crate::data::{Part, Record, Sample, Tokenizer};
use crate::engine::compare::writing;
use crate::engine::protocol::{PairRow, PairView, Problem, SeenSequence};
use crate::error::{Error, Result};
use crate::train::{RowTokenizer, Rows, TrainConfig};

/// Characters of a text that a table shows.
const SHOWN_CHARS: usize = 160;

impl Pairs {
    /// Returns some rows for a table.
    pub fn shown(&self, range: std::ops::Range<usize>) -> Vec<PairRow> {
        let row = |at: usize| {
            let row = match &self.rows {
                Rows::Pairs(rows) => preview(rows.get(at)?),
                Rows::Samples(rows) => preview_of(rows.get(at)?),
            };
            let flags = self.flags.get(at).cloned().unwrap_or_default();
            Some(PairRow { flags, skipped: self.skipped.contains(&at), ..row })
        };
        range.filter_map(row).collect()
    }

    /// A row in full.
    pub fn view(&self, index: usize, tokenizer: Option<&Tokenizer>, max_length: usize) -> Result<PairView> {
        let passages = |part: Option<&Part>| part.map(Part::passages).unwrap_or_default();
        let (line, parts) = match &self.rows {
            Rows::Pairs(rows) => rows
                .get(index)
                .map(|row| (row.line, [&row.prompt, &row.chosen, &row.rejected].map(|part| passages(Some(part))))),
            Rows::Samples(rows) => rows
                .get(index)
                .map(|row| (row.line, [row.prompt.as_ref(), row.completion.as_ref(), None].map(passages))),
        }
        .ok_or_else(no_row)?;
        let seen = match tokenizer {
            Some(tokenizer) => self.seen(index, tokenizer, max_length),
            None => Err(Problem::new("No model is open", "Choose a model to see the tokens", "")),
        };
        Ok(PairView { index, line, parts, seen })
    }

    /// A row as the model sees it, by the method that such rows are made for.
    fn seen(
        &self,
        index: usize,
        tokenizer: &Tokenizer,
        max_length: usize,
    ) -> std::result::Result<Vec<SeenSequence>, Problem> {
        let problem = |e: Error| Problem::from(&e);
        // Nothing is cut here, so that what would be cut can be shown.
        let config = TrainConfig { max_length: usize::MAX, ..TrainConfig::defaults_of(self.kind.methods()[0]) };
        let row_tokenizer = RowTokenizer::new(&self.rows, tokenizer, &config).map_err(problem)?;
        let mut sequences = Vec::new();
        // A row with a thumbs up or down shows its own answer alone, not the answer that the loss compares it with.
        for outcome in row_tokenizer.row(&self.rows, index).map_err(problem)? {
            let example = outcome.map_err(|dropped| {
                let what = format!("This row is skipped: {}", dropped.reason);
                Problem::new(what, "Correct the row, or skip it", format!("line {}", dropped.line))
            })?;
            let learnt = example.labels.as_ref().and_then(|labels| labels.iter().position(|learnt| *learnt));
            for (ids, start) in example.sequences.iter().zip(&example.starts) {
                sequences.push(SeenSequence {
                    tokens: writing::pieces(ids, tokenizer).map_err(problem)?,
                    prompt_len: learnt.unwrap_or(*start),
                    cut: ids.len().saturating_sub(max_length),
                });
            }
        }
        Ok(sequences)
    }
}

/// Prompt, chosen and rejected of a pair.
pub(super) fn texts_of(record: &Record) -> [String; 3] {
    [&record.prompt, &record.chosen, &record.rejected].map(Part::text)
}

/// The prompt and the answer of a row that is no pair.
pub(super) fn sample_texts(sample: &Sample) -> [String; 3] {
    let text = |part: &Option<Part>| part.as_ref().map(Part::text).unwrap_or_default();
    [text(&sample.prompt), text(&sample.completion), String::new()]
}

fn shown_row(line: usize, texts: [String; 3]) -> PairRow {
    let chars = texts.each_ref().map(|text| text.chars().count());
    let [prompt, chosen, rejected] = texts.map(|text| match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    });
    PairRow { line, prompt, chosen, rejected, chars, flags: Vec::new(), skipped: false, scores: None }
}

/// Returns a pair for a table, before all rows are known.
pub(super) fn preview(record: &Record) -> PairRow {
    PairRow { scores: record.scores, ..shown_row(record.line, texts_of(record)) }
}

fn preview_of(sample: &Sample) -> PairRow {
    shown_row(sample.line, sample_texts(sample))
}
