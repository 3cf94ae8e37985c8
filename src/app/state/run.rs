//! A run: its phase, its metrics, its clock, and what was seen of it.

use std::collections::{BTreeMap, VecDeque};

use super::plan::{PlanState, RunParts};
use crate::app::records::rounds_left;
use crate::app::text::units;
use crate::engine::protocol::{
    Answered, Failure, Metrics, Phase, Problem, Progress, RunInfo, SampleAnswer, Summary, is_evaluation, step_of,
};
use crate::engine::run::warnings::Warning;
use crate::engine::stats;

/// Number of recent steps that the speed is measured over.
const RECENT_STEPS: usize = 20;

/// A run.
#[derive(Debug)]
pub(crate) struct RunState {
    /// Facts about the run as it began or was opened, with its record kept up to date.
    pub(crate) info: RunInfo,
    /// Phase of the run.
    pub(crate) phase: RunPhase,
    /// Work beside its steps, with its progress.
    pub(crate) progress: Option<(Phase, Progress)>,
    /// Metrics of its steps, in order.
    pub(crate) history: Vec<Metrics>,
    /// The same by metric, as curves of step and value.
    pub(super) curves: BTreeMap<String, Vec<[f64; 2]>>,
    /// Seconds of the steps that were taken while we watched: step and seconds.
    pub(crate) step_seconds: Vec<[f64; 2]>,
    /// Metrics of its evaluations, in order; the first is from before the first step.
    pub(crate) evaluations: Vec<Metrics>,
    /// Answers to the sample prompts: step and texts.
    pub(crate) samples: Vec<(usize, Vec<SampleAnswer>)>,
    /// Answers that it wrote for its steps, the latest last.
    pub(crate) rollouts: VecDeque<Rollouts>,
    /// Warnings so far.
    pub(crate) warnings: Vec<RunWarning>,
    /// The latest save.
    pub(crate) saved: Option<Saved>,
    /// Why the last save failed; the run is only in the engine's memory.
    pub(crate) unsaved: Option<Problem>,
    /// Seconds of each evaluation seen, including the answers to the sample prompts.
    pub(super) rounds: Vec<f64>,
    /// Seconds of the run's parts by the plan, if the run was measured before it began.
    pub(crate) expected: Option<RunParts>,
    /// Start time of the current evaluation, on the clock of `now`.
    pub(super) round_since: Option<f64>,
    /// Time when it last began to work, on the clock of `now`; none while it rests.
    pub(super) active_since: Option<f64>,
    /// Seconds that it worked before `active_since`.
    pub(super) active_seconds: f64,
}

/// Phase of a run, as the user sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RunPhase {
    /// Work before its first step.
    Preparing,
    /// Steps are taken.
    Running,
    /// It was asked to pause.
    Pausing,
    /// It waits.
    Paused,
    /// It was asked to end.
    Stopping,
    /// It is over.
    Finished(Box<Summary>),
    /// Something failed.
    Failed {
        /// The failure.
        failure: Failure,
        /// Step of the last safe state.
        safe_step: Option<usize>,
    },
    /// Something failed; the run continues by itself unless the user decides before.
    Recovering {
        /// The failure.
        failure: Failure,
        /// Step of the last safe state.
        safe_step: Option<usize>,
        /// Time when it continues, on the clock of `now`.
        until: f64,
    },
    /// A stored run, open for comparing and exporting; it is not running.
    Opened,
}

/// Answers that a run wrote for a step.
#[derive(Debug)]
pub(crate) struct Rollouts {
    /// The step.
    pub(crate) step: usize,
    /// Names of the rewards.
    pub(crate) rewards: Vec<String>,
    /// The answers, grouped by prompt.
    pub(crate) answers: Vec<Answered>,
}

/// A warning about the run.
#[derive(Debug)]
pub(crate) struct RunWarning {
    /// The warning.
    pub(crate) warning: Warning,
    /// True once the user has dismissed it.
    pub(crate) dismissed: bool,
}

/// A save.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Saved {
    /// Optimiser steps done.
    pub(crate) step: usize,
    /// Bytes of the checkpoint.
    pub(crate) bytes: u64,
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// Time of the save, on the clock of `now`.
    pub(crate) at: f64,
}

impl RunState {
    /// Creates a run at work from the engine's description of it.
    pub(super) fn new(info: RunInfo) -> Self {
        let (evaluations, history): (Vec<_>, Vec<_>) = info.history.iter().cloned().partition(is_evaluation);
        let active_seconds = info.record.seconds;
        let shown = |warning: &Warning| RunWarning { warning: warning.clone(), dismissed: false };
        let warnings = info.warnings.iter().map(shown).collect();
        let mut curves = BTreeMap::new();
        history.iter().for_each(|metrics| add_to_curves(&mut curves, metrics));
        Self {
            samples: info.samples.clone(),
            info,
            phase: RunPhase::Preparing,
            progress: None,
            history,
            curves,
            step_seconds: Vec::new(),
            evaluations,
            rollouts: VecDeque::new(),
            warnings,
            saved: None,
            unsaved: None,
            rounds: Vec::new(),
            expected: None,
            round_since: None,
            active_since: None,
            active_seconds,
        }
    }

    /// Keeps what was seen of the same run before it went on or was opened again.
    pub(super) fn remember(&mut self, before: Option<&mut Self>) {
        let Some(before) = before else { return };
        self.step_seconds = std::mem::take(&mut before.step_seconds);
        self.step_seconds.retain(|[step, _]| *step <= self.info.record.step as f64);
        self.rounds = std::mem::take(&mut before.rounds);
        // More steps than before take more time than was planned.
        let planned = before.expected.filter(|_| before.n_steps() == self.n_steps());
        self.expected = self.expected.or(planned);
        self.rollouts = std::mem::take(&mut before.rollouts);
        self.saved = before.saved;
        self.unsaved = before.unsaved.take();
        let dismissed = |warning: &Warning| {
            let same = |seen: &&RunWarning| (seen.warning.kind, seen.warning.step) == (warning.kind, warning.step);
            before.warnings.iter().find(same).is_some_and(|seen| seen.dismissed)
        };
        for seen in &mut self.warnings {
            seen.dismissed = dismissed(&seen.warning);
        }
    }

    /// True if it begins with the planned settings, so that the plan's times are its own.
    pub(super) fn is_as_planned(&self, plan: &PlanState) -> bool {
        let planned = plan.info.as_ref().map(|info| &info.full_settings);
        self.step() == 0 && planned == Some(&self.info.record.settings)
    }

    /// True while it needs the GPU: it is preparing, taking steps, or about to stop doing so.
    pub(crate) fn is_active(&self) -> bool {
        use RunPhase as P;
        matches!(self.phase, P::Preparing | P::Running | P::Pausing | P::Stopping | P::Recovering { .. })
    }

    /// Steps done.
    pub(crate) fn step(&self) -> usize {
        self.info.record.step
    }

    /// Steps in all.
    pub(crate) fn n_steps(&self) -> usize {
        self.info.record.n_steps
    }

    /// Steps done of all steps, from 0 to 1.
    pub(crate) fn fraction(&self) -> f32 {
        self.step() as f32 / self.n_steps().max(1) as f32
    }

    /// Seconds that it has worked.
    pub(crate) fn elapsed(&self, now: f64) -> f64 {
        self.active_seconds + self.active_since.map_or(0.0, |since| (now - since).max(0.0))
    }

    /// Seconds that are left, by the median of the recent steps and the mean of the evaluations so far, else of those
    /// before it went on; only those of the work at hand once it was asked to pause or to end.
    pub(crate) fn eta(&self) -> Option<f64> {
        if matches!(self.phase, RunPhase::Pausing | RunPhase::Stopping) {
            return units::seconds_left(&self.progress.as_ref()?.1);
        }
        let recent = &self.step_seconds[self.step_seconds.len().saturating_sub(RECENT_STEPS)..];
        let seconds: Vec<f64> = recent.iter().map(|[_, seconds]| *seconds).collect();
        let steps = stats::eta_seconds(&seconds, self.n_steps().saturating_sub(self.step()))?;
        let record = &self.info.record;
        let expected = || record.round_seconds.or(self.expected.map(|parts| parts.round()));
        let round = match self.rounds.is_empty() {
            true => expected().unwrap_or(0.0),
            false => self.rounds.iter().sum::<f64>() / self.rounds.len() as f64,
        };
        // The base model is evaluated after the first steps.
        let of_base = usize::from(self.evaluations.is_empty() && record.n_held_out > 0);
        Some(steps + round * (rounds_left(record) + of_base) as f64)
    }

    /// Tokens per second over the recent steps.
    pub(crate) fn tokens_per_second(&self) -> Option<f64> {
        let n = self.step_seconds.len().min(self.history.len().saturating_sub(1)).min(RECENT_STEPS);
        let before = self.history.get(self.history.len().checked_sub(n + 1)?)?;
        let tokens = metric(self.history.last()?, "num_tokens")? - metric(before, "num_tokens")?;
        let seconds: f64 = self.step_seconds[self.step_seconds.len() - n..].iter().map(|[_, seconds]| seconds).sum();
        (n > 0 && seconds > 0.0).then(|| tokens / seconds)
    }

    /// Values of a metric over the steps: step and value.
    pub(crate) fn series(&self, name: &str) -> &[[f64; 2]] {
        self.curves.get(name).map_or(&[], Vec::as_slice)
    }

    /// Values of a metric over the evaluations: step and value.
    pub(crate) fn eval_series(&self, name: &str) -> Vec<[f64; 2]> {
        series(&self.evaluations, name)
    }

    /// The latest value of a metric of the steps.
    pub(crate) fn latest(&self, name: &str) -> Option<f64> {
        self.history.iter().rev().find_map(|metrics| metric(metrics, name))
    }

    pub(super) fn step_taken(&mut self, metrics: Metrics, seconds: f64, now: f64) {
        let step = step_of(&metrics);
        if matches!(self.phase, RunPhase::Preparing | RunPhase::Paused) {
            self.phase = RunPhase::Running;
        }
        self.work(now);
        if let Some(since) = self.round_since.take() {
            self.rounds.push((now - since - seconds).max(0.0));
        }
        // After a failure, steps are taken again and replace the old ones.
        self.history.truncate(self.history.partition_point(|before| step_of(before) < step));
        for curve in self.curves.values_mut() {
            curve.truncate(curve.partition_point(|[before, _]| *before < step as f64));
        }
        add_to_curves(&mut self.curves, &metrics);
        self.evaluations.retain(|before| step_of(before) < step);
        self.info.record.step = step;
        self.history.push(metrics);
        self.step_seconds.truncate(self.step_seconds.partition_point(|[before, _]| *before < step as f64));
        self.step_seconds.push([step as f64, seconds]);
        self.progress = None;
    }

    pub(super) fn evaluated(&mut self, metrics: Metrics, best: bool) {
        let step = step_of(&metrics);
        let record = &mut self.info.record;
        if best {
            record.best_step = record.watch.keep_best.then_some(step).or(record.best_step);
            record.best = Some(metrics.clone());
        }
        if let Some(now) = accuracy_of(&metrics) {
            let before = self.evaluations.first().and_then(accuracy_of).unwrap_or(now);
            record.won = Some([before, now]);
        }
        self.evaluations.retain(|before| step_of(before) != step);
        self.evaluations.push(metrics);
    }

    /// Starts the clock of the run.
    pub(super) fn work(&mut self, now: f64) {
        self.active_since.get_or_insert(now);
    }

    /// Stops the clock of the run.
    pub(super) fn rest(&mut self, now: f64) {
        self.active_seconds = self.elapsed(now);
        self.active_since = None;
        self.round_since = None;
    }
}

/// The number under a metric's name.
pub(crate) fn metric(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.get(name)?.as_f64()
}

/// Held-out accuracy of an evaluation, between 0 and 1.
pub(crate) fn accuracy_of(metrics: &Metrics) -> Option<f64> {
    metric(metrics, "eval_preference_accuracy")
}

fn add_to_curves(curves: &mut BTreeMap<String, Vec<[f64; 2]>>, metrics: &Metrics) {
    let step = step_of(metrics) as f64;
    for (name, value) in metrics {
        if let Some(value) = value.as_f64() {
            match curves.get_mut(name) {
                Some(curve) => curve.push([step, value]),
                None => drop(curves.insert(name.clone(), vec![[step, value]])),
            }
        }
    }
}

/// Values of a metric: step and value.
pub(crate) fn series(history: &[Metrics], name: &str) -> Vec<[f64; 2]> {
    history.iter().filter_map(|metrics| Some([step_of(metrics) as f64, metric(metrics, name)?])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::app::state::State;
    use crate::engine::protocol::Event;
    use crate::link::Incoming;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    /// A state with a run of `n_steps` that begins at 0 on the clock, and is evaluated every tenth step.
    fn with_run(n_steps: usize) -> State {
        let record = json!({
            "run_id": "r", "name": "r", "notes": "", "status": "running", "created": 0.0, "seconds": 0.0,
            "model": { "source": "demo" }, "model_name": "", "pairs_name": "", "settings": {},
            "watch": { "eval_steps": 10, "keep_best": true, "prompts": [], "save_seconds": 60.0 },
            "step": 0, "n_steps": n_steps, "checkpoint": null, "best_step": null, "best": null, "won": null,
            "n_held_out": 30, "longer_wins": 0.5, "sparkline": [], "bytes": 0,
        });
        let info = json!({
            "record": record, "history": [], "prompts": [], "samples": [], "warnings": [], "planned_bytes": 0,
            "device_bytes": 0,
        });
        let mut state = State::default();
        let started = Event::RunStarted(Box::new(serde_json::from_value(info).expect("a run")));
        state.apply(Incoming::Event(Box::new(started)), 0.0);
        state
    }

    fn step(state: &mut State, step: usize, now: f64) {
        let metrics = map(json!({ "step": step, "loss": 0.5 }));
        let event = Event::Step { run_id: "r".to_owned(), metrics, seconds: 2.0 };
        state.apply(Incoming::Event(Box::new(event)), now);
    }

    #[test]
    fn the_time_left_counts_evaluations() {
        let mut state = with_run(40);
        let progress = Progress { what: String::new(), done: 0, total: 30, seconds: 0.0 };
        let evaluating = Event::Phase { run_id: "r".to_owned(), phase: Phase::Evaluating, progress };
        state.apply(Incoming::Event(Box::new(evaluating)), 1.0);
        // Seven seconds of evaluation, then a step of two.
        step(&mut state, 1, 10.0);
        let eta = |state: &State| state.run.as_ref().and_then(RunState::eta);
        assert_eq!(eta(&state), Some(39.0 * 2.0 + 5.0 * 7.0), "of the base model, after 10, 20, 30 and the last step");
        let metrics = map(json!({ "step": 0, "eval_loss": 0.7 }));
        let evaluated = Event::Evaluated { run_id: "r".to_owned(), metrics, best: false };
        state.apply(Incoming::Event(Box::new(evaluated)), 11.0);
        assert_eq!(eta(&state), Some(39.0 * 2.0 + 4.0 * 7.0), "the base model was evaluated");
        step(&mut state, 30, 12.0);
        assert_eq!(eta(&state), Some(10.0 * 2.0 + 7.0), "only the last one");
        if let Some(run) = &mut state.run {
            run.rounds.clear();
            run.info.record.round_seconds = Some(5.0);
        }
        assert_eq!(eta(&state), Some(10.0 * 2.0 + 5.0), "as long as those of the run before it went on");
    }

    #[test]
    fn curves_follow_the_steps_and_go_back_with_them() {
        let mut state = with_run(40);
        for (at, now) in [(1, 1.0), (2, 2.0), (3, 3.0), (2, 4.0)] {
            step(&mut state, at, now);
        }
        let run = state.run.expect("a run");
        assert_eq!(run.series("loss"), [[1.0, 0.5], [2.0, 0.5]]);
        assert_eq!((run.history.len(), run.step_seconds.len()), (2, 2));
        assert!(run.series("grad_norm").is_empty(), "nobody told of it");
    }
}
