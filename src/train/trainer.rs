//! The loop, one optimiser step at a time, and the scoring of pairs that comes before it.

use serde_json::{Map, Value};

use super::config::TrainConfig;
use super::optimizer::Optimizer;
use crate::data::{TokenPair, micro_batches, order, steps_per_epoch};
use crate::error::{Error, Result};
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{self, AdamW, METRICS, metric};
use crate::model::{Activations, Adapter, AdapterSettings, BatchSize, Dropout, Matrices, Model, Packed, PackedPair};

/// Summed log-probability of a pair's chosen and rejected completion, nats.
pub type PairLogps = [f32; 2];

/// A step's values under TRL's names, in TRL's order.
pub type Metrics = Map<String, Value>;

/// What reference log-probabilities depend on beside the kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceKey(pub String);

impl ReferenceKey {
    /// A hash of the model, the tokenizer's settings, the tokens of all pairs, and the adapter if it is the reference.
    pub fn new(model: &Model, tokenizer: &str, pairs: &[TokenPair], adapter: Option<&[u8]>) -> Self {
        let mut hash = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        put(b"reference log-probabilities 1");
        put(model.hash.as_bytes());
        put(tokenizer.as_bytes());
        for pair in pairs {
            put(&(pair.prompt_len as u64).to_le_bytes());
            put(bytemuck::cast_slice(&pair.chosen));
            put(bytemuck::cast_slice(&pair.rejected));
        }
        put(adapter.unwrap_or_default());
        Self(hash.finalize().to_hex().to_string())
    }
}

impl ReferenceKey {
    /// What the values themselves are kept under: other kernels may add in another order.
    pub fn scores(&self, gpu: &Gpu) -> String {
        let set = serde_json::to_vec(&gpu.variant_set()).unwrap_or_default();
        blake3::Hasher::new().update(self.0.as_bytes()).update(&set).finalize().to_hex().to_string()
    }
}

/// Tensors between the token statistics and the loss.
struct LossTensors {
    sums: Tensor,    // (2n, 4)
    known: Tensor,   // (2n, 4)
    dlogp: Tensor,   // (2n)
    metrics: Tensor, // (METRICS)
}

impl LossTensors {
    fn new(gpu: &Gpu, size: BatchSize) -> Self {
        let zeros = |name, rows, cols| gpu.zeros(name, rows, cols, Dtype::F32);
        Self {
            sums: zeros("sums", size.sequences, 4),
            known: zeros("known", size.sequences, 4),
            dlogp: zeros("dlogp", 1, size.sequences),
            metrics: zeros("metrics", 1, METRICS),
        }
    }
}

/// The largest batch among micro-batches of `batch` pairs, whichever pairs come together.
pub fn batch_size(pairs: &[TokenPair], batch: usize) -> BatchSize {
    let mut sizes: Vec<BatchSize> = pairs.iter().map(|pair| BatchSize::of(&pack(&[pair]))).collect();
    let mut largest = |of: fn(&BatchSize) -> u32| {
        sizes.sort_by_key(|size| std::cmp::Reverse(of(size)));
        sizes.iter().take(batch).map(of).sum::<u32>()
    };
    BatchSize {
        rows: largest(|size| size.rows).max(1),
        scored: largest(|size| size.scored).max(1),
        sequences: 2 * batch.min(pairs.len()) as u32,
    }
}

fn pack(pairs: &[&TokenPair]) -> Packed {
    let views: Vec<PackedPair<'_>> = pairs
        .iter()
        .map(|pair| PackedPair { prompt_len: pair.prompt_len, chosen: &pair.chosen, rejected: &pair.rejected })
        .collect();
    Packed::pairs(&views)
}

/// Scores pairs without training: the reference, an evaluation, `pairtune score`.
pub struct Scorer<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    acts: Activations,
    tensors: LossTensors,
    batch: usize,
}

impl<'a> Scorer<'a> {
    /// Room for `batch` pairs at a time, with the adapter's tensors if one will be used.
    pub fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        adapter: Option<&AdapterSettings>,
        pairs: &[TokenPair],
        batch: usize,
    ) -> Result<Self> {
        let size = batch_size(pairs, batch);
        let acts = Activations::new(gpu, &model.config, adapter, size, true)?;
        gpu.check()?;
        Ok(Self { gpu, model, acts, tensors: LossTensors::new(gpu, size), batch })
    }

    /// Log-probabilities of each pair, in order. `progress` is told the pairs done and may stop by returning false.
    pub async fn score(
        &self,
        pairs: &[TokenPair],
        adapter: Option<&Adapter>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<PairLogps>> {
        let mut scores = Vec::with_capacity(pairs.len());
        for batch in pairs.chunks(self.batch) {
            let packed = pack(&batch.iter().collect::<Vec<_>>());
            scores.extend(score_batch(self.gpu, self.model, &self.acts, &self.tensors, &packed, adapter).await?);
            if !progress(scores.len()) {
                return Err(Error::Cancelled);
            }
        }
        Ok(scores)
    }
}

impl Scorer<'_> {
    /// Log-probabilities of the scored tokens of one pair's chosen and rejected completion, nats.
    pub async fn tokens(&self, pair: &TokenPair, adapter: Option<&Adapter>) -> Result<[Vec<f32>; 2]> {
        let packed = pack(&[pair]);
        score_batch(self.gpu, self.model, &self.acts, &self.tensors, &packed, adapter).await?;
        let acts = self.acts.load(self.gpu, &packed);
        let stats = self.gpu.read(&acts.token_stats).await?;
        let side = |s: usize| {
            let [first, end] = packed.ranges[s].map(|at| at as usize);
            (first..end).map(|token| stats[4 * token]).collect()
        };
        Ok([side(0), side(1)])
    }
}

async fn score_batch(
    gpu: &Gpu,
    model: &Model,
    acts: &Activations,
    tensors: &LossTensors,
    packed: &Packed,
    adapter: Option<&Adapter>,
) -> Result<Vec<PairLogps>> {
    let acts = acts.load(gpu, packed);
    let sums = tensors.sums.view(packed.ranges.len() as u32, 4);
    let mut rec = gpu.recorder();
    model.forward(&mut rec, &acts, adapter);
    model.score(&mut rec, &acts, false);
    kernels::sequence_sum(&mut rec, &acts.token_stats, &acts.ranges, &sums);
    rec.submit();
    let sums = gpu.read(&sums).await?;
    let n = packed.ranges.len() / 2;
    Ok((0..n).map(|i| [sums[4 * i], sums[4 * (n + i)]]).collect())
}

/// What a run is measured against: the base model, or the adapter that it begins with.
pub struct References {
    /// Log-probabilities of the run's pairs, in order, as far as they are known.
    pub known: Vec<Option<PairLogps>>,
    /// The adapter; none for the base model.
    pub adapter: Option<Adapter>,
}

impl References {
    /// The base model, with nothing known of `n_pairs` pairs.
    pub fn unknown(n_pairs: usize) -> Self {
        Self { known: vec![None; n_pairs], adapter: None }
    }
}

/// An error if a log-probability is not finite before any training: the model itself is then of no use.
pub fn check_reference(pair: &TokenPair, logps: PairLogps) -> Result<()> {
    match logps.iter().all(|p| p.is_finite()) {
        true => Ok(()),
        false => Err(Error::input(
            "The model gives a log-probability that is not finite, before any training",
            "Its weights are damaged (NaN or infinite): download the model again",
            format!("row {}", pair.row),
        )),
    }
}

/// A run: an adapter, its optimiser, the pairs, and where the run stands.
pub struct Trainer<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    /// The settings of the run.
    pub config: TrainConfig,
    /// The adapter in training.
    pub adapter: Adapter,
    /// Its moments.
    pub optimizer: Optimizer,
    pairs: Vec<TokenPair>,
    reference: References,
    acts: Activations,
    tensors: LossTensors,
    /// Optimiser steps done.
    pub step: usize,
    /// Optimiser steps of the run.
    pub n_steps: usize,
    /// Tokens trained on so far, TRL's `num_tokens`.
    pub n_tokens: u64,
}

impl<'a> Trainer<'a> {
    /// A run at its beginning; `reference` has a place for each pair.
    pub fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        config: TrainConfig,
        adapter: Adapter,
        pairs: Vec<TokenPair>,
        reference: References,
    ) -> Result<Self> {
        assert_eq!(pairs.len(), reference.known.len(), "every pair has its place");
        let size = batch_size(&pairs, config.per_device_train_batch_size);
        let acts = Activations::new(gpu, &model.config, Some(&adapter.settings), size, config.gradient_checkpointing)?;
        let (tensors, optimizer) = (LossTensors::new(gpu, size), Optimizer::new(gpu, &adapter));
        gpu.check()?;
        let per_epoch =
            steps_per_epoch(pairs.len(), config.per_device_train_batch_size, config.gradient_accumulation_steps);
        let n_steps = config.n_steps(per_epoch);
        Ok(Self {
            gpu,
            model,
            config,
            adapter,
            optimizer,
            pairs,
            reference,
            acts,
            tensors,
            step: 0,
            n_steps,
            n_tokens: 0,
        })
    }

    /// True if no step is left.
    pub fn done(&self) -> bool {
        self.step >= self.n_steps
    }

    /// Takes one optimiser step and says how it went; everything but the learning rate is measured before the update.
    ///
    /// The reference of its pairs is computed first where it is not known.
    ///
    /// `Error::Diverged` if the loss or the gradient was not finite; the adapter is then as it was before the step.
    pub async fn step(&mut self) -> Result<Metrics> {
        let (epoch, batches) = self.next_batches();
        for batch in &batches {
            self.know(batch).await?;
        }
        let share = 1.0 / batches.len() as f32;
        let mut rec = self.gpu.recorder();
        rec.clear(&self.tensors.metrics);
        let mut n_tokens = 0;
        for batch in &batches {
            n_tokens += self.micro_batch(&mut rec, batch, share) as u64;
        }
        let learning_rate = self.config.learning_rate(self.step, self.n_steps);
        let settings = AdamW {
            learning_rate,
            beta1: self.config.adam_beta1,
            beta2: self.config.adam_beta2,
            epsilon: self.config.adam_epsilon,
            weight_decay: self.config.weight_decay,
            max_grad_norm: self.config.max_grad_norm,
            step: self.step as u32 + 1,
        };
        self.optimizer.step(&mut rec, &self.adapter, &settings, &self.tensors.metrics);
        rec.submit();
        let values = self.gpu.read(&self.tensors.metrics).await?;
        let (loss, norm) = (values[metric::LOSS], values[metric::GRAD_NORM]);
        if !loss.is_finite() || !norm.is_finite() {
            let what = format!("loss {loss}, grad_norm {norm}");
            return Err(Error::Diverged { step: self.step + 1, what });
        }
        self.step += 1;
        self.n_tokens += n_tokens;
        Ok(self.named(epoch, learning_rate, &values))
    }

    /// Matrices of this run's adapter out of values in the order of versions before 0.2.
    pub fn from_old_layout(&self, values: &[f32]) -> Option<Matrices> {
        self.adapter.from_old_layout(&self.model.config, values)
    }

    /// Rows of the pairs of the next step.
    pub fn next_rows(&self) -> Vec<usize> {
        self.next_batches().1.into_iter().flatten().map(|i| self.pairs[i].row).collect()
    }

    /// Loss, gradient norm and metrics of the first micro-batch alone, and its gradients; nothing is updated.
    pub async fn first_batch(&mut self) -> Result<(Metrics, crate::files::Adapter)> {
        let (_, batches) = self.next_batches();
        self.know(&batches[0]).await?;
        let mut rec = self.gpu.recorder();
        rec.clear(&self.tensors.metrics);
        self.micro_batch(&mut rec, &batches[0], 1.0);
        rec.submit();
        let values = self.gpu.read(&self.tensors.metrics).await?;
        let gradients = self.adapter.gradients(self.gpu).await?;
        let mut rec = self.gpu.recorder();
        for grad in &self.adapter.grads {
            rec.clear(grad);
        }
        rec.submit();
        Ok((self.named(0.0, 0.0, &values), gradients))
    }

    /// Reference log-probabilities as far as they are known, in the order of the pairs.
    pub fn reference(&self) -> &[Option<PairLogps>] {
        &self.reference.known
    }

    /// Computes the reference of those of some pairs for which it is not known: one more forward pass.
    async fn know(&mut self, batch: &[usize]) -> Result<()> {
        let known = &self.reference.known;
        let missing: Vec<usize> = batch.iter().copied().filter(|&i| known[i].is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let pairs: Vec<&TokenPair> = missing.iter().map(|&i| &self.pairs[i]).collect();
        let adapter = self.reference.adapter.as_ref();
        let packed = pack(&pairs);
        let logps = score_batch(self.gpu, self.model, &self.acts, &self.tensors, &packed, adapter).await?;
        for (i, logps) in missing.into_iter().zip(logps) {
            check_reference(&self.pairs[i], logps)?;
            self.reference.known[i] = Some(logps);
        }
        Ok(())
    }

    /// Records forward, loss and backward of some pairs; returns their tokens.
    fn micro_batch(&self, rec: &mut Recorder<'_>, batch: &[usize], share: f32) -> usize {
        let pairs: Vec<&TokenPair> = batch.iter().map(|&i| &self.pairs[i]).collect();
        let packed = pack(&pairs);
        // What is written to the device must not overtake what was recorded before.
        rec.submit();
        let acts = self.acts.load(self.gpu, &packed).with_dropout(self.dropout(batch));
        let n = packed.ranges.len();
        let by_sequence = |t: &Tensor| t.view(n as u32, 4);
        let (sums, known) = (by_sequence(&self.tensors.sums), by_sequence(&self.tensors.known));
        let (dlogp, metrics) = (self.tensors.dlogp.view(1, n as u32), &self.tensors.metrics);
        let facts: Vec<[f32; 4]> = (0..n)
            .map(|s| {
                let reference = self.reference.known[batch[s % batch.len()]];
                let reference = reference.map_or(f32::NAN, |logps| logps[s / batch.len()]);
                let scored = packed.ranges[s][1] - packed.ranges[s][0];
                [reference, packed.lengths[s].max(1) as f32, scored as f32, 0.0]
            })
            .collect();
        self.gpu.write(&known, facts.as_flattened());

        self.model.forward(rec, &acts, Some(&self.adapter));
        self.model.score(rec, &acts, true);
        kernels::sequence_sum(rec, &acts.token_stats, &acts.ranges, &sums);
        kernels::preference(rec, &sums, &known, &self.config.preference(), share, &dlogp, metrics);
        self.model.backward(rec, &acts, &self.adapter, &dlogp);
        packed.n_tokens
    }

    /// What is dropped of a micro-batch. It follows from the seed, the step and the pairs: a run can be resumed.
    fn dropout(&self, batch: &[usize]) -> Option<Dropout> {
        let rate = self.adapter.settings.dropout;
        if rate == 0.0 {
            return None;
        }
        let place = [self.config.seed, self.step as u64].into_iter().chain(batch.iter().map(|&i| i as u64));
        let mut hash = blake3::Hasher::new();
        place.for_each(|number| {
            hash.update(&number.to_le_bytes());
        });
        let [a, b, c, d, ..] = *hash.finalize().as_bytes();
        Some(Dropout { rate, seed: u32::from_le_bytes([a, b, c, d]) })
    }

    /// The epoch after the next step, and that step's micro-batches.
    fn next_batches(&self) -> (f64, Vec<Vec<usize>>) {
        let (batch, accumulation) = (self.config.per_device_train_batch_size, self.config.gradient_accumulation_steps);
        let per_epoch = steps_per_epoch(self.pairs.len(), batch, accumulation);
        let (epoch, within) = (self.step / per_epoch, self.step % per_epoch);
        let sampling = self.config.train_sampling_strategy;
        let order = order(self.pairs.len(), sampling, self.config.seed, epoch as u64);
        let mut steps = micro_batches(&order, batch, accumulation);
        let batches = steps.swap_remove(within);
        let done = within * accumulation + batches.len();
        (epoch as f64 + done as f64 / self.pairs.len().div_ceil(batch) as f64, batches)
    }

    fn named(&self, epoch: f64, learning_rate: f64, values: &[f32]) -> Metrics {
        let value = |at: usize| Value::from(f64::from(values[at]));
        let entries = [
            ("step", Value::from(self.step)),
            ("epoch", Value::from(epoch)),
            ("loss", value(metric::LOSS)),
            ("grad_norm", value(metric::GRAD_NORM)),
            ("learning_rate", Value::from(learning_rate)),
            ("rewards/chosen", value(metric::REWARDS_CHOSEN)),
            ("rewards/rejected", value(metric::REWARDS_REJECTED)),
            ("rewards/accuracies", value(metric::REWARDS_ACCURACIES)),
            ("rewards/margins", value(metric::REWARDS_MARGINS)),
            ("logps/chosen", value(metric::LOGPS_CHOSEN)),
            ("logps/rejected", value(metric::LOGPS_REJECTED)),
            ("logits/chosen", value(metric::LOGITS_CHOSEN)),
            ("logits/rejected", value(metric::LOGITS_REJECTED)),
            ("entropy", value(metric::ENTROPY)),
            ("mean_token_accuracy", value(metric::MEAN_TOKEN_ACCURACY)),
            ("num_tokens", Value::from(self.n_tokens as f64)),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
