//! Pairs to tokens, and tokens to batches, as TRL's `DPOTrainer` does it.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::record::{Part, Record};
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

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

/// What became of the records, both lists in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// The pairs to train on.
    pub pairs: Vec<TokenPair>,
    /// The pairs that are left out.
    pub dropped: Vec<Dropped>,
}

/// A pair that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The record's row.
    pub row: usize,
    /// The record's line.
    pub line: usize,
    /// Tokens of the prompt; 0 if there are none because the template failed.
    pub prompt_len: usize,
    /// Why.
    pub reason: DropReason,
}

/// Why a pair is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropReason {
    /// The prompt alone reaches the maximum length, so that nothing of the answers would be left.
    PromptTooLong,
    /// The chat template refuses the conversation; the message says where and why.
    Template(String),
    /// One of the two sequences has no tokens at all.
    Empty,
}

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PromptTooLong => write!(f, "its prompt alone fills max_length"),
            Self::Template(message) => write!(f, "the chat template refuses it ({message})"),
            Self::Empty => write!(f, "one of its answers has no tokens"),
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
        return Err(none_left(&tokenized.dropped, max_length));
    }
    Ok(tokenized)
}

/// Tokenises one record, as [`tokenize`] does; the inner error says why the pair is left out.
pub fn tokenize_record(
    record: &Record,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<std::result::Result<TokenPair, Dropped>> {
    let (row, line) = (record.row, record.line);
    let tokens = tokens_of(record, tokenizer, max_length)?;
    Ok(tokens.map_err(|(prompt_len, reason)| Dropped { row, line, prompt_len, reason }))
}

fn tokens_of(
    record: &Record,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<std::result::Result<TokenPair, (usize, DropReason)>> {
    let [prompt, mut chosen, mut rejected] = match (&record.prompt, &record.chosen, &record.rejected) {
        (Part::Text(prompt), Part::Text(chosen), Part::Text(rejected)) => {
            let eos = tokenizer.special_token("eos_token").ok_or_else(|| {
                Error::input(
                    "The tokenizer has no EOS token, with which a plain text answer must end",
                    "Set eos_token in tokenizer_config.json",
                    "tokenizer_config.json, field eos_token",
                )
            })?;
            let joined = |answer: &str| {
                let end = if answer.ends_with(eos) { "" } else { eos };
                tokenizer.encode(&format!("{prompt}{answer}{end}"), true)
            };
            [tokenizer.encode(prompt, true)?, joined(chosen)?, joined(rejected)?]
        }
        (Part::Messages(prompt), Part::Messages(chosen), Part::Messages(rejected)) => {
            tokenizer.chat_template()?;
            let rendered = |answer: &[_], add_generation_prompt: bool| {
                let messages: Vec<_> = prompt.iter().chain(answer).collect();
                let (tools, kwargs) = (record.tools.as_ref(), record.chat_template_kwargs.as_ref());
                tokenizer.render(&messages, add_generation_prompt, tools, kwargs)
            };
            let texts = (rendered(&[], true), rendered(chosen, false), rendered(rejected, false));
            let (prompt, chosen, rejected) = match texts {
                (Ok(prompt), Ok(chosen), Ok(rejected)) => (prompt, chosen, rejected),
                (Err(e), _, _) | (_, Err(e), _) | (_, _, Err(e)) => {
                    return Ok(Err((0, DropReason::Template(e.to_string()))));
                }
            };
            let encode = |text: &str| tokenizer.encode(text, false);
            [encode(&prompt)?, encode(&chosen)?, encode(&rejected)?]
        }
        _ => {
            return Err(Error::input(
                "A pair mixes plain text and messages",
                "Give prompt, chosen and rejected in the same form",
                format!("line {}", record.line),
            ));
        }
    };
    let prompt_len = common_prefix(&prompt, &chosen).min(common_prefix(&prompt, &rejected));
    if prompt_len >= max_length {
        return Ok(Err((prompt_len, DropReason::PromptTooLong)));
    }
    if chosen.is_empty() || rejected.is_empty() {
        return Ok(Err((prompt_len, DropReason::Empty)));
    }
    let untruncated = [chosen.len(), rejected.len()];
    chosen.truncate(max_length);
    rejected.truncate(max_length);
    Ok(Ok(TokenPair { row: record.row, prompt_len, untruncated, chosen, rejected }))
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The error of pairs of which none can be trained on, with counts.
pub fn none_left(dropped: &[Dropped], max_length: usize) -> Error {
    let failed = dropped.iter().find_map(|pair| match &pair.reason {
        DropReason::Template(message) => Some((pair.line, message)),
        DropReason::PromptTooLong | DropReason::Empty => None,
    });
    let too_long = dropped.iter().filter(|pair| pair.reason == DropReason::PromptTooLong).count();
    let what = format!("None of the {} pairs can be trained on", dropped.len());
    if too_long > 0 {
        let shortest =
            dropped.iter().filter(|pair| pair.reason == DropReason::PromptTooLong).map(|pair| pair.prompt_len);
        let shortest = shortest.min().unwrap_or_default();
        let lengths = format!("the prompts of {too_long} have max_length ({max_length}) tokens or more, the shortest");
        return Error::input(format!("{what}: {lengths} {shortest}"), "Raise max_length, or shorten the prompts", "");
    }
    match failed {
        Some((line, message)) => Error::input(
            format!("{what}: the chat template refuses them; the first: {message}"),
            "Correct the conversations, or use another template",
            format!("line {line}"),
        ),
        None => Error::input(format!("{what}: they have no tokens"), "Give the pairs some text", ""),
    }
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
