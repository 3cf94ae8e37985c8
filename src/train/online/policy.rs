//! Shared parts of the methods that write answers: packed batches, log-probabilities, the tensors of the losses.

use super::rollouts::Rollout;
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::METRICS;
use crate::model::{Activations, Adapter, AdapterSettings, BatchSize, Model, Packed, PackedSequence};
use crate::train::settings::config::TrainConfig;
use crate::train::trainer::View;

/// Size of the largest micro-batch of answers, with prompts and answers up to `longest`.
pub fn answers_size(config: &TrainConfig, longest: [usize; 2]) -> BatchSize {
    let (batch, [prompt, answer]) = (config.per_device_train_batch_size, longest);
    BatchSize {
        rows: (batch * (prompt + answer)).max(1) as u32,
        // One more, for the state after the last token where it is needed.
        scored: (batch * (answer + 1)) as u32,
        sequences: batch as u32,
    }
}

/// Returns the log-probabilities of the tokens of answers, in nats, under the base model or an adapter, at a
/// temperature. `config` says how many answers are computed together.
pub async fn answer_logps(
    gpu: &Gpu,
    model: &Model,
    config: &TrainConfig,
    rows: &[Rollout],
    adapter: Option<&Adapter>,
    temperature: f32,
) -> Result<Vec<Vec<f32>>> {
    let most = |of: fn(&Rollout) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let longest = [most(|row| row.prompt.len()), most(|row| row.completion.len())];
    let answers = Answers::of(gpu, model, config, longest, adapter.map(|adapter| &adapter.settings))?;
    answers.logps_by(gpu, model, rows, adapter, temperature).await
}

/// Buffers for micro-batches of answers.
pub(in crate::train) struct Answers {
    acts: Activations,
    size: BatchSize,
    batch: usize,
}

impl Answers {
    /// Allocates buffers for prompts and answers up to `longest`, and for the tensors of an adapter.
    pub(in crate::train) fn new(view: &View<'_>, longest: [usize; 2], adapter: &Adapter) -> Result<Self> {
        Self::of(view.gpu, view.model, view.config, longest, Some(&adapter.settings))
    }

    fn of(
        gpu: &Gpu,
        model: &Model,
        config: &TrainConfig,
        longest: [usize; 2],
        adapter: Option<&AdapterSettings>,
    ) -> Result<Self> {
        let (batch, size) = (config.per_device_train_batch_size, answers_size(config, longest));
        let acts = Activations::new(gpu, &model.config, adapter, size, config.gradient_checkpointing)?;
        Ok(Self { acts, size, batch })
    }

    pub(in crate::train) fn size(&self) -> BatchSize {
        self.size
    }

    /// Loads a micro-batch in which every token of the answers is scored.
    pub(in crate::train) fn load(&self, gpu: &Gpu, rows: &[Rollout]) -> Activations {
        self.load_some(gpu, rows, |row| row.completion.len())
    }

    /// Loads a micro-batch in which `places` positions are scored, counted from the answer's first token. The position
    /// behind the last token stands for the state after it.
    pub(in crate::train) fn load_some(
        &self,
        gpu: &Gpu,
        rows: &[Rollout],
        places: impl Fn(&Rollout) -> usize,
    ) -> Activations {
        let ids: Vec<Vec<u32>> =
            rows.iter().map(|row| row.prompt.iter().chain(&row.completion).copied().collect()).collect();
        let sequence = |(ids, row): (&'_ Vec<u32>, &Rollout)| (ids.len(), row.prompt.len(), places(row));
        let ranges: Vec<_> = ids.iter().zip(rows).map(sequence).collect();
        let groups: Vec<Vec<PackedSequence<'_>>> = ids
            .iter()
            .zip(ranges)
            .map(|(ids, (_, first, places))| vec![PackedSequence { ids, scored: first..first + places }])
            .collect();
        self.acts.load(gpu, &Packed::groups(&groups))
    }

    /// Returns the log-probabilities of the tokens of answers, under the base model or an adapter.
    pub(in crate::train) async fn logps(
        &self,
        view: &View<'_>,
        rows: &[Rollout],
        adapter: Option<&Adapter>,
        temperature: f32,
    ) -> Result<Vec<Vec<f32>>> {
        self.logps_by(view.gpu, view.model, rows, adapter, temperature).await
    }

    async fn logps_by(
        &self,
        gpu: &Gpu,
        model: &Model,
        rows: &[Rollout],
        adapter: Option<&Adapter>,
        temperature: f32,
    ) -> Result<Vec<Vec<f32>>> {
        let mut logps = Vec::with_capacity(rows.len());
        for batch in rows.chunks(self.batch) {
            let acts = self.load(gpu, batch);
            let mut rec = gpu.recorder();
            model.forward(&mut rec, &acts, adapter);
            model.score(&mut rec, &acts, temperature, false);
            rec.submit();
            let stats = gpu.read(&acts.token_stats).await?;
            let mut tokens = stats.as_chunks::<4>().0.iter().map(|token| token[0]);
            logps.extend(batch.iter().map(|row| tokens.by_ref().take(row.completion.len()).collect::<Vec<f32>>()));
        }
        Ok(logps)
    }

    /// Returns the scores of the first `places` positions of answers, by an adapter with a head.
    pub(in crate::train) async fn values(
        &self,
        view: &View<'_>,
        rows: &[Rollout],
        adapter: &Adapter,
        tensors: &PolicyTensors,
        places: impl Fn(&Rollout) -> usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut values = Vec::with_capacity(rows.len());
        for batch in rows.chunks(self.batch) {
            let acts = self.load_some(view.gpu, batch, &places);
            let tensors = tensors.view(&acts);
            let mut rec = view.gpu.recorder();
            view.model.forward(&mut rec, &acts, Some(adapter));
            view.model.values(&mut rec, &acts, adapter, &tensors.values);
            rec.submit();
            let mut all = view.gpu.read(&tensors.values).await?.into_iter();
            values.extend(batch.iter().map(|row| all.by_ref().take(places(row)).collect::<Vec<f32>>()));
        }
        Ok(values)
    }
}

/// Tensors between the token statistics and the losses of answers.
pub(in crate::train) struct PolicyTensors {
    pub(in crate::train) token_facts: Tensor,    // (N, 4)
    pub(in crate::train) sequence_facts: Tensor, // (S, 4)
    pub(in crate::train) dlogp: Tensor,          // (N)
    pub(in crate::train) dentropy: Tensor,       // (N)
    pub(in crate::train) values: Tensor,         // (N, 1)
    pub(in crate::train) dvalues: Tensor,        // (N, 1)
    pub(in crate::train) metrics: Tensor,
}

impl PolicyTensors {
    pub(in crate::train) fn new(gpu: &Gpu, size: BatchSize) -> Self {
        let zeros = |name, rows: u32, cols| gpu.zeros(name, rows.max(1), cols, Dtype::F32);
        Self {
            token_facts: zeros("token facts", size.scored, 4),
            sequence_facts: zeros("sequence facts", size.sequences, 4),
            dlogp: zeros("dlogp", 1, size.scored.max(1)),
            dentropy: zeros("dentropy", 1, size.scored.max(1)),
            values: zeros("values", size.scored, 1),
            dvalues: zeros("dvalues", size.scored, 1),
            metrics: zeros("metrics", 1, METRICS),
        }
    }

    /// Views at the size of one batch.
    pub(in crate::train) fn view(&self, acts: &Activations) -> Self {
        let BatchSize { scored, sequences, .. } = acts.size();
        Self {
            token_facts: self.token_facts.view(scored, 4),
            sequence_facts: self.sequence_facts.view(sequences, 4),
            dlogp: self.dlogp.view(1, scored),
            dentropy: self.dentropy.view(1, scored),
            values: self.values.view(scored, 1),
            dvalues: self.dvalues.view(scored, 1),
            metrics: self.metrics.clone(),
        }
    }
}
