//! Events of the run on the screen, from its beginning to its end.

use super::fold::State;
use super::machine::Connection;
use super::run::{Rollouts, RunPhase, RunState, RunWarning, Saved};
use crate::app::text::{notices, run};
use crate::engine::protocol::{
    Command, Failure, Level, Metrics, Phase, Problem, Progress, RunCommand, RunInfo, RunRecord, SampleAnswer, Status,
    Summary,
};
use crate::engine::run::warnings::Warning;

/// Number of steps whose answers are kept.
const ROLLOUTS: usize = 50;

impl State {
    /// The run, if it is at work.
    pub(crate) fn active_run(&self) -> Option<&RunState> {
        let there = matches!(self.connection, Connection::Ready(_));
        self.run.as_ref().filter(|run| there && run.is_active())
    }

    /// True if the run on the screen could not be saved, and is only in the engine's memory.
    pub(crate) fn unsaved(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.unsaved.is_some())
    }

    fn run_named(&mut self, run_id: &str) -> Option<&mut RunState> {
        self.run.as_mut().filter(|run| run.info.record.run_id == run_id)
    }

    pub(super) fn run_asked(&mut self, phase: RunPhase) {
        if let Some(run) = self.run.as_mut().filter(|run| run.is_active()) {
            run.phase = phase;
        }
    }

    /// Takes in that a run was asked for. The command for a stored run is kept, to be sent again if its model has to be
    /// opened first.
    pub(super) fn run_awaited(&mut self, command: &Command) {
        self.run_pending = true;
        self.run_problem = None;
        self.asked_run = None;
        if !matches!(command, Command::Run(RunCommand::Start(_))) {
            self.runs_problem = None;
            self.asked_run = Some(command.clone());
        }
    }

    /// Ends a run at once if it is cancelled while still being prepared.
    pub(super) fn cancel_asked(&mut self, now: f64) {
        if let Some(run) = &mut self.run
            && matches!(run.phase, RunPhase::Preparing)
        {
            run.progress = None;
            run.rest(now);
        }
    }

    pub(super) fn run_started(&mut self, info: RunInfo, now: f64) {
        let mut run = RunState::new(info);
        if run.is_as_planned(&self.plan) {
            run.expected = self.plan.run_parts();
        }
        run.remember(self.run_named(&run.info.record.run_id.clone()));
        run.work(now);
        self.run_pending = false;
        self.asked_run = None;
        self.run_problem = None;
        self.replace_run(run);
        self.notice(notices::RUN_STARTED, false);
    }

    pub(super) fn run_opened(&mut self, info: RunInfo) {
        let mut run = RunState::new(info);
        run.phase = RunPhase::Opened;
        run.remember(self.run_named(&run.info.record.run_id.clone()));
        self.run_pending = false;
        self.asked_run = None;
        self.replace_run(run);
    }

    pub(super) fn run_closed(&mut self, run_id: &str) {
        if self.run_named(run_id).is_none() {
            return;
        }
        self.forget_run();
        let is_kept = self.runs.as_ref().is_none_or(|runs| runs.iter().any(|run| run.run_id == run_id));
        // No notice if another run is being opened and takes its place.
        if is_kept && !self.run_pending {
            self.notice(notices::RUN_CLOSED, true);
        }
    }

    fn replace_run(&mut self, run: RunState) {
        self.forget_run();
        self.run = Some(run);
    }

    /// Removes the run and its results from the screen.
    pub(crate) fn forget_run(&mut self) {
        self.run = None;
        self.texts.clear();
        self.held_out.clear();
        self.held_out_pending = None;
        self.inspection = None;
        self.inspection_pending = false;
        self.exported = None;
        self.export_problem = None;
        self.compare_problem = None;
    }

    pub(super) fn run_finished(&mut self, summary: Box<Summary>, now: f64) {
        let text = notices::finished(&summary);
        if let Some(run) = self.run_named(&summary.record.run_id) {
            run.rest(now);
            run.progress = None;
            run.info.record = summary.record.clone();
            run.phase = RunPhase::Finished(summary);
            self.notice(&text, true);
        }
    }

    pub(super) fn run_discarded(&mut self, run_id: &str) {
        if self.run_named(run_id).is_some() {
            self.forget_run();
        }
        self.run_deleted(run_id);
        self.run_pending = false;
        self.notice(notices::DISCARDED, true);
    }

    pub(super) fn run_paused(&mut self, run_id: &str, step: usize, now: f64) {
        if let Some(run) = self.run_named(run_id) {
            run.rest(now);
            run.progress = None;
            run.info.record.step = step;
            run.info.record.status = Status::Paused;
            run.phase = RunPhase::Paused;
            let unsaved = run.unsaved.is_some();
            self.notice(&notices::paused_at(step, unsaved), true);
        }
    }

    pub(super) fn run_failed(&mut self, run_id: &str, failure: Failure, safe_step: Option<usize>, now: f64) {
        let text = run::failed(&failure);
        self.log_line(Level::Error, &text, now);
        self.run_pending = false;
        if let Some(run) = self.run_named(run_id) {
            run.rest(now);
            run.progress = None;
            run.info.record.status = match failure {
                Failure::Diverged { .. } => Status::Diverged,
                _ => Status::Failed,
            };
            run.phase = RunPhase::Failed { failure, safe_step };
            self.notice(&text, true);
        }
    }

    /// Takes in that the run continues by itself at `until`, on the clock of `now`.
    pub(super) fn run_recovering(
        &mut self,
        run_id: &str,
        failure: Failure,
        safe_step: Option<usize>,
        until: f64,
        now: f64,
    ) {
        let text = run::failed(&failure);
        self.log_line(Level::Warn, &text, now);
        if let Some(run) = self.run_named(run_id) {
            run.rest(now);
            run.phase = RunPhase::Recovering { failure, safe_step, until };
            self.notice(&text, true);
        }
    }

    pub(super) fn run_warned(&mut self, run_id: &str, warning: Warning, now: f64) {
        self.log_line(Level::Warn, &warning.text, now);
        let text = warning.text.clone();
        if let Some(run) = self.run_named(run_id) {
            run.warnings.push(RunWarning { warning, dismissed: false });
            self.notice(&text, false);
        }
    }

    /// Marks a warning as seen by the user.
    pub(crate) fn dismiss_warning(&mut self, index: usize) {
        if let Some(warning) = self.run.as_mut().and_then(|run| run.warnings.get_mut(index)) {
            warning.dismissed = true;
        }
    }

    pub(super) fn run_progress(&mut self, run_id: &str, phase: Phase, progress: Progress, now: f64) {
        self.run_pending = false;
        // A run that continues has read its own pairs by now.
        self.pairs.loading = None;
        let Some(run) = self.run_named(run_id) else { return };
        // The steps themselves are counted anyway.
        run.progress = Some((phase, progress)).filter(|_| phase != Phase::Training);
        if run.is_active() && matches!(phase, Phase::Evaluating | Phase::Sampling) {
            run.round_since.get_or_insert(now);
        }
        match (&run.phase, phase) {
            (RunPhase::Preparing, Phase::Training) => run.phase = RunPhase::Running,
            // Comparing and exporting take time too, but that is not the run's.
            (RunPhase::Opened | RunPhase::Paused | RunPhase::Finished(_) | RunPhase::Failed { .. }, _) => {}
            _ => run.work(now),
        }
    }

    pub(super) fn run_stepped(&mut self, run_id: &str, metrics: Metrics, seconds: f64, now: f64) {
        if let Some(run) = self.run_named(run_id) {
            run.step_taken(metrics, seconds, now);
        }
    }

    pub(super) fn run_answered(&mut self, run_id: &str, rollouts: Rollouts) {
        if let Some(run) = self.run_named(run_id) {
            // After a failure, steps are taken again and replace the old ones.
            run.rollouts.retain(|before| before.step < rollouts.step);
            run.rollouts.push_back(rollouts);
            if run.rollouts.len() > ROLLOUTS {
                run.rollouts.pop_front();
            }
        }
    }

    pub(super) fn run_evaluated(&mut self, run_id: &str, metrics: Metrics, best: bool) {
        if let Some(run) = self.run_named(run_id) {
            run.evaluated(metrics, best);
        }
    }

    pub(super) fn run_sampled(&mut self, run_id: &str, step: usize, answers: Vec<SampleAnswer>) {
        if let Some(run) = self.run_named(run_id) {
            run.samples.retain(|(s, _)| *s != step);
            run.samples.push((step, answers));
            run.samples.sort_by_key(|(step, _)| *step);
        }
    }

    pub(super) fn run_saved(&mut self, run_id: &str, saved: Saved) {
        if let Some(run) = self.run_named(run_id) {
            // A second save of a step writes only what was measured since.
            let before = run.saved.filter(|before| before.step == saved.step).map_or(0, |before| before.bytes);
            run.saved = Some(Saved { bytes: saved.bytes.max(before), ..saved });
            run.info.record.checkpoint = Some(RunRecord::checkpoint_at(saved.step));
            run.unsaved = None;
        }
    }

    pub(super) fn run_not_saved(&mut self, run_id: &str, problem: Problem, now: f64) {
        self.log_line(Level::Warn, problem.to_string(), now);
        let full = problem.is_full();
        if let Some(run) = self.run_named(run_id) {
            let new = run.unsaved.replace(problem).is_none();
            self.notice(notices::not_saved(full), new);
        }
    }

    pub(super) fn run_refused(&mut self, problem: Problem) {
        self.opening_ended(problem.wants_model());
        self.run_problem = Some(problem);
    }

    pub(super) fn run_cancelled(&mut self) {
        self.opening_ended(false);
        if self.run.as_ref().is_some_and(|run| run.phase == RunPhase::Preparing) {
            self.run = None;
        }
    }
}
