//! A race in the session: the open model on the open pairs, and each stage kept as a run.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{HELD_OUT, Host, Measure, Race, StageResult, Standing, check_given, sides, stage_config, told};
use crate::data::Method;
use crate::engine::compare::held_out::Bench;
use crate::engine::data::pairs::Split;
use crate::engine::library::keep::Trained;
use crate::engine::model::open_model::OpenModel;
use crate::engine::plan::planning;
use crate::engine::protocol::{Event, Inputs, Metrics, RaceEvent, RaceRequest};
use crate::engine::run::drive::Next;
use crate::engine::run::reference::data_of;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::platform::LocalFuture;
use crate::platform::host::seconds;
use crate::train::{Rows, Trainer, check_fits};

/// Prompts that a person can be asked about.
const MOST_PROMPTS: usize = 64;
/// Origin of a race's settings, for errors.
const AT: &str = "the race's settings";

impl Session {
    /// Sets DPO beside RLHF on the open model and pairs.
    pub(in crate::engine) async fn race(&mut self, request: RaceRequest) -> Result<()> {
        let RaceRequest { name, settings: mut given, against } = request;
        let plan = sides(&against, AT)?;
        given.entry("eval_split").or_insert(HELD_OUT.into());
        check_given(&given, &plan, AT)?;
        let config = stage_config(&given, Method::Dpo, AT)?;
        for method in plan.iter().flat_map(|side| &side.stages) {
            let config = stage_config(&given, *method, AT)?;
            let (open, split) = (self.opened()?, self.split(&config).await?);
            check_fits(&planning::memory(&config, &open, &split)?, self.limit_now())?;
        }
        let split = self.split(&config).await?;
        let (train, held_out, rows) = self.pairs_to_measure(&split)?;
        let n_held_out = held_out.len();
        let Bench { gpu, open, model } = self.bench_for(&config).await?;
        let tokenizer = open.tokenizer();
        let prompts = self.prompts_of(&split);
        self.wire.send(Event::Race(RaceEvent::Begins { plan, prompts }));
        let race = Race {
            gpu: &gpu,
            model: &model,
            tokenizer: &tokenizer,
            eos: open.eos.clone(),
            base: &open.base,
            weight_bytes: open.weight_bytes.on_device(config.load_in),
            given: &given,
            at: AT,
            train: Rows::Pairs(train),
            held_out: Rows::Pairs(held_out),
            against: &against,
        };
        let mut live = Live {
            session: self,
            gpu: &gpu,
            model: &model,
            open: &open,
            name,
            rows,
            n_held_out,
            method: Method::Reward,
            history: Vec::new(),
            began: seconds(),
            base: None,
            kept: BTreeMap::new(),
        };
        race.run(&mut live).await?;
        self.wire.send(Event::Race(RaceEvent::Done));
        Ok(())
    }

    /// The first prompts of the held-out pairs, each once.
    fn prompts_of(&self, split: &Split) -> Vec<String> {
        let mut prompts: Vec<String> = Vec::new();
        for row in &split.held_out {
            let prompt = self.pairs.as_ref().map(|pairs| pairs.prompt(row.row)).unwrap_or_default();
            if !prompt.trim().is_empty() && !prompts.contains(&prompt) && prompts.len() < MOST_PROMPTS {
                prompts.push(prompt);
            }
        }
        prompts
    }

    /// The pairs of a split, to train on and held out, and both as a run keeps them; an error if nothing is held out.
    pub(in crate::engine) fn pairs_to_measure(&self, split: &Split) -> Result<PairsToMeasure> {
        let Some(pairs) = &self.pairs else { return Err(Error::input("No pairs are open", "Choose a pairs file", "")) };
        let (train, held_out) = (pairs.some(&split.train)?, pairs.some(&split.held_out)?);
        if held_out.is_empty() {
            let fix = "Give more pairs, or hold a larger share of them out (eval_split)";
            return Err(Error::input("No pairs are held out to compare the models by", fix, pairs.name.clone()));
        }
        Ok((train, held_out, pairs.to_files(split)))
    }
}

/// Pairs to train on, pairs held out, and the files of both.
type PairsToMeasure = (Vec<crate::data::Record>, Vec<crate::data::Record>, [Vec<u8>; 2]);

/// Reports a race, and keeps the models that it trains.
struct Live<'a> {
    session: &'a mut Session,
    gpu: &'a Rc<Gpu>,
    model: &'a Model,
    open: &'a OpenModel,
    /// Name of the race.
    name: String,
    /// The rows of every run that it leaves.
    rows: [Vec<u8>; 2],
    n_held_out: usize,
    /// The stage under way, its steps, and when it began.
    method: Method,
    history: Vec<Metrics>,
    began: f64,
    base: Option<Measure>,
    /// The runs that it has left.
    kept: BTreeMap<&'static str, String>,
}

impl Live<'_> {
    fn send(&self, event: RaceEvent) {
        self.session.wire.send(Event::Race(event));
    }

    /// Returns the inputs of a stage's run: the last stage of RLHF starts from the fine-tuned model, and the reward
    /// model judges it.
    fn inputs(&self, method: Method) -> Inputs {
        if !method.is_online() {
            return Inputs::default();
        }
        let run_of = |method: Method| self.kept.get(method.name()).cloned();
        let rewards = run_of(Method::Reward).iter().map(|run_id| Inputs::run_reward(run_id)).collect();
        Inputs { rewards, start_from: run_of(Method::Sft) }
    }

    async fn keep(&mut self, trainer: &Trainer<'_>, measure: Option<&Measure>) -> Result<()> {
        let config = &trainer.config;
        let method = config.method();
        let inputs = self.inputs(method);
        let train = self.session.split(config).await?.train;
        let first = self.session.first_adapter(&inputs, config, self.open).await?.map(|first| first.tensor_file());
        let trained = Trained {
            name: format!("{}: {}", self.name, method.name()),
            inputs,
            data: data_of(self.model, &self.open.tokenizer().fingerprint(), config, &train, first.as_deref()),
            rows: &self.rows,
            n_held_out: self.n_held_out,
            history: std::mem::take(&mut self.history),
            won: self.base.zip(measure).map(|(base, measure)| [base.won, measure.won]),
            seconds: seconds() - self.began,
        };
        if let Some(run_id) = self.session.keep_trained(self.gpu, self.open, trainer, trained).await {
            self.kept.insert(method.name(), run_id.clone());
            self.send(RaceEvent::Kept { method, run_id });
        }
        Ok(())
    }
}

impl Host for Live<'_> {
    fn begins(&mut self, method: Method, n_steps: usize) {
        (self.method, self.began) = (method, seconds());
        self.history.clear();
        self.send(RaceEvent::Stage { method, n_steps });
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            self.history.push(metrics.clone());
            let (metric, value) = told(metrics).unwrap_or(("loss", f64::NAN));
            let (method, step) = (self.method, trainer.step);
            self.send(RaceEvent::Step { method, step, metric: metric.to_owned(), value });
            Ok(if self.session.asked_aside().await { Next::End } else { Next::GoOn })
        })
    }

    fn ended<'a>(
        &'a mut self,
        _stage: &'a StageResult,
        trainer: &'a Trainer<'_>,
        measure: Option<&'a Measure>,
    ) -> LocalFuture<'a, Result<()>> {
        Box::pin(self.keep(trainer, measure))
    }

    fn measured(&mut self, _name: &str, measure: &Measure) {
        // The base model's comes first.
        self.base.get_or_insert(*measure);
    }

    fn stands(&mut self, standing: &Standing) {
        self.send(RaceEvent::Stands(Box::new(standing.clone())));
    }
}
