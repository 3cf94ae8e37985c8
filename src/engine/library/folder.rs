//! Runs as the store keeps them: one folder each, which the command line can continue and other tools can read.
//!
//! `runs/<id>/run.json` names the checkpoint in force and the step of the best adapter. Both are written whole under
//! names of their own before `run.json` points to them, so that a crash leaves the ones before.

use serde_json::Value;

use crate::engine::data::pairs::Pairs;
use crate::engine::protocol::{Metrics, ModelSource, RunRecord, SampleAnswer};
use crate::error::{Error, Result};
use crate::files::{self, ModelCard, TrainerState, metrics_jsonl};
use crate::platform::host::Store;
use crate::platform::{Folder as _, MemoryFolder};
use crate::train::{Checkpoint, read_format, with_format};

/// Folder of the browser's exports until they are downloaded.
pub(in crate::engine) const EXPORTS: &str = "exports";
/// The folder of all runs.
pub const RUNS: &str = "runs";
const RECORD: &str = "run.json";
/// Number of the record's format; a record without a number is of the first format.
const FORMAT: u64 = 2;
/// Beginnings of the folders' names; the step follows.
const CHECKPOINT: &str = "checkpoint-";
const BEST: &str = "best-";
const SETTINGS: &str = "settings.json";
const SAMPLES: &str = "samples.json";
const PAIRS: [&str; 2] = ["pairs.jsonl", "held_out.jsonl"];
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "trainer_state.json";
/// The files of a checkpoint that say what was measured until then; the others are its state.
const MEASURED: [&str; 4] = ["README.md", STATE, METRICS, SAMPLES];

/// Answers to the sample prompts: optimiser step and texts.
pub type Samples = Vec<(usize, Vec<SampleAnswer>)>;

/// Files of a run's folder: path within it, and content.
pub type Files = Vec<(String, Vec<u8>)>;

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
    /// Answers to the sample prompts.
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

    /// Writes the files that do not change in a run, settings and pairs, then the record, which makes it a run.
    pub async fn begin(&self, record: &RunRecord, pairs: &[Vec<u8>; 2]) -> Result<()> {
        self.write(&beginning(record, pairs)).await?;
        self.write_record(&RunRecord { step: 0, best_step: None, ..record.clone() }).await
    }

    /// Writes a run that is nothing but an adapter from elsewhere.
    pub async fn begin_with(&self, mut record: RunRecord, adapter: &files::Adapter) -> Result<()> {
        let mut files = beginning(&record, &[Vec::new(), Vec::new()]);
        files.extend(best(adapter, &record, &[]));
        record.bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        files.push((RECORD.to_owned(), record_bytes(&record)));
        self.write_all(&files).await
    }

    /// Writes the record, whole or not at all.
    pub async fn write_record(&self, record: &RunRecord) -> Result<()> {
        self.store.write(&self.at(RECORD), &record_bytes(record)).await
    }

    /// Writes how the run ended; everything else stays as it was saved.
    pub async fn settle(&self, record: &RunRecord) -> Result<()> {
        let mut stored = self.record().await?;
        (stored.status, stored.seconds) = (record.status, record.seconds);
        (stored.step_seconds, stored.round_seconds) = (record.step_seconds, record.round_seconds);
        stored.sparkline.clone_from(&record.sparkline);
        self.write_record(&stored).await
    }

    /// Writes a checkpoint, and the adapter of the best step if it is a new one; points the record to them, and takes
    /// older ones away. Returns the bytes written.
    ///
    /// After an error the stored record names what it named before, and the parts of the new state are taken away.
    pub async fn save(
        &self,
        checkpoint: &Checkpoint,
        new_best: Option<&files::Adapter>,
        record: &mut RunRecord,
        history: &[Metrics],
        samples: &Samples,
    ) -> Result<u64> {
        let saved = RunRecord { step: checkpoint.place.step, ..record.clone() };
        let mut files = contents(checkpoint, &saved, history, samples);
        if record.checkpoint.as_ref() == Some(&RunRecord::checkpoint_at(saved.step)) {
            // The state of a step is always the same; what was measured of it may be more by now.
            files.retain(|(path, _)| MEASURED.iter().any(|name| path.ends_with(name)));
        }
        files.extend(new_best.map(|adapter| best(adapter, &saved, history)).unwrap_or_default());
        let written = self.swap(&files, saved).await;
        if let Ok(stored) = self.record().await {
            for name in self.superseded(&stored).await {
                // A leftover does no harm.
                if let Err(e) = self.store.remove(&self.at(&name)).await {
                    log::warn!("{name} of a run stays: {e}");
                }
            }
        }
        *record = written?;
        Ok(files.iter().map(|(_, bytes)| bytes.len() as u64).sum())
    }

    /// Writes the files of a new state, then the record that names them, which is returned.
    async fn swap(&self, files: &[(String, Vec<u8>)], mut record: RunRecord) -> Result<RunRecord> {
        self.write(files).await?;
        record.checkpoint = Some(RunRecord::checkpoint_at(record.step));
        record.bytes = self.bytes(&record).await.unwrap_or(record.bytes);
        self.write_record(&record).await?;
        Ok(record)
    }

    /// Bytes of what stays of the run.
    async fn bytes(&self, record: &RunRecord) -> Result<u64> {
        let mut bytes = self.store.size(&self.path).await?;
        for name in self.superseded(record).await {
            bytes = bytes.saturating_sub(self.store.size(&self.at(&name)).await?);
        }
        Ok(bytes)
    }

    async fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        for (name, bytes) in files {
            self.store.write(&self.at(name), bytes).await?;
        }
        Ok(())
    }

    /// Checkpoints and best adapters that the record does not name.
    async fn superseded(&self, record: &RunRecord) -> Vec<String> {
        let named = [record.checkpoint.clone(), record.best_step.map(best_name)];
        let mut names = self.store.list(&self.path).await.unwrap_or_default();
        names.retain(|name| [CHECKPOINT, BEST].iter().any(|beginning| name.starts_with(beginning)));
        names.retain(|name| !named.iter().flatten().any(|named| named == name));
        names
    }

    /// Reads the record.
    pub async fn record(&self) -> Result<RunRecord> {
        let path = self.at(RECORD);
        let bytes = self.store.read(&path).await?;
        read_format(&bytes, FORMAT, &path)?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::input(format!("The run's record is damaged: {e}"), "Delete the run", path))
    }

    /// Reads everything but the pairs.
    pub async fn read(&self) -> Result<StoredRun> {
        let record = self.record().await?;
        let mut run = StoredRun { record, checkpoint: None, best: None, history: Vec::new(), samples: Vec::new() };
        if let Some(name) = run.record.checkpoint.clone() {
            let folder = self.store.folder(&self.at(&name)).await?;
            let checkpoint = Checkpoint::read(&folder).await?;
            run.record.step = checkpoint.place.step;
            run.checkpoint = Some(checkpoint);
            run.history = self.history(&name).await?;
            let samples = self.store.read(&self.at(&format!("{name}/{SAMPLES}"))).await.unwrap_or_default();
            run.samples = serde_json::from_slice(&samples).unwrap_or_default();
        }
        if let Some(step) = run.record.best_step {
            run.best = self.best(step).await;
            // A disk that was full took it: the last one is what there is.
            if run.best.is_none() {
                (run.record.best_step, run.record.best) = (None, None);
            }
        }
        Ok(run)
    }

    /// The record, with the adapter of the best evaluation, else of the latest checkpoint, if there is one.
    pub async fn adapter(&self) -> Result<(RunRecord, Option<files::Adapter>)> {
        let record = self.record().await?;
        let best = match record.best_step {
            Some(step) => self.best(step).await,
            None => None,
        };
        let adapter = match (best, &record.checkpoint) {
            (None, Some(name)) => Some(files::Adapter::read(&self.store.folder(&self.at(name)).await?).await?),
            (best, _) => best,
        };
        Ok((record, adapter))
    }

    /// The adapter of the best evaluation; none if it is not there, or not whole.
    async fn best(&self, step: usize) -> Option<files::Adapter> {
        let folder = self.store.folder(&self.at(&best_name(step))).await.ok()?;
        files::Adapter::read(&folder).await.ok()
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

    /// The rows that were kept with the run: to train on, and held out; both are empty for an adapter from elsewhere.
    pub async fn pairs(&self) -> Result<[Vec<u8>; 2]> {
        let train = self.store.read(&self.at(PAIRS[0])).await?;
        let held_out = self.store.read(&self.at(PAIRS[1])).await?;
        Ok([train, held_out])
    }

    /// Takes the run away, the record first: what is left if that fails is no run.
    pub async fn remove(&self) -> Result<()> {
        self.store.remove(&self.at(RECORD)).await?;
        self.store.remove(&self.path).await
    }

    /// Every file of the run, with its path within the folder, for an archive.
    pub async fn all_files(&self) -> Result<Files> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = if folder.is_empty() { self.path.clone() } else { self.at(&folder) };
            let names = self.store.list(&path).await?;
            if names.is_empty() {
                continue;
            }
            let inside = self.store.folder(&path).await?.files();
            for name in names {
                let is_file = inside.contains(&name);
                let inner = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                match is_file {
                    true => files.push((inner.clone(), self.store.read(&self.at(&inner)).await?)),
                    false => folders.push(inner),
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Writes all files of a run from elsewhere; after an error none of them is there.
    pub async fn write_all(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        // The record comes last: without it there is no run.
        let (record, others): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| name == RECORD);
        let written = async {
            for (name, bytes) in others.into_iter().chain(record) {
                self.store.write(&self.at(name), bytes).await?;
            }
            Ok(())
        };
        let written = written.await;
        if written.is_err() {
            // A part of a run is of no use to anybody.
            self.remove().await?;
        }
        written
    }
}

/// Every file of a run that is only in memory, as [`RunFolder::all_files`] would find them.
pub fn files_in_memory(
    record: &RunRecord,
    pairs: &[Vec<u8>; 2],
    checkpoint: Option<&Checkpoint>,
    best_adapter: Option<&files::Adapter>,
    history: &[Metrics],
    samples: &Samples,
) -> Vec<(String, Vec<u8>)> {
    let mut record = record.clone();
    record.step = checkpoint.map_or(0, |checkpoint| checkpoint.place.step);
    record.checkpoint = checkpoint.map(|_| RunRecord::checkpoint_at(record.step));
    let mut files = beginning(&record, pairs);
    files.extend(best_adapter.map(|adapter| best(adapter, &record, history)).unwrap_or_default());
    files.extend(checkpoint.map(|checkpoint| contents(checkpoint, &record, history, samples)).unwrap_or_default());
    files.push((RECORD.to_owned(), record_bytes(&record)));
    files.sort();
    files
}

fn best_name(step: usize) -> String {
    format!("{BEST}{step}")
}

fn record_bytes(record: &RunRecord) -> Vec<u8> {
    with_format(record, FORMAT)
}

/// Returns the files that do not change in a run: settings and pairs.
fn beginning(record: &RunRecord, pairs: &[Vec<u8>; 2]) -> Vec<(String, Vec<u8>)> {
    let settings = serde_json::to_vec_pretty(&record.settings).unwrap_or_default();
    let pairs = PAIRS.iter().zip(pairs).map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
    std::iter::once((SETTINGS.to_owned(), settings)).chain(pairs).collect()
}

/// The files of a checkpoint.
fn contents(
    checkpoint: &Checkpoint,
    record: &RunRecord,
    history: &[Metrics],
    samples: &Samples,
) -> Vec<(String, Vec<u8>)> {
    let mut files = checkpoint.files();
    files.extend(checkpoint.adapter.files(&card(record, history)));
    files.push((STATE.to_owned(), state(record, history).to_bytes()));
    files.push((METRICS.to_owned(), metrics_jsonl(history).into_bytes()));
    files.push((SAMPLES.to_owned(), serde_json::to_vec(samples).unwrap_or_default()));
    within(&RunRecord::checkpoint_at(checkpoint.place.step), files)
}

/// The files of the adapter of the record's best step.
fn best(adapter: &files::Adapter, record: &RunRecord, history: &[Metrics]) -> Vec<(String, Vec<u8>)> {
    let Some(step) = record.best_step else { return Vec::new() };
    within(&best_name(step), adapter.files(&card(record, history)))
}

/// Files with their paths in a folder.
fn within(folder: &str, files: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    files.into_iter().map(|(name, bytes)| (format!("{folder}/{name}"), bytes)).collect()
}

/// Checks that the files of an archive are a whole run, and returns its record with them. A model's place on another
/// computer's network is taken out: opening it would ask that computer.
pub async fn check_archive(file: &str, mut contents: Files) -> Result<(RunRecord, Files)> {
    let damaged = |what: String| Error::input(what, "Choose a .run file that pairtune wrote, or export it again", file);
    let Some(at) = contents.iter().position(|(name, _)| name == RECORD) else {
        return Err(damaged(format!("The archive has no {RECORD}")));
    };
    read_format(&contents[at].1, FORMAT, file)?;
    let mut record: RunRecord =
        serde_json::from_slice(&contents[at].1).map_err(|e| damaged(format!("{RECORD} is damaged: {e}")))?;
    for name in std::iter::once(&record.run_id).chain(&record.checkpoint) {
        if !is_plain(name) {
            return Err(damaged(format!("{RECORD} is damaged: \"{name}\" is no name of a folder")));
        }
    }
    if let ModelSource::Picked { path, .. } = &mut record.model
        && path.take_if(|path| path.chars().take_while(|c| "/\\".contains(*c)).count() > 1).is_some()
    {
        contents[at].1 = serde_json::to_vec_pretty(&record).unwrap_or_default();
    }
    if let Some(checkpoint) = &record.checkpoint {
        let inside = |name: &str| name.strip_prefix(checkpoint.as_str())?.strip_prefix('/').map(str::to_owned);
        let files = contents.iter().filter_map(|(name, bytes)| Some((inside(name)?, bytes.clone()))).collect();
        Checkpoint::read(&MemoryFolder { name: format!("{file}, {checkpoint}"), files }).await?;
    }
    let [train, held_out] = PAIRS.map(|name| contents.iter().find(|(found, _)| found == name));
    let (Some((_, train)), Some((_, held_out))) = (train, held_out) else {
        return Err(damaged("The archive has no pairs".to_owned()));
    };
    Pairs::of_run(file, [train, held_out]).await?;
    Ok((record, contents))
}

/// True for what can be the name of a run or of one of its folders.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
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
