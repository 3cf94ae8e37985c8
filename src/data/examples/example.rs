//! Training examples of all methods: one sequence of tokens, or two that share their beginning.

use super::batch::{DropReason, Dropped, TokenPair};
use super::encode::{Stop, settle};
use crate::data::count::{counted, none_of};
use crate::data::sample::Sample;
use crate::data::tokens::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Unit of training: one sequence, or two that share their beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The row of the file (TRL's row number).
    pub row: usize,
    /// Token ids. A pair (dpo, reward, orpo, cpo) has chosen and rejected. A thumb (kto) has the prompt with its own
    /// answer and, if the loss needs it, with another row's answer. All others (sft, prompts) have one sequence.
    pub sequences: Vec<Vec<u32>>,
    /// Index of the first token of each sequence's answer. It is 0 if all tokens count (sft), the length for a prompt
    /// alone, and for reward the token at which the score is read.
    pub starts: Vec<usize>,
    /// Tokens of each sequence before it was cut.
    pub untruncated: Vec<usize>,
    /// True for the tokens of the one sequence that are learnt (sft); none if all from `starts` on are learnt.
    pub labels: Option<Vec<bool>>,
    /// The margin or 0 (reward); 1 if the answer is wanted, else 0 (kto); 0 for other methods.
    pub value: f64,
}

impl From<TokenPair> for Example {
    fn from(pair: TokenPair) -> Self {
        Self {
            row: pair.row,
            sequences: vec![pair.chosen, pair.rejected],
            starts: vec![pair.prompt_len; 2],
            untruncated: pair.untruncated.to_vec(),
            labels: None,
            value: 0.0,
        }
    }
}

impl Example {
    /// Tokens of each sequence that are scored: an answer's, but for the very first token of a sequence.
    pub fn scored_lengths(&self) -> [usize; 2] {
        [0, 1].map(|side| {
            let start = self.starts.get(side).copied().unwrap_or(0).max(1);
            self.sequences.get(side).map_or(0, |ids| ids.len().saturating_sub(start))
        })
    }

    /// Cuts each sequence as a smaller `max_length` would; what is then no answer any more counts as one token of it.
    pub fn shorten(&mut self, max_length: usize) {
        self.cut(max_length);
        self.starts.iter_mut().for_each(|start| *start = (*start).min(max_length.saturating_sub(1)));
        if let Some(labels) = &mut self.labels {
            labels.truncate(max_length);
        }
    }

    /// Cuts each sequence to its first tokens, so many at most.
    pub(in crate::data) fn cut(&mut self, max_length: usize) {
        for sequence in &mut self.sequences {
            sequence.truncate(max_length);
        }
    }
}

/// Result of making examples from rows, both lists in the order of the rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examples {
    /// The rows to train on.
    pub examples: Vec<Example>,
    /// The rows that are skipped.
    pub dropped: Vec<Dropped>,
}

impl Examples {
    /// Takes a row's tokens, or why it is skipped.
    pub fn push(&mut self, row: std::result::Result<Example, Dropped>) {
        match row {
            Ok(example) => self.examples.push(example),
            Err(dropped) => self.dropped.push(dropped),
        }
    }

    /// These rows, or an error with counts if none is left; `noun` is what one of them is called.
    pub fn some(self, noun: &str, max_length: usize) -> Result<Self> {
        if self.examples.is_empty() { Err(none_left_of(noun, &self.dropped, max_length)) } else { Ok(self) }
    }
}

/// Tokenises prompts for answers that the model will write: text with the tokenizer's special tokens, a conversation by
/// the template, up to where the answer begins. A prompt is never cut.
pub fn tokenize_prompts(samples: &[Sample], tokenizer: &Tokenizer) -> Result<Examples> {
    let mut prompts = Examples::default();
    for sample in samples {
        prompts.push(prompt_example(sample, tokenizer)?);
    }
    prompts.some("prompt", usize::MAX)
}

/// Tokenises one prompt, as [`tokenize_prompts`] does; the inner error says why it is skipped.
pub fn prompt_example(sample: &Sample, tokenizer: &Tokenizer) -> Result<std::result::Result<Example, Dropped>> {
    let ids = sample.encoder(tokenizer).prompt(sample.prompt.as_ref()).and_then(|ids| match ids.is_empty() {
        true => Err(Stop::Drop(0, DropReason::Empty)),
        false => Ok(ids),
    });
    let example = |ids: Vec<u32>| Example {
        row: sample.row,
        starts: vec![ids.len()],
        untruncated: vec![ids.len()],
        sequences: vec![ids],
        labels: None,
        value: 0.0,
    };
    settle(ids.map(example), sample.row, sample.line)
}

/// The error of rows of which none can be trained on, with counts; `noun` is what one of them is called.
pub(in crate::data) fn none_left_of(noun: &str, dropped: &[Dropped], max_length: usize) -> Error {
    let count = |wanted: fn(&DropReason) -> bool| dropped.iter().filter(|row| wanted(&row.reason)).count();
    let what = format!("{} be trained on", none_of(dropped.len(), noun));
    let prompts = dropped.iter().filter(|row| row.reason == DropReason::PromptTooLong);
    if let Some(shortest) = prompts.clone().map(|row| row.prompt_len).min() {
        let n = counted(prompts.count(), noun);
        let lengths = format!("max length ({max_length} tokens) leaves no room for an answer after the prompt in {n}");
        return Error::input(
            format!("{what}: {lengths}; the shortest prompt has {shortest}"),
            "Raise max length, or shorten the prompts",
            "",
        );
    }
    let too_long = count(|reason| matches!(reason, DropReason::TooLong | DropReason::NoLabels));
    if too_long > 0 {
        let lengths = format!("max length ({max_length} tokens) is too short for {}", counted(too_long, noun));
        return Error::input(format!("{what}: {lengths}"), "Raise max length, or shorten the texts", "");
    }
    let failed = dropped.iter().find_map(|row| match &row.reason {
        DropReason::Template(message) => Some((row.line, message)),
        _ => None,
    });
    if let Some((line, message)) = failed {
        return Error::input(
            format!("{what}: the chat template refuses them; the first: {message}"),
            "Correct the conversations, or use another template",
            format!("line {line}"),
        );
    }
    match dropped.iter().find(|row| row.reason != DropReason::Empty) {
        Some(row) => Error::input(format!("{what}; the first: {}", row.reason), "Use other rows", ""),
        None => Error::input(format!("{what}: they have no tokens"), format!("Give the {noun} some text"), ""),
    }
}
