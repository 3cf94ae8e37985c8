//! Text from the model, token by token, with a cache of keys and values.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::activations::{Activations, BatchSize};
use super::lora::Adapter;
use super::packed::Packed;
use super::transformer::Model;
use crate::error::{Error, Result};
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::{Span, pack_spans};

/// Chooses a token from logits.
pub struct Sampler {
    temperature: f32,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// Temperature 0 always takes the largest logit; otherwise the softmax at that temperature, seeded.
    pub fn new(temperature: f32, seed: u64) -> Self {
        Self { temperature, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The next token.
    pub fn choose(&mut self, logits: &[f32]) -> u32 {
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let greedy = logits.iter().position(|&l| l == largest).unwrap_or(0);
        if self.temperature <= 0.0 {
            return greedy as u32;
        }
        let weights: Vec<f32> = logits.iter().map(|l| ((l - largest) / self.temperature).exp()).collect();
        let mut left = self.rng.random_range(0.0..1.0) * weights.iter().sum::<f32>();
        for (token, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return token as u32;
            }
        }
        greedy as u32
    }
}

/// A model with room for one growing sequence.
pub struct Generator<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    adapter: Option<&'a Adapter>,
    acts: Activations,
    caches: Vec<(Tensor, Tensor)>, // (capacity, kv_heads*D) per layer
    logits: Tensor,                // (1, V)
    normed: Tensor,                // (1, H)
    rstd: Tensor,                  // (1)
    spans: Tensor,                 // (capacity + tiles, 4)
    ids: Vec<u32>,
    capacity: usize,
}

impl<'a> Generator<'a> {
    /// Room for `capacity` tokens, prompt included, the prompt having `prompt` of them.
    pub fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        adapter: Option<&'a Adapter>,
        prompt: usize,
        capacity: usize,
    ) -> Result<Self> {
        let config = &model.config;
        let size = BatchSize { rows: prompt.max(1) as u32, scored: 1, sequences: 1 };
        let settings = adapter.map(|adapter| &adapter.settings);
        // One layer's tensors are enough: nothing goes backward.
        let acts = Activations::new(gpu, config, settings, size, true)?;
        let keys = (config.num_key_value_heads * config.head_dim) as u32;
        let room = |name: &str| gpu.zeros(name, capacity as u32, keys, Dtype::F32);
        let caches = (0..config.num_hidden_layers).map(|_| (room("cached keys"), room("cached values"))).collect();
        let vocab = (config.vocab_size as u32).next_multiple_of(4);
        Ok(Self {
            gpu,
            model,
            adapter,
            acts,
            caches,
            logits: gpu.zeros("logits", 1, vocab, Dtype::F32),
            normed: gpu.zeros("normed", 1, config.hidden_size as u32, Dtype::F32),
            rstd: gpu.zeros("rstd", 1, 1, Dtype::F32),
            spans: gpu.zeros("spans", capacity as u32 + (capacity as u32).div_ceil(32), 4, Dtype::U32),
            ids: Vec::new(),
            capacity,
        })
    }

    /// Appends tokens and returns the logits of what comes next (V).
    ///
    /// An error if the sequence outgrows its room.
    pub async fn push(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        let len = self.ids.len();
        if len + ids.len() > self.capacity.min(self.model.positions()) || ids.is_empty() {
            return Err(Error::input(
                format!("{} tokens do not fit a room of {}", len + ids.len(), self.capacity),
                "Shorten the prompt or lower max_new_tokens",
                "",
            ));
        }
        self.ids.extend(ids);
        let mut acts = self.acts.load(self.gpu, &Packed { ids: ids.to_vec(), ..Packed::default() });
        let rows = 0..self.ids.len() as u32;
        let spans: Vec<Span> =
            rows.map(|row| Span { start: 0, hole_start: row, hole_end: row, position: row }).collect();
        let spans = pack_spans(&spans, len);
        acts.spans = self.spans.view(spans.len() as u32, 4);
        self.gpu.write(&acts.spans, spans.as_flattened());
        let mut rec = self.gpu.recorder();
        self.model.forward_cached(&mut rec, &acts, self.adapter, &self.caches, len as u32);
        // The last row alone, moved to the front of a tensor of its own.
        let last = &acts.x[self.model.config.num_hidden_layers];
        let x = last.view(1, last.cols());
        if ids.len() > 1 {
            rec.copy_rows(last, ids.len() as u32 - 1, 1, &self.normed, 0);
            rec.copy(&self.normed, &x);
        }
        self.model.logits(&mut rec, &x, &self.normed, &self.rstd, &self.logits);
        rec.submit();
        let mut logits = self.gpu.read(&self.logits).await?;
        logits.truncate(self.model.config.vocab_size);
        Ok(logits)
    }
}
