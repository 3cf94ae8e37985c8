//! A run on examples: the order of the examples, and their micro-batches.

use super::objective::{Forward, LossTensors, MicroBatch, Objective};
use super::scorer::{PairLogps, References, check_reference, logps, objective_size};
use super::trainer::View;
use crate::data::{Example, micro_batches, order, steps_per_epoch};
use crate::error::Result;
use crate::gpu::Recorder;
use crate::model::{Activations, Dropout};

/// The examples of a run, with its objective and its reference.
pub(super) struct Offline {
    pub(super) objective: Objective,
    pub(super) examples: Vec<Example>,
    pub(super) reference: References,
    acts: Activations,
    pub(super) tensors: LossTensors,
}

impl Offline {
    pub(super) fn new(view: &View<'_>, examples: Vec<Example>, reference: References) -> Result<Self> {
        assert_eq!(examples.len(), reference.known.len(), "every example has its place");
        let (gpu, config) = (view.gpu, view.config);
        let objective = Objective::of(config).expect("the method trains on examples");
        let size = objective_size(&objective, &examples, config.per_device_train_batch_size);
        let settings = Some(&view.adapter.settings);
        let acts = Activations::new(gpu, &view.model.config, settings, size, config.gradient_checkpointing)?;
        let tensors = LossTensors::new(gpu, size);
        Ok(Self { objective, examples, reference, acts, tensors })
    }

    /// Optimiser steps of a pass over the examples.
    pub(super) fn steps_per_epoch(&self, view: &View<'_>) -> usize {
        let (batch, accumulation) = (view.config.per_device_train_batch_size, view.config.gradient_accumulation_steps);
        steps_per_epoch(self.examples.len(), batch, accumulation)
    }

    /// The epoch after the next step, and that step's micro-batches.
    pub(super) fn next_batches(&self, view: &View<'_>) -> (f64, Vec<Vec<usize>>) {
        let (batch, accumulation) = (view.config.per_device_train_batch_size, view.config.gradient_accumulation_steps);
        let per_epoch = self.steps_per_epoch(view);
        let (epoch, within) = (view.step / per_epoch, view.step % per_epoch);
        let sampling = view.config.train_sampling_strategy;
        let order = order(self.examples.len(), sampling, view.config.seed, epoch as u64);
        let mut steps = micro_batches(&order, batch, accumulation);
        let batches = steps.swap_remove(within);
        let done = within * accumulation + batches.len();
        (epoch as f64 + done as f64 / self.examples.len().div_ceil(batch) as f64, batches)
    }

    /// Computes the reference log-probabilities that some examples still lack: one more forward pass.
    pub(super) async fn know(&mut self, view: &View<'_>, batch: &[usize]) -> Result<()> {
        if !self.objective.has_reference() {
            return Ok(());
        }
        let known = &self.reference.known;
        let missing: Vec<usize> = batch.iter().copied().filter(|&i| known[i].is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let examples: Vec<&Example> = missing.iter().map(|&i| &self.examples[i]).collect();
        let forward = Forward { gpu: view.gpu, model: view.model, acts: &self.acts };
        let sums = self.objective.score(&forward, &self.tensors, &examples, self.reference.adapter.as_ref()).await?;
        for (i, sums) in missing.into_iter().zip(sums) {
            let logps: PairLogps = logps(&sums);
            check_reference(self.examples[i].row, logps)?;
            self.reference.known[i] = Some(logps);
        }
        Ok(())
    }

    /// Records forward, loss and backward of the micro-batches of a step; returns the number of their tokens.
    pub(super) fn record(&self, view: &View<'_>, rec: &mut Recorder<'_>, batches: &[Vec<usize>]) -> u64 {
        let labels: usize = batches.iter().flatten().map(|&i| Objective::labels(&self.examples[i])).sum();
        let share = 1.0 / batches.len() as f32;
        // Without a reference, log-probabilities are taken as they are: the reference's count as 0.
        let unknown = [if self.objective.has_reference() { f32::NAN } else { 0.0 }; 2];
        for batch in batches {
            let reference = batch.iter().map(|&i| self.reference.known[i].unwrap_or(unknown)).collect();
            let examples = batch.iter().map(|&i| &self.examples[i]).collect();
            let batch_of = MicroBatch { examples, reference, share, labels: labels as f32 };
            self.micro_batch(view, rec, &batch_of, dropout(view, batch));
        }
        batches.iter().flatten().map(|&i| self.objective.tokens(&self.examples[i]) as u64).sum()
    }

    fn micro_batch(&self, view: &View<'_>, rec: &mut Recorder<'_>, batch: &MicroBatch<'_>, dropout: Option<Dropout>) {
        let View { gpu, model, adapter, .. } = view;
        let packed = self.objective.pack(&batch.examples);
        // Submit first: writes to the device must not overtake what was recorded before.
        rec.submit();
        let acts = self.acts.load(gpu, &packed).with_dropout(dropout);
        model.forward(rec, &acts, Some(adapter));
        if self.objective.has_head() {
            model.values(rec, &acts, adapter, &self.tensors.values(&acts));
            self.objective.record(gpu, rec, &acts, &self.tensors, batch);
            model.backward_values(rec, &acts, adapter, &self.tensors.dvalues(&acts));
        } else {
            model.score(rec, &acts, 1.0, true);
            self.objective.record(gpu, rec, &acts, &self.tensors, batch);
            model.backward(rec, &acts, adapter, &self.tensors.dlogp(&acts));
        }
    }
}

/// Dropout of a micro-batch. It follows from the seed, the step and the examples, so that a run can be resumed.
fn dropout(view: &View<'_>, batch: &[usize]) -> Option<Dropout> {
    let rate = view.adapter.settings.dropout;
    if rate == 0.0 {
        return None;
    }
    let place = [view.config.seed, view.step as u64].into_iter().chain(batch.iter().map(|&i| i as u64));
    let mut hash = blake3::Hasher::new();
    place.for_each(|number| {
        hash.update(&number.to_le_bytes());
    });
    let [a, b, c, d, ..] = *hash.finalize().as_bytes();
    Some(Dropout { rate, seed: u32::from_le_bytes([a, b, c, d]) })
}
