//! Prompts and answers as token ids, the way that TRL's trainers share.

use std::ops::Range;

use serde_json::{Map, Value};

use super::batch::{DropReason, Dropped};
use crate::data::record::{Message, Part, Record};
use crate::data::sample::Sample;
use crate::data::tokens::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Why a row has no tokens: it alone is skipped, or nothing can be done at all.
pub(in crate::data) enum Stop {
    /// The row is skipped; the number is that of its prompt's tokens, as far as they are known.
    Drop(usize, DropReason),
    /// The tokenizer or a setting is at fault.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

/// A row's outcome as the callers of this layer take it.
pub(in crate::data) fn settle<T>(
    outcome: std::result::Result<T, Stop>,
    row: usize,
    line: usize,
) -> Result<std::result::Result<T, Dropped>> {
    match outcome {
        Ok(tokens) => Ok(Ok(tokens)),
        Err(Stop::Drop(prompt_len, reason)) => Ok(Err(Dropped { row, line, prompt_len, reason })),
        Err(Stop::Fail(error)) => Err(error),
    }
}

/// The tokenizer, and what one row gives to its template.
pub(in crate::data) struct Encoder<'a> {
    pub(in crate::data) tokenizer: &'a Tokenizer,
    tools: Option<&'a Value>,
    kwargs: Option<&'a Map<String, Value>>,
    line: usize,
}

impl Record {
    pub(in crate::data) fn encoder<'a>(&'a self, tokenizer: &'a Tokenizer) -> Encoder<'a> {
        let (tools, kwargs) = (self.tools.as_ref(), self.chat_template_kwargs.as_ref());
        Encoder { tokenizer, tools, kwargs, line: self.line }
    }
}

impl Sample {
    pub(in crate::data) fn encoder<'a>(&'a self, tokenizer: &'a Tokenizer) -> Encoder<'a> {
        let (tools, kwargs) = (self.tools.as_ref(), self.chat_template_kwargs.as_ref());
        Encoder { tokenizer, tools, kwargs, line: self.line }
    }
}

/// Marks the end of a message that is to be continued while its template is rendered. The text is transformers' own.
const CONTINUED: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

impl Encoder<'_> {
    pub(in crate::data) fn without_tools(self) -> Self {
        Self { tools: None, ..self }
    }

    /// Tokens of a prompt alone: text with the tokenizer's special tokens, a conversation with the beginning of the
    /// assistant's answer.
    pub(in crate::data) fn prompt(&self, prompt: Option<&Part>) -> std::result::Result<Vec<u32>, Stop> {
        match prompt {
            Some(Part::Text(text)) => Ok(self.tokenizer.encode(text, true)?),
            Some(Part::Messages(list)) => {
                let text = self.rendered(list.iter(), true)?;
                Ok(self.tokenizer.encode(&text, false)?)
            }
            None => Ok(Vec::new()),
        }
    }

    /// Tokens of a prompt, if there is one, and the answer to it: text ends with the EOS token, a conversation as its
    /// template ends it.
    pub(in crate::data) fn whole(&self, prompt: Option<&Part>, answer: &Part) -> std::result::Result<Vec<u32>, Stop> {
        match (prompt, answer) {
            (None | Some(Part::Text(_)), Part::Text(answer)) => {
                let eos = self.tokenizer.special_token("eos_token").ok_or_else(no_eos)?;
                let prompt = if let Some(Part::Text(prompt)) = prompt { prompt } else { "" };
                let end = if answer.ends_with(eos) { "" } else { eos };
                Ok(self.tokenizer.encode(&format!("{prompt}{answer}{end}"), true)?)
            }
            _ => {
                let text = self.rendered(self.messages(prompt, answer)?, false)?;
                Ok(self.tokenizer.encode(&text, false)?)
            }
        }
    }

    /// Tokens of a conversation, and which of them its template marks as the assistant's.
    pub(in crate::data) fn marked(
        &self,
        prompt: Option<&Part>,
        answer: &Part,
    ) -> std::result::Result<(Vec<u32>, Vec<bool>), Stop> {
        self.tokenizer.chat_template()?;
        let messages: Vec<&Message> = self.messages(prompt, answer)?.collect();
        let (text, spans): (String, Vec<Range<usize>>) =
            self.tokenizer.render_marked(&messages, self.tools, self.kwargs).map_err(refused)?;
        Ok(self.tokenizer.encode_marked(&text, &spans)?)
    }

    /// The messages of a prompt, if there is one, and of its answer.
    pub(in crate::data) fn messages<'a>(
        &self,
        prompt: Option<&'a Part>,
        answer: &'a Part,
    ) -> Result<impl Iterator<Item = &'a Message> + use<'a>> {
        let (prompt, answer): (&[Message], &[Message]) = match (prompt, answer) {
            (None, Part::Messages(answer)) => (&[], answer),
            (Some(Part::Messages(prompt)), Part::Messages(answer)) => (prompt, answer),
            _ => return Err(self.mixed()),
        };
        Ok(prompt.iter().chain(answer))
    }

    /// The text of a conversation.
    pub(in crate::data) fn rendered<'a>(
        &self,
        messages: impl Iterator<Item = &'a Message>,
        add_generation_prompt: bool,
    ) -> std::result::Result<String, Stop> {
        self.tokenizer.chat_template()?;
        let messages: Vec<&Message> = messages.collect();
        self.tokenizer.render(&messages, add_generation_prompt, self.tools, self.kwargs).map_err(refused)
    }

    /// The text of a conversation up to the end of its last message, as if more of it followed.
    pub(in crate::data) fn continued(&self, messages: &[Message]) -> std::result::Result<String, Stop> {
        let mut messages = messages.to_vec();
        let text = messages.last_mut().and_then(|message| match message.get_mut("content")? {
            Value::Array(blocks) => blocks.iter_mut().rev().find_map(|block| block.get_mut("text")),
            content => Some(content),
        });
        let Some(Value::String(text)) = text else { return Err(not_continued("the last message has no text")) };
        let last = text.trim().to_owned();
        text.push_str(CONTINUED);
        let rendered = self.rendered(messages.iter(), false)?;
        let Some((before, after)) = rendered.rsplit_once(CONTINUED.trim_end()).filter(|_| rendered.contains(&last))
        else {
            return Err(not_continued("the chat template leaves out the last message"));
        };
        // A template that trims takes the space away.
        Ok(if after.starts_with(' ') { before.to_owned() } else { before.trim_end().to_owned() })
    }

    /// The error of a row whose parts do not go together.
    pub(in crate::data) fn mixed(&self) -> Error {
        Error::input(
            "A row mixes plain text and messages",
            "Give all parts of it in the same form",
            format!("line {}", self.line),
        )
    }
}

/// A row that the template rejects is skipped, and others are not.
fn refused(error: Error) -> Stop {
    Stop::Drop(0, DropReason::Template(error.to_string()))
}

fn not_continued(why: &str) -> Stop {
    Stop::Drop(0, DropReason::Template(format!("the prompt ends with an answer that cannot be continued: {why}")))
}

/// The error of a tokenizer that does not say how an answer ends.
pub(in crate::data) fn no_eos() -> Error {
    Error::input(
        "The tokenizer has no EOS token, with which a plain text answer must end",
        "Set eos_token in tokenizer_config.json",
        "tokenizer_config.json, field eos_token",
    )
}

/// Number of tokens that two lists share at the beginning.
pub(in crate::data) fn common_prefix<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
