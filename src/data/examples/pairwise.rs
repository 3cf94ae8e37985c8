//! Pairs to tokens for the methods beside DPO: the reward model, and ORPO and CPO with TRL's older rules.

use super::batch::{DropReason, Dropped};
use super::encode::{Encoder, Stop, no_eos, settle};
use super::example::{Example, Examples};
use crate::data::record::{Message, Part, Record};
use crate::data::tokens::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Tokenises pairs for a reward model: whole texts, without a boundary. Pairs with a side longer than `max_length` are
/// in `dropped`, never cut.
pub fn tokenize_reward(records: &[Record], tokenizer: &Tokenizer, max_length: usize) -> Result<Examples> {
    check_margins(records)?;
    each(records, max_length, |record| reward_example(record, tokenizer, max_length))
}

/// An error if some pairs have a margin and others have none.
pub fn check_margins(records: &[Record]) -> Result<()> {
    if records.iter().any(|record| record.margin.is_some())
        && let Some(record) = records.iter().find(|record| record.margin.is_none())
    {
        return Err(Error::input(
            "Some pairs have a margin, and this one has none that is a number",
            "Give each pair a margin, 0 for none, or take the column away",
            format!("line {}", record.line),
        ));
    }
    Ok(())
}

/// Tokenises one pair, as [`tokenize_reward`] does; the inner error says why it is skipped.
pub fn reward_example(
    record: &Record,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<std::result::Result<Example, Dropped>> {
    let scored = || {
        let encoder = record.encoder(tokenizer);
        let sides = [&record.chosen, &record.rejected].map(|answer| encoder.whole(Some(&record.prompt), answer));
        let [chosen, rejected] = sides;
        let sequences = vec![chosen?, rejected?];
        if sequences.iter().any(|ids| ids.len() > max_length) {
            return Err(Stop::Drop(0, DropReason::TooLong));
        }
        // A score is read at the last token that does not pad: where EOS pads, that is one before it.
        let pad = tokenizer.pad_id();
        let read = |ids: &Vec<u32>| ids.iter().rposition(|id| Some(*id) != pad).unwrap_or(0);
        let starts = sequences.iter().map(read).collect();
        pair(record, sequences, starts, record.margin.unwrap_or(0.0))
    };
    settle(scored(), record.row, record.line)
}

/// Tokenises pairs for ORPO and CPO, as TRL's experimental trainers do: the texts without the tokenizer's own special
/// tokens, then a BOS and an EOS token where there is none, and conversations without tools. Answers are cut to what
/// their prompt leaves of `max_length`; pairs of which nothing would be left are in `dropped`, for TRL's loss is not a
/// number there.
pub fn tokenize_orpo(records: &[Record], tokenizer: &Tokenizer, max_length: usize) -> Result<Examples> {
    each(records, max_length, |record| orpo_example(record, tokenizer, max_length))
}

/// Tokenises one pair, as [`tokenize_orpo`] does; the inner error says why it is skipped.
pub fn orpo_example(
    record: &Record,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<std::result::Result<Example, Dropped>> {
    settle(old_style(record, tokenizer, max_length), record.row, record.line)
}

fn old_style(record: &Record, tokenizer: &Tokenizer, max_length: usize) -> std::result::Result<Example, Stop> {
    // These trainers give the template a row's variables, but not its tools.
    let [prompt, chosen, rejected] = old_texts(record, &record.encoder(tokenizer).without_tools())?;
    let alone = tokenizer.encode(&prompt, false)?;
    let mut sides = Vec::with_capacity(2);
    for answer in [chosen, rejected] {
        let ids = tokenizer.encode(&format!("{prompt}{answer}"), false)?;
        // The prompt's last token may have merged with the answer; TRL looks no further back.
        let start = if ids.starts_with(&alone) { alone.len() } else { alone.len() - 1 };
        if ids.len() < alone.len() {
            return Err(Stop::Drop(alone.len(), DropReason::Boundary));
        }
        sides.push((ids, start));
    }
    let heads = [0, 1].map(|side: usize| &sides[side].0[..sides[side].1]);
    let different = heads[0].iter().zip(heads[1]).filter(|(a, b)| a != b).count();
    if different > 1 || heads[0].len().abs_diff(heads[1].len()) > 1 {
        return Err(Stop::Drop(alone.len(), DropReason::Boundary));
    }
    let (mut sequences, mut starts) = (Vec::with_capacity(2), Vec::with_capacity(2));
    for (mut ids, mut start) in sides {
        let eos = tokenizer.eos_id().ok_or_else(no_eos)?;
        if ids.len() == start || ids.last() != Some(&eos) {
            ids.push(eos);
        }
        if let Some(bos) = tokenizer.bos_id()
            && (start == 0 || ids[0] != bos)
        {
            ids.insert(0, bos);
            start += 1;
        }
        sequences.push(ids);
        starts.push(start);
    }
    if let Some(&start) = starts.iter().find(|start| **start >= max_length) {
        return Err(Stop::Drop(start, DropReason::PromptTooLong));
    }
    let mut example = pair(record, sequences, starts, 0.0)?;
    example.cut(max_length);
    Ok(example)
}

/// Prompt and answers as text; a conversation is rendered, and its prompt is what both sides begin with.
fn old_texts(record: &Record, encoder: &Encoder<'_>) -> std::result::Result<[String; 3], Stop> {
    let (list, answers) = match (&record.prompt, &record.chosen, &record.rejected) {
        (Part::Text(prompt), Part::Text(chosen), Part::Text(rejected)) => {
            return Ok([prompt, chosen, rejected].map(Clone::clone));
        }
        (Part::Messages(prompt), Part::Messages(_), Part::Messages(_)) => (prompt, [&record.chosen, &record.rejected]),
        _ => return Err(Stop::Fail(encoder.mixed())),
    };
    let prompt = asked(list, encoder)?;
    let render = |answer| encoder.rendered(encoder.messages(Some(&record.prompt), answer)?, false);
    let [chosen, rejected] = answers.map(render);
    let (chosen, rejected) = (chosen?, rejected?);
    let common = |a: &str, b: &str| -> usize {
        a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
    };
    let end = common(&prompt, &chosen).min(common(&prompt, &rejected));
    let rest = |text: &str| text.get(end..).unwrap_or_default().to_owned();
    Ok([prompt.get(..end).unwrap_or_default().to_owned(), rest(&chosen), rest(&rejected)])
}

/// A prompt's messages as text: with the beginning of an answer after a question, without an end after an answer.
fn asked(messages: &[Message], encoder: &Encoder<'_>) -> std::result::Result<String, Stop> {
    let Some(last) = messages.last() else { return Ok(String::new()) };
    match last.get("role").and_then(|role| role.as_str()) {
        Some("user" | "tool") => encoder.rendered(messages.iter(), true),
        Some("assistant") => encoder.continued(messages),
        role => {
            let why = format!("the prompt ends with a message of the role {:?}", role.unwrap_or_default());
            Err(Stop::Drop(0, DropReason::Template(why)))
        }
    }
}

fn pair(
    record: &Record,
    sequences: Vec<Vec<u32>>,
    starts: Vec<usize>,
    value: f64,
) -> std::result::Result<Example, Stop> {
    if sequences.iter().any(Vec::is_empty) {
        return Err(Stop::Drop(0, DropReason::Empty));
    }
    let untruncated = sequences.iter().map(Vec::len).collect();
    Ok(Example { row: record.row, sequences, starts, untruncated, labels: None, value })
}

fn each(
    records: &[Record],
    max_length: usize,
    tokens: impl Fn(&Record) -> Result<std::result::Result<Example, Dropped>>,
) -> Result<Examples> {
    let mut examples = Examples::default();
    for record in records {
        examples.push(tokens(record)?);
    }
    examples.some("pair", max_length)
}
