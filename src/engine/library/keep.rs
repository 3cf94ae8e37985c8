//! What a race or a sweep has trained becomes a run among the others: to be compared, exported, gone on with.

use serde_json::json;

use crate::engine::library::folder::RunFolder;
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{Inputs, Metrics, RunRecord, Status};
use crate::engine::run::open_run::{record_of, sparkline_of};
use crate::engine::session::Session;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::train::{Checkpoint, ReferenceKey, Trainer};

/// Something that was trained, beside what its trainer knows.
pub(in crate::engine) struct Trained<'a> {
    /// What the run is called.
    pub(in crate::engine) name: String,
    /// What it had beside settings and rows.
    pub(in crate::engine) inputs: Inputs,
    /// What it was trained on, as a hash.
    pub(in crate::engine) data: ReferenceKey,
    /// Its rows, to train on and held out.
    pub(in crate::engine) rows: &'a [Vec<u8>; 2],
    /// How many of them are held out.
    pub(in crate::engine) n_held_out: usize,
    /// Its steps.
    pub(in crate::engine) history: Vec<Metrics>,
    /// Share of the held-out pairs that were won before and at the end, where that was measured.
    pub(in crate::engine) won: Option<[f64; 2]>,
    /// Seconds that it worked.
    pub(in crate::engine) seconds: f64,
}

impl Session {
    /// Writes what was trained as a run, whole or not at all, and gives its identifier; none if it could not be
    /// written, which the log tells: what is measured goes on.
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
                self.log("error", format!("what was trained is not kept: {error}"));
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
