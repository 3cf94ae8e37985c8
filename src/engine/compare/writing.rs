//! Texts from a model: prompts to tokens, tokens to text as they come.

use serde_json::{Value, json};

use crate::data::{Message, Tokenizer};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::Sampling;
use crate::model::{Adapter, Architecture, Generator, MAX_STEPS, MAX_TEXTS, Model};
use crate::platform::host::seconds;
use crate::platform::{Folder, read_all};

/// Settings for writing texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// Settings for drawing tokens.
    pub sampling: Sampling,
    /// Most tokens to write.
    pub max_new_tokens: usize,
}

impl Style {
    /// Most tokens that an answer to a prompt can have.
    pub fn room(&self, model: &Model, prompt: &[u32]) -> usize {
        self.max_new_tokens.min(model.positions().saturating_sub(prompt.len()))
    }
}

/// Seconds between two readbacks at most, where more than one token can be drawn in them: people watch texts grow.
const READBACK_SECONDS: f64 = 0.3;

/// Answers prompts, several together, as far as the model has room. Returns the tokens written of each.
///
/// `say` gets each piece of each text and may stop by returning false.
pub async fn write(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    adapter: Option<&Adapter>,
    prompts: &[Vec<u32>],
    eos: &[u32],
    style: &Style,
    say: &mut dyn FnMut(usize, &str) -> Result<bool>,
) -> Result<Vec<usize>> {
    let mut written = Vec::with_capacity(prompts.len());
    let room = |prompt: &[u32]| style.room(model, prompt);
    // Only prompts with equal room are written together, so that a text with less room does not end the others.
    let alike = prompts.chunk_by(|a, b| room(a) == room(b)).flat_map(|alike| alike.chunks(MAX_TEXTS));
    for prompts in alike {
        let first = written.len();
        let style = Style { max_new_tokens: room(&prompts[0]), ..style.clone() };
        let mut writer = Writer::new(gpu, model, tokenizer, adapter, prompts, eos, &style, first).await?;
        while !writer.done() {
            writer.advance(&mut |text, piece| say(first + text, piece)).await?;
        }
        written.extend(writer.written);
    }
    Ok(written)
}

/// Texts of one model that grow by a few tokens at a time, so that those of several models can grow by turns.
pub struct Writer<'a> {
    generator: Generator<'a>,
    eos: &'a [u32],
    /// One for each text that has not ended.
    streams: Vec<Option<TextStream<'a>>>,
    /// Tokens of each text.
    pub written: Vec<usize>,
    /// Tokens that may still be drawn, and those to draw before the next readback.
    left: usize,
    next: usize,
}

impl<'a> Writer<'a> {
    /// Reads the prompts, at most [`MAX_TEXTS`], with room for all new tokens. The first text has the number `first`,
    /// on which its random numbers depend.
    pub async fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        tokenizer: &'a Tokenizer,
        adapter: Option<&'a Adapter>,
        prompts: &[Vec<u32>],
        eos: &'a [u32],
        style: &Style,
        first: usize,
    ) -> Result<Self> {
        let left = style.max_new_tokens;
        let generator = Generator::new(gpu, model, adapter, prompts, left, style.sampling, first).await?;
        gpu.check()?;
        let stream = |prompt: &Vec<u32>| TextStream::after(prompt, tokenizer).map(Some);
        let streams = prompts.iter().map(stream).collect::<Result<_>>()?;
        Ok(Self { generator, eos, streams, written: vec![0; prompts.len()], left, next: 1 })
    }

    /// True once every text has ended.
    pub fn done(&self) -> bool {
        self.streams.iter().all(Option::is_none)
    }

    /// True once this text has ended.
    pub fn ended(&self, text: usize) -> bool {
        self.streams[text].is_none()
    }

    /// Draws the next few tokens of each text. `say` gets the pieces and may stop by returning false.
    pub async fn advance(&mut self, say: &mut dyn FnMut(usize, &str) -> Result<bool>) -> Result<()> {
        let began = seconds();
        let tokens = if self.left > 0 { self.generator.next(self.next).await? } else { Vec::new() };
        self.left -= tokens.first().map_or(0, Vec::len);
        if seconds() - began < READBACK_SECONDS / 2.0 {
            self.next = (2 * self.next).min(MAX_STEPS);
        }
        for (text, tokens) in tokens.into_iter().enumerate() {
            for token in tokens {
                let Some(open) = &mut self.streams[text] else { break };
                let piece = match self.eos.contains(&token) {
                    true => self.streams[text].take().map_or(Ok(String::new()), TextStream::finish)?,
                    false => {
                        self.written[text] += 1;
                        open.push(token)?
                    }
                };
                if !say(text, &piece)? {
                    return Err(Error::Cancelled);
                }
            }
        }
        if self.left == 0 {
            for (text, stream) in self.streams.iter_mut().enumerate() {
                if let Some(stream) = stream.take() {
                    say(text, &stream.finish()?)?;
                }
            }
        }
        Ok(())
    }
}

/// The prompt as the model sees it: through its chat template, if it has one and `raw` does not forbid it.
pub fn prompt_ids(prompt: &str, raw: bool, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    conversation_ids("", &[], prompt, raw, tokenizer)
}

/// Prompts as the model sees them, each by itself.
pub fn prompts_ids(prompts: &[String], raw: bool, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>> {
    prompts.iter().map(|prompt| prompt_ids(prompt, raw, tokenizer)).collect()
}

/// A conversation as the model sees it: a system prompt if there is one, earlier messages with their answers, and the
/// message to answer.
///
/// An error if it takes a chat template that the model does not have, or that `raw` forbids.
pub fn conversation_ids(
    system: &str,
    turns: &[[&str; 2]],
    prompt: &str,
    raw: bool,
    tokenizer: &Tokenizer,
) -> Result<Vec<u32>> {
    let ids = if !raw && tokenizer.chat_template().is_ok() {
        let message = |role: &str, content: &str| -> Message {
            [("role", role), ("content", content)].map(|(k, v)| (k.to_owned(), json!(v))).into_iter().collect()
        };
        let mut messages: Vec<Message> = Vec::new();
        messages.extend((!system.is_empty()).then(|| message("system", system)));
        messages.extend(turns.iter().flat_map(|[asked, said]| [message("user", asked), message("assistant", said)]));
        messages.push(message("user", prompt));
        let text = tokenizer.render(&messages.iter().collect::<Vec<_>>(), true, None, None)?;
        tokenizer.encode(&text, false)?
    } else if system.is_empty() && turns.is_empty() {
        tokenizer.encode(prompt, true)?
    } else {
        return Err(Error::input(
            "A conversation takes a chat template, and none is in use",
            "Ask without a system prompt and earlier turns, or open a model and pairs that are made for chats",
            "prompt",
        ));
    };
    match ids.is_empty() {
        true => Err(Error::input("The prompt has no tokens", "Give it some text", "prompt")),
        false => Ok(ids),
    }
}

/// Every token that ends an answer: by the config, by the generation config, by the tokenizer.
pub async fn eos_ids(folder: &dyn Folder, config: &Architecture, tokenizer: &Tokenizer) -> Vec<u32> {
    const FILE: &str = "generation_config.json";
    let mut ids = config.eos_token_id.clone();
    ids.extend(tokenizer.eos_id());
    // The file is optional, and so is whatever is in it.
    if folder.files().iter().any(|file| file == FILE)
        && let Ok(source) = folder.open(FILE)
        && let Ok(bytes) = read_all(source.as_ref()).await
        && let Ok(config) = serde_json::from_slice::<Value>(&bytes)
    {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match config.get("eos_token_id") {
            Some(Value::Array(list)) => ids.extend(list.iter().filter_map(id)),
            Some(value) => ids.extend(id(value)),
            None => {}
        }
    }
    ids
}

/// Returns the text of each token, special ones included; together they are the whole text.
///
/// A character that spans several tokens belongs to the last of them; the others have no text. If a text was cut within
/// a character, the last token stands for the bytes that are left of it.
pub fn pieces(ids: &[u32], tokenizer: &Tokenizer) -> Result<Vec<String>> {
    let all = tokenizer.decode(ids, false)?;
    // A character has four bytes at the most. Some tokenizers spoil all that is spelt before one that is cut.
    for cut in 1..ids.len().min(4) {
        let kept = &ids[..ids.len() - cut];
        if !all.ends_with(BROKEN) {
            break;
        }
        let whole = tokenizer.decode(kept, false)?;
        if !whole.ends_with(BROKEN) {
            let broken = all.strip_prefix(&whole).map_or_else(|| BROKEN.to_string(), str::to_owned);
            let mut pieces = pieces_of(kept, &whole, tokenizer)?;
            pieces.resize(ids.len() - 1, String::new());
            pieces.push(broken);
            return Ok(pieces);
        }
    }
    pieces_of(ids, &all, tokenizer)
}

/// Returns the pieces of tokens whose text is `whole`.
///
/// A few tokens are decoded at a time, because some tokenizers spell a token by what is before it. The result is
/// compared with `whole`: only there it shows whether a character is complete.
fn pieces_of(ids: &[u32], whole: &str, tokenizer: &Tokenizer) -> Result<Vec<String>> {
    let mut rest = whole;
    let mut pieces = vec![String::new(); ids.len()];
    // The text is known up to the token `known`, where a character begins, as one does at `context`.
    let (mut context, mut known) = (0, 0);
    let mut before = String::new();
    for end in 1..=ids.len() {
        let new_until = |end: usize| -> Result<Option<String>> {
            let all = tokenizer.decode(&ids[context..end], false)?;
            Ok(all.strip_prefix(&before).filter(|new| rest.starts_with(new)).map(str::to_owned))
        };
        let mut new = new_until(end)?;
        if let Some(broken) = new.as_ref().filter(|new| new.ends_with(BROKEN) && end < ids.len()) {
            // The text may hold this very sign: the next token then adds to it.
            let is_text = new_until(end + 1)?.is_some_and(|longer| longer.len() > broken.len());
            new.take_if(|_| !is_text);
        }
        match new {
            Some(new) => {
                rest = rest.get(new.len()..).unwrap_or_default();
                if !new.is_empty() {
                    context = known;
                }
                known = end;
                before = tokenizer.decode(&ids[context..known], false)?;
                pieces[end - 1] = new;
            }
            // However odd the tokenizer, this takes no more time than its tokens.
            None if end - known >= HELD => break,
            None => {}
        }
    }
    if let Some(last) = pieces.last_mut() {
        last.push_str(rest);
    }
    Ok(pieces)
}

/// Turns tokens into text as they come. A character is held back until it is whole.
struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Begin of the tokens that are decoded together, so that spaces between tokens come out right. A character begins
    /// there.
    context: usize,
    /// Index of the token at which the current character began; the text before it was returned.
    whole: usize,
    /// Bytes of the text from `context` on that were given out, or are the prompt's.
    given: usize,
}

/// Replacement character: stands for bytes that are not a character, or not yet one.
const BROKEN: char = '\u{fffd}';
/// Tokens before the first new one that are decoded with it.
const CONTEXT: usize = 6;
/// Tokens whose text is looked for together, at the most.
const HELD: usize = 64;

impl<'a> TextStream<'a> {
    fn after(prompt: &[u32], tokenizer: &'a Tokenizer) -> Result<Self> {
        let whole = prompt.len();
        let mut context = whole.saturating_sub(CONTEXT);
        // A character has four bytes at the most.
        for begin in (context.saturating_sub(3)..=context).rev() {
            if !tokenizer.decode(&prompt[begin..], true)?.starts_with(BROKEN) {
                context = begin;
                break;
            }
        }
        let mut stream = Self { tokenizer, ids: prompt.to_vec(), context, whole, given: 0 };
        stream.given = stream.text()?.trim_end_matches(BROKEN).len();
        Ok(stream)
    }

    /// The text that a token completes; empty in the middle of a character.
    fn push(&mut self, token: u32) -> Result<String> {
        self.ids.push(token);
        let text = self.text()?;
        let whole = text.trim_end_matches(BROKEN);
        // Bytes that are spelt one by one may have spoilt what was given out before them; it comes back.
        let new = whole.get(self.given..).unwrap_or_default().to_owned();
        self.given = self.given.max(whole.len());
        if whole.len() == text.len() {
            if !new.is_empty() {
                self.context = self.whole;
            }
            self.whole = self.ids.len();
            self.given = self.text()?.len();
        }
        Ok(new)
    }

    /// Returns the rest of the text at its end, broken characters included.
    fn finish(self) -> Result<String> {
        let text = self.text()?;
        Ok(text.get(text.ceil_char_boundary(self.given)..).unwrap_or_default().to_owned())
    }

    fn text(&self) -> Result<String> {
        self.tokenizer.decode(&self.ids[self.context..], true)
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::engine::model::open_model::demo_model;
    use crate::platform::MemoryFolder;

    /// Scripts whose characters have two to four bytes, signs that join, and the sign for broken bytes itself.
    const TEXTS: [&str; 7] = [
        "国会的转发，从前有座山。",
        "👩‍👩‍👧‍👦 and 🏳️‍🌈, then 👍🏽!",
        "مرحبا بالعالم",
        "안녕하세요, 반갑습니다",
        "naïve café — “yes” \u{fffd}",
        "\u{fffd}\u{fffd}国\u{fffd}会\u{fffd}",
        "plain words,  two spaces\n\n\tand tabs ",
    ];

    /// Byte-level BPE, and SentencePiece's single bytes for what it has no token for.
    fn tokenizers() -> [Tokenizer; 2] {
        let file = include_bytes!("../../../tests/fixtures/gemma3_robust/model/tokenizer.json").to_vec();
        let gemma = MemoryFolder { name: "gemma".to_owned(), files: vec![("tokenizer.json".to_owned(), file)] };
        let open = |folder: &dyn Folder| block_on(Tokenizer::open(folder)).expect("the tokenizer opens");
        [open(demo_model().as_ref()), open(&gemma)]
    }

    #[test]
    fn a_stream_says_every_character_once_and_whole() {
        for (tokenizer, is_byte_level) in tokenizers().into_iter().zip([true, false]) {
            for text in TEXTS {
                let ids = tokenizer.encode(text, false).expect("tokens");
                for prompt in 0..ids.len() {
                    let before = tokenizer.decode(&ids[..prompt], true).expect("the prompt");
                    // A prompt that ends within a character has its whole bytes only where bytes stand by themselves.
                    if prompt > 0 && (text.contains(BROKEN) || !is_byte_level && before.ends_with(BROKEN)) {
                        continue;
                    }
                    let mut stream = TextStream::after(&ids[..prompt], &tokenizer).expect("a stream");
                    let said: Vec<String> = ids[prompt..].iter().map(|&id| stream.push(id).expect("a piece")).collect();
                    let said = said.concat() + &stream.finish().expect("the end");
                    let asked = before.trim_end_matches(BROKEN);
                    let whole = tokenizer.decode(&ids, true).expect("the text");
                    assert_eq!(asked.to_owned() + &said, whole, "what follows {before:?}, of {prompt} tokens");
                }
            }
        }
    }

    #[test]
    fn a_stream_gives_characters_as_soon_as_they_are_whole() {
        let [tokenizer, _] = tokenizers();
        let ids = tokenizer.encode("国会", false).expect("tokens");
        assert_eq!(ids.len(), 6, "a token for each byte");
        let mut stream = TextStream::after(&[], &tokenizer).expect("a stream");
        let said: Vec<String> = ids.iter().map(|&id| stream.push(id).expect("a piece")).collect();
        assert_eq!(said, ["", "", "国", "", "", "会"], "with the last of its bytes");
    }
}
