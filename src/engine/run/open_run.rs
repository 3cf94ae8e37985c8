//! The run that is open: what was measured and kept of it so far, and what it came to.

use serde_json::json;

use crate::data::Example;
use crate::engine::data::pairs::Split;
use crate::engine::library::folder::{self, RunFolder, Samples};
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{
    Event, Failure, Inputs, Metrics, RunInfo, RunRecord, SampleAnswer, Share, Status, Summary, Watch, is_evaluation,
    step_of,
};
use crate::engine::run::best::{best_of, rank, stops_early};
use crate::engine::run::drive::number;
use crate::engine::run::warnings::{Action, Facts, Warning, WarningKind, Watcher};
use crate::engine::session::Wire;
use crate::engine::stats::{median, sparkline, wilson_interval};
use crate::error::Result;
use crate::files;
use crate::platform::host::{self, Store};
use crate::train::{Checkpoint, PairLogps, TrainConfig};

/// The run that is open: being trained, waiting, or over.
pub(in crate::engine) struct Run {
    pub(in crate::engine) record: RunRecord,
    pub(in crate::engine) history: Vec<Metrics>,
    pub(in crate::engine) samples: Samples,
    pub(in crate::engine) prompts: Vec<String>,
    /// The latest state that is safe.
    pub(in crate::engine) checkpoint: Option<Checkpoint>,
    /// The adapter of the best evaluation.
    pub(in crate::engine) best: Option<files::Adapter>,
    /// Held-out pairs and the base model's log-probabilities of them, once they are known.
    pub(in crate::engine) held_out: Option<(Vec<Example>, Vec<PairLogps>)>,
    /// Something of it could not be written: it is only here.
    pub(in crate::engine) unsaved: bool,
    /// Its pairs, to train on and held out, until they are written.
    pub(in crate::engine) unwritten_pairs: Option<[Vec<u8>; 2]>,
    /// The best adapter is not written yet.
    pub(in crate::engine) best_is_new: bool,
    /// Warnings so far.
    pub(in crate::engine) warnings: Vec<Warning>,
    /// When it is continued by itself, and after what.
    pub(in crate::engine) retry: Option<Retry>,
    pub(in crate::engine) watcher: Option<Watcher>,
    pub(in crate::engine) device_losses: usize,
    /// Seconds of its recent steps, and of its evaluations, that were timed here.
    pub(in crate::engine) timed: [Vec<f64>; 2],
    /// It was there before it was continued here.
    pub(in crate::engine) kept: bool,
    pub(in crate::engine) planned_bytes: u64,
    pub(in crate::engine) device_bytes: u64,
}

/// Steps whose median is kept.
const RECENT_STEPS: usize = 20;
/// Points of a run's sparkline.
const SPARKLINE: usize = 32;

/// A run that lost its device, and is continued at this time on the platform's clock.
pub(in crate::engine) struct Retry {
    pub(in crate::engine) at: f64,
    pub(in crate::engine) failure: Failure,
}

impl Run {
    pub(in crate::engine) fn new(record: RunRecord) -> Self {
        Self {
            record,
            history: Vec::new(),
            samples: Vec::new(),
            prompts: Vec::new(),
            checkpoint: None,
            best: None,
            held_out: None,
            unsaved: false,
            unwritten_pairs: None,
            best_is_new: false,
            warnings: Vec::new(),
            retry: None,
            watcher: None,
            device_losses: 0,
            timed: [Vec::new(), Vec::new()],
            kept: false,
            planned_bytes: 0,
            device_bytes: 0,
        }
    }

    /// Returns the summary for the user interface.
    pub(in crate::engine) fn info(&self) -> RunInfo {
        RunInfo {
            record: self.record.clone(),
            history: self.history.clone(),
            prompts: self.prompts.clone(),
            samples: self.samples.clone(),
            warnings: self.warnings.clone(),
            planned_bytes: self.planned_bytes,
            device_bytes: self.device_bytes,
        }
    }

    /// Nothing here is on a device; log-probabilities of the base stay true.
    pub(in crate::engine) fn forget_device(&mut self) {
        self.device_bytes = 0;
    }

    /// The step that a restart would go on from.
    pub(in crate::engine) fn safe_step(&self) -> usize {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.place.step)
    }

    /// Goes back to the latest checkpoint.
    pub(in crate::engine) fn rewind(&mut self) {
        let safe = self.safe_step();
        // The evaluation at step 0 is the base model's and stays true.
        self.history.retain(|entry| step_of(entry) <= safe);
        self.samples.retain(|(step, _)| *step <= safe);
        self.warnings.retain(|warning| warning.step <= safe);
        self.record.step = safe;
        self.watcher = None;
        if self.record.best.as_ref().is_some_and(|best| step_of(best) > safe) {
            // There is no adapter of what was best before: where one is to be kept, the next evaluation is the best.
            let before = best_of(&self.history).filter(|_| !self.record.watch.keep_best).cloned();
            (self.best, self.best_is_new) = (None, false);
            (self.record.best, self.record.best_step) = (before, None);
        }
        self.record.won = self.won();
    }

    pub(in crate::engine) fn evaluations(&self) -> impl DoubleEndedIterator<Item = &Metrics> {
        self.history.iter().filter(|entry| is_evaluation(entry))
    }

    /// The evaluation at a step.
    pub(in crate::engine) fn evaluation_at(&self, step: usize) -> Option<&Metrics> {
        self.evaluations().find(|entry| step_of(entry) == step)
    }

    /// Held-out accuracy before and at the latest evaluation.
    pub(in crate::engine) fn won(&self) -> Option<[f64; 2]> {
        let mut evaluations = self.evaluations();
        let first = evaluations.next()?;
        let last = evaluations.next_back().unwrap_or(first);
        let won = [first, last].map(|entry| number(entry, "eval_preference_accuracy"));
        won.iter().all(|won| won.is_finite()).then_some(won)
    }

    /// Follows what was measured again: a watcher that knows it, and everything that it has to say of it.
    pub(in crate::engine) fn replay(&self, facts: Facts) -> (Watcher, Vec<Warning>) {
        let usual = self.record.seconds / self.record.step.max(1) as f64;
        let mut watcher = Watcher::new(facts);
        let mut said = watcher.start();
        let mut samples = self.samples.iter().peekable();
        for entry in &self.history {
            while let Some((step, answers)) = samples.next_if(|(step, _)| *step < step_of(entry)) {
                said.extend(watcher.samples(*step, &texts_of(answers)));
            }
            said.extend(match is_evaluation(entry) {
                true => watcher.evaluation(entry),
                false => watcher.step(entry, usual),
            });
        }
        for (step, answers) in samples {
            said.extend(watcher.samples(*step, &texts_of(answers)));
        }
        said.extend(self.stops_early().filter(|_| self.record.status == Status::Stopped));
        (watcher, said)
    }

    /// Says that the run is to stop here, before its last step, because it had no better evaluation for long enough.
    pub(in crate::engine) fn stops_early(&self) -> Option<Warning> {
        let RunRecord { step, n_steps, watch, best, .. } = &self.record;
        // The evaluation of a run that a person stopped is no regular one.
        let is_regular = watch.eval_steps > 0 && step.is_multiple_of(watch.eval_steps) && step < n_steps;
        self.evaluation_at(*step).filter(|_| is_regular)?;
        let text = stops_early(&self.history, best.as_ref(), watch.eval_steps, watch.patience, watch.keep_best)?;
        Some(Warning { kind: WarningKind::StoppedEarly, step: *step, text, action: Action::None })
    }

    /// Evaluations and answers to the sample prompts so far.
    pub(in crate::engine) fn n_looks(&self) -> usize {
        self.evaluations().count() + self.samples.len()
    }

    /// Takes in the seconds of a step.
    pub(in crate::engine) fn time_step(&mut self, seconds: f64) {
        let [steps, _] = &mut self.timed;
        steps.push(seconds);
        drop(steps.drain(..steps.len().saturating_sub(RECENT_STEPS)));
        self.record.step_seconds = median(steps).or(self.record.step_seconds);
    }

    /// Takes in the seconds of an evaluation with its samples.
    pub(in crate::engine) fn time_round(&mut self, seconds: f64) {
        let [_, rounds] = &mut self.timed;
        rounds.push(seconds);
        self.record.round_seconds = Some(rounds.iter().sum::<f64>() / rounds.len() as f64);
    }

    /// Every file that it has, as it is here.
    pub(in crate::engine) fn files_in_memory(&self, pairs: [Vec<u8>; 2]) -> Vec<(String, Vec<u8>)> {
        let (checkpoint, best) = (self.checkpoint.as_ref(), self.best.as_ref());
        folder::files_in_memory(&self.record, &pairs, checkpoint, best, &self.history, &self.samples)
    }

    /// Becomes a new run with other settings, which goes on from the same state.
    pub(in crate::engine) fn branch(&mut self, config: &TrainConfig, split: &Split, pairs: Option<[Vec<u8>; 2]>) {
        let now = host::unix_seconds();
        self.rescale_rewards(config.beta / number(&self.record.settings, "beta"));
        let record = &mut self.record;
        record.name = format!("{}, continued", record.name.trim_end_matches(", continued"));
        record.run_id = run_id(now, &record.name);
        record.created = now;
        record.settings = config.to_map();
        record.checkpoint = None;
        record.n_steps = config.steps_on(split.train.len());
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.place.config = config.to_map();
        }
        (self.unwritten_pairs, self.best_is_new, self.unsaved) = (pairs, self.best.is_some(), false);
    }

    /// Rewards are beta times nats: those from before are told at the new beta, like those that follow.
    pub(in crate::engine) fn rescale_rewards(&mut self, factor: f64) {
        if !factor.is_finite() || factor == 1.0 {
            return;
        }
        for (name, value) in self.history.iter_mut().chain(&mut self.record.best).flat_map(|entry| entry.iter_mut()) {
            if name.contains("rewards/")
                && !name.ends_with("accuracies")
                && let Some(reward) = value.as_f64()
            {
                *value = json!(reward * factor);
            }
        }
    }

    /// Keeps warnings that were not told before, and tells them.
    pub(in crate::engine) fn warn(&mut self, wire: &Wire, warnings: Vec<Warning>) {
        for warning in warnings {
            if self.warnings.iter().all(|told| (told.kind, told.step) != (warning.kind, warning.step)) {
                self.warnings.push(warning.clone());
                wire.send(Event::Warned { run_id: self.record.run_id.clone(), warning });
            }
        }
    }

    /// Writes what is not stored yet: pairs, state, best adapter. Returns the bytes of the state.
    pub(in crate::engine) async fn write(&mut self, store: &Store) -> Result<u64> {
        let folder = RunFolder::new(store, &self.record.run_id);
        if let Some(pairs) = &self.unwritten_pairs {
            folder.begin(&self.record, pairs).await?;
            self.unwritten_pairs = None;
        }
        let Some(checkpoint) = &self.checkpoint else { return Ok(0) };
        // Whatever ends the engine before the run, its record shows the run up to here.
        self.record.sparkline = sparkline_of(&self.history);
        let new_best = self.best.as_ref().filter(|_| self.best_is_new);
        let bytes = folder.save(checkpoint, new_best, &mut self.record, &self.history, &self.samples).await?;
        self.best_is_new = false;
        Ok(bytes)
    }
}

/// A run's end for people.
pub(in crate::engine) fn summary(run: &Run) -> Summary {
    let n = run.record.n_held_out as u64;
    let share = |metrics: &Metrics| {
        let won = number(metrics, "eval_preference_accuracy");
        let wins = (won * n as f64).round() as u64;
        won.is_finite().then(|| Share { wins, n, interval: wilson_interval(wins, n) })
    };
    let before = run.evaluations().next().and_then(share);
    // The kept adapter counts; an older evaluation says nothing of it.
    let after = match run.record.best_step {
        Some(_) => run.record.best.as_ref(),
        None => run.evaluation_at(run.record.step),
    };
    let first = run.evaluations().next();
    let better = matches!((first, after), (Some(first), Some(after)) if rank(after) > rank(first));
    let after = after.and_then(share);
    let improved = match (before, after) {
        (Some(before), Some(after)) => after.wins > before.wins,
        _ => better,
    };
    let (device_bytes, planned_bytes) = (run.device_bytes, run.planned_bytes);
    Summary { record: run.record.clone(), improved, before, after, device_bytes, planned_bytes }
}

/// The record of a run that has not begun: of the open model, with these settings, watched as little as possible.
pub(in crate::engine) fn record_of(
    name: String,
    open: &OpenModel,
    pairs_name: &str,
    config: &TrainConfig,
) -> RunRecord {
    let now = host::unix_seconds();
    RunRecord {
        run_id: run_id(now, &name),
        name,
        notes: String::new(),
        status: Status::Running,
        created: now,
        seconds: 0.0,
        step_seconds: None,
        round_seconds: None,
        model: open.source.clone(),
        model_name: open.name.clone(),
        model_bytes: open.weight_bytes.stored,
        licence: open.licence.clone(),
        pairs_name: pairs_name.to_owned(),
        chat: open.tokenizer().chat().clone(),
        settings: config.to_map(),
        watch: Watch { keep_best: true, ..Watch::default() },
        inputs: Inputs::default(),
        step: 0,
        n_steps: 0,
        checkpoint: None,
        best_step: None,
        best: None,
        won: None,
        n_held_out: 0,
        longer_wins: 0.0,
        likelier_wins: None,
        sparkline: Vec::new(),
        bytes: 0,
    }
}

/// The texts of answers to the sample prompts.
pub(in crate::engine) fn texts_of(answers: &[SampleAnswer]) -> Vec<String> {
    answers.iter().map(|answer| answer.text.clone()).collect()
}

/// Losses of a run, thinned out.
pub(in crate::engine) fn sparkline_of(history: &[Metrics]) -> Vec<f64> {
    let losses: Vec<f64> = history.iter().map(|entry| number(entry, "loss")).filter(|l| l.is_finite()).collect();
    sparkline(&losses, SPARKLINE)
}

/// A name for a run's folder: time and a readable part.
pub(in crate::engine) fn run_id(now: f64, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let readable: String = name.chars().map(plain).take(24).collect();
    format!("{:.0}-{}", now * 1000.0, readable.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::train::Moments;

    /// A run with evaluations at these steps, won more and more often, and the best adapter of one of them.
    fn run(steps: &[usize], best_step: Option<usize>) -> Run {
        let record = json!({
            "run_id": "one", "name": "one", "notes": "", "status": "running", "created": 0.0, "seconds": 0.0,
            "model": { "source": "demo" }, "model_name": "m", "pairs_name": "p", "settings": {}, "step": 9,
            "n_steps": 9, "watch": { "eval_steps": 2, "keep_best": true, "prompts": [], "save_seconds": 0.0 },
            "checkpoint": null, "best_step": best_step, "best": null, "won": null, "n_held_out": 10,
            "longer_wins": 0.0, "sparkline": [], "bytes": 0,
        });
        let mut run = Run::new(serde_json::from_value(record).expect("a record"));
        run.history = steps.iter().map(|step| evaluation_of(*step)).collect();
        run.record.best = best_step.map(evaluation_of);
        run
    }

    /// A state of a run after a step, with nothing in it.
    fn checkpoint_at(step: usize) -> Checkpoint {
        let place = json!({ "step": step, "n_tokens": 0, "config": {}, "data": "", "initial_adapter": null });
        let config = TrainConfig::from_map(&Metrics::new(), "").expect("the defaults").adapter("");
        Checkpoint {
            adapter: files::Adapter { config, tensors: BTreeMap::new() },
            moments: Moments::Old([Vec::new(), Vec::new()]),
            place: serde_json::from_value(place).expect("a place"),
            answers: None,
            value: None,
        }
    }

    fn evaluation_of(step: usize) -> Metrics {
        let share = 0.1 * step as f64;
        let values = json!({ "step": step, "eval_preference_accuracy": share, "eval_rewards/margins": share });
        values.as_object().cloned().expect("an object")
    }

    #[test]
    fn going_back_forgets_a_best_adapter_of_later() {
        let mut run = run(&[0, 2, 4, 6], Some(6));
        // There is no checkpoint: back to the beginning.
        run.rewind();
        assert_eq!((run.record.step, run.record.best_step, run.record.best.as_ref()), (0, None, None), "it is lost");
        assert_eq!(run.record.won, Some([0.0, 0.0]), "the share from before is what is left");
    }

    #[test]
    fn going_back_remembers_the_best_evaluation_where_no_adapter_is_kept() {
        let mut run = run(&[0, 2, 4, 6], None);
        run.record.watch.keep_best = false;
        run.record.best = Some(evaluation_of(6));
        run.checkpoint = Some(checkpoint_at(4));
        run.rewind();
        assert_eq!((run.record.step, run.record.best.as_ref().map(step_of)), (4, Some(4)), "the best of what is left");
        assert_eq!(run.record.best_step, None, "there is no adapter of it");
    }

    #[test]
    fn rewards_follow_beta() {
        let mut run = run(&[4], Some(4));
        run.rescale_rewards(f64::NAN);
        assert_eq!(run.history[0]["eval_rewards/margins"], json!(0.4), "of an unknown beta nothing is known");
        run.rescale_rewards(0.5);
        assert_eq!(run.history[0]["eval_rewards/margins"], json!(0.2), "half the beta, half the reward");
        assert_eq!(run.history[0]["eval_preference_accuracy"], json!(0.4), "a share stays what it is");
        assert_eq!(run.record.best.as_ref().map(|best| &best["eval_rewards/margins"]), Some(&json!(0.2)));
    }

    #[test]
    fn a_summary_tells_of_what_is_kept() {
        let share = |run: &Run| summary(run).after.map(|share| share.wins);
        assert_eq!(share(&run(&[0, 4, 8], Some(4))), Some(4), "of the best adapter");
        assert_eq!(share(&run(&[0, 4, 9], None)), Some(9), "of the last, which was scored");
        assert_eq!(share(&run(&[0, 4, 8], None)), None, "of the last, which was not");
    }

    #[test]
    fn evaluations_compare_whatever_beta_is() {
        let with = |margins: f64, chosen: f64| {
            let mut metrics = evaluation_of(4);
            metrics.insert("eval_rewards/margins".to_owned(), json!(margins));
            metrics.insert("eval_logps/chosen".to_owned(), json!(chosen));
            metrics.insert("eval_logps/rejected".to_owned(), json!(-50.0));
            metrics
        };
        assert!(rank(&with(0.1, -40.0)) > rank(&with(0.3, -41.0)), "a larger beta alone is not better");
    }
}
