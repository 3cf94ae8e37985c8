//! Answers with verdicts to tokens, each beside another row's answer, as TRL's `KTOTrainer` does it.

use super::batch::{DropReason, Dropped};
use super::encode::{Stop, common_prefix, settle};
use super::example::{Example, Examples};
use super::sft::no_answer;
use crate::data::sample::Sample;
use crate::data::tokens::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Rules for laying out answers with verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KtoRules {
    /// Tokens of a sequence at most; what is behind them is truncated.
    pub max_length: usize,
    /// Rows of a micro-batch, within which answers change places.
    pub batch_size: usize,
    /// Give each prompt another row's answer as well: `kto` asks for it, `apo_zero_unpaired` does not.
    pub mismatched: bool,
}

/// Tokenises samples with verdicts. Rows whose prompt fills `max_length` are in `dropped`.
pub fn tokenize_kto(samples: &[Sample], tokenizer: &Tokenizer, rules: &KtoRules) -> Result<Examples> {
    let mut examples = Examples::default();
    for sample in samples {
        examples.push(kto_example(sample, tokenizer, rules.max_length)?);
    }
    examples.examples = mismatch(examples.examples, rules);
    examples.some("thumb", rules.max_length)
}

/// Tokenises one sample without cutting it; the inner error says why it is skipped. [`mismatch`] goes on with those
/// that are kept.
pub fn kto_example(
    sample: &Sample,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<std::result::Result<Example, Dropped>> {
    settle(judged(sample, tokenizer, max_length), sample.row, sample.line)
}

fn judged(sample: &Sample, tokenizer: &Tokenizer, max_length: usize) -> std::result::Result<Example, Stop> {
    let (encoder, prompt) = (sample.encoder(tokenizer), sample.prompt.as_ref());
    let Some(completion) = &sample.completion else {
        return Err(Stop::Fail(no_answer(sample)));
    };
    let Some(label) = sample.label else {
        return Err(Stop::Fail(Error::input(
            "A row has no verdict on its answer",
            "Each row needs \"label\", true or false",
            format!("line {}", sample.line),
        )));
    };
    let (alone, ids) = (encoder.prompt(prompt)?, encoder.whole(prompt, completion)?);
    let start = common_prefix(&alone, &ids);
    if start >= max_length {
        return Err(Stop::Drop(start, DropReason::PromptTooLong));
    }
    if ids.is_empty() {
        return Err(Stop::Drop(start, DropReason::Empty));
    }
    Ok(Example {
        row: sample.row,
        starts: vec![start],
        untruncated: vec![ids.len()],
        sequences: vec![ids],
        labels: None,
        value: if label { 1.0 } else { 0.0 },
    })
}

/// Gives each prompt the answer of the row before it in its micro-batch, the first that of the last, if the rules ask
/// for it, and cuts all sequences. The rows are those that are kept, in the order in which they are trained on.
pub fn mismatch(mut examples: Vec<Example>, rules: &KtoRules) -> Vec<Example> {
    if rules.mismatched {
        for batch in examples.chunks_mut(rules.batch_size.max(1)) {
            let answers: Vec<Vec<u32>> = batch.iter().map(|row| row.sequences[0][row.starts[0]..].to_vec()).collect();
            for (example, answer) in batch.iter_mut().zip(answers.iter().cycle().skip(answers.len() - 1)) {
                let start = example.starts[0];
                let other = [&example.sequences[0][..start], answer].concat();
                example.starts.push(start);
                example.untruncated.push(other.len());
                example.sequences.push(other);
            }
        }
    }
    for example in &mut examples {
        example.cut(rules.max_length);
    }
    examples
}
