//! Pairs to tokens, and tokens to batches, as TRL's `DPOTrainer` does it.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::encode::{Stop, common_prefix, settle};
use super::example::none_left_of;
use crate::data::record::Record;
use crate::data::tokens::tokenizer::Tokenizer;
use crate::error::Result;

/// A pair as token ids; those before `prompt_len` are the prompt (mask 0), the others the completion (mask 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPair {
    /// The record's row.
    pub row: usize,
    /// Tokens of the prompt; less than either sequence's maximum length.
    pub prompt_len: usize,
    /// Tokens of chosen and rejected, prompt included, before they were cut.
    pub untruncated: [usize; 2],
    /// Prompt and preferred answer.
    pub chosen: Vec<u32>,
    /// Prompt and other answer.
    pub rejected: Vec<u32>,
}

impl TokenPair {
    /// Tokens of the completions, `[chosen, rejected]`.
    pub fn completion_lengths(&self) -> [usize; 2] {
        [&self.chosen, &self.rejected].map(|ids| ids.len().saturating_sub(self.prompt_len))
    }

    /// Tokens of the completions that have a log-probability: nothing precedes a sequence's first.
    pub fn scored_lengths(&self) -> [usize; 2] {
        [&self.chosen, &self.rejected].map(|ids| ids.len().saturating_sub(self.prompt_len.max(1)))
    }
}

/// Result of tokenising records, both lists in the order of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// The pairs to train on.
    pub pairs: Vec<TokenPair>,
    /// The pairs that are skipped.
    pub dropped: Vec<Dropped>,
}

/// A row that is skipped, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The row's number.
    pub row: usize,
    /// The row's line.
    pub line: usize,
    /// Tokens of the prompt; 0 if they are not known, for example because the template failed.
    pub prompt_len: usize,
    /// Why.
    pub reason: DropReason,
}

/// Why a row is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropReason {
    /// The prompt alone reaches the maximum length, so that nothing of the answers would be left.
    PromptTooLong,
    /// The chat template refuses the conversation; the message says where and why.
    Template(String),
    /// One of its sequences has no tokens at all.
    Empty,
    /// A sequence is longer than the maximum length, and the method does not cut (reward).
    TooLong,
    /// Nothing within the maximum length is learnt (sft).
    NoLabels,
    /// The answer is not wanted, and the method learns to write what it is given (sft).
    Unwanted,
    /// The tokens of the prompt change where an answer follows it, so that TRL finds no boundary (orpo, cpo).
    Boundary,
}

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PromptTooLong => write!(f, "the prompt alone exceeds max length"),
            Self::Template(message) => write!(f, "the chat template rejects it ({message})"),
            Self::Empty => write!(f, "one of its texts has no tokens"),
            Self::TooLong => write!(f, "it is longer than max length"),
            Self::NoLabels => write!(f, "nothing of it within max length is learnt"),
            Self::Unwanted => write!(f, "its answer is not wanted"),
            Self::Boundary => write!(f, "its prompt's tokens change where an answer follows"),
        }
    }
}

/// Tokenises records and cuts each sequence to its first `max_length` tokens, as section Tokenisation of TRL 1.16.
///
/// Pairs that cannot be trained on are in `dropped`. An error says that the tokenizer lacks the chat template or the
/// EOS token that the records need, or that no pair is left, with counts.
pub fn tokenize(records: &[Record], tokenizer: &Tokenizer, max_length: usize) -> Result<Tokenized> {
    let mut tokenized = Tokenized { pairs: Vec::with_capacity(records.len()), dropped: Vec::new() };
    for record in records {
        match tokenize_record(record, tokenizer, max_length)? {
            Ok(pair) => tokenized.pairs.push(pair),
            Err(dropped) => tokenized.dropped.push(dropped),
        }
    }
    if tokenized.pairs.is_empty() {
        return Err(none_left_of("pair", &tokenized.dropped, max_length));
    }
    Ok(tokenized)
}

/// Tokenises one record, as [`tokenize`] does; the inner error says why the pair is skipped.
pub fn tokenize_record(
    record: &Record,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<std::result::Result<TokenPair, Dropped>> {
    settle(tokens_of(record, tokenizer, max_length), record.row, record.line)
}

fn tokens_of(record: &Record, tokenizer: &Tokenizer, max_length: usize) -> std::result::Result<TokenPair, Stop> {
    let encoder = record.encoder(tokenizer);
    let prompt = encoder.prompt(Some(&record.prompt))?;
    let mut chosen = encoder.whole(Some(&record.prompt), &record.chosen)?;
    let mut rejected = encoder.whole(Some(&record.prompt), &record.rejected)?;
    let prompt_len = common_prefix(&prompt, &chosen).min(common_prefix(&prompt, &rejected));
    if prompt_len >= max_length {
        return Err(Stop::Drop(prompt_len, DropReason::PromptTooLong));
    }
    if chosen.is_empty() || rejected.is_empty() {
        return Err(Stop::Drop(prompt_len, DropReason::Empty));
    }
    let untruncated = [chosen.len(), rejected.len()];
    chosen.truncate(max_length);
    rejected.truncate(max_length);
    Ok(TokenPair { row: record.row, prompt_len, untruncated, chosen, rejected })
}

/// In which order the pairs of an epoch are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// A new permutation each epoch, decided by the seed.
    Random,
    /// The order of the file.
    Sequential,
}

/// The pairs' indices in the order of epoch `epoch` (from 0); the same for the same arguments on every machine.
pub fn order(n_pairs: usize, sampling: Sampling, seed: u64, epoch: u64) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..n_pairs).collect();
    if sampling == Sampling::Random {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(epoch);
        indices.shuffle(&mut rng);
    }
    indices
}

/// Optimiser steps of one epoch: batches of `batch_size` pairs, `accumulation` batches a step, remainders included.
pub fn steps_per_epoch(n_pairs: usize, batch_size: usize, accumulation: usize) -> usize {
    assert!(batch_size > 0 && accumulation > 0, "a step needs at least one pair");
    n_pairs.div_ceil(batch_size).div_ceil(accumulation)
}

/// An epoch's optimiser steps, each a list of micro-batches, each a list of the indices in `order`.
///
/// The last micro-batch may have fewer pairs, and the last step fewer micro-batches; a step's loss is the mean over the
/// micro-batches it really has.
pub fn micro_batches(order: &[usize], batch_size: usize, accumulation: usize) -> Vec<Vec<Vec<usize>>> {
    assert!(batch_size > 0 && accumulation > 0, "a step needs at least one pair");
    let batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    batches.chunks(accumulation).map(<[Vec<usize>]>::to_vec).collect()
}
