//! The sweep itself: the same training once for each value, measured on the way, on one copy of the weights.

use super::judge::{Ended, Over, Point, Run, beaten, measured_steps, short};
use super::meter::Meter;
use crate::data::{Example, Method};
use crate::engine::run::drive::{self, Next, number, upload_adapter};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::model::{AdapterSettings, Model};
use crate::platform::LocalFuture;
use crate::train::{Metrics, PairLogps, References, TrainConfig, Trainer};

/// Values at the most.
const MOST: usize = 12;

/// Whoever follows a sweep: reports it, keeps what it finds, and may stop it.
pub trait Host {
    /// Called when the run with a value begins, with its number of steps.
    fn begins(&mut self, value: f64, n_steps: usize);

    /// Called after every step.
    fn after_step<'a>(
        &'a mut self,
        value: f64,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds: f64,
    ) -> LocalFuture<'a, Result<()>>;

    /// Called with each measurement of a run, the first time before its first step.
    fn measured(&mut self, value: f64, point: &Point);

    /// Called when the run with a value has ended.
    fn ended<'a>(&'a mut self, run: &'a Run, trainer: &'a Trainer<'_>) -> LocalFuture<'a, Result<()>>;

    /// True if the sweep is to stop.
    fn stops(&mut self) -> bool;
}

/// Inputs that all runs share.
pub struct Sweep<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The base model.
    pub model: &'a Model,
    /// Setting that is swept.
    pub over: Over,
    /// The settings, with the value that a run without the sweep would have.
    pub config: &'a TrainConfig,
    /// Settings of the adapter that every run begins with.
    pub settings: &'a AdapterSettings,
    /// Its first values.
    pub values: &'a files::Adapter,
    /// True if they are fresh, and not those of another run.
    pub is_fresh: bool,
    /// Origin of the values, for errors.
    pub from: &'a str,
    /// Pairs to train on.
    pub train: &'a [Example],
    /// Log-probabilities of these by the reference; none where the method has no reference.
    pub reference: Vec<Option<PairLogps>>,
    /// Meter of the models.
    pub meter: Meter<'a>,
}

impl Sweep<'_> {
    /// Trains with each value, the one nearest to the settings' own first; fewer runs than values if the host stopped
    /// it.
    pub async fn run(&self, values: &[f64], host: &mut dyn Host) -> Result<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        for value in self.order(values) {
            let run = self.run_with(value, &runs, host).await?;
            runs.push(run);
            if host.stops() && runs.len() < values.len() {
                break;
            }
        }
        Ok(runs)
    }

    /// The values as they are run: the one that is nearest to the settings' own first, against which the others can be
    /// given up.
    fn order(&self, values: &[f64]) -> Vec<f64> {
        let own = value_of(self.config, self.over);
        let mut values = values.to_vec();
        values.sort_by(|a, b| (a / own).ln().abs().total_cmp(&(b / own).ln().abs()));
        values
    }

    /// Trains with a value, measures on the way, and says how it ended.
    async fn run_with(&self, value: f64, before: &[Run], host: &mut dyn Host) -> Result<Run> {
        let config = config_of(self.config, self.over, value);
        let architecture = &self.model.config;
        let adapter = upload_adapter(self.gpu, architecture, self.settings.clone(), self.values, self.from)?;
        if self.is_fresh {
            self.model.measure(self.gpu, &adapter);
        }
        // All of it is known, so that no adapter has to compute it.
        let reference = References { known: self.reference.clone(), adapter: None };
        let mut trainer = Trainer::new(self.gpu, self.model, config, adapter, self.train.to_vec(), reference)?;
        let n_steps = trainer.n_steps;
        host.begins(value, n_steps);
        let start = self.meter.start();
        host.measured(value, &start);
        let due = measured_steps(n_steps);
        let (meter, points) = (&self.meter, vec![start]);
        let mut watch = Watch { meter, value, before, host, due, points, seconds: 0.0, ended: Ended::Done };
        let ended = drive::steps(&mut trainer, &mut watch).await;
        let Watch { points, seconds, ended: how, host, .. } = watch;
        let ended = match ended {
            Ok(_) => how,
            Err(Error::Diverged { step, what }) => Ended::Diverged { what: format!("step {step}: {what}") },
            Err(Error::Cancelled) => Ended::Interrupted,
            Err(error) => return Err(error),
        };
        let run = Run { value, ended, n_steps, seconds, points };
        host.ended(&run, &trainer).await?;
        Ok(run)
    }
}

/// The settings of the run with a value.
pub fn config_of(config: &TrainConfig, over: Over, value: f64) -> TrainConfig {
    match over {
        Over::Beta => TrainConfig { beta: value, ..config.clone() },
        Over::LearningRate => TrainConfig { learning_rate: value, ..config.clone() },
    }
}

/// The value that settings have.
pub fn value_of(config: &TrainConfig, over: Over) -> f64 {
    match over {
        Over::Beta => config.beta,
        Over::LearningRate => config.learning_rate,
    }
}

/// An error if models of a method cannot be compared by pairs.
pub fn check_method(method: Method, at: &str) -> Result<()> {
    match method {
        Method::Dpo | Method::Orpo | Method::Cpo | Method::Kto => Ok(()),
        _ => Err(Error::input(
            format!("A sweep compares models by pairs, which {method} does not train on"),
            "Use dpo, orpo, cpo or kto",
            at,
        )),
    }
}

/// An error if these values, in rising order, are no sweep.
pub fn check_values(over: Over, values: &[f64], at: &str) -> Result<()> {
    if let Some(two) = values.windows(2).find(|two| two[0] == two[1]) {
        return Err(Error::input(format!("{over} {} is given twice", short(two[0])), "Give each value once", at));
    }
    if !(2..=MOST).contains(&values.len()) {
        let what = format!("The sweep has {} values", values.len());
        return Err(Error::input(what, format!("Give 2 to {MOST} values; 3 to 5 are usual"), at));
    }
    Ok(())
}

/// Watches a run: tells its steps, measures it now and then, and gives it up.
struct Watch<'a> {
    meter: &'a Meter<'a>,
    value: f64,
    before: &'a [Run],
    host: &'a mut dyn Host,
    /// Steps after which it is measured.
    due: Vec<usize>,
    points: Vec<Point>,
    seconds: f64,
    ended: Ended,
}

impl Watch<'_> {
    fn end(&mut self, how: Ended) -> Next {
        self.ended = how;
        Next::End
    }
}

impl drive::Host for Watch<'_> {
    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds_of_step: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            self.seconds += seconds_of_step;
            let (step, loss) = (trainer.step, number(metrics, "loss"));
            self.host.after_step(self.value, trainer, metrics, seconds_of_step).await?;
            if self.due.contains(&step) {
                let point = self.meter.measure(&trainer.adapter, step, loss, &mut || self.host.stops()).await?;
                let finite = point.is_finite();
                self.host.measured(self.value, &point);
                self.points.push(point);
                if !finite {
                    return Ok(self.end(Ended::Diverged { what: "what was measured is not a number".to_owned() }));
                }
                if let Some(by) = beaten(&self.points, trainer.n_steps, self.before) {
                    return Ok(self.end(Ended::Beaten { by }));
                }
            }
            match self.host.stops() && !trainer.done() {
                true => Ok(self.end(Ended::Interrupted)),
                false => Ok(Next::GoOn),
            }
        })
    }
}
