//! A sweep over a setting: the run under way, the measurements of each value, and the verdicts on them.

use super::fold::State;
use super::race::Course;
use crate::app::text::notices;
use crate::engine::protocol::{Over, Problem, Settings, SweepEvent, SweepPoint, SweepRequest, SweepStanding};

/// Progress of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tried {
    /// The value.
    pub(crate) value: f64,
    /// Steps done.
    pub(crate) step: usize,
    /// Steps in all; 0 before it begins.
    pub(crate) n_steps: usize,
    /// Measurements so far, the start first.
    pub(crate) points: Vec<SweepPoint>,
    /// Id of the stored run.
    pub(crate) run_id: Option<String>,
}

/// The latest sweep.
#[derive(Debug)]
pub(crate) struct SweepState {
    /// Progress of the sweep.
    pub(crate) course: Course,
    /// The setting that is swept.
    pub(crate) over: Over,
    /// The settings of its runs, with the value that is in use.
    pub(crate) settings: Settings,
    /// The values, rising.
    pub(crate) tried: Vec<Tried>,
    /// The value under way.
    pub(crate) now: Option<f64>,
    /// Verdicts on the values so far.
    pub(crate) standing: Option<SweepStanding>,
    /// Start time, on the clock of `now`.
    pub(crate) since: f64,
}

impl Default for SweepState {
    fn default() -> Self {
        Self {
            course: Course::None,
            over: Over::Beta,
            settings: Settings::new(),
            tried: Vec::new(),
            now: None,
            standing: None,
            since: 0.0,
        }
    }
}

impl SweepState {
    /// The share of its steps that is done.
    pub(crate) fn fraction(&self) -> f32 {
        let done = |tried: &Tried| tried.step as f32 / tried.n_steps.max(1) as f32;
        self.tried.iter().map(done).sum::<f32>() / self.tried.len().max(1) as f32
    }

    /// Seconds that the other steps take at the pace of those that were taken, `now`; none before there is a pace.
    pub(crate) fn left(&self, now: f64) -> Option<f64> {
        let n_steps = self.tried.iter().map(|tried| tried.n_steps).max()?;
        let steps: usize = self.tried.iter().map(|tried| tried.step).sum();
        // A run may end before its last step: beaten at half of its steps, or by a number that is not finite.
        let has_ended =
            |value: f64| self.standing.iter().flat_map(|standing| &standing.runs).any(|run| run.value == value);
        let open = self.tried.iter().filter(|tried| !has_ended(tried.value));
        let left: usize = open.map(|tried| n_steps.saturating_sub(tried.step)).sum();
        let known = self.course == Course::Running && steps >= 2 && left > 0;
        known.then(|| (now - self.since) / steps as f64 * left as f64)
    }

    fn tried(&mut self, value: f64) -> Option<&mut Tried> {
        self.tried.iter_mut().find(|tried| tried.value == value)
    }

    fn take(&mut self, event: SweepEvent) {
        match event {
            SweepEvent::Begins { values } => {
                let fresh = |value| Tried { value, step: 0, n_steps: 0, points: Vec::new(), run_id: None };
                self.tried = values.into_iter().map(fresh).collect();
            }
            SweepEvent::Run { value, n_steps } => {
                self.now = Some(value);
                self.tried(value).into_iter().for_each(|tried| tried.n_steps = n_steps);
            }
            SweepEvent::Step { value, step } => self.tried(value).into_iter().for_each(|tried| tried.step = step),
            SweepEvent::Point { value, point } => {
                self.tried(value).into_iter().for_each(|tried| tried.points.push(point.clone()));
            }
            SweepEvent::Stands(standing) => self.standing = Some(*standing),
            SweepEvent::Kept { value, run_id } => {
                self.tried(value).into_iter().for_each(|tried| tried.run_id = Some(run_id.clone()));
            }
            SweepEvent::Done => (self.course, self.now) = (Course::Done, None),
        }
    }
}

impl State {
    pub(super) fn sweep_asked(&mut self, request: &SweepRequest, now: f64) {
        let (over, settings) = (request.over, request.settings.clone());
        self.sweep = SweepState { course: Course::Running, over, settings, since: now, ..SweepState::default() };
    }

    pub(super) fn sweep_went_on(&mut self, event: SweepEvent) {
        let done = event == SweepEvent::Done;
        self.sweep.take(event);
        if done {
            self.notice(notices::SWEEP_DONE, true);
            self.forget_progress();
        }
    }

    pub(super) fn sweep_refused(&mut self, problem: Problem) {
        self.sweep.course = Course::Failed(problem);
        self.sweep.now = None;
        self.forget_progress();
    }

    pub(super) fn sweep_ended(&mut self) {
        self.sweep.course.end();
        self.sweep.now = None;
        self.forget_progress();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{Advice, SweepEnded, SweepRun};

    #[test]
    fn a_value_that_is_given_up_takes_no_more_time() {
        let tried = |value, step| Tried { value, step, n_steps: 40, points: Vec::new(), run_id: None };
        let tried = vec![tried(0.1, 40), tried(0.3, 20), tried(1.0, 0)];
        let mut sweep = SweepState { course: Course::Running, tried, ..SweepState::default() };
        assert_eq!(sweep.left(60.0), Some(60.0), "60 steps are left, at a second each");
        let ended = SweepEnded::Beaten { by: 0.1 };
        let runs = vec![SweepRun { value: 0.3, ended, n_steps: 20, seconds: 20.0, points: Vec::new() }];
        let advice = Advice { value: None, tried: false, text: String::new() };
        sweep.standing = Some(SweepStanding { runs, judgements: Vec::new(), advice });
        assert_eq!(sweep.left(60.0), Some(40.0), "those of the value that waits");
        sweep.course = Course::Stopping;
        assert_eq!(sweep.left(60.0), None, "it ends now");
    }
}
