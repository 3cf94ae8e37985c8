//! Texts, conversations and answers to tokens, and which of them are learnt, as TRL's `SFTTrainer` does it.

use super::batch::{DropReason, Dropped};
use super::encode::{Stop, common_prefix, settle};
use super::example::{Example, Examples};
use crate::data::record::Part;
use crate::data::sample::Sample;
use crate::data::tokens::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Rules for the tokens that fine-tuning learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SftRules {
    /// Learn the answer, and not its prompt; none for rows with a prompt alone.
    pub completion_only_loss: Option<bool>,
    /// Learn what the template marks as the assistant's.
    pub assistant_only_loss: bool,
    /// Tokens of a row at most; what is behind them is truncated.
    pub max_length: usize,
}

/// Tokenises samples for fine-tuning. Rows of which nothing would be learnt are in `dropped`; of thumbs, those of
/// answers that are not wanted, too.
///
/// An error says that the tokenizer lacks the EOS token or the template that the rows need, that the template does not
/// mark the assistant's part, or that no row is left.
pub fn tokenize_sft(samples: &[Sample], tokenizer: &Tokenizer, rules: &SftRules) -> Result<Examples> {
    let marking;
    let tokenizer = if rules.assistant_only_loss {
        marking = tokenizer.for_assistant_loss()?;
        &marking
    } else {
        tokenizer
    };
    let mut examples = Examples::default();
    for sample in samples {
        examples.push(sft_example(sample, tokenizer, rules)?);
    }
    examples.some("example", rules.max_length)
}

/// Tokenises one sample, as [`tokenize_sft`] does, with the tokenizer of [`Tokenizer::for_assistant_loss`] where the
/// assistant's part alone is learnt; the inner error says why the row is skipped.
pub fn sft_example(
    sample: &Sample,
    tokenizer: &Tokenizer,
    rules: &SftRules,
) -> Result<std::result::Result<Example, Dropped>> {
    settle(learnt(sample, tokenizer, rules), sample.row, sample.line)
}

fn learnt(sample: &Sample, tokenizer: &Tokenizer, rules: &SftRules) -> std::result::Result<Example, Stop> {
    let (encoder, prompt) = (sample.encoder(tokenizer), sample.prompt.as_ref());
    if sample.label == Some(false) {
        return Err(Stop::Drop(0, DropReason::Unwanted));
    }
    let Some(completion) = &sample.completion else {
        return Err(Stop::Fail(no_answer(sample)));
    };
    let (mut ids, marks) = match (rules.assistant_only_loss, completion) {
        (true, Part::Messages(_)) => {
            let (ids, marks) = encoder.marked(prompt, completion)?;
            if !marks.contains(&true) {
                return Err(Stop::Fail(no_assistant(sample.line)));
            }
            (ids, Some(marks))
        }
        (true, Part::Text(_)) => {
            return Err(Stop::Fail(Error::input(
                "assistant_only_loss is for conversations, and this is plain text",
                "Give the rows as messages, or train without assistant_only_loss",
                format!("line {}", sample.line),
            )));
        }
        (false, _) => (encoder.whole(prompt, completion)?, None),
    };
    let start = match prompt {
        Some(_) if rules.completion_only_loss != Some(false) => common_prefix(&encoder.prompt(prompt)?, &ids),
        _ => 0,
    };
    if ids.is_empty() {
        return Err(Stop::Drop(start, DropReason::Empty));
    }
    let untruncated = ids.len();
    ids.truncate(rules.max_length);
    let is_learnt = |at: usize| at >= start && marks.as_ref().is_none_or(|marks| marks[at]);
    let labels: Vec<bool> = (0..ids.len()).map(is_learnt).collect();
    if !labels.contains(&true) {
        let reason = if start >= rules.max_length { DropReason::PromptTooLong } else { DropReason::NoLabels };
        return Err(Stop::Drop(start, reason));
    }
    Ok(Example {
        row: sample.row,
        sequences: vec![ids],
        starts: vec![0],
        untruncated: vec![untruncated],
        labels: labels.contains(&false).then_some(labels),
        value: 0.0,
    })
}

/// The error of a prompt alone where an answer is needed.
pub(in crate::data) fn no_answer(sample: &Sample) -> Error {
    Error::input(
        "A row has a prompt and no answer to learn from",
        "Each row needs \"completion\"",
        format!("line {}", sample.line),
    )
}

fn no_assistant(line: usize) -> Error {
    Error::input(
        "assistant_only_loss finds nothing of the assistant's in a conversation",
        "Give the conversation an answer, or put {% generation %} and {% endgeneration %} around all that the chat \
         template writes for the assistant",
        format!("line {line}"),
    )
}
