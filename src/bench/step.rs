//! Whole training steps, split by kernel where the device has a clock; texts; and how a step's time grows.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Map, json};

use super::report::Bench;
use super::{RandomModel, Sizes};
use crate::data::TokenPair;
use crate::error::Result;
use crate::gpu::{Counters, KernelTime};
use crate::kernels::{self, Sampling};
use crate::model::{Adapter, AdapterSettings, Generator, LoadIn, Model, fresh};
use crate::train::{References, TrainConfig, Trainer};

/// A training step.
#[derive(Debug, Clone, Serialize)]
pub struct StepSpeed {
    /// The model whose sizes it has.
    pub model: &'static str,
    /// Pairs of a step, and tokens of each answer with its prompt, of which half are the prompt.
    pub pairs: usize,
    /// See `pairs`.
    pub tokens: usize,
    /// Seconds.
    pub seconds: f64,
    /// Tokens a second, prompts counted twice, as TRL counts them.
    pub tokens_per_second: f64,
    /// Billions a second of floating-point operations: four for each weight and token.
    pub gflops: f64,
    /// Share of the multiply-add peak.
    pub share: f64,
    /// Bytes on the device at the most.
    pub peak_bytes: u64,
    /// Work that the device was given in the step.
    pub counters: Counters,
    /// Time of each kernel, the longest first; empty where the device has no clock.
    pub kernels: Vec<StepKernel>,
}

/// A kernel's part of a step.
#[derive(Debug, Clone, Serialize)]
pub struct StepKernel {
    /// Operation, variant and format.
    pub kernel: String,
    /// Its dispatches and seconds.
    #[serde(flatten)]
    pub time: KernelTime,
}

/// Texts that are written together.
#[derive(Debug, Clone, Serialize)]
pub struct Writing {
    /// The model whose sizes it has.
    pub model: &'static str,
    /// Texts.
    pub texts: usize,
    /// Tokens a second of all of them, prompts not counted.
    pub tokens_per_second: f64,
}

/// Growth of a step's time with one size, the others held.
#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    /// The size.
    pub size: &'static str,
    /// Its two values.
    pub values: [usize; 2],
    /// Seconds of a step at each.
    pub seconds: [f64; 2],
    /// 1 if the time grows as the size does, 2 if as its square.
    pub slope: f64,
}

/// Tokens of a prompt, and tokens that are written.
const PROMPT: usize = 32;
const WRITTEN: usize = 32;
/// Steps are not repeated beyond so many seconds.
const ENOUGH_SECONDS: f64 = 5.0;

impl Bench<'_> {
    async fn load(&self, sizes: Sizes, positions: usize) -> Result<Model> {
        let folder = RandomModel::new(sizes)?;
        let config = Model::config(&folder).await?;
        let max = self.gpu.max_tensor_bytes();
        let model = Model::load(self.gpu, &folder, config, LoadIn::Stored, positions, max, &mut |_| true).await?;
        kernels::autotune(self.gpu, &model.tuning(), self.seconds).await?;
        Ok(model)
    }

    /// A trainer whose kernels are compiled and whose reference is known.
    async fn trainer<'a>(&'a self, model: &'a Model, pairs: usize, tokens: usize) -> Result<Trainer<'a>> {
        let settings = json!({
            "per_device_train_batch_size": pairs, "gradient_accumulation_steps": 1, "max_steps": 100,
            "max_length": tokens, "r": 16, "lora_alpha": 32, "target_modules": "all-linear", "learning_rate": 1e-5,
        });
        let config = TrainConfig::from_map(settings.as_object().unwrap_or(&Map::new()), "bench")?;
        let lora = AdapterSettings::new(config.adapter("random"), &model.config)?;
        let adapter = Adapter::new(self.gpu, &model.config, lora.clone());
        adapter.set(self.gpu, &fresh(&lora, &model.config, 1), "fresh")?;
        let all = random_pairs(pairs, tokens, model.config.vocab_size);
        let mut trainer = Trainer::new(self.gpu, model, config, adapter, all, References::unknown(pairs))?;
        trainer.step().await?;
        Ok(trainer)
    }

    /// Seconds of a step: the best of three, or of fewer where they take long.
    async fn step_seconds(&self, trainer: &mut Trainer<'_>) -> Result<f64> {
        let (mut best, mut all) = (f64::INFINITY, 0.0);
        for _ in 0..3 {
            let begin = (self.seconds)();
            trainer.step().await?;
            let step = (self.seconds)() - begin;
            (best, all) = (best.min(step), all + step);
            if all > ENOUGH_SECONDS {
                break;
            }
        }
        Ok(best)
    }

    /// A step of two pairs of 512 tokens; of fewer on a software adapter. Its share is told later.
    pub(super) async fn step(&self, name: &'static str, sizes: Sizes) -> Result<StepSpeed> {
        let (pairs, tokens) = if self.gpu.report().is_software() { (2, 128) } else { (2, 512) };
        let model = self.load(sizes, tokens).await?;
        let mut trainer = self.trainer(&model, pairs, tokens).await?;
        let seconds = self.step_seconds(&mut trainer).await?;
        let before = self.gpu.counters();
        trainer.step().await?;
        let counters = self.gpu.counters() - before;
        let mut kernels = Vec::new();
        if self.gpu.start_profile() {
            trainer.step().await?;
            let times = self.gpu.end_profile().into_iter();
            kernels = times.map(|(kernel, time)| StepKernel { kernel, time }).collect();
            kernels.sort_by(|a, b| b.time.seconds.total_cmp(&a.time.seconds));
        }
        let tokens_per_second = (2 * pairs * tokens) as f64 / seconds;
        let gflops = 4.0 * sizes.parameters() * tokens_per_second / 1e9;
        let peak_bytes = self.gpu.peak_bytes();
        let share = f64::NAN;
        Ok(StepSpeed {
            model: name,
            pairs,
            tokens,
            seconds,
            tokens_per_second,
            gflops,
            share,
            peak_bytes,
            counters,
            kernels,
        })
    }

    /// One text alone, and sixteen together.
    pub(super) async fn writing(&self, name: &'static str, sizes: Sizes) -> Result<Vec<Writing>> {
        let model = self.load(sizes, PROMPT + WRITTEN).await?;
        let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 1 };
        let mut speeds = Vec::new();
        for texts in [1, 16] {
            let prompts: Vec<Vec<u32>> = (0..texts).map(|text| vec![text as u32 + 1; PROMPT]).collect();
            let mut generator = Generator::new(self.gpu, &model, None, &prompts, WRITTEN, sampling, 0).await?;
            // The first compiles.
            generator.next(1).await?;
            let begin = (self.seconds)();
            let mut drawn = 0;
            while drawn + 1 < WRITTEN {
                drawn += generator.next(WRITTEN).await?[0].len();
            }
            let tokens_per_second = (texts * drawn) as f64 / ((self.seconds)() - begin);
            speeds.push(Writing { model: name, texts, tokens_per_second });
        }
        Ok(speeds)
    }

    pub(super) async fn growth(&self) -> Result<Vec<Growth>> {
        let tokens = if self.gpu.report().is_software() { 64 } else { 512 };
        let base = Sizes { vocab: 4096, hidden: 256, inner: 768, layers: 4, heads: 4, kv_heads: 2, head_dim: 64 };
        let small = self.load(base, tokens).await?;
        let mut small = self.trainer(&small, 1, tokens).await?;
        let wide = Sizes { hidden: 512, inner: 1536, heads: 8, kv_heads: 4, ..base };
        let mut growth = Vec::new();
        for (size, values, sizes, tokens) in [
            ("tokens", [tokens, 2 * tokens], base, 2 * tokens),
            ("layers", [4, 8], Sizes { layers: 8, ..base }, tokens),
            ("width", [256, 512], wide, tokens),
            ("vocabulary", [4096, 8192], Sizes { vocab: 8192, ..base }, tokens),
        ] {
            let large = self.load(sizes, tokens).await?;
            let mut large = self.trainer(&large, 1, tokens).await?;
            // Side by side, for what else a machine does changes.
            let first = self.step_seconds(&mut small).await?;
            let second = self.step_seconds(&mut large).await?;
            growth.push(Growth { size, values, seconds: [first, second], slope: (second / first).log2() });
        }
        Ok(growth)
    }
}

/// Pairs of which half of each sequence is the prompt.
fn random_pairs(n: usize, tokens: usize, vocab: usize) -> Vec<TokenPair> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = |n: usize| -> Vec<u32> { (0..n).map(|_| rng.random_range(0..vocab as u32)).collect() };
    let prompt_len = tokens / 2;
    (0..n)
        .map(|row| {
            let prompt = draw(prompt_len);
            let mut answer = || [prompt.clone(), draw(tokens - prompt_len)].concat();
            let (chosen, rejected) = (answer(), answer());
            TokenPair { row, prompt_len, untruncated: [tokens; 2], chosen, rejected }
        })
        .collect()
}
