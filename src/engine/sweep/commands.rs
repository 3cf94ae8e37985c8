//! A sweep in the session: the open model on the open pairs, and each value's model kept as a run.

use std::rc::Rc;

use super::{Host, Meter, Over, Point, Run, Sweep, check_method, check_values, config_of, judge, short};
use crate::data::{Method, tokenize};
use crate::engine::compare::held_out::Bench;
use crate::engine::library::keep::Trained;
use crate::engine::model::open_model::OpenModel;
use crate::engine::plan::planning;
use crate::engine::protocol::{Event, Inputs, Metrics, Settings, SweepEvent, SweepRequest, SweepStanding};
use crate::engine::race::HELD_OUT;
use crate::engine::run::reference::data_of;
use crate::engine::session::Session;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::fresh;
use crate::platform::LocalFuture;
use crate::platform::host::seconds;
use crate::train::{ReferenceKey, TrainConfig, Trainer, check_fits};

/// Origin of a sweep's settings, for errors.
const AT: &str = "the sweep's settings";

/// Settings of the runs, and the values, rising; an error if a run with one of them could not begin.
fn checked(mut given: Settings, over: Over, mut values: Vec<f64>) -> Result<(TrainConfig, Vec<f64>)> {
    given.entry("eval_split").or_insert(HELD_OUT.into());
    let config = TrainConfig::from_map(&given, AT)?;
    check_method(config.method(), AT)?;
    values.sort_by(f64::total_cmp);
    check_values(over, &values, AT)?;
    for value in &values {
        TrainConfig::from_map(&config_of(&config, over, *value).to_map(), AT)?;
    }
    Ok((config, values))
}

impl Session {
    /// Trains with several values of a setting on the open model and pairs.
    pub(in crate::engine) async fn sweep(&mut self, request: SweepRequest) -> Result<()> {
        let SweepRequest { name, settings, inputs, over, values } = request;
        let (mut config, values) = checked(settings, over, values)?;
        let open = self.opened()?;
        let initial = self.first_adapter(&inputs, &config, &open).await?;
        if let Some(initial) = &initial {
            // Its shape is its own, whatever the settings say.
            config.take_adapter(&initial.config, &Settings::new(), AT)?;
        }
        let split = self.split(&config).await?;
        check_fits(&planning::memory(&config, &open, &split)?, self.limit_now())?;
        let (_, held_out, rows) = self.pairs_to_measure(&split)?;
        let tokenizer = open.tokenizer();
        let held_out = tokenize(&held_out, &tokenizer, config.max_length)?.pairs;
        let Bench { gpu, open, model } = self.bench_for(&config).await?;
        self.wire.send(Event::Sweep(SweepEvent::Begins { values: values.clone() }));

        let reference = Self::reference_adapter(&gpu, &open, &model, &config, initial.as_ref())?;
        let bytes = reference.as_ref().map(|(_, bytes)| bytes.as_slice());
        let data = data_of(&model, &tokenizer.fingerprint(), &config, &split.train, bytes);
        let reference = match config.has_reference() {
            true => {
                let first = reference.as_ref().map(|(adapter, _)| (adapter, &data));
                let known = self.reference(&gpu, &model, &config, &split.train, first).await?;
                known.into_iter().map(Some).collect()
            }
            false => vec![None; split.train.len()],
        };
        let first = match &initial {
            Some(values) => Some(Self::upload(&gpu, &open, &model, &config, Some(values))?),
            None => None,
        };
        let inbox = &mut self.wire.inbox;
        let stop = &mut || inbox.wants_the_run_to_end("");
        let meter = Meter::new(&gpu, &model, &config, &held_out, first.as_ref(), open.eos.clone(), stop).await?;
        let adapter = initial.as_ref().map_or_else(|| config.adapter(&open.base), |values| values.config.clone());
        let settings = config.adapter_settings(adapter, &open.config)?;
        let is_fresh = initial.is_none();
        let start = initial.unwrap_or_else(|| fresh(&settings, &open.config, config.seed));
        let sweep = Sweep {
            gpu: &gpu,
            model: &model,
            over,
            config: &config,
            settings: &settings,
            values: &start,
            is_fresh,
            from: "the run that it starts from",
            train: &split.train,
            reference,
            meter,
        };
        let n_held_out = held_out.len();
        let (method, runs, history) = (config.method(), Vec::new(), Vec::new());
        let (gpu, open) = (&gpu, &*open);
        let mut live = Live {
            session: self,
            gpu,
            open,
            name,
            over,
            method,
            inputs,
            data,
            rows,
            n_held_out,
            history,
            runs,
            began: seconds(),
            stop: false,
        };
        let runs = sweep.run(&values, &mut live).await?;
        if runs.len() < values.len() || live.stop {
            return Err(crate::error::Error::Cancelled);
        }
        self.wire.send(Event::Sweep(SweepEvent::Done));
        Ok(())
    }
}

/// Reports a sweep, and keeps the models that it trains.
struct Live<'a> {
    session: &'a mut Session,
    gpu: &'a Rc<Gpu>,
    open: &'a OpenModel,
    /// Name of the sweep.
    name: String,
    over: Over,
    method: Method,
    inputs: Inputs,
    /// Hash of what all runs are trained on.
    data: ReferenceKey,
    /// The rows of every run that it leaves.
    rows: [Vec<u8>; 2],
    n_held_out: usize,
    /// Steps of the run under way, and when it began.
    history: Vec<Metrics>,
    began: f64,
    runs: Vec<Run>,
    /// Somebody stopped it.
    stop: bool,
}

impl Live<'_> {
    fn send(&self, event: SweepEvent) {
        self.session.wire.send(Event::Sweep(event));
    }

    /// Returns the results so far, with verdicts on all values.
    fn standing(&self) -> SweepStanding {
        let mut runs = self.runs.clone();
        runs.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (judgements, advice) = judge(self.over, self.method, &runs);
        SweepStanding { runs, judgements, advice }
    }
}

impl Host for Live<'_> {
    fn begins(&mut self, value: f64, n_steps: usize) {
        self.began = seconds();
        self.history.clear();
        self.send(SweepEvent::Run { value, n_steps });
    }

    fn after_step<'a>(
        &'a mut self,
        value: f64,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.history.push(metrics.clone());
            self.send(SweepEvent::Step { value, step: trainer.step });
            self.stop |= self.session.asked_aside().await;
            Ok(())
        })
    }

    fn measured(&mut self, value: f64, point: &Point) {
        self.send(SweepEvent::Point { value, point: point.clone() });
    }

    fn ended<'a>(&'a mut self, run: &'a Run, trainer: &'a Trainer<'_>) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.runs.push(run.clone());
            self.send(SweepEvent::Stands(Box::new(self.standing())));
            let won = run.points.first().zip(run.last()).map(|(first, last)| [first.pairs_won, last.pairs_won]);
            let trained = Trained {
                name: format!("{}: {} {}", self.name, self.over, short(run.value)),
                inputs: self.inputs.clone(),
                data: self.data.clone(),
                rows: &self.rows,
                n_held_out: self.n_held_out,
                history: std::mem::take(&mut self.history),
                won,
                seconds: seconds() - self.began,
            };
            if let Some(run_id) = self.session.keep_trained(self.gpu, self.open, trainer, trained).await {
                self.send(SweepEvent::Kept { value: run.value, run_id });
            }
            Ok(())
        })
    }

    fn stops(&mut self) -> bool {
        self.stop || self.session.wire.inbox.wants_the_run_to_end("")
    }
}
