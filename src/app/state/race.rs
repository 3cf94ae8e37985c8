//! DPO against RLHF: the progress of each stage, and the measurements.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::State;
use super::machine::Connection;
use super::run::RunPhase;
use crate::app::text::notices;
use crate::engine::protocol::{Method, Problem, RaceEvent, Side, Standing};

/// Progress of a race or a sweep.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Course {
    /// Not asked for.
    #[default]
    None,
    /// Under way.
    Running,
    /// It was asked to stop, and finishes its step.
    Stopping,
    /// Finished.
    Done,
    /// Stopped before its end; the measurements until then stay.
    Stopped,
    /// It could not begin or continue.
    Failed(Problem),
}

impl Course {
    /// True while the engine is working on it.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }

    pub(super) fn stop(&mut self) {
        if self.is_active() {
            *self = Self::Stopping;
        }
    }

    /// Takes in that the engine no longer works on it, for whatever reason.
    pub(super) fn end(&mut self) {
        if self.is_active() {
            *self = Self::Stopped;
        }
    }
}

/// Progress of a stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Stage {
    /// Steps done.
    pub(crate) step: usize,
    /// Steps in all.
    pub(crate) n_steps: usize,
    /// Metric that shows the progress of its model, by TRL's name.
    pub(crate) metric: String,
    /// Its values.
    pub(crate) values: Vec<f64>,
    /// Id of the stored run.
    pub(crate) run_id: Option<String>,
    /// Time of its beginning, and of its latest step, on the clock of `now`.
    pub(crate) times: [f64; 2],
}

impl Stage {
    /// Seconds that its other steps take at the pace of those that it took, `now`; none before the second step.
    pub(crate) fn left(&self, now: f64) -> Option<f64> {
        let [began, stepped] = self.times;
        let each = (stepped - began) / self.step as f64;
        let left = self.n_steps.saturating_sub(self.step) as f64 * each - (now - stepped);
        (self.step >= 2 && self.step < self.n_steps).then_some(left.max(0.0))
    }
}

/// The latest race.
#[derive(Debug, Default)]
pub(crate) struct RaceState {
    /// Progress of the race.
    pub(crate) course: Course,
    /// The sides, as soon as they are known.
    pub(crate) plan: Vec<Side>,
    /// Held-out prompts to ask the finished models.
    pub(crate) prompts: Vec<String>,
    /// The stages that have begun, by the name of their method.
    pub(crate) stages: BTreeMap<&'static str, Stage>,
    /// The stage under way.
    pub(crate) now: Option<Method>,
    /// Measurements so far.
    pub(crate) standing: Standing,
    /// Start time, on the clock of `now`.
    pub(crate) since: f64,
}

impl RaceState {
    /// Returns a stage that has begun.
    pub(crate) fn stage(&self, method: Method) -> Option<&Stage> {
        self.stages.get(method.name())
    }

    /// Number of stages; one that several sides have counts once.
    fn n_stages(&self) -> usize {
        let methods: BTreeSet<&str> =
            self.plan.iter().flat_map(|side| &side.stages).map(|method| method.name()).collect();
        methods.len()
    }

    /// Share of the stages that is done; each stage counts alike.
    pub(crate) fn fraction(&self) -> f32 {
        let done = |stage: &Stage| stage.step as f32 / stage.n_steps.max(1) as f32;
        self.stages.values().map(done).sum::<f32>() / self.n_stages().max(1) as f32
    }

    /// Number of stages that have not begun. A step of theirs takes as long as nobody knows yet.
    pub(crate) fn n_waiting(&self) -> usize {
        self.n_stages().saturating_sub(self.stages.len())
    }

    fn take(&mut self, event: RaceEvent, now: f64) {
        match event {
            RaceEvent::Begins { plan, prompts } => (self.plan, self.prompts) = (plan, prompts),
            RaceEvent::Stage { method, n_steps } => {
                self.now = Some(method);
                self.stages.insert(method.name(), Stage { n_steps, times: [now; 2], ..Stage::default() });
            }
            RaceEvent::Step { method, step, metric, value } => {
                let stage = self.stages.entry(method.name()).or_default();
                (stage.step, stage.metric) = (step, metric);
                stage.values.push(value);
                stage.times[1] = now;
            }
            RaceEvent::Stands(standing) => self.standing = *standing,
            RaceEvent::Kept { method, run_id } => {
                self.stages.entry(method.name()).or_default().run_id = Some(run_id);
            }
            RaceEvent::Done => (self.course, self.now) = (Course::Done, None),
        }
    }
}

impl State {
    /// True while a race is at work.
    pub(crate) fn races(&self) -> bool {
        matches!(self.connection, Connection::Ready(_)) && self.race.course.is_active()
    }

    /// True while a sweep is at work.
    pub(crate) fn sweeps(&self) -> bool {
        matches!(self.connection, Connection::Ready(_)) && self.sweep.course.is_active()
    }

    /// True while anything is being trained.
    pub(crate) fn at_work(&self) -> bool {
        self.active_run().is_some() || self.races() || self.sweeps()
    }

    /// Takes in that the training at work was asked to end with what it has.
    pub(super) fn stop_asked(&mut self) {
        self.run_asked(RunPhase::Stopping);
        self.race.course.stop();
        self.sweep.course.stop();
    }

    pub(super) fn race_asked(&mut self, now: f64) {
        self.race = RaceState { course: Course::Running, since: now, ..RaceState::default() };
    }

    pub(super) fn race_went_on(&mut self, event: RaceEvent, now: f64) {
        let done = event == RaceEvent::Done;
        self.race.take(event, now);
        if done {
            self.notice(notices::RACE_DONE, true);
        }
    }

    pub(super) fn race_refused(&mut self, problem: Problem) {
        self.race.course = Course::Failed(problem);
        self.race.now = None;
    }

    pub(super) fn race_ended(&mut self) {
        self.race.course.end();
        self.race.now = None;
    }
}
