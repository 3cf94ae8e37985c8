//! Pairs out of rows with verdicts: a liked and a disliked answer to the same prompt.

use super::pairs::Pairs;
use crate::data::Sample;
use crate::error::{Error, Result};
use crate::train::Rows;

impl Pairs {
    /// Number of pairs that the rows make; 0 if they have no verdicts. It is counted once, because every prompt is
    /// compared with the others, until a row is skipped or edited.
    pub(super) fn to_make(&self) -> usize {
        *self.n_to_make.get_or_init(|| self.with_verdicts().iter().map(|samples| Sample::n_together(samples)).sum())
    }

    /// The pairs that the rows make, under the name of their file. Pairs of held-out rows are held out.
    pub(super) fn make(&self) -> Result<Self> {
        let [mut rows, held_out] = self.with_verdicts().map(|samples| Sample::together(&samples));
        let held_out_from = self.held_out_from.map(|_| rows.len());
        rows.extend(held_out);
        if rows.is_empty() {
            return Err(Error::input(
                "No prompt has both a liked and a disliked answer",
                "Train on the rows as they are, with KTO",
                self.name.clone(),
            ));
        }
        Ok(Self::of_rows(self.name.clone(), rows, held_out_from))
    }

    /// Rows with verdicts that are not skipped: those to train on, and those that are held out.
    fn with_verdicts(&self) -> [Vec<&Sample>; 2] {
        let mut parts = [Vec::new(), Vec::new()];
        if let Rows::Samples(rows) = &self.rows {
            let from = self.held_out_from.unwrap_or(rows.len());
            for (at, row) in rows.iter().enumerate().filter(|(at, _)| !self.skipped.contains(at)) {
                parts[usize::from(at >= from)].push(row);
            }
        }
        parts
    }
}
