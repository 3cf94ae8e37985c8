//! The race itself: each stage is trained and measured in turn, on one copy of the weights.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::stages::{check_given, sides, stage_config};
use super::standing::{Measure, Point, StageResult, Standing};
use crate::data::{Example, Method, Sample, Tokenizer};
use crate::engine::run::answers::{Writer, Writing};
use crate::engine::run::drive::{self, Next, upload_adapter};
use crate::engine::run::rewards::RewardModel;
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::kernels::Sampling;
use crate::model::{Adapter, Model, fresh};
use crate::platform::LocalFuture;
use crate::platform::host::seconds;
use crate::train::{
    Judged, Metrics, OnlineRun, Options, Reference, References, Rollout, Rows, Scorer, TrainConfig, Trainer,
    answer_logps,
};

/// Held-out prompts that are answered for a measurement.
const ANSWERED: usize = 64;
/// Times that a model is measured while the last stage of a side goes on.
const MEASURED: usize = 4;

/// Returns the metric of a step that shows the model's progress: the mean score of its answers, or its loss.
pub fn told(metrics: &Metrics) -> Option<(&'static str, f64)> {
    let name = ["objective/scores", "reward", "loss"].into_iter().find(|name| metrics.contains_key(*name))?;
    Some((name, drive::number(metrics, name)))
}

/// Whoever follows a race: reports it, keeps what it trains, and may stop it.
pub trait Host {
    /// Called when a stage begins, with its number of steps.
    fn begins(&mut self, method: Method, n_steps: usize);

    /// Called after every step; the race stops if it returns `Next::End`.
    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds: f64,
    ) -> LocalFuture<'a, Result<Next>>;

    /// Called at the end of a stage, with the measurements of the model if the stage is the last of its side.
    fn ended<'a>(
        &'a mut self,
        stage: &'a StageResult,
        trainer: &'a Trainer<'_>,
        measure: Option<&'a Measure>,
    ) -> LocalFuture<'a, Result<()>>;

    /// Called with the measurements of the base model, or of the model that a stage has finished.
    fn measured(&mut self, name: &str, measure: &Measure);

    /// Called with the state of the race, each time that something was measured or trained.
    fn stands(&mut self, standing: &Standing);
}

/// Inputs that all stages share.
pub struct Race<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The base model.
    pub model: &'a Model,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The tokens that end an answer.
    pub eos: Vec<u32>,
    /// Name of the base in adapters.
    pub base: &'a str,
    /// Bytes of its weights on the device.
    pub weight_bytes: u64,
    /// Settings of all stages, and of one under its name.
    pub given: &'a Map<String, Value>,
    /// Origin of the settings, for errors.
    pub at: &'a str,
    /// Pairs to train on.
    pub train: Rows,
    /// Pairs to measure with.
    pub held_out: Rows,
    /// The methods that RLHF ends with.
    pub against: &'a [Method],
}

impl Race<'_> {
    /// Trains and measures everything. `Error::Cancelled` if the host stopped it; it knows how the race stood.
    pub async fn run(&self, host: &mut dyn Host) -> Result<Standing> {
        let plan = sides(self.against, self.at)?;
        check_given(self.given, &plan, self.at)?;
        let pairs = self.config(Method::Dpo)?;
        let held_out = self.held_out.tokenize(self.tokenizer, &pairs)?.examples;
        let online: Vec<Method> = plan[1..].iter().filter_map(|side| side.stages.last().copied()).collect();
        let policy = self.config(online[0])?;
        let standing = Standing::new(plan);
        let mut running =
            Running { race: self, host, standing, jury: None, pairs, held_out: &held_out, began: seconds() };
        // The reward model comes first: it judges all.
        let scorer = running.offline(Method::Reward, None).await?;
        let scorer = Rc::new(RewardModel { name: "reward".to_owned(), adapter: scorer });
        running.jury = Some(self.jury_of(&policy, scorer.clone())?);
        let base = running.measure(None).await?;
        running.host.measured("base model", &base);
        running.standing.base = Some(base);
        running.point(0, 0.0, base);

        drop(running.offline(Method::Dpo, Some(0)).await?);
        let imitator = running.offline(Method::Sft, None).await?;
        let begun = running.measure(Some(&imitator)).await?;
        running.host.measured("fine-tuned on the chosen answers", &begun);
        let imitator = imitator.get(self.gpu).await?;
        for (at, method) in online.into_iter().enumerate() {
            running.point(at + 1, 0.0, begun);
            running.online(method, at + 1, &imitator, &scorer).await?;
        }
        Ok(running.standing)
    }

    fn config(&self, method: Method) -> Result<TrainConfig> {
        stage_config(self.given, method, self.at)
    }

    /// The prompts of some rows.
    fn prompts(rows: &Rows) -> Vec<Sample> {
        match rows {
            Rows::Pairs(pairs) => pairs.iter().map(Sample::prompt_of).collect(),
            Rows::Samples(samples) => samples.clone(),
        }
    }

    /// Returns the writer that shows answers to the held-out prompts to the reward model.
    fn jury_of(&self, policy: &TrainConfig, scorer: Rc<RewardModel>) -> Result<Writer<'_>> {
        let writing = Writing {
            per_prompt: 1,
            sampling: Sampling { temperature: 0.7, top_k: 0, top_p: 1.0, seed: 1 },
            shuffle: false,
            ..Writing::of(policy)
        };
        let prompts = Self::prompts(&self.held_out);
        Writer::new(prompts, self.tokenizer, self.eos.clone(), writing, Vec::new(), vec![scorer])
    }

    /// A fresh adapter for a stage, or one with the values of another stage's.
    fn adapter(&self, config: &TrainConfig, values: Option<&files::Adapter>) -> Result<Adapter> {
        let adapter = match values {
            Some(values) => values.config.clone(),
            None => config.adapter(self.base),
        };
        let architecture = &self.model.config;
        let settings = config.adapter_settings(adapter, architecture)?;
        let from = "a stage of the race";
        match values {
            Some(values) => upload_adapter(self.gpu, architecture, settings, values, from),
            None => {
                let values = fresh(&settings, architecture, config.seed);
                let adapter = upload_adapter(self.gpu, architecture, settings, &values, from)?;
                self.model.measure(self.gpu, &adapter);
                Ok(adapter)
            }
        }
    }
}

/// A race under way.
struct Running<'a> {
    race: &'a Race<'a>,
    host: &'a mut dyn Host,
    standing: Standing,
    /// The judge of every measurement, once there is one, and the prompts that it is shown answers to.
    jury: Option<Writer<'a>>,
    /// Settings for scoring held-out pairs.
    pairs: TrainConfig,
    held_out: &'a [Example],
    began: f64,
}

impl Running<'_> {
    /// The base model, or an adapter, on held-out pairs and prompts.
    async fn measure(&self, adapter: Option<&Adapter>) -> Result<Measure> {
        let Race { gpu, model, eos, .. } = self.race;
        let settings = adapter.map(|adapter| &adapter.settings);
        let scorer = Scorer::for_run(gpu, model, &self.pairs, settings, self.held_out)?;
        let sums = scorer.sums(self.held_out, adapter, &mut |_| true).await?;
        drop(scorer);
        let won = sums.iter().filter(|sums| sums[0][0] > sums[1][0]).count() as f64 / sums.len() as f64;
        let Some(jury) = &self.jury else { unreachable!("the reward model comes before measurements") };
        let prompts: Vec<usize> = (0..jury.n_prompts().min(ANSWERED)).collect();
        let answers = jury.answer(gpu, model, adapter, &prompts, 1).await?;
        let scores: Vec<f64> = answers.iter().filter_map(|answer| *answer.rewards.first()?).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let score = mean(&scores);
        let variance = scores.iter().map(|s| (s - score).powi(2)).sum::<f64>() / (scores.len() as f64 - 1.0).max(1.0);
        let kl = match adapter {
            None => 0.0,
            Some(_) => {
                let own = answer_logps(gpu, model, &self.pairs, &answers, adapter, 1.0).await?;
                let base = answer_logps(gpu, model, &self.pairs, &answers, None, 1.0).await?;
                let of = |(own, base): (&Vec<f32>, &Vec<f32>)| {
                    own.iter().zip(base).map(|(own, base)| f64::from(*own) - f64::from(*base)).sum::<f64>()
                };
                mean(&own.iter().zip(&base).map(of).collect::<Vec<_>>())
            }
        };
        let lengths: Vec<f64> = answers.iter().map(|answer| answer.completion.len() as f64).collect();
        let is_cut = |answer: &&Rollout| answer.completion.last().is_none_or(|id| !eos.contains(id));
        let cut = answers.iter().filter(is_cut).count() as f64 / answers.len().max(1) as f64;
        Ok(Measure { won, score, score_std: variance.sqrt(), kl, length: mean(&lengths), cut })
    }

    /// Takes in what was measured of a side.
    fn point(&mut self, side: usize, done: f64, measure: Measure) {
        self.standing.sides[side].curve.push(Point { done, measure });
        self.stands();
    }

    fn stands(&mut self) {
        self.standing.seconds = seconds() - self.began;
        self.host.stands(&self.standing);
    }

    /// A stage that trains on the pairs; measured on the way if it is the last of a side.
    async fn offline(&mut self, method: Method, side: Option<usize>) -> Result<Adapter> {
        let race = self.race;
        let config = race.config(method)?;
        let examples = race.train.tokenize(race.tokenizer, &config)?.examples;
        let adapter = race.adapter(&config, None)?;
        let references = References::unknown(examples.len());
        let trainer = Trainer::new(race.gpu, race.model, config.clone(), adapter, examples, references)?;
        let name = if method == Method::Reward { "reward model" } else { "policy" };
        let memory = vec![("base", race.weight_bytes), (name, 16 * floats(&trainer.adapter))];
        self.stage(trainer, &config, memory, side).await
    }

    /// The stage that optimises the policy by the reward model's scores.
    async fn online(
        &mut self,
        method: Method,
        side: usize,
        start: &files::Adapter,
        scorer: &Rc<RewardModel>,
    ) -> Result<()> {
        let race = self.race;
        let (gpu, model) = (race.gpu, race.model);
        let config = TrainConfig { reference: Reference::InitialAdapter, ..race.config(method)? };
        let policy = race.adapter(&config, Some(start))?;
        let (prompts, eos) = (Race::prompts(&race.train), race.eos.clone());
        let judges = vec![scorer.clone()];
        let source = Writer::new(prompts, race.tokenizer, eos, Writing::of(&config), Vec::new(), judges)?;
        let reference = Some(race.adapter(&config, Some(start))?);
        let value = match method {
            Method::Ppo => {
                let (settings, values) = config.value_model(race.base, &model.config)?;
                Some(upload_adapter(gpu, &model.config, settings, &values, "a fresh value model")?)
            }
            _ => None,
        };
        let n = floats(&policy);
        let mut memory =
            vec![("base", race.weight_bytes), ("policy", 16 * n), ("reference", 4 * n), ("reward model", 4 * n)];
        memory.extend(value.as_ref().map(|value| ("value model", 16 * floats(value))));
        let mut ends = race.eos.clone();
        ends.extend(race.tokenizer.pad_id());
        let online = OnlineRun { source: Box::new(source), reference, value, ends, eos: race.tokenizer.eos_id() };
        let trainer = Trainer::online(gpu, model, config.clone(), policy, online)?;
        self.stage(trainer, &config, memory, Some(side)).await.map(drop)
    }

    /// Trains a stage to its end; measures it on the way if it is the last of a side.
    async fn stage(
        &mut self,
        mut trainer: Trainer<'_>,
        config: &TrainConfig,
        memory: Vec<(&str, u64)>,
        side: Option<usize>,
    ) -> Result<Adapter> {
        let method = config.method();
        let began = seconds();
        self.host.begins(method, trainer.n_steps);
        let every = trainer.n_steps.div_ceil(MEASURED).max(1);
        let mut watcher = Watcher { running: self, side, every, sampled: 0, measuring: 0.0 };
        let next = drive::steps(&mut trainer, &mut watcher).await?;
        let Watcher { sampled, measuring, .. } = watcher;
        if next == Next::End {
            return Err(Error::Cancelled);
        }
        let passes = match &config.options {
            Options::Ppo(options) => options.num_ppo_epochs as u64,
            _ => 1,
        };
        let defaults = TrainConfig::defaults_of(method).to_map();
        let settings = config.to_map().into_iter().filter(|(key, value)| defaults.get(key) != Some(value)).collect();
        let stage = StageResult {
            method,
            seconds: seconds() - began - measuring,
            steps: trainer.step,
            tokens_trained: trainer.n_tokens * passes,
            tokens_sampled: sampled,
            memory: memory.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
            device_bytes: self.race.gpu.peak_bytes(),
            settings,
        };
        self.standing.add(&stage);
        let mut measure = None;
        if let Some(side) = side.map(|side| &mut self.standing.sides[side]) {
            // It was measured after its last step.
            side.measure = side.curve.last().map(|point| point.measure);
            measure = side.measure;
            if let Some(measure) = &measure {
                self.host.measured(&side.name, measure);
            }
        }
        self.stands();
        self.host.ended(&stage, &trainer, measure.as_ref()).await?;
        Ok(trainer.adapter)
    }
}

fn floats(adapter: &Adapter) -> u64 {
    adapter.params.iter().map(|block| u64::from(block.len())).sum()
}

/// Watches a stage: tells its steps, and measures the model now and then.
struct Watcher<'a, 'b> {
    running: &'a mut Running<'b>,
    /// The side whose last stage it is.
    side: Option<usize>,
    every: usize,
    sampled: u64,
    /// Seconds that went into measuring.
    measuring: f64,
}

impl drive::Host for Watcher<'_, '_> {
    fn answers(&mut self, answers: Vec<Judged>, _rewards: &[String]) -> Result<()> {
        self.sampled += answers.iter().map(|answer| answer.rollout.completion.len() as u64).sum::<u64>();
        Ok(())
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds_of_step: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            if self.running.host.after_step(trainer, metrics, seconds_of_step).await? == Next::End {
                return Ok(Next::End);
            }
            if let Some(side) = self.side
                && (trainer.step.is_multiple_of(self.every) || trainer.done())
            {
                let began = seconds();
                let measure = self.running.measure(Some(&trainer.adapter)).await?;
                self.running.point(side, trainer.step as f64 / trainer.n_steps as f64, measure);
                self.measuring += seconds() - began;
            }
            Ok(Next::GoOn)
        })
    }
}
