//! Texts from the model, several together, with one cache of keys and values; tokens are drawn on the device.

use super::activations::{Activations, BatchSize};
use super::layer::Stage;
use super::lora::Adapter;
use super::packed::{Packed, PackedSequence};
use super::transformer::Model;
use crate::error::{Error, Result};
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::{MAX_HEAD_DIM, Sampling, Span, sample};

/// Most tokens that are drawn between two readbacks.
pub const MAX_STEPS: usize = 16;
/// Most texts that are written together.
pub const MAX_TEXTS: usize = 16;
/// Rows of prompts that are computed together, unless a single prompt has more.
const PROMPT_ROWS: usize = 1024;

/// Texts that grow together, by one token each at a time.
pub struct Generator<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    adapter: Option<&'a Adapter>,
    sampling: Sampling,
    /// Number of the first text, for its random numbers.
    first_text: u32,
    /// One row for each text.
    acts: Activations,
    caches: Vec<Tensor>, // (rows of all texts, what the layer keeps) per layer
    slots: Tensor,       // (texts)
    logits: Tensor,      // (texts, V), of the next token
    tokens: Tensor,      // (texts, MAX_STEPS)
    drawn: usize,
    max_new_tokens: usize,
    /// Tokens of the longest text once it is complete.
    longest: usize,
}

impl<'a> Generator<'a> {
    /// Starts texts with `prompts`, each of at least one token, with room for `max_new_tokens` more.
    ///
    /// An error if a text would outgrow the model, or all texts together the device.
    pub async fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        adapter: Option<&'a Adapter>,
        prompts: &[Vec<u32>],
        max_new_tokens: usize,
        sampling: Sampling,
        first_text: usize,
    ) -> Result<Self> {
        let config = &model.config;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) + max_new_tokens;
        if longest > model.positions() {
            return Err(Error::input(
                format!("{longest} tokens do not fit a room of {}", model.positions()),
                "Shorten the prompt or lower max_new_tokens",
                "",
            ));
        }
        let head_dim = config.attention.head_dim;
        if head_dim > MAX_HEAD_DIM {
            return Err(Error::input(
                format!("The model's heads have {head_dim} columns"),
                format!("Texts are written by models whose heads have at most {MAX_HEAD_DIM}"),
                "",
            ));
        }
        let n = prompts.len() as u32;
        let settings = adapter.map(|adapter| &adapter.settings);
        let size = BatchSize { rows: n, scored: n, sequences: n };
        // One layer's tensors are enough: nothing goes backward.
        let acts = Activations::new(gpu, config, settings, size, true)?;
        let still = Span { start: 0, hole_start: 0, hole_end: 0, position: 0 };
        // Every row is picked.
        let packed = Packed {
            ids: vec![0; prompts.len()],
            spans: vec![still; prompts.len()],
            rows: (0..n).collect(),
            labels: vec![0; prompts.len()],
            sequence: vec![0; prompts.len()],
            longest,
            ..Packed::default()
        };
        let acts = acts.load(gpu, &packed);
        let widest = (0..config.num_hidden_layers).map(|layer| model.cache_columns(layer)).max().unwrap_or(0);
        let rows: usize = prompts.iter().map(|prompt| prompt.len() + max_new_tokens).sum();
        if 4 * rows as u64 * widest as u64 > gpu.max_tensor_bytes() {
            return Err(Error::device(
                format!("{n} texts of up to {longest} tokens need a larger cache than this GPU binds at a time"),
                "Lower max_new_tokens, or write fewer texts together",
            ));
        }
        let cache = |layer| gpu.zeros("cache", rows as u32, model.cache_columns(layer) as u32, Dtype::F32);
        // Rows are padded, so that each row of logits begins where a binding may begin.
        let ld = (config.vocab_size as u32).next_multiple_of(64);
        let generator = Self {
            gpu,
            model,
            adapter,
            sampling,
            first_text: first_text as u32,
            acts,
            caches: (0..config.num_hidden_layers).map(cache).collect(),
            slots: gpu.zeros("slots", 1, n, Dtype::U32),
            logits: gpu.zeros("logits", n, ld, Dtype::F32),
            tokens: gpu.zeros("tokens", n, MAX_STEPS as u32, Dtype::U32),
            drawn: 0,
            max_new_tokens,
            longest,
        };
        generator.read_prompts(prompts).await?;
        Ok(generator)
    }

    /// Draws the next tokens of each text, `n` at most. Tokens of a text that has already ended mean nothing.
    pub async fn next(&mut self, n: usize) -> Result<Vec<Vec<u32>>> {
        let n = n.min(MAX_STEPS).min(self.max_new_tokens - self.drawn);
        let vocab = self.model.config.vocab_size as u32;
        let mut rec = self.gpu.recorder();
        for step in 0..n {
            let (acts, drawn) = (&self.acts, self.drawn as u32);
            let (tokens, slots) = (&self.tokens, &self.slots);
            let (text, step) = (self.first_text, step as u32);
            let (ids, spans) = (&acts.ids, &acts.spans);
            sample(&mut rec, &self.logits, vocab, &self.sampling, text, drawn, step, tokens, ids, spans, slots);
            self.drawn += 1;
            if self.drawn < self.max_new_tokens {
                self.model.forward_cached(&mut rec, acts, self.adapter, &self.caches, slots, Stage::Rows);
                let last = &acts.x[self.model.config.num_hidden_layers];
                self.model.logits(&mut rec, last, &acts.normed, &acts.rstd, &self.logits);
            }
        }
        rec.submit();
        let tokens = self.gpu.read_indices(&self.tokens).await?;
        Ok(tokens.chunks_exact(MAX_STEPS).map(|row| row[..n].to_vec()).collect())
    }

    /// Fills the caches, and computes the logits of each text's first token.
    async fn read_prompts(&self, prompts: &[Vec<u32>]) -> Result<()> {
        let mut rows = Vec::new();
        let mut row = 0;
        for prompt in prompts {
            let last = row + prompt.len() as u32 - 1;
            rows.push([row, last, 0, prompt.len() as u32 - 1]);
            row += (prompt.len() + self.max_new_tokens) as u32;
        }
        let last: Vec<u32> = rows.iter().map(|row| row[1]).collect();
        self.gpu.write(&self.slots, &last);
        self.gpu.write(&self.acts.spans.view(rows.len() as u32, 4), rows.as_flattened());
        let mut first = 0;
        while first < prompts.len() {
            let mut end = first + 1;
            let mut n_rows = prompts[first].len();
            while end < prompts.len() && n_rows + prompts[end].len() <= PROMPT_ROWS {
                n_rows += prompts[end].len();
                end += 1;
            }
            let begins = rows[first..end].iter().map(|row| row[0]);
            let slots: Vec<u32> =
                prompts[first..end].iter().zip(begins).flat_map(|(p, begin)| begin..begin + p.len() as u32).collect();
            let slots = self.gpu.upload("slots", 1, n_rows as u32, Dtype::U32, &slots);
            let acts = batch_of(self.gpu, self.model, self.adapter, &prompts[first..end], self.longest)?;
            let logits = self.logits.row_range(first as u32, (end - first) as u32);
            let mut rec = self.gpu.recorder();
            self.model.forward_cached(&mut rec, &acts, self.adapter, &self.caches, &slots, Stage::Prompts);
            self.model.last_logits(&mut rec, &acts, &logits);
            rec.submit();
            // Wait, so that only one batch of prompts is on the device at a time.
            self.gpu.wait().await?;
            first = end;
        }
        Ok(())
    }
}

/// Returns the logits of the token that follows a text (V).
pub async fn next_logits(gpu: &Gpu, model: &Model, adapter: Option<&Adapter>, ids: &[u32]) -> Result<Vec<f32>> {
    let acts = batch_of(gpu, model, adapter, &[ids.to_vec()], ids.len())?;
    let logits = gpu.zeros("logits", 1, (model.config.vocab_size as u32).next_multiple_of(4), Dtype::F32);
    let mut rec = gpu.recorder();
    model.forward(&mut rec, &acts, adapter);
    model.last_logits(&mut rec, &acts, &logits);
    rec.submit();
    let mut logits = gpu.read(&logits).await?;
    logits.truncate(model.config.vocab_size);
    Ok(logits)
}

/// Loads a batch of whole texts with the last row of each picked; the texts will grow to `longest` tokens.
fn batch_of(
    gpu: &Gpu,
    model: &Model,
    adapter: Option<&Adapter>,
    texts: &[Vec<u32>],
    longest: usize,
) -> Result<Activations> {
    let groups: Vec<_> =
        texts.iter().map(|ids| vec![PackedSequence { ids, scored: ids.len()..ids.len() + 1 }]).collect();
    let mut packed = Packed::groups(&groups);
    packed.longest = longest;
    let settings = adapter.map(|adapter| &adapter.settings);
    let acts = Activations::new(gpu, &model.config, settings, BatchSize::of(&packed), true)?;
    Ok(acts.load(gpu, &packed))
}
