//! Scoring without training: the reference, an evaluation, `pairtune score`.

use super::loss::PairObjective;
use super::objective::{Forward, LossTensors, MicroBatch, Objective};
use super::settings::config::TrainConfig;
use super::trainer::{Metrics, logged};
use crate::data::{Example, Method, TokenPair};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::metric;
use crate::model::{Activations, Adapter, AdapterSettings, BatchSize, Model, Packed, PackedSequence};

/// Summed log-probability of a pair's chosen and rejected completion, nats.
pub type PairLogps = [f32; 2];

/// Sums of a pair's chosen and rejected completion that losses are made of, as `kernels::sequence_sum` writes them.
pub type PairSums = [[f32; 8]; 2];

/// Hash of everything that reference log-probabilities depend on, besides the kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceKey(pub String);

impl ReferenceKey {
    /// Hashes the model, the tokenizer's settings, the tokens of all examples, the adapter if it is the reference, and
    /// anything else that decides how a method with these settings sums log-probabilities.
    pub fn new(
        model: &Model,
        tokenizer: &str,
        config: &TrainConfig,
        examples: &[Example],
        adapter: Option<&[u8]>,
    ) -> Self {
        fn side(example: &Example, side: usize) -> &[u32] {
            example.sequences.get(side).map_or(&[], Vec::as_slice)
        }
        let start = |example: &Example| example.starts.iter().copied().min().unwrap_or(0);
        let mut more = Vec::new();
        if config.method() != Method::Dpo {
            more.extend(config.method().name().as_bytes());
            for example in examples {
                more.extend(example.value.to_le_bytes());
                more.extend(example.starts.iter().flat_map(|start| start.to_le_bytes()));
                more.extend(example.labels.iter().flatten().map(|label| u8::from(*label)));
            }
        }
        // Nothing is added for pairs that are summed in the original way, so that their older keys stay valid.
        if let Some(pairs) = PairObjective::of(config).filter(|pairs| pairs.ld_alpha != 1.0) {
            more.extend(pairs.ld_alpha.to_le_bytes());
        }
        let sides = examples.iter().map(|example| (start(example), [side(example, 0), side(example, 1)]));
        Self::of(model, tokenizer, sides, adapter, &more)
    }

    fn of<'a>(
        model: &Model,
        tokenizer: &str,
        sides: impl Iterator<Item = (usize, [&'a [u32]; 2])>,
        adapter: Option<&[u8]>,
        more: &[u8],
    ) -> Self {
        let mut hash = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        put(b"reference log-probabilities 1");
        put(model.hash.as_bytes());
        put(tokenizer.as_bytes());
        for (prompt_len, sides) in sides {
            put(&(prompt_len as u64).to_le_bytes());
            for ids in sides {
                put(bytemuck::cast_slice(ids));
            }
        }
        put(adapter.unwrap_or_default());
        if !more.is_empty() {
            put(more);
        }
        Self(hash.finalize().to_hex().to_string())
    }

    /// Key of the stored log-probabilities. It includes the kernels, because others may add in another order.
    pub fn scores(&self, gpu: &Gpu) -> String {
        let set = serde_json::to_vec(&gpu.variant_set()).unwrap_or_default();
        blake3::Hasher::new().update(self.0.as_bytes()).update(&set).finalize().to_hex().to_string()
    }
}

/// Upper bound for any batch of `batch` items with these sizes, whichever items come together.
fn largest(mut sizes: Vec<BatchSize>, batch: usize) -> BatchSize {
    let mut largest = |of: fn(&BatchSize) -> u32| {
        sizes.sort_by_key(|size| std::cmp::Reverse(of(size)));
        sizes.iter().take(batch).map(of).sum::<u32>()
    };
    BatchSize {
        rows: largest(|size| size.rows).max(1),
        scored: largest(|size| size.scored).max(1),
        sequences: largest(|size| size.sequences),
    }
}

/// Size of the largest micro-batch of `batch` pairs, whichever pairs come together.
pub fn batch_size(pairs: &[TokenPair], batch: usize) -> BatchSize {
    let group = |pair: &'_ TokenPair| {
        let sides = [&pair.chosen, &pair.rejected];
        BatchSize::of(&Packed::groups(&[sides
            .map(|ids| PackedSequence { ids, scored: pair.prompt_len.min(ids.len())..ids.len() })
            .to_vec()]))
    };
    largest(pairs.iter().map(group).collect(), batch)
}

/// Like `batch_size`, for the examples of an offline method.
pub fn batch_size_of(config: &TrainConfig, examples: &[Example], batch: usize) -> BatchSize {
    let Some(objective) = Objective::of(config) else { return BatchSize::default() };
    objective_size(&objective, examples, batch)
}

pub(super) fn objective_size(objective: &Objective, examples: &[Example], batch: usize) -> BatchSize {
    largest(examples.iter().map(|example| BatchSize::of(&objective.pack(&[example]))).collect(), batch)
}

/// Scores without training: the reference, an evaluation, `pairtune score`.
pub struct Scorer<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    acts: Activations,
    tensors: LossTensors,
    objective: Objective,
    batch: usize,
}

impl<'a> Scorer<'a> {
    /// Allocates buffers for `batch` pairs at a time, with the adapter's tensors if one will be used.
    pub fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        adapter: Option<&AdapterSettings>,
        pairs: &[TokenPair],
        batch: usize,
    ) -> Result<Self> {
        let size = batch_size(pairs, batch);
        Self::of_size(gpu, model, &TrainConfig::defaults(), adapter, size, batch)
    }

    /// Allocates buffers for a micro-batch of these examples, which are scored as in a run with these settings.
    pub fn for_run(
        gpu: &'a Gpu,
        model: &'a Model,
        config: &TrainConfig,
        adapter: Option<&AdapterSettings>,
        examples: &[Example],
    ) -> Result<Self> {
        let batch = config.per_device_train_batch_size;
        let size = batch_size_of(config, examples, batch);
        Self::of_size(gpu, model, config, adapter, size, batch)
    }

    fn of_size(
        gpu: &'a Gpu,
        model: &'a Model,
        config: &TrainConfig,
        adapter: Option<&AdapterSettings>,
        size: BatchSize,
        batch: usize,
    ) -> Result<Self> {
        let acts = Activations::new(gpu, &model.config, adapter, size, true)?;
        gpu.check()?;
        let objective = Objective::of(config).expect("the method trains on examples");
        Ok(Self { gpu, model, acts, tensors: LossTensors::new(gpu, size), objective, batch })
    }

    /// Returns the log-probabilities of each pair, in order. `progress` receives the pairs done and may stop by
    /// returning false.
    pub async fn score(
        &self,
        pairs: &[TokenPair],
        adapter: Option<&Adapter>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<PairLogps>> {
        let examples: Vec<Example> = pairs.iter().cloned().map(Example::from).collect();
        Ok(self.sums(&examples, adapter, progress).await?.iter().map(logps).collect())
    }

    /// Returns the sums that losses are made of, for each example in order.
    pub async fn sums(
        &self,
        examples: &[Example],
        adapter: Option<&Adapter>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<PairSums>> {
        let forward = Forward { gpu: self.gpu, model: self.model, acts: &self.acts };
        let mut scores = Vec::with_capacity(examples.len());
        for batch in examples.chunks(self.batch) {
            let examples: Vec<&Example> = batch.iter().collect();
            scores.extend(self.objective.score(&forward, &self.tensors, &examples, adapter).await?);
            if !progress(scores.len()) {
                return Err(Error::Cancelled);
            }
        }
        Ok(scores)
    }

    /// Returns the log-probabilities of the scored tokens of one pair's chosen and rejected completion, nats.
    pub async fn tokens(&self, pair: &TokenPair, adapter: Option<&Adapter>) -> Result<[Vec<f32>; 2]> {
        let example = Example::from(pair.clone());
        let packed = self.objective.pack(&[&example]);
        let forward = Forward { gpu: self.gpu, model: self.model, acts: &self.acts };
        self.objective.score(&forward, &self.tensors, &[&example], adapter).await?;
        let acts = self.acts.load(self.gpu, &packed);
        let stats = self.gpu.read(&acts.token_stats).await?;
        let side = |s: usize| {
            let [first, end] = packed.ranges[s].map(|at| at as usize);
            (first..end).map(|token| stats[4 * token]).collect()
        };
        Ok([side(0), side(1)])
    }
}

/// The log-probabilities among a pair's sums.
pub fn logps(sums: &PairSums) -> PairLogps {
    [sums[0][0], sums[1][0]]
}

/// TRL's evaluation of examples with these sums, by the kernels that train. Each batch counts by its number of
/// examples, which matters to losses that are not means over examples. If examples have two answers, the metrics
/// include the share whose first answer is likelier, or scored higher.
pub async fn evaluation(
    gpu: &Gpu,
    config: &TrainConfig,
    examples: &[Example],
    policy: &[PairSums],
    reference: &[PairLogps],
) -> Result<Metrics> {
    let objective = Objective::of(config).expect("the method trains on examples");
    let n = config.per_device_train_batch_size;
    let size = BatchSize { rows: 1, scored: 2 * n as u32, sequences: 2 * n as u32 };
    let tensors = LossTensors::new(gpu, size);
    let mut rec = gpu.recorder();
    rec.clear(&tensors.metrics);
    for (at, batch) in examples.chunks(n).enumerate() {
        let share = batch.len() as f32 / examples.len() as f32;
        let labels: usize = batch.iter().map(Objective::labels).sum();
        let reference = reference.get(at * n..at * n + batch.len()).unwrap_or_default().to_vec();
        let sums = &policy[at * n..at * n + batch.len()];
        // Submit first: writes must not overtake what was recorded before.
        rec.submit();
        let batch =
            MicroBatch { examples: batch.iter().collect(), reference, share, labels: labels.max(1) as f32 / share };
        objective.record_sums(gpu, &mut rec, &tensors, &batch, sums);
    }
    rec.submit();
    let values = gpu.read(&tensors.metrics).await?;
    let mut metrics = Metrics::new();
    metrics.insert("eval_loss".to_owned(), f64::from(values[metric::LOSS]).into());
    for (name, value) in logged(&objective.logged(), &values) {
        metrics.insert(format!("eval_{name}"), value.into());
    }
    if matches!(objective, Objective::Kto(_)) {
        // The margin is over all rows, because chosen and rejected need not meet in a batch.
        let reward = |side: &str| metrics.get(&format!("eval_rewards/{side}")).and_then(serde_json::Value::as_f64);
        if let (Some(chosen), Some(rejected)) = (reward("chosen"), reward("rejected")) {
            metrics.insert("eval_rewards/margins".to_owned(), (chosen - rejected).into());
        }
    }
    if matches!(objective, Objective::Pairs(_) | Objective::Reward { .. }) {
        let won = policy.iter().filter(|sums| sums[0][0] > sums[1][0]).count();
        metrics.insert("eval_preference_accuracy".to_owned(), (won as f64 / policy.len() as f64).into());
    }
    Ok(metrics)
}

/// Reference of a run: the base model, or the adapter that the run begins with.
pub struct References {
    /// Log-probabilities of the run's pairs, in order, as far as they are known.
    pub known: Vec<Option<PairLogps>>,
    /// Adapter of the reference; `None` for the base model.
    pub adapter: Option<Adapter>,
}

impl References {
    /// The base model, without a known log-probability for any of `n_pairs` pairs.
    pub fn unknown(n_pairs: usize) -> Self {
        Self { known: vec![None; n_pairs], adapter: None }
    }
}

/// Returns an error if a log-probability is not finite before any training, because the model itself is then of no use.
pub fn check_reference(row: usize, logps: PairLogps) -> Result<()> {
    match logps.iter().all(|p| p.is_finite()) {
        true => Ok(()),
        false => Err(Error::input(
            "The model gives a log-probability that is not finite, before any training",
            "Its weights are damaged (NaN or infinite): download the model again",
            format!("row {row}"),
        )),
    }
}
