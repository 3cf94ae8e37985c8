//! Training speed and memory on a 15M-parameter Llama of random weights: hidden 256, 6 layers, vocabulary 8192,
//! 4 pairs of 256 tokens a sequence, LoRA r=8 on all linear layers. Also the same pairs without a shared prompt.
//!
//! `cargo bench --profile dev --bench train [-- --adapter-name SUBSTRING]` prints tokens a second (both sequences of a
//! pair, as TRL's `num_tokens` counts them), the share of the device's multiply-add peak, and peak memory.

use std::time::Instant;

use pairtune::data::TokenPair;
use pairtune::error::Result;
use pairtune::gpu::{AdapterChoice, Gpu};
use pairtune::model::{Adapter, AdapterSettings, Architecture, LoadIn, Model, fresh};
use pairtune::train::{References, TrainConfig, Trainer, plan};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

#[path = "../tests/common/random_llama.rs"]
mod random_llama;

use random_llama::{RandomLlama, Sizes};

const PAIRS: usize = 4;
/// Tokens of a sequence, unless `--tokens` says another number.
const TOKENS: usize = 256;
const STEPS: usize = 3;

fn main() -> Result<()> {
    pollster::block_on(run())
}

async fn run() -> Result<()> {
    let given = |flag: &str| std::env::args().skip_while(|arg| arg != flag).nth(1);
    let (name, tokens) = (given("--adapter-name"), given("--tokens"));
    let tokens = tokens.map_or(TOKENS, |tokens| tokens.parse().expect("--tokens takes a number"));
    let gpu = Gpu::new(&AdapterChoice { name }).await?;
    println!("adapter: {}", gpu.report().name);
    let start = Instant::now();
    let speed = pairtune::doctor::measure(&gpu, || start.elapsed().as_secs_f64()).await?;
    println!("multiply-add peak: {:.1} GFLOP/s", speed.fma_peak_gflops);
    println!("autotune chose: {:?}", speed.variants);
    for matmul in &speed.matmul {
        println!("{}: {:.1} GFLOP/s, {:.0} % of the peak", matmul.shape, matmul.gflops, 100.0 * matmul.share);
    }
    let folder = RandomLlama::new(Sizes { vocab: 8192, hidden: 256, inner: 2048, layers: 6, heads: 8 });
    let config = Model::config(&folder).await?;
    let bytes = Model::weight_bytes(&folder, &config).await?.stored;
    let model =
        Model::load(&gpu, &folder, config, LoadIn::Stored, tokens, gpu.max_tensor_bytes(), &mut |_| true).await?;
    pairtune::kernels::autotune(&gpu, &model.tuning(), &|| start.elapsed().as_secs_f64()).await?;
    for (what, prompt_len) in [("half of each sequence is the prompt", tokens / 2), ("no shared prompt", 1)] {
        let pairs = random_pairs(tokens, prompt_len, model.config.vocab_size);
        let tokens_per_second = train(&gpu, &model, bytes, pairs).await?;
        // Forward, and backward to the inputs alone, as the weights are frozen: four operations per weight and token.
        let operations = 4.0 * parameters(&model.config) * tokens_per_second / 1e9;
        println!(
            "{what}: {tokens_per_second:.0} tokens/s, the arithmetic of {operations:.1} GFLOP/s without sharing, \
             {:.0} % of the peak",
            100.0 * operations / speed.fma_peak_gflops
        );
    }
    println!("device memory at its peak: {} MiB", gpu.peak_bytes() >> 20);
    println!("host memory at its peak: {}", peak_memory());
    Ok(())
}

async fn train(gpu: &Gpu, model: &Model, bytes: u64, pairs: Vec<TokenPair>) -> Result<f64> {
    let longest = pairs.iter().map(|pair| pair.chosen.len()).max();
    let settings = json!({
        "per_device_train_batch_size": PAIRS, "gradient_accumulation_steps": 1, "max_steps": STEPS + 1,
        "max_length": longest, "r": 8, "lora_alpha": 16, "target_modules": "all-linear", "learning_rate": 1e-4,
    });
    let config = TrainConfig::from_map(settings.as_object().unwrap_or(&serde_json::Map::new()), "bench")?;
    let lora = AdapterSettings::new(config.adapter("random"), &model.config)?;
    let adapter = Adapter::new(gpu, &model.config, lora.clone());
    adapter.set(gpu, &fresh(&lora, &model.config, 1), "fresh")?;
    let reference = References::unknown(pairs.len());
    let size = pairtune::train::batch_size(&pairs, PAIRS);
    let memory = plan(&model.config, bytes, &lora, size, false);
    let mut trainer = Trainer::new(gpu, model, config, adapter, pairs, reference)?;
    // This step makes the reference as well.
    trainer.step().await?;
    let (before, start) = (trainer.n_tokens, Instant::now());
    for _ in 0..STEPS {
        trainer.step().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("planned device memory: {} MiB ({memory:?})", memory.total() >> 20);
    Ok((trainer.n_tokens - before) as f64 / seconds)
}

fn random_pairs(n_tokens: usize, prompt_len: usize, vocab: usize) -> Vec<TokenPair> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut tokens = |n: usize| -> Vec<u32> { (0..n).map(|_| rng.random_range(0..vocab as u32)).collect() };
    (0..PAIRS)
        .map(|row| {
            let prompt = tokens(prompt_len);
            let mut answer = || [prompt.clone(), tokens(n_tokens - prompt_len)].concat();
            let (chosen, rejected) = (answer(), answer());
            TokenPair { row, prompt_len, untruncated: [n_tokens; 2], chosen, rejected }
        })
        .collect()
}

/// Weights that a token passes through: all but the embedding, which is only looked up.
fn parameters(config: &Architecture) -> f64 {
    let (queries, keys) = config.head_columns();
    let layer = config.hidden_size * (2 * queries + 2 * keys + 3 * config.mlp.inner);
    (config.num_hidden_layers * layer + config.vocab_size * config.hidden_size) as f64
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.map_or_else(|| "unknown on this system".to_owned(), |line| line[6..].trim().to_owned())
}
