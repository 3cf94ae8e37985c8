//! Keeps a model that a race or a sweep trained as a run among the others, to be compared, exported and continued.

use serde_json::json;

use crate::engine::library::folder::RunFolder;
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{Inputs, Level, Metrics, RunRecord, Status};
use crate::engine::run::open_run::{record_of, sparkline_of};
use crate::engine::session::Session;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::train::{Checkpoint, ReferenceKey, Trainer};

/// Facts of a trained model that its trainer does not know.
pub(in crate::engine) struct Trained<'a> {
    /// Name of the run.
    pub(in crate::engine) name: String,
    /// Rewards, and the run that it started from.
    pub(in crate::engine) inputs: Inputs,
    /// Hash of what it was trained on.
    pub(in crate::engine) data: ReferenceKey,
    /// Its rows, to train on and held out.
    pub(in crate::engine) rows: &'a [Vec<u8>; 2],
    /// Number of held-out rows.
    pub(in crate::engine) n_held_out: usize,
    /// Metrics of its steps.
    pub(in crate::engine) history: Vec<Metrics>,
    /// Share of the held-out pairs that were won before and at the end, where that was measured.
    pub(in crate::engine) won: Option<[f64; 2]>,
    /// Seconds that it worked.
    pub(in crate::engine) seconds: f64,
}

impl Session {
    /// Writes a trained model as a run, whole or not at all, and returns its identifier. If writing fails, the error is
    /// logged and none is returned: the race or sweep goes on measuring.
    pub(in crate::engine) async fn keep_trained(
        &mut self,
        gpu: &Gpu,
        open: &OpenModel,
        trainer: &Trainer<'_>,
        trained: Trained<'_>,
    ) -> Option<String> {
        match self.write_trained(gpu, open, trainer, trained).await {
            Ok(run_id) => {
                self.list_runs().await;
                Some(run_id)
            }
            Err(error) => {
                self.log(Level::Error, format!("what was trained is not kept: {error}"));
                None
            }
        }
    }

    async fn write_trained(
        &self,
        gpu: &Gpu,
        open: &OpenModel,
        trainer: &Trainer<'_>,
        trained: Trained<'_>,
    ) -> Result<String> {
        let Trained { name, inputs, data, rows, n_held_out, mut history, won, seconds } = trained;
        let store = self.store()?;
        if let Some(won) = won {
            let evaluation = |step: usize, won: f64| {
                Metrics::from_iter([
                    ("step".to_owned(), json!(step)),
                    ("eval_preference_accuracy".to_owned(), json!(won)),
                ])
            };
            history.insert(0, evaluation(0, won[0]));
            history.push(evaluation(trainer.step, won[1]));
        }
        let pairs_name = self.pairs.as_ref().map(|pairs| pairs.name.as_str()).unwrap_or_default();
        let mut record = RunRecord {
            status: Status::Finished,
            step: trainer.step,
            n_steps: trainer.n_steps,
            n_held_out,
            won,
            seconds,
            sparkline: sparkline_of(&history),
            ..record_of(name, open, pairs_name, &trainer.config)
        };
        let mut checkpoint = Checkpoint::take(gpu, trainer, &data.0, open.tokenizer().chat(), None).await?;
        checkpoint.place.rewards.clone_from(&inputs.rewards);
        record.inputs = inputs;
        let folder = RunFolder::new(store, &record.run_id);
        folder.begin(&record, rows).await?;
        if let Err(error) = folder.save(&checkpoint, None, &mut record, &history, &Vec::new()).await {
            // Without its state it is no run.
            folder.remove().await?;
            return Err(error);
        }
        Ok(record.run_id)
    }
}
