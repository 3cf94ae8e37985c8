//! `pairtune generate`: an answer, token by token.

use std::io::{Write as _, stdout};

use pairtune::data::{Message, Tokenizer};
use pairtune::model::{Generator, Sampler};
use pairtune::platform::{Folder as _, read_all};
use pairtune::{Error, Result};
use serde_json::{Value, json};

use super::args::GenerateArgs;
use super::output::Output;
use super::run::{ModelFolder, open_gpu, read_adapter, upload_adapter};

/// Answers the prompt, or continues it.
pub(super) async fn generate(args: &GenerateArgs, out: &mut Output) -> Result<()> {
    if !args.temperature.is_finite() || args.temperature < 0.0 {
        return Err(Error::input(format!("The temperature is {}", args.temperature), "Give 0 or more", ""));
    }
    let folder = ModelFolder::open(&args.model).await?;
    let prompt = prompt_ids(args, &folder.tokenizer)?;
    let eos = eos_ids(&folder).await;
    let adapter = match &args.adapter {
        Some(path) => Some((read_adapter(path, &folder.config).await?, path.display().to_string())),
        None => None,
    };

    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let capacity = prompt.len() + args.max_new_tokens;
    let model = folder.load(&gpu, capacity, out).await?;
    let adapter = match adapter {
        Some(((values, settings), from)) => Some(upload_adapter(&gpu, &folder.config, settings, &values, &from)?),
        None => None,
    };
    let mut generator = Generator::new(&gpu, &model, adapter.as_ref(), prompt.len(), capacity)?;
    gpu.check()?;
    let mut sampler = Sampler::new(args.temperature, args.seed);
    let mut stream = TextStream::after(&prompt, &folder.tokenizer);
    let mut answer = String::new();
    let mut say = |piece: String| -> Result<()> {
        if !args.json {
            let written = stdout().write_all(piece.as_bytes()).and_then(|()| stdout().flush());
            written.map_err(|e| Error::input(format!("The answer cannot be written: {e}"), "Keep stdout open", ""))?;
        }
        answer += &piece;
        Ok(())
    };
    let mut n_tokens = 0;
    let mut next = prompt;
    while n_tokens < args.max_new_tokens {
        let token = sampler.choose(&generator.push(&next).await?);
        if eos.contains(&token) {
            break;
        }
        n_tokens += 1;
        say(stream.push(token)?)?;
        next = vec![token];
    }
    say(stream.finish()?)?;
    let text = match args.json {
        true => json!({"prompt": args.prompt, "text": answer, "n_tokens": n_tokens}).to_string(),
        false => String::new(),
    };
    out.result(text);
    Ok(())
}

/// The prompt as the model sees it: through its chat template, if it has one.
fn prompt_ids(args: &GenerateArgs, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let ids = if !args.raw && tokenizer.chat_template().is_ok() {
        let message: Message =
            [("role", "user"), ("content", &args.prompt)].map(|(k, v)| (k.to_owned(), json!(v))).into_iter().collect();
        tokenizer.encode(&tokenizer.render(&[&message], true, None, None)?, false)?
    } else {
        tokenizer.encode(&args.prompt, true)?
    };
    match ids.is_empty() {
        true => Err(Error::input("The prompt has no tokens", "Give it some text", "--prompt")),
        false => Ok(ids),
    }
}

/// Every token that ends an answer: by the config, by the generation config, by the tokenizer.
async fn eos_ids(folder: &ModelFolder) -> Vec<u32> {
    const FILE: &str = "generation_config.json";
    let mut ids = folder.config.eos_token_id.clone();
    ids.extend(folder.tokenizer.eos_id());
    // The file is optional, and so is whatever is in it.
    if folder.folder.files().iter().any(|file| file == FILE)
        && let Ok(source) = folder.folder.open(FILE)
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
