//! Texts from a model: prompts to tokens, tokens to text as they come.

use serde_json::{Value, json};

use crate::data::{Message, Tokenizer};
use crate::error::{Error, Result};
use crate::files::ModelConfig;
use crate::gpu::Gpu;
use crate::model::{Adapter, Generator, Model, Sampler};
use crate::platform::{Folder, read_all};

/// How a text is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Seed of the choice of tokens.
    pub seed: u64,
    /// Most tokens to write.
    pub max_new_tokens: usize,
}

/// Answers a prompt; `say` gets each piece of the text and may stop by returning false. Returns the tokens written.
pub async fn write(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    adapter: Option<&Adapter>,
    prompt: &[u32],
    eos: &[u32],
    style: &Style,
    say: &mut dyn FnMut(&str) -> Result<bool>,
) -> Result<usize> {
    let capacity = prompt.len() + style.max_new_tokens;
    let mut generator = Generator::new(gpu, model, adapter, prompt.len(), capacity)?;
    gpu.check()?;
    let mut sampler = Sampler::new(style.temperature, style.seed);
    let mut stream = TextStream::after(prompt, tokenizer);
    let mut next = prompt.to_vec();
    let mut written = 0;
    while written < style.max_new_tokens {
        let token = sampler.choose(&generator.push(&next).await?);
        if eos.contains(&token) {
            break;
        }
        written += 1;
        let piece = stream.push(token)?;
        if !say(&piece)? {
            return Err(Error::Cancelled);
        }
        next = vec![token];
    }
    say(&stream.finish()?)?;
    Ok(written)
}

/// The prompt as the model sees it: through its chat template, if it has one and `raw` does not forbid it.
pub fn prompt_ids(prompt: &str, raw: bool, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let ids = if !raw && tokenizer.chat_template().is_ok() {
        let message: Message =
            [("role", "user"), ("content", prompt)].map(|(k, v)| (k.to_owned(), json!(v))).into_iter().collect();
        tokenizer.encode(&tokenizer.render(&[&message], true, None, None)?, false)?
    } else {
        tokenizer.encode(prompt, true)?
    };
    match ids.is_empty() {
        true => Err(Error::input("The prompt has no tokens", "Give it some text", "prompt")),
        false => Ok(ids),
    }
}

/// Every token that ends an answer: by the config, by the generation config, by the tokenizer.
pub async fn eos_ids(folder: &dyn Folder, config: &ModelConfig, tokenizer: &Tokenizer) -> Vec<u32> {
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

/// The text of each token, special ones included, so that together they are the text of all.
pub fn pieces(ids: &[u32], tokenizer: &Tokenizer) -> Result<Vec<String>> {
    let mut pieces = Vec::with_capacity(ids.len());
    for end in 1..=ids.len() {
        let begin = end.saturating_sub(CONTEXT + 1);
        let before = tokenizer.decode(&ids[begin..end - 1], false)?;
        let all = tokenizer.decode(&ids[begin..end], false)?;
        pieces.push(all.strip_prefix(&before).map_or_else(|| all.clone(), str::to_owned));
    }
    Ok(pieces)
}

/// Turns tokens into text as they come. A piece is held back until its characters are whole.
struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Begin of the tokens that are decoded together, so that spaces between tokens come out right.
    context: usize,
    /// Begin of the tokens whose text was not given out.
    unsaid: usize,
}

/// Tokens before the first new one that are decoded with it.
const CONTEXT: usize = 6;

impl<'a> TextStream<'a> {
    fn after(prompt: &[u32], tokenizer: &'a Tokenizer) -> Self {
        let unsaid = prompt.len();
        Self { tokenizer, ids: prompt.to_vec(), context: unsaid.saturating_sub(CONTEXT), unsaid }
    }

    /// The text that a token completes; empty in the middle of a character.
    fn push(&mut self, token: u32) -> Result<String> {
        self.ids.push(token);
        let text = self.unsaid_text()?;
        if text.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        self.context = self.unsaid;
        self.unsaid = self.ids.len();
        Ok(text)
    }

    /// What is left at the end, broken characters included.
    fn finish(self) -> Result<String> {
        self.unsaid_text()
    }

    fn unsaid_text(&self) -> Result<String> {
        let text = |end: usize| self.tokenizer.decode(&self.ids[self.context..end], true);
        let (said, all) = (text(self.unsaid)?, text(self.ids.len())?);
        Ok(all.get(said.len()..).unwrap_or_default().to_owned())
    }
}
