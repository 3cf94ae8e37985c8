//! What this crate answers, token by token, as JSON for `tests/llama_cpp_check.py`:
//! `greedy MODEL [--adapter FOLDER] TOKENS PROMPT...`.
//!
//! Of each prompt: its ids through the chat template, the likeliest tokens that follow it, and the logits of each.

use std::path::Path;

use pairtune::data::Tokenizer;
use pairtune::engine::compare::writing::prompt_ids;
use pairtune::error::Result;
use pairtune::files;
use pairtune::gpu::{AdapterChoice, Gpu};
use pairtune::model::{Adapter, AdapterSettings, LoadIn, Model, next_logits};
use pairtune::platform::native::DiskFolder;
use serde_json::{Value, json};

async fn answer(model: &Path, adapter: Option<&Path>, n_tokens: usize, prompts: &[String]) -> Result<Value> {
    let folder = DiskFolder::open(model)?;
    let config = Model::config(&folder).await?;
    let tokenizer = Tokenizer::open(&folder).await?;
    let gpu = Gpu::new(&AdapterChoice { name: None }).await?;
    let model =
        Model::load(&gpu, &folder, config.clone(), LoadIn::Stored, 512, gpu.max_tensor_bytes(), &mut |_| true).await?;
    let adapter = match adapter {
        Some(path) => {
            let values = files::Adapter::read(&DiskFolder::open(path)?).await?;
            let adapter = Adapter::new(&gpu, &config, AdapterSettings::new(values.config.clone(), &config)?);
            adapter.set(&gpu, &values, "the adapter")?;
            Some(adapter)
        }
        None => None,
    };
    let mut answers = Vec::new();
    for prompt in prompts {
        let prompt = prompt_ids(prompt, false, &tokenizer)?;
        let (mut ids, mut logits) = (prompt.clone(), Vec::new());
        for _ in 0..n_tokens {
            let next = next_logits(&gpu, &model, adapter.as_ref(), &ids).await?;
            let best = next.iter().zip(0u32..).max_by(|a, b| a.0.total_cmp(b.0)).map(|(_, id)| id);
            ids.extend(best);
            logits.push(next);
        }
        answers.push(json!({"prompt": prompt, "answer": ids[prompt.len()..], "logits": logits}));
    }
    Ok(answers.into())
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let adapter = args.iter().position(|arg| arg == "--adapter").map(|at| {
        args.remove(at);
        args.remove(at)
    });
    let [model, n_tokens, prompts @ ..] = &args[..] else { panic!("greedy MODEL [--adapter FOLDER] TOKENS PROMPT...") };
    let n_tokens = n_tokens.parse().expect("a number of tokens");
    match pollster::block_on(answer(Path::new(model), adapter.as_deref().map(Path::new), n_tokens, prompts)) {
        Ok(answers) => println!("{answers}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
