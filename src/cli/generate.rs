//! `pairtune generate`: an answer, token by token.

use std::io::{Write as _, stdout};

use pairtune::engine::compare::writing::{self, Style};
use pairtune::engine::run::drive::upload_adapter;
use pairtune::kernels::Sampling;
use pairtune::{Error, Result};
use serde_json::json;

use super::args::GenerateArgs;
use super::output::Output;
use super::run::{ModelFolder, open_gpu, read_adapter};

/// Answers the prompt, or continues it.
pub(super) async fn generate(args: &GenerateArgs, out: &mut Output) -> Result<()> {
    if !args.temperature.is_finite() || args.temperature < 0.0 {
        return Err(Error::input(format!("The temperature is {}", args.temperature), "Give 0 or more", ""));
    }
    if !(args.top_p > 0.0 && args.top_p <= 1.0) {
        return Err(Error::input(format!("top_p is {}", args.top_p), "Give more than 0, and 1 at most", ""));
    }
    let mut folder = ModelFolder::open(&args.model).await?;
    folder.set_chat(&args.chat, ModelFolder::chat_of(args.adapter.as_deref(), out).await?).await?;
    let prompt = writing::prompt_ids(&args.prompt, args.raw, &folder.tokenizer)?;
    let eos = writing::eos_ids(&folder.folder, &folder.config, &folder.tokenizer).await;
    let adapter = match &args.adapter {
        Some(path) => Some((read_adapter(path, &folder.config).await?, path.display().to_string())),
        None => None,
    };

    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let capacity = prompt.len() + args.max_new_tokens;
    let model = folder.load(&gpu, args.load_in, capacity, out).await?;
    let adapter = match adapter {
        Some(((values, settings), from)) => Some(upload_adapter(&gpu, &folder.config, settings, &values, &from)?),
        None => None,
    };
    let mut answer = String::new();
    let mut say = |_: usize, piece: &str| -> Result<bool> {
        if !args.json {
            let written = stdout().write_all(piece.as_bytes()).and_then(|()| stdout().flush());
            written.map_err(|e| Error::input(format!("The answer cannot be written: {e}"), "Keep stdout open", ""))?;
        }
        answer += piece;
        Ok(true)
    };
    let GenerateArgs { temperature, top_k, top_p, seed, max_new_tokens, .. } = *args;
    let style = Style { sampling: Sampling { temperature, top_k, top_p, seed }, max_new_tokens };
    let (tokenizer, prompts) = (&folder.tokenizer, [prompt]);
    let written = writing::write(&gpu, &model, tokenizer, adapter.as_ref(), &prompts, &eos, &style, &mut say).await?;
    let n_tokens: usize = written.iter().sum();
    let text = match args.json {
        true => json!({"prompt": args.prompt, "text": answer, "n_tokens": n_tokens}).to_string(),
        false => String::new(),
    };
    out.result(text);
    Ok(())
}
