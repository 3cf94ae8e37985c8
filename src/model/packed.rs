//! Sequences as one packed batch: no padding, and the common beginning of two sequences only once.
//!
//! A group is one sequence or two. Its rows are the tokens that both begin with (the prompt, and the words that both
//! answers begin with), then the rest of the first, then the rest of the second. Both see the common rows and their
//! own, not each other's, and both count their positions on from the common rows. The numbers are the same as for
//! padded sequences, for fewer rows, and equal answers get equal numbers. A token has a row only if it takes part in a
//! prediction: the last token of a sequence has none, unless its own hidden state is asked for.

use std::ops::Range;

use crate::kernels::{Span, pack_spans};

/// A whole sequence, and the range of its scored tokens.
#[derive(Debug, Clone)]
pub struct PackedSequence<'a> {
    /// Its tokens.
    pub ids: &'a [u32],
    /// The tokens whose log-probabilities are asked for, each predicted by the row before it; nothing comes before
    /// token 0. The token behind the last stands for the hidden state of the last.
    pub scored: Range<usize>,
}

impl PackedSequence<'_> {
    /// Rows that its predictions need.
    fn rows(&self) -> usize {
        if self.scored.is_empty() { self.ids.len().saturating_sub(1) } else { self.scored.end - 1 }
    }

    /// The scored tokens that have a token before them.
    pub fn predicted(&self) -> Range<usize> {
        self.scored.start.max(1)..self.scored.end
    }
}

/// A batch of S sequences as R rows, of which N predictions are asked for.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    /// Token of each row (R).
    pub ids: Vec<u32>,
    /// Rows that each row sees (R).
    pub spans: Vec<Span>,
    /// The row that predicts each scored token (N): those of the groups' first sequences, then those of the second.
    pub rows: Vec<u32>,
    /// The scored tokens (N).
    pub labels: Vec<u32>,
    /// The sequence of each scored token (N): the groups' first sequences, then the second.
    pub sequence: Vec<u32>,
    /// First scored token and end of each sequence (S).
    pub ranges: Vec<[u32; 2]>,
    /// Tokens of the longest sequence.
    pub longest: usize,
}

impl Packed {
    /// Packs groups of one or two sequences in order. The sequences are numbered with the first of every group before
    /// the second ones.
    pub fn groups(groups: &[Vec<PackedSequence<'_>>]) -> Self {
        let mut packed = Self::default();
        // First row of each group, number of its common rows, and first rows of the two rests.
        let starts: Vec<_> = groups.iter().map(|group| packed.push_rows(group)).collect();
        if packed.ids.is_empty() {
            // Nothing predicts lone first tokens: one row that nobody reads, because a batch needs a row.
            packed.ids.push(0);
            packed.spans.push(Span { start: 0, hole_start: 0, hole_end: 0, position: 0 });
        }
        for side in 0..2 {
            for (group, &(start, common, rests)) in groups.iter().zip(&starts) {
                if let Some(sequence) = group.get(side) {
                    packed.push_labels(sequence, start, common, rests[side]);
                }
            }
        }
        packed
    }

    /// Packs one whole sequence with a row for every token; all tokens but the first are scored.
    pub fn sequence(ids: &[u32]) -> Self {
        let mut packed = Self::default();
        let rows = 0..ids.len() as u32;
        packed.ids = ids.to_vec();
        packed.spans = rows.map(|row| Span { start: 0, hole_start: row, hole_end: row, position: row }).collect();
        packed.longest = ids.len();
        packed.push_labels(&PackedSequence { ids, scored: 1..ids.len() }, 0, ids.len(), 0);
        packed
    }

    /// Number of rows, R.
    pub fn n_rows(&self) -> usize {
        self.ids.len()
    }

    /// Number of scored tokens, N.
    pub fn n_scored(&self) -> usize {
        self.labels.len()
    }

    /// Returns the `spans` tensor of the attention kernels.
    pub fn packed_spans(&self) -> Vec<[u32; 4]> {
        pack_spans(&self.spans)
    }

    /// The scored tokens that each row predicts, `u32::MAX` where there are fewer than two (R).
    pub fn sources(&self) -> Vec<[u32; 2]> {
        let mut sources = vec![[u32::MAX; 2]; self.n_rows()];
        for (token, &row) in self.rows.iter().enumerate() {
            let slots = &mut sources[row as usize];
            let free = usize::from(slots[0] != u32::MAX);
            assert_eq!(slots[free], u32::MAX, "a row predicts at most two tokens");
            slots[free] = token as u32;
        }
        sources
    }

    /// Adds a group's rows; returns the first row, the number of common rows, and the first rows of the two rests.
    fn push_rows(&mut self, group: &[PackedSequence<'_>]) -> (u32, usize, [u32; 2]) {
        let start = self.ids.len() as u32;
        let (first, second) = match group {
            [first] => (first, None),
            [first, second] => (first, Some(second)),
            other => unreachable!("a group is one sequence or two, not {}", other.len()),
        };
        let alike = match second {
            Some(second) => first.ids.iter().zip(second.ids).take_while(|(a, b)| a == b).count(),
            None => first.ids.len(),
        };
        // The last token of the longer one predicts nothing.
        let common = alike.min(group.iter().map(PackedSequence::rows).max().unwrap_or(0));
        let rest = |sequence: &PackedSequence<'_>| sequence.rows().saturating_sub(common);
        let middle = start + common as u32 + rest(first) as u32;
        // The last common row predicts the first token of both rests; the rows before it are seen by all.
        self.ids.extend(&first.ids[..common + rest(first)]);
        for row in start..middle {
            self.spans.push(Span { start, hole_start: row, hole_end: row, position: row - start });
        }
        if let Some(second) = second {
            self.ids.extend(&second.ids[common..common + rest(second)]);
            for row in middle..middle + rest(second) as u32 {
                let position = common as u32 + row - middle;
                self.spans.push(Span { start, hole_start: start + common as u32, hole_end: middle, position });
            }
        }
        self.longest = group.iter().map(|sequence| sequence.ids.len()).fold(self.longest, usize::max);
        (start, common, [start + common as u32, middle])
    }

    /// Adds the scored tokens of a sequence whose `common` first rows begin at row `start`, and the others at row
    /// `rest`.
    fn push_labels(&mut self, sequence: &PackedSequence<'_>, start: u32, common: usize, rest: u32) {
        let (first, number) = (self.labels.len() as u32, self.ranges.len() as u32);
        for token in sequence.predicted() {
            let before = token - 1;
            let row = if before < common { start + before as u32 } else { rest + (before - common) as u32 };
            self.rows.push(row);
            self.labels.push(sequence.ids.get(token).copied().unwrap_or(0));
            self.sequence.push(number);
        }
        self.ranges.push([first, self.labels.len() as u32]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair whose answers begin at a token.
    fn pair(prompt: usize, sides: [&'static [u32]; 2]) -> Packed {
        Packed::groups(&[sides.map(|ids| PackedSequence { ids, scored: prompt..ids.len() }).to_vec()])
    }

    #[test]
    fn a_pair_shares_its_prompt() {
        let packed = pair(2, [&[1, 2, 3, 4, 5], &[1, 2, 6, 7]]);
        assert_eq!(packed.ids, [1, 2, 3, 4, 6], "the last tokens have no row");
        assert_eq!(packed.labels, [3, 4, 5, 6, 7], "every completion token is scored");
        assert_eq!(packed.rows, [1, 2, 3, 1, 4], "each from the row before it");
        assert_eq!(packed.ranges, [[0, 3], [3, 5]], "chosen first");
        let hole = packed.spans[4];
        assert_eq!((hole.hole_start, hole.hole_end, hole.position), (2, 4, 2), "rejected does not see chosen");
        assert_eq!(packed.sources()[1], [0, 3], "the prompt's last row predicts both first tokens");
    }

    #[test]
    fn answers_share_the_words_they_begin_with() {
        let packed = pair(1, [&[1, 2, 3, 4, 5], &[1, 2, 3, 6]]);
        assert_eq!(packed.ids, [1, 2, 3, 4], "the rest of the rejected answer is a last token");
        assert_eq!((packed.labels, packed.rows), (vec![2, 3, 4, 5, 2, 3, 6], vec![0, 1, 2, 3, 0, 1, 2]));
        // An answer that goes on where the other ends, and two equal answers.
        let longer = pair(1, [&[1, 2], &[1, 2, 3]]);
        assert_eq!((longer.ids, longer.rows), (vec![1, 2], vec![0, 0, 1]));
        let same = pair(1, [&[1, 2, 3], &[1, 2, 3]]);
        assert_eq!((same.ids, same.rows), (vec![1, 2], vec![0, 1, 0, 1]), "the same rows, so the same numbers");
    }

    #[test]
    fn lone_tokens_still_make_a_batch() {
        let packed = pair(0, [&[1], &[2]]);
        assert_eq!((packed.n_rows(), packed.n_scored()), (1, 0), "one row, which predicts nothing");
        assert_eq!(packed.ranges.len(), 2, "both are sequences");
    }

    #[test]
    fn an_empty_prompt_leaves_the_first_token_unscored() {
        let packed = pair(0, [&[1, 2, 3], &[4]]);
        assert_eq!(packed.labels, [2, 3], "the first tokens have nothing before them");
        assert_eq!(packed.ids, [1, 2], "one token has no row at all");
    }

    #[test]
    fn a_sequence_may_stand_alone() {
        let packed = Packed::groups(&[
            vec![PackedSequence { ids: &[1, 2, 3, 4], scored: 2..3 }],
            vec![PackedSequence { ids: &[5, 6, 7], scored: 1..3 }],
        ]);
        assert_eq!(packed.ids, [1, 2, 5, 6], "rows end with the last prediction");
        assert_eq!((packed.labels, packed.rows), (vec![3, 6, 7], vec![1, 2, 3]));
        assert_eq!((packed.sequence, packed.ranges), (vec![0, 1, 1], vec![[0, 1], [1, 3]]));
    }

    #[test]
    fn the_last_token_has_a_row_where_its_hidden_state_is_asked_for() {
        let sides: [&[u32]; 2] = [&[1, 2, 3], &[1, 2]];
        let packed =
            Packed::groups(&[sides.map(|ids| PackedSequence { ids, scored: ids.len()..ids.len() + 1 }).to_vec()]);
        assert_eq!((packed.ids, packed.rows), (vec![1, 2, 3], vec![2, 1]), "the shorter one ends within the longer");
    }
}
