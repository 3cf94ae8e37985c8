//! Races and sweeps: series of runs that are compared.

use serde::{Deserialize, Serialize};

use super::{Advice, Inputs, Judgement, Method, Over, Settings, Side, Standing, SweepPoint, SweepRun};
use crate::engine::stats::number_or_nan;

/// A race to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceRequest {
    /// Name of the race; its runs are named after it and their stage.
    pub name: String,
    /// Settings of all stages, as far as each has them, and those of one stage under its method's name.
    pub settings: Settings,
    /// The methods that RLHF ends with.
    pub against: Vec<Method>,
}

/// A sweep to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// Name of the sweep; its runs are named after it and their value.
    pub name: String,
    /// Settings of all runs, with the value that a run without the sweep would have.
    pub settings: Settings,
    /// Rewards, and the run that every run starts from.
    pub inputs: Inputs,
    /// Setting to vary.
    pub over: Over,
    /// The values.
    pub values: Vec<f64>,
}

/// Event of a race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "race", rename_all = "snake_case")]
pub enum RaceEvent {
    /// It begins: nothing is in its way.
    Begins {
        /// The sides, DPO first.
        plan: Vec<Side>,
        /// Held-out prompts to ask the finished models, each once.
        prompts: Vec<String>,
    },
    /// A stage begins.
    Stage {
        /// Training method.
        method: Method,
        /// Its steps.
        n_steps: usize,
    },
    /// A step of a stage was taken.
    Step {
        /// The stage.
        method: Method,
        /// Steps done.
        step: usize,
        /// Metric that shows the model's progress, by TRL's name.
        metric: String,
        /// Its value.
        #[serde(deserialize_with = "number_or_nan")]
        value: f64,
    },
    /// Something was trained or measured: all that is known by now.
    Stands(Box<Standing>),
    /// The model that a stage trained is among the runs.
    Kept {
        /// The stage.
        method: Method,
        /// The run.
        run_id: String,
    },
    /// All stages are at their end.
    Done,
}

/// Event of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "sweep", rename_all = "snake_case")]
pub enum SweepEvent {
    /// It begins: nothing is in its way.
    Begins {
        /// The values, rising.
        values: Vec<f64>,
    },
    /// The run with a value begins.
    Run {
        /// The value.
        value: f64,
        /// Its steps.
        n_steps: usize,
    },
    /// A step of that run was taken.
    Step {
        /// The value.
        value: f64,
        /// Steps done.
        step: usize,
    },
    /// Something was measured of that run, the first time before its first step.
    Point {
        /// The value.
        value: f64,
        /// The measurement.
        point: SweepPoint,
    },
    /// A run is at its end: verdicts on all values so far.
    Stands(Box<SweepStanding>),
    /// The model that a run trained is among the runs.
    Kept {
        /// The value.
        value: f64,
        /// The run.
        run_id: String,
    },
    /// All values were tried.
    Done,
}

/// Results of a sweep so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepStanding {
    /// The runs at their end, by rising value.
    pub runs: Vec<SweepRun>,
    /// Verdict on each value (too low, about right, too high), in the same order.
    pub judgements: Vec<Judgement>,
    /// Value to train with.
    pub advice: Advice,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{Event, Measure, SweepEnded, race_sides};

    /// Returns an event as it arrives from a worker at its page.
    fn crossed(event: Event) -> Event {
        let text = serde_json::to_string(&event).expect("it can be written");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn races_and_sweeps_cross_the_wire() {
        let plan = race_sides(&[Method::Ppo], "a test").expect("sides");
        let measure = Measure { won: 0.5, score: f64::NAN, ..Measure::default() };
        let standing = Standing { base: Some(measure), plan: plan.clone(), ..Standing::default() };
        let point = SweepPoint {
            step: 3,
            loss: None,
            pairs_won: 0.5,
            reward_accuracy: 0.5,
            kl: f64::NAN,
            chosen_change: 1.0,
            won: Vec::new(),
        };
        let (method, run_id, metric) = (Method::Dpo, "a".to_owned(), "loss".to_owned());
        let advice = Advice { value: None, tried: false, text: String::new() };
        let run =
            SweepRun { value: 0.1, ended: SweepEnded::Done, n_steps: 4, seconds: 1.0, points: vec![point.clone()] };
        let stands = SweepStanding { runs: vec![run], judgements: Vec::new(), advice };
        let events = [
            Event::Race(RaceEvent::Begins { plan, prompts: vec!["Why?".to_owned()] }),
            Event::Race(RaceEvent::Stage { method, n_steps: 4 }),
            Event::Race(RaceEvent::Step { method, step: 1, metric, value: f64::NAN }),
            Event::Race(RaceEvent::Stands(Box::new(standing))),
            Event::Race(RaceEvent::Kept { method, run_id: run_id.clone() }),
            Event::Race(RaceEvent::Done),
            Event::Sweep(SweepEvent::Begins { values: vec![0.1] }),
            Event::Sweep(SweepEvent::Run { value: 0.1, n_steps: 4 }),
            Event::Sweep(SweepEvent::Step { value: 0.1, step: 1 }),
            Event::Sweep(SweepEvent::Point { value: 0.1, point }),
            Event::Sweep(SweepEvent::Stands(Box::new(stands))),
            Event::Sweep(SweepEvent::Kept { value: 0.1, run_id }),
            Event::Sweep(SweepEvent::Done),
        ];
        for event in events {
            // NaN does not equal itself, so the texts are compared.
            assert_eq!(format!("{:?}", crossed(event.clone())), format!("{event:?}"));
        }
    }
}
