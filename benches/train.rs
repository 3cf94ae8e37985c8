//! Training speed and memory on a 15M-parameter Llama of random weights: hidden 256, 6 layers, vocabulary 8192,
//! 4 pairs of 256 tokens a sequence, LoRA r=8 on all linear layers. Also the same pairs without a shared prompt.
//!
//! `cargo bench --bench train [-- --adapter-name SUBSTRING]` prints tokens a second (both sequences of a pair, as TRL's
//! `num_tokens` counts them), the share of the device's multiply-add peak, and peak memory on host and device.

use std::collections::BTreeMap;
use std::time::Instant;

use pairtune::data::TokenPair;
use pairtune::error::Result;
use pairtune::files::{ModelConfig, serialize_f32};
use pairtune::gpu::{AdapterChoice, Gpu};
use pairtune::model::{Adapter, AdapterSettings, Model, fresh};
use pairtune::platform::{ByteSource, Folder, MemorySource};
use pairtune::train::{Scorer, TrainConfig, Trainer, plan};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const PAIRS: usize = 4;
const TOKENS: usize = 256;
const STEPS: usize = 3;

fn main() -> Result<()> {
    pollster::block_on(run())
}

async fn run() -> Result<()> {
    let name = std::env::args().skip_while(|arg| arg != "--adapter-name").nth(1);
    let gpu = Gpu::new(&AdapterChoice { name }).await?;
    println!("adapter: {}", gpu.report().name);
    let start = Instant::now();
    let speed = pairtune::doctor::measure(&gpu, || start.elapsed().as_secs_f64()).await?;
    println!("multiply-add peak: {:.1} GFLOP/s", speed.fma_peak_gflops);
    println!("autotune chose: {:?}", speed.variant);
    for matmul in &speed.matmul {
        println!("{}: {:.1} GFLOP/s, {:.0} % of the peak", matmul.shape, matmul.gflops, 100.0 * matmul.share);
    }
    let folder = RandomLlama::new();
    let config = Model::config(&folder).await?;
    let bytes = Model::weight_bytes(&folder, &config).await?;
    let model = Model::load(&gpu, &folder, config, TOKENS, gpu.max_tensor_bytes(), &mut |_| {}).await?;
    for (what, prompt_len) in [("half of each sequence is the prompt", TOKENS / 2), ("no shared prompt", 1)] {
        let pairs = random_pairs(prompt_len, model.config.vocab_size);
        let tokens_per_second = train(&gpu, &model, bytes, pairs).await?;
        // Forward, and backward to the inputs alone, as the weights are frozen: four operations per weight and token.
        let operations = 4.0 * parameters(&model.config) * tokens_per_second / 1e9;
        println!(
            "{what}: {tokens_per_second:.0} tokens/s, the arithmetic of {operations:.1} GFLOP/s without sharing, \
             {:.0} % of the peak",
            100.0 * operations / speed.fma_peak_gflops
        );
    }
    println!("device memory allocated in all: {} MiB", gpu.allocated_bytes() >> 20);
    println!("host memory at its peak: {}", peak_memory());
    Ok(())
}

async fn train(gpu: &Gpu, model: &Model, bytes: u64, pairs: Vec<TokenPair>) -> Result<f64> {
    let settings = json!({
        "per_device_train_batch_size": PAIRS, "gradient_accumulation_steps": 1, "max_steps": STEPS + 1,
        "max_length": TOKENS, "r": 8, "lora_alpha": 16, "target_modules": "all-linear", "learning_rate": 1e-4,
    });
    let config = TrainConfig::from_map(settings.as_object().unwrap_or(&serde_json::Map::new()), "bench")?;
    let lora = AdapterSettings::new(config.adapter("random"), &model.config)?;
    let adapter = Adapter::new(gpu, &model.config, lora.clone());
    adapter.set(gpu, &fresh(&lora, &model.config, 1), "fresh")?;
    let reference = Scorer::new(gpu, model, None, &pairs, PAIRS)?.score(&pairs, None, &mut |_| true).await?;
    let size = pairtune::train::batch_size(&pairs, PAIRS);
    let memory = plan(&model.config, bytes, &lora, size, false);
    let mut trainer = Trainer::new(gpu, model, config, adapter, pairs, reference)?;
    trainer.step().await?;
    let (before, start) = (trainer.n_tokens, Instant::now());
    for _ in 0..STEPS {
        trainer.step().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("planned device memory: {} MiB ({memory:?})", memory.total() >> 20);
    Ok((trainer.n_tokens - before) as f64 / seconds)
}

fn random_pairs(prompt_len: usize, vocab: usize) -> Vec<TokenPair> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut tokens = |n: usize| -> Vec<u32> { (0..n).map(|_| rng.random_range(0..vocab as u32)).collect() };
    (0..PAIRS)
        .map(|row| {
            let prompt = tokens(prompt_len);
            let mut answer = || [prompt.clone(), tokens(TOKENS - prompt_len)].concat();
            let (chosen, rejected) = (answer(), answer());
            TokenPair { row, prompt_len, untruncated: [TOKENS; 2], chosen, rejected }
        })
        .collect()
}

/// Weights that a token passes through: all but the embedding, which is only looked up.
fn parameters(config: &ModelConfig) -> f64 {
    let keys = config.num_key_value_heads * config.head_dim;
    let queries = config.num_attention_heads * config.head_dim;
    let layer = config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size);
    (config.num_hidden_layers * layer + config.vocab_size * config.hidden_size) as f64
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.map_or_else(|| "unknown on this system".to_owned(), |line| line[6..].trim().to_owned())
}

/// A model folder in memory.
struct RandomLlama {
    config: Vec<u8>,
    weights: Vec<u8>,
}

impl RandomLlama {
    fn new() -> Self {
        let (vocab, hidden, inner, layers, queries, keys) = (8192, 256, 2048, 6, 256, 256);
        let config = json!({
            "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 8,
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "hidden_act": "silu",
            "rope_theta": 10000.0,
        });
        let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::from([
            ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
            ("lm_head.weight".to_owned(), vec![vocab, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ]);
        for layer in 0..layers {
            for (module, shape) in [
                ("input_layernorm", vec![hidden]),
                ("post_attention_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![queries, hidden]),
                ("self_attn.k_proj", vec![keys, hidden]),
                ("self_attn.v_proj", vec![keys, hidden]),
                ("self_attn.o_proj", vec![hidden, queries]),
                ("mlp.gate_proj", vec![inner, hidden]),
                ("mlp.up_proj", vec![inner, hidden]),
                ("mlp.down_proj", vec![hidden, inner]),
            ] {
                shapes.insert(format!("model.layers.{layer}.{module}.weight"), shape);
            }
        }
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let data: Vec<(String, Vec<usize>, Vec<f32>)> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let len = shape.iter().product();
                let bound = 1.7 / (shape[shape.len() - 1] as f32).sqrt();
                let values = match shape.len() {
                    1 => vec![1.0; len],
                    _ => (0..len).map(|_| rng.random_range(-bound..bound)).collect(),
                };
                (name, shape, values)
            })
            .collect();
        let views: Vec<_> = data.iter().map(|(n, s, v)| (n.clone(), s.clone(), v.as_slice())).collect();
        Self { config: config.to_string().into_bytes(), weights: serialize_f32(&views, &BTreeMap::new()) }
    }
}

impl Folder for RandomLlama {
    fn name(&self) -> &str {
        "random-llama-15m"
    }

    fn files(&self) -> Vec<String> {
        vec!["config.json".to_owned(), "model.safetensors".to_owned()]
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        let bytes = if file == "config.json" { self.config.clone() } else { self.weights.clone() };
        Ok(Box::new(MemorySource { name: file.to_owned(), bytes }))
    }
}
