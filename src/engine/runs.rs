//! Runs as the store keeps them: one folder each, which the command line can continue and other tools can read.
//!
//! `runs/<id>/run.json` names the checkpoint in force. A checkpoint is written whole under its own name before
//! `run.json` points to it, so that a crash leaves the one before.

use serde_json::Value;

use super::protocol::{Metrics, RunRecord};
use crate::error::{Error, Result};
use crate::files::{self, ModelCard, TrainerState, metrics_jsonl};
use crate::platform::host::Store;
use crate::train::Checkpoint;

/// Where the browser's exports lie until they are downloaded.
pub(super) const EXPORTS: &str = "exports";
/// The folder of all runs.
pub const RUNS: &str = "runs";
const RECORD: &str = "run.json";
const SETTINGS: &str = "settings.json";
const SAMPLES: &str = "samples.json";
const BEST: &str = "best";
const PAIRS: [&str; 2] = ["pairs.jsonl", "held_out.jsonl"];
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "trainer_state.json";

/// Answers to the watched prompts: optimiser step and texts.
pub type Samples = Vec<(usize, Vec<String>)>;

/// A run's folder in a store.
pub struct RunFolder<'a> {
    store: &'a Store,
    path: String,
}

/// Everything that is known of a stored run beside its pairs.
pub struct StoredRun {
    /// Its record.
    pub record: RunRecord,
    /// Its latest checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The adapter of its best evaluation.
    pub best: Option<files::Adapter>,
    /// Steps and evaluations.
    pub history: Vec<Metrics>,
    /// Answers to the watched prompts.
    pub samples: Samples,
}

impl<'a> RunFolder<'a> {
    /// The folder of a run; nothing is touched.
    pub fn new(store: &'a Store, run_id: &str) -> Self {
        Self { store, path: format!("{RUNS}/{run_id}") }
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Writes what does not change in a run: settings and pairs.
    pub async fn begin(&self, record: &RunRecord, pairs: Option<&[Vec<u8>; 2]>) -> Result<()> {
        let settings = serde_json::to_vec_pretty(&record.settings).unwrap_or_default();
        self.store.write(&self.at(SETTINGS), &settings).await?;
        for (name, bytes) in PAIRS.iter().zip(pairs.into_iter().flatten()) {
            self.store.write(&self.at(name), bytes).await?;
        }
        self.write_record(record).await
    }

    /// Writes the record, whole or not at all.
    pub async fn write_record(&self, record: &RunRecord) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(record).unwrap_or_default();
        self.store.write(&self.at(RECORD), &bytes).await
    }

    /// Writes a checkpoint, points the record to it, and takes older ones away. Returns the bytes written.
    pub async fn save(
        &self,
        checkpoint: &Checkpoint,
        record: &mut RunRecord,
        history: &[Metrics],
        samples: &Samples,
    ) -> Result<u64> {
        let name = format!("checkpoint-{}", checkpoint.place.step);
        let mut written = 0;
        let mut contents = checkpoint.files();
        contents.extend(checkpoint.adapter.files(&card(record, history)));
        contents.push((STATE.to_owned(), state(record, history).to_bytes()));
        contents.push((METRICS.to_owned(), metrics_jsonl(history).into_bytes()));
        contents.push((SAMPLES.to_owned(), serde_json::to_vec(samples).unwrap_or_default()));
        for (file, bytes) in contents {
            written += bytes.len() as u64;
            self.store.write(&self.at(&format!("{name}/{file}")), &bytes).await?;
        }
        record.checkpoint = Some(name.clone());
        record.step = checkpoint.place.step;
        record.bytes = self.store.size(&self.path).await.unwrap_or(record.bytes);
        self.write_record(record).await?;
        for old in self.store.list(&self.path).await? {
            if old.starts_with("checkpoint-") && old != name {
                self.store.remove(&self.at(&old)).await?;
            }
        }
        Ok(written)
    }

    /// Keeps the adapter of the best evaluation.
    pub async fn save_best(&self, adapter: &files::Adapter, record: &RunRecord, history: &[Metrics]) -> Result<()> {
        for (file, bytes) in adapter.files(&card(record, history)) {
            self.store.write(&self.at(&format!("{BEST}/{file}")), &bytes).await?;
        }
        self.write_record(record).await
    }

    /// Reads the record.
    pub async fn record(&self) -> Result<RunRecord> {
        let path = self.at(RECORD);
        let bytes = self.store.read(&path).await?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::input(format!("The run's record is damaged: {e}"), "Delete the run", path))
    }

    /// Reads everything but the pairs.
    pub async fn read(&self) -> Result<StoredRun> {
        let record = self.record().await?;
        let mut run = StoredRun { record, checkpoint: None, best: None, history: Vec::new(), samples: Vec::new() };
        if let Some(name) = &run.record.checkpoint {
            let folder = self.store.folder(&self.at(name)).await?;
            run.checkpoint = Some(Checkpoint::read(&folder).await?);
            run.history = self.history(name).await?;
            let samples = self.store.read(&self.at(&format!("{name}/{SAMPLES}"))).await.unwrap_or_default();
            run.samples = serde_json::from_slice(&samples).unwrap_or_default();
        }
        if run.record.best_step.is_some() {
            run.best = match self.store.folder(&self.at(BEST)).await {
                Ok(folder) => files::Adapter::read(&folder).await.ok(),
                Err(_) => None,
            };
            // A disk that was full took it: the last one is what there is.
            if run.best.is_none() {
                run.record.best_step = None;
            }
        }
        Ok(run)
    }

    /// The metrics of a checkpoint.
    async fn history(&self, checkpoint: &str) -> Result<Vec<Metrics>> {
        let bytes = self.store.read(&self.at(&format!("{checkpoint}/{METRICS}"))).await?;
        let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Steps and evaluations of the latest checkpoint; none if there is none.
    pub async fn metrics(&self) -> Result<Vec<Metrics>> {
        match self.record().await?.checkpoint {
            Some(name) => self.history(&name).await,
            None => Ok(Vec::new()),
        }
    }

    /// The pairs that were kept with the run: to train on, and held out.
    pub async fn pairs(&self) -> Result<[Vec<u8>; 2]> {
        let train = self.store.read(&self.at(PAIRS[0])).await?;
        let held_out = self.store.read(&self.at(PAIRS[1])).await?;
        Ok([train, held_out])
    }

    /// Takes the run away.
    pub async fn remove(&self) -> Result<()> {
        self.store.remove(&self.path).await
    }

    /// Every file of the run, with its path within the folder, for an archive.
    pub async fn all_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = if folder.is_empty() { self.path.clone() } else { self.at(&folder) };
            for name in self.store.list(&path).await? {
                let inner = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                match self.store.read(&self.at(&inner)).await {
                    Ok(bytes) => files.push((inner, bytes)),
                    Err(_) => folders.push(inner),
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Writes the files of an archive.
    pub async fn write_all(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        // The record comes last: without it there is no run.
        let is_record = |name: &str| name == RECORD;
        for (name, bytes) in files.iter().filter(|(name, _)| !is_record(name)) {
            self.store.write(&self.at(name), bytes).await?;
        }
        for (name, bytes) in files.iter().filter(|(name, _)| is_record(name)) {
            self.store.write(&self.at(name), bytes).await?;
        }
        Ok(())
    }
}

/// The record of an archive.
pub fn archived_record(file: &str, contents: &[(String, Vec<u8>)]) -> Result<RunRecord> {
    let Some((_, bytes)) = contents.iter().find(|(name, _)| name == RECORD) else {
        return Err(Error::input(
            format!("The archive has no {RECORD}"),
            "Choose a .run file that pairtune wrote",
            file,
        ));
    };
    serde_json::from_slice(bytes)
        .map_err(|e| Error::input(format!("{RECORD} is damaged: {e}"), "Export the run again", file))
}

/// All records, newest first; damaged ones are left out.
pub async fn list(store: &Store) -> Result<Vec<RunRecord>> {
    let mut records = Vec::new();
    for run_id in store.list(RUNS).await? {
        match RunFolder::new(store, &run_id).record().await {
            Ok(record) => records.push(record),
            Err(e) => log::warn!("the run {run_id} cannot be read: {e}"),
        }
    }
    records.sort_by(|a, b| b.created.total_cmp(&a.created));
    Ok(records)
}

/// The card of a run's adapter.
pub fn card(record: &RunRecord, history: &[Metrics]) -> ModelCard {
    ModelCard::of_run(&record.model_name, record.licence.as_deref(), &record.settings, history)
}

/// transformers' state of a run.
pub fn state(record: &RunRecord, history: &[Metrics]) -> TrainerState {
    let setting = |name: &str| record.settings.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let last = |name: &str| history.iter().rev().find_map(|entry| entry.get(name)).and_then(Value::as_f64);
    TrainerState {
        epoch: last("epoch"),
        global_step: record.step as u64,
        max_steps: record.n_steps as u64,
        num_train_epochs: setting("num_train_epochs").ceil() as u64,
        num_input_tokens_seen: last("num_tokens").unwrap_or(0.0) as u64,
        logging_steps: 1.0,
        save_steps: setting("save_steps"),
        eval_steps: record.watch.eval_steps as f64,
        train_batch_size: Some(setting("per_device_train_batch_size") as u64),
        best_metric: record.best.as_ref().and_then(|best| best.get("eval_preference_accuracy")).and_then(Value::as_f64),
        best_global_step: record.best_step.map(|step| step as u64),
        log_history: history.to_vec(),
        ..TrainerState::default()
    }
}
