//! The folder that a run writes: metrics line by line, checkpoints, and at the end the adapter.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use pairtune::engine::protocol::{is_evaluation, step_of};
use pairtune::engine::run::best::{best_of, is_better, stops_early};
use pairtune::files::{self, ModelCard, TrainerState};
use pairtune::platform::native::{DiskFolder, io_error, make_folder, write_atomic};
use pairtune::train::{Checkpoint, Metrics, Trainer};
use pairtune::{Error, Result};
use serde_json::Value;

use crate::cli::args::EvaluationArgs;

const METRICS: &str = "metrics.jsonl";
const STATE: &str = "trainer_state.json";
const ROLLOUTS: &str = "rollouts.jsonl";
/// The folder of the best evaluation's adapter in a checkpoint.
const BEST: &str = "best";
/// The step that an answer in there was written for.
const STEP: &str = "step";
/// A run's settings with its method, as `--config` reads them.
pub(in crate::cli) const SETTINGS: &str = "pairtune_settings.json";

/// An output folder, with the log of its run.
pub(in crate::cli) struct RunFolder {
    path: PathBuf,
    metrics: File,
    settings: Metrics,
    licence: Option<String>,
    /// The file with the chat template, if it is not the model's own.
    chat: Vec<(String, Vec<u8>)>,
    /// Every step's metrics, and the evaluations between them.
    history: Vec<Metrics>,
    evaluation: EvaluationArgs,
    /// The adapter of the best evaluation, if the run is to end with it.
    best: Option<files::Adapter>,
    /// Entries of the history that are too old to be the best: their adapter is gone.
    n_gone: usize,
}

impl RunFolder {
    /// Refuses a folder that already holds a run, so that none is lost by mistake.
    pub(in crate::cli) fn check_free(path: &Path) -> Result<()> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut of_a_run =
            names.filter(|name| name.starts_with("adapter_") || name.starts_with("checkpoint-")).collect::<Vec<_>>();
        of_a_run.sort();
        match of_a_run.first() {
            None => Ok(()),
            Some(name) => Err(Error::input(
                format!("The output folder already holds a run ({name})"),
                "Name another folder, continue a checkpoint with --resume, or replace the run with --overwrite",
                path.display().to_string(),
            )),
        }
    }

    /// Makes the folder; with a checkpoint, its metrics and history are the beginning. The adapter's card tells the
    /// settings, and the licence of the base model.
    pub(in crate::cli) fn create(
        path: &Path,
        checkpoint: Option<&Path>,
        settings: Metrics,
        licence: Option<String>,
        chat: Vec<(String, Vec<u8>)>,
        evaluation: EvaluationArgs,
    ) -> Result<Self> {
        make_folder(path)?;
        let (lines, history, best_step) = match checkpoint {
            None => (Vec::new(), Vec::new(), None),
            Some(from) => {
                let state = read(&from.join(STATE))?;
                let state = TrainerState::from_bytes(&state, &from.join(STATE).display().to_string())?;
                (read(&from.join(METRICS))?, state.log_history, state.best_global_step)
            }
        };
        // An evaluation before the one whose adapter was kept may be better, but its adapter is gone.
        let is_kept = |entry: &Metrics| is_evaluation(entry) && Some(step_of(entry) as u64) == best_step;
        let n_gone = match evaluation.load_best_model_at_end {
            true => history.iter().position(is_kept).unwrap_or(0),
            false => 0,
        };
        let file = path.join(METRICS);
        write_atomic(&file, &lines)?;
        keep_rollouts(&path.join(ROLLOUTS), history.iter().map(step_of).max().unwrap_or(0))?;
        let metrics = OpenOptions::new().append(true).open(&file).map_err(|e| io_error(&file, "write", &e))?;
        let (path, best) = (path.to_owned(), None);
        Ok(Self { path, metrics, settings, licence, chat, history, evaluation, best, n_gone })
    }

    /// Takes up the adapter of the best evaluation from a checkpoint, or from beside it, where the app keeps it.
    /// Returns the step of one that is not there.
    pub(in crate::cli) async fn take_best(&mut self, checkpoint: &Path) -> Result<Option<usize>> {
        let Some(step) = self.best_evaluation().map(step_of).filter(|_| self.evaluation.load_best_model_at_end) else {
            return Ok(None);
        };
        for folder in [checkpoint.join(BEST), checkpoint.join("..").join(format!("{BEST}-{step}"))] {
            if folder.is_dir() {
                self.best = Some(files::Adapter::read(&DiskFolder::open(&folder)?).await?);
                return Ok(None);
            }
        }
        self.n_gone = self.history.len();
        Ok(Some(step))
    }

    /// Adds a step: a line of `metrics.jsonl`, at once, and an entry of the history.
    pub(in crate::cli) fn add_step(&mut self, metrics: &Metrics) -> Result<()> {
        self.add_line(metrics)?;
        self.history.push(metrics.clone());
        Ok(())
    }

    fn add_line(&mut self, metrics: &Metrics) -> Result<()> {
        let line = format!("{}\n", Value::Object(metrics.clone()));
        let written = self.metrics.write_all(line.as_bytes()).and_then(|()| self.metrics.flush());
        written.map_err(|e| io_error(&self.path.join(METRICS), "write", &e))
    }

    /// Adds answers that the policy wrote for a step, a line of `rollouts.jsonl` each.
    pub(in crate::cli) fn add_rollouts(&self, step: usize, lines: Vec<Value>) -> Result<()> {
        let path = self.path.join(ROLLOUTS);
        let mut text = String::new();
        for mut line in lines {
            line[STEP] = step.into();
            text += &format!("{line}\n");
        }
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| io_error(&path, "write", &e))
    }

    /// Writes the value model's adapter beside the policy's.
    pub(in crate::cli) fn write_value(&self, value: &files::Adapter) -> Result<()> {
        let folder = self.path.join("value");
        make_folder(&folder)?;
        for (name, bytes) in value.files(&self.card(value)) {
            write_atomic(&folder.join(name), &bytes)?;
        }
        Ok(())
    }

    /// Adds an evaluation to the history; in a run that is evaluated on its way, to `metrics.jsonl` too. True if its
    /// adapter is the best so far, and is to be kept.
    pub(in crate::cli) fn add_evaluation(&mut self, metrics: Metrics) -> Result<bool> {
        let best = is_better(&metrics, self.best_evaluation());
        if self.evaluation.eval_steps > 0 {
            self.add_line(&metrics)?;
        }
        self.history.push(metrics);
        Ok(best && self.evaluation.load_best_model_at_end)
    }

    /// Keeps the adapter of the best evaluation.
    pub(in crate::cli) fn keep_best(&mut self, adapter: files::Adapter) {
        self.best = Some(adapter);
    }

    /// The best evaluation, if there was one of an adapter that was trained.
    fn best_evaluation(&self) -> Option<&Metrics> {
        best_of(self.history.get(self.n_gone..)?)
    }

    /// The best evaluation and its adapter, if the run is to end with it.
    pub(in crate::cli) fn best(&self) -> Option<(&Metrics, &files::Adapter)> {
        self.best_evaluation().zip(self.best.as_ref())
    }

    /// The step of the best evaluation, if the run is to end with its adapter.
    pub(in crate::cli) fn best_step(&self) -> Option<usize> {
        self.best().map(|(evaluation, _)| step_of(evaluation))
    }

    /// Says that the run is to stop, because no evaluation was better for long enough.
    pub(in crate::cli) fn stops_early(&self) -> Option<String> {
        let EvaluationArgs { eval_steps, load_best_model_at_end, early_stopping_patience, .. } = self.evaluation;
        let best = self.best_evaluation();
        stops_early(&self.history, best, eval_steps, early_stopping_patience, load_best_model_at_end)
    }

    /// The evaluation after a step.
    pub(in crate::cli) fn evaluation_at(&self, step: usize) -> Option<&Metrics> {
        self.history.iter().find(|entry| is_evaluation(entry) && step_of(entry) == step)
    }

    /// The first evaluation, if there was one.
    pub(in crate::cli) fn first_evaluation(&self) -> Option<&Metrics> {
        self.history.iter().find(|entry| is_evaluation(entry))
    }

    /// The epoch of the latest entry of the history.
    pub(in crate::cli) fn epoch(&self) -> f64 {
        self.history.iter().rev().find_map(|entry| entry.get("epoch")?.as_f64()).unwrap_or(0.0)
    }

    /// Writes `checkpoint-<step>`, whole or not at all.
    pub(in crate::cli) fn save_checkpoint(&self, checkpoint: &Checkpoint, state: Counters) -> Result<PathBuf> {
        let path = self.path.join(format!("checkpoint-{}", checkpoint.place.step));
        let temporary = self.path.join(format!("checkpoint-{}.tmp", checkpoint.place.step));
        for old in [&temporary, &path] {
            if old.exists() {
                std::fs::remove_dir_all(old).map_err(|e| io_error(old, "replace", &e))?;
            }
        }
        make_folder(&temporary)?;
        let mut files = checkpoint.files();
        files.extend(checkpoint.adapter.files(&self.card(&checkpoint.adapter)));
        files.push((STATE.to_owned(), self.state(state).to_bytes()));
        files.push((METRICS.to_owned(), read(&self.path.join(METRICS))?));
        files.extend(self.chat.clone());
        for (name, bytes) in files {
            write_atomic(&temporary.join(name), &bytes)?;
        }
        if let Some(best) = &self.best {
            let folder = temporary.join(BEST);
            make_folder(&folder)?;
            for (name, bytes) in best.files(&self.card(best)) {
                write_atomic(&folder.join(name), &bytes)?;
            }
        }
        std::fs::rename(&temporary, &path).map_err(|e| io_error(&path, "write", &e))?;
        Ok(path)
    }

    /// Writes the best adapter, if the run is to end with it, else the last one; and the trainer's state.
    pub(in crate::cli) fn finish(&self, last: &files::Adapter, state: Counters) -> Result<()> {
        let adapter = self.best().map_or(last, |(_, adapter)| adapter);
        let mut files = adapter.files(&self.card(adapter));
        files.extend(self.chat.clone());
        files.push((STATE.to_owned(), self.state(state).to_bytes()));
        files.push((SETTINGS.to_owned(), serde_json::to_vec_pretty(&self.settings).unwrap_or_default()));
        for (name, bytes) in files {
            write_atomic(&self.path.join(name), &bytes)?;
        }
        Ok(())
    }

    fn card(&self, adapter: &files::Adapter) -> ModelCard {
        let base = adapter.config.base_model_name_or_path.as_deref().unwrap_or("model");
        let base = Path::new(base).file_name().map_or(base.into(), |name| name.to_string_lossy());
        ModelCard::of_run(&base, self.licence.as_deref(), &self.settings, &self.history)
    }

    fn state(&self, counters: Counters) -> TrainerState {
        let mut state = TrainerState { log_history: self.history.clone(), ..counters.0 };
        if let Some((best, _)) = self.best() {
            state.best_global_step = Some(step_of(best) as u64);
            state.best_metric = best.get("eval_preference_accuracy").and_then(Value::as_f64);
        }
        if self.evaluation.eval_steps > 0 {
            state.eval_steps = self.evaluation.eval_steps as f64;
        }
        state
    }
}

/// A trainer state without its history.
pub(in crate::cli) struct Counters(TrainerState);

impl Counters {
    /// Reads the state of the run from its trainer.
    pub(in crate::cli) fn of(trainer: &Trainer<'_>, epoch: f64) -> Self {
        let config = &trainer.config;
        Self(TrainerState {
            epoch: Some(epoch),
            global_step: trainer.step as u64,
            max_steps: trainer.n_steps as u64,
            num_train_epochs: config.num_train_epochs.ceil() as u64,
            num_input_tokens_seen: trainer.n_tokens,
            logging_steps: 1.0,
            save_steps: config.save_steps as f64,
            train_batch_size: Some(config.per_device_train_batch_size as u64),
            ..TrainerState::default()
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| io_error(path, "read", &e))
}

/// Leaves only the answers for steps until this one: a run that begins, or goes on from before, writes the others anew.
fn keep_rollouts(path: &Path, step: usize) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let failed = |e: std::io::Error| io_error(path, "read", &e);
    let temporary = path.with_extension("tmp");
    let mut kept = BufWriter::new(File::create(&temporary).map_err(|e| io_error(&temporary, "write", &e))?);
    for line in BufReader::new(File::open(path).map_err(failed)?).lines() {
        let line = line.map_err(failed)?;
        let answer: Value = serde_json::from_str(&line).unwrap_or_default();
        if answer.get(STEP).and_then(Value::as_u64).is_some_and(|of| of <= step as u64) {
            writeln!(kept, "{line}").map_err(|e| io_error(&temporary, "write", &e))?;
        }
    }
    kept.flush().map_err(|e| io_error(&temporary, "write", &e))?;
    std::fs::rename(&temporary, path).map_err(|e| io_error(path, "replace", &e))
}
