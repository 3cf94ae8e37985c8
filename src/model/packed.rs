//! Pairs as one packed batch: no padding, and every prompt once.
//!
//! A pair's rows are what both sequences begin with (the prompt, and the words that both answers begin with), the rest
//! of the chosen one, the rest of the rejected one. Chosen and rejected see the common rows and themselves, not each
//! other, and both count their positions on from there: the same numbers as two padded sequences, for fewer rows, and
//! equal answers get equal numbers. The last token of a sequence has no row: nothing is predicted from it and nothing
//! attends to it.

use crate::kernels::{Span, pack_spans};

/// One pair: `chosen` and `rejected` are whole sequences whose first `prompt_len` tokens agree.
#[derive(Debug, Clone, Copy)]
pub struct PackedPair<'a> {
    /// Tokens that both sequences begin with.
    pub prompt_len: usize,
    /// Prompt and preferred answer.
    pub chosen: &'a [u32],
    /// Prompt and other answer.
    pub rejected: &'a [u32],
}

/// A batch of n pairs as R rows, N of which predict a scored token.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    /// Token of each row (R).
    pub ids: Vec<u32>,
    /// What each row sees (R).
    pub spans: Vec<Span>,
    /// The row that predicts each scored token (N); all chosen sequences' tokens first, then all rejected ones'.
    pub rows: Vec<u32>,
    /// The scored tokens (N).
    pub labels: Vec<u32>,
    /// The sequence of each scored token (N): 0..n chosen, n..2n rejected.
    pub sequence: Vec<u32>,
    /// First scored token and end of each sequence (2n).
    pub ranges: Vec<[u32; 2]>,
    /// Completion tokens of each sequence (2n), scored or not.
    pub lengths: Vec<u32>,
    /// Tokens of all 2n sequences, prompts counted twice, as TRL's `num_tokens` counts them.
    pub n_tokens: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
}

impl Packed {
    /// Packs pairs in order.
    pub fn pairs(pairs: &[PackedPair<'_>]) -> Self {
        let mut packed = Self::default();
        // Where each pair's rows begin, and those of its two rests.
        let mut starts = Vec::with_capacity(pairs.len());
        for pair in pairs {
            starts.push(packed.push_rows(pair));
        }
        if packed.ids.is_empty() {
            // Lone first tokens, which nothing predicts: a row that nobody reads, so that there is a batch at all.
            packed.ids.push(0);
            packed.spans.push(Span { start: 0, hole_start: 0, hole_end: 0, position: 0 });
        }
        for side in 0..2 {
            for (pair, &(start, common, rests)) in pairs.iter().zip(&starts) {
                let ids = if side == 0 { pair.chosen } else { pair.rejected };
                packed.push_labels(ids, pair.prompt_len, start, common, rests[side]);
            }
        }
        packed
    }

    /// Packs one whole sequence, every row of it, all tokens but the first scored.
    pub fn sequence(ids: &[u32]) -> Self {
        let mut packed = Self::default();
        let rows = 0..ids.len() as u32;
        packed.ids = ids.to_vec();
        packed.spans = rows.map(|row| Span { start: 0, hole_start: row, hole_end: row, position: row }).collect();
        packed.longest = ids.len();
        packed.push_labels(ids, 1, 0, 1, 1);
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

    /// The `spans` tensor of the attention kernels.
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

    /// Adds a pair's rows; returns its first row, how many are common, and the first rows of the two rests.
    fn push_rows(&mut self, pair: &PackedPair<'_>) -> (u32, usize, [u32; 2]) {
        let (chosen, rejected) = (pair.chosen, pair.rejected);
        let start = self.ids.len() as u32;
        let alike = chosen.iter().zip(rejected).take_while(|(a, b)| a == b).count();
        // The last token of the longer one predicts nothing.
        let common = alike.min(chosen.len().max(rejected.len()).saturating_sub(1)).max(pair.prompt_len);
        let rest = |ids: &[u32]| ids.len().saturating_sub(common + 1);
        let first = start + common as u32;
        let middle = first + rest(chosen) as u32;
        let end = middle + rest(rejected) as u32;
        // The last common row predicts the first token of both rests; the rows before it are seen by all.
        self.ids.extend(&chosen[..common + rest(chosen)]);
        self.ids.extend(&rejected[common..common + rest(rejected)]);
        for row in start..middle {
            self.spans.push(Span { start, hole_start: row, hole_end: row, position: row - start });
        }
        for row in middle..end {
            let position = common as u32 + row - middle;
            self.spans.push(Span { start, hole_start: first, hole_end: middle, position });
        }
        self.n_tokens += chosen.len() + rejected.len();
        self.longest = self.longest.max(chosen.len()).max(rejected.len());
        (start, common, [first, middle])
    }

    /// Adds the scored tokens of a sequence of which `common` rows begin at row `start`, the others at `rest`.
    fn push_labels(&mut self, ids: &[u32], prompt_len: usize, start: u32, common: usize, rest: u32) {
        let (first, sequence) = (self.labels.len() as u32, self.ranges.len() as u32);
        // The very first token has nothing before it and is not scored.
        for (token, &label) in ids.iter().enumerate().skip(prompt_len.max(1)) {
            let before = token - 1;
            let row = if before < common { start + before as u32 } else { rest + (before - common) as u32 };
            self.rows.push(row);
            self.labels.push(label);
            self.sequence.push(sequence);
        }
        self.ranges.push([first, self.labels.len() as u32]);
        self.lengths.push(ids.len().saturating_sub(prompt_len) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_shares_its_prompt() {
        let pair = PackedPair { prompt_len: 2, chosen: &[1, 2, 3, 4, 5], rejected: &[1, 2, 6, 7] };
        let packed = Packed::pairs(&[pair]);
        assert_eq!(packed.ids, [1, 2, 3, 4, 6], "the last tokens have no row");
        assert_eq!(packed.labels, [3, 4, 5, 6, 7], "every completion token is scored");
        assert_eq!(packed.rows, [1, 2, 3, 1, 4], "each from the row before it");
        assert_eq!(packed.ranges, [[0, 3], [3, 5]], "chosen first");
        let hole = packed.spans[4];
        assert_eq!((hole.hole_start, hole.hole_end, hole.position), (2, 4, 2), "rejected does not see chosen");
        assert_eq!(packed.sources()[1], [0, 3], "the prompt's last row predicts both first tokens");
        assert_eq!(packed.n_tokens, 9, "tokens are counted as TRL counts them");
    }

    #[test]
    fn answers_share_the_words_they_begin_with() {
        let pair = PackedPair { prompt_len: 1, chosen: &[1, 2, 3, 4, 5], rejected: &[1, 2, 3, 6] };
        let packed = Packed::pairs(&[pair]);
        assert_eq!(packed.ids, [1, 2, 3, 4], "the rest of the rejected answer is a last token");
        assert_eq!((packed.labels, packed.rows), (vec![2, 3, 4, 5, 2, 3, 6], vec![0, 1, 2, 3, 0, 1, 2]));
        assert_eq!(packed.lengths, [4, 3], "both answers count from the prompt");
        // One that goes on where the other ends, and two that are the same.
        let longer = Packed::pairs(&[PackedPair { prompt_len: 1, chosen: &[1, 2], rejected: &[1, 2, 3] }]);
        assert_eq!((longer.ids, longer.rows), (vec![1, 2], vec![0, 0, 1]));
        let same = Packed::pairs(&[PackedPair { prompt_len: 1, chosen: &[1, 2, 3], rejected: &[1, 2, 3] }]);
        assert_eq!((same.ids, same.rows), (vec![1, 2], vec![0, 1, 0, 1]), "the same rows, so the same numbers");
    }

    #[test]
    fn lone_tokens_still_make_a_batch() {
        let packed = Packed::pairs(&[PackedPair { prompt_len: 0, chosen: &[1], rejected: &[2] }]);
        assert_eq!((packed.n_rows(), packed.n_scored()), (1, 0), "one row, which predicts nothing");
        assert_eq!((packed.n_tokens, packed.ranges.len()), (2, 2), "both tokens are counted");
    }

    #[test]
    fn an_empty_prompt_leaves_the_first_token_unscored() {
        let packed = Packed::pairs(&[PackedPair { prompt_len: 0, chosen: &[1, 2, 3], rejected: &[4] }]);
        assert_eq!(packed.labels, [2, 3], "the first tokens have nothing before them");
        assert_eq!(packed.lengths, [3, 1], "but they count in the length");
        assert_eq!(packed.ids, [1, 2], "one token has no row at all");
    }
}
