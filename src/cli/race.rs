//! `pairtune race`: DPO beside RLHF on the same base, pairs and held-out prompts, on one copy of the weights.

use std::path::Path;
use std::rc::Rc;

use pairtune::data::{Example, Method, SplitBy};
use pairtune::engine::compare::writing::eos_ids;
use pairtune::engine::race::{
    self, DPO, Measure, Point, Side, SideResult, StageResult, check_given, rlhf, stage_config,
};
use pairtune::engine::run::answers::{Writer, Writing};
use pairtune::engine::run::drive::{self, Host, Next, number};
use pairtune::engine::run::rewards::RewardModel;
use pairtune::files;
use pairtune::gpu::Gpu;
use pairtune::kernels::Sampling;
use pairtune::model::{Adapter, Model, fresh};
use pairtune::platform::LocalFuture;
use pairtune::platform::native::{make_folder, seconds, write_atomic};
use pairtune::train::{Metrics, OnlineRun, Reference, References, Rows, Scorer, TrainConfig, Trainer, answer_logps};
use pairtune::{Error, Result};
use serde_json::{Map, Value, json};

use super::args::RaceArgs;
use super::data::read_rows;
use super::output::Output;
use super::plot::{Axis, Figure, Line, Panel};
use super::rewards::writer;
use super::run::{ModelFolder, open_gpu, upload_adapter};
use super::train_start::{given_settings, settings_origin};

/// Held-out prompts that are answered for a measurement.
const ANSWERED: usize = 64;
/// Times that a model is measured while the last stage of a side goes on.
const MEASURED: usize = 4;
/// The share of the pairs that is held out, unless the settings say another.
const HELD_OUT: f64 = 0.2;

/// What all stages share.
struct Race<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    folder: &'a ModelFolder,
    given: &'a Map<String, Value>,
    at: &'a str,
    train: &'a Rows,
    /// The judge of every measurement, once there is one, and the prompts that it is shown answers to.
    jury: Option<Writer<'a>>,
    held_out: Vec<Example>,
    /// How held-out pairs are scored.
    pairs: TrainConfig,
    weight_bytes: u64,
}

/// Runs the race and writes its table, figures and records.
pub(super) async fn race(args: &RaceArgs, out: &mut Output) -> Result<()> {
    let at = settings_origin(args.config.as_deref());
    let (given, columns) = (given_settings(args.config.as_deref(), &args.settings).await?, args.columns.as_ref());
    let methods = if args.against.is_empty() { vec![Method::Ppo] } else { args.against.clone() };
    let sides: Vec<Side> =
        methods.iter().map(|method| rlhf(*method).ok_or_else(|| no_side(*method))).collect::<Result<_>>()?;
    check_given(&given, &[&[DPO], sides.as_slice()].concat(), &at)?;
    let mut folder = ModelFolder::open(&args.model).await?;
    folder.set_chat(&args.chat, pairtune::data::Chat::default()).await?;
    let pairs = stage_config(&given, Method::Dpo, &at)?;
    let share = if pairs.eval_split > 0.0 { pairs.eval_split } else { HELD_OUT };
    let rows = read_rows(columns, &args.data, Method::Dpo, out).await?;
    let (train, held_out) = match &args.eval_pairs {
        Some(path) => (rows, read_rows(columns, path, Method::Dpo, out).await?),
        None => rows.split(SplitBy::Similar, share, pairs.seed)?,
    };
    let examples = held_out.tokenize(&folder.tokenizer, &pairs)?.examples;
    out.note(format_args!("Pairs: {} to train on, {} held out", train.len(), examples.len()));

    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let weight_bytes = folder.weight_bytes.on_device(pairs.load_in);
    let positions = longest(&[&train, &held_out], &folder, &given, &at, &methods)?;
    let model = folder.load(&gpu, pairs.load_in, positions, out).await?;

    let policy = stage_config(&given, methods[0], &at)?;
    let mut race = Race {
        gpu: &gpu,
        model: &model,
        folder: &folder,
        given: &given,
        at: &at,
        train: &train,
        jury: None,
        held_out: examples,
        pairs,
        weight_bytes,
    };
    let began = seconds();
    // The reward model comes first: it judges all.
    let (scorer, reward_stage) = race.offline(Method::Reward, false, &mut Vec::new(), out).await?;
    race.keep(&args.output, "reward", &scorer).await?;
    let scorer = Rc::new(RewardModel { name: "reward".to_owned(), adapter: scorer });
    race.jury = Some(race.jury_of(&policy, held_out, scorer.clone()).await?);
    let base = race.measure(None).await?;
    tell(out, "base model", &base);

    let mut results = Vec::new();
    let mut curve = vec![Point { done: 0.0, measure: base }];
    let (dpo, stage) = race.offline(Method::Dpo, true, &mut curve, out).await?;
    let measure = race.measure(Some(&dpo)).await?;
    tell(out, DPO.name, &measure);
    results.push(SideResult { name: DPO.name, stages: vec![stage], measure, curve });
    race.keep(&args.output, "dpo", &dpo).await?;
    drop(dpo);

    let (imitator, sft_stage) = race.offline(Method::Sft, false, &mut Vec::new(), out).await?;
    let begun = race.measure(Some(&imitator)).await?;
    tell(out, "fine-tuned on the chosen answers", &begun);
    let imitator = imitator.get(&gpu).await?;
    for side in sides {
        let method = side.stages[side.stages.len() - 1];
        let mut curve = vec![Point { done: 0.0, measure: begun }];
        let (policy, stage) = race.online(method, &imitator, &scorer, &mut curve, out).await?;
        let measure = race.measure(Some(&policy)).await?;
        tell(out, side.name, &measure);
        race.keep(&args.output, method.name(), &policy).await?;
        let stages = vec![sft_stage.clone(), reward_stage.clone(), stage];
        results.push(SideResult { name: side.name, stages, measure, curve });
    }
    race.write(args, &base, &results, seconds() - began, out)
}

fn no_side(method: Method) -> Error {
    Error::input(
        format!("{method} does not optimise a policy by rewards"),
        "Race DPO against ppo, rloo or grpo",
        "command line, --against",
    )
}

/// Tokens of the longest sequence that any stage may have.
fn longest(
    rows: &[&Rows],
    folder: &ModelFolder,
    given: &Map<String, Value>,
    at: &str,
    methods: &[Method],
) -> Result<usize> {
    let mut longest = 1;
    for rows in rows {
        for method in [Method::Dpo, Method::Sft, Method::Reward] {
            let examples = rows.tokenize(&folder.tokenizer, &stage_config(given, method, at)?)?.examples;
            let lengths = examples.iter().flat_map(|example| &example.sequences).map(Vec::len);
            longest = longest.max(lengths.max().unwrap_or(0));
        }
        for method in methods {
            let config = stage_config(given, *method, at)?;
            let prompts = rows.tokenize(&folder.tokenizer, &config)?.examples;
            let lengths = prompts.iter().flat_map(|prompt| &prompt.sequences).map(Vec::len);
            longest = longest.max(lengths.max().unwrap_or(0) + config.answers().map_or(0, |[_, longest]| longest) + 16);
        }
    }
    Ok(longest)
}

impl<'a> Race<'a> {
    /// Who shows answers to the held-out prompts to the reward model.
    async fn jury_of(&self, policy: &TrainConfig, held_out: Rows, scorer: Rc<RewardModel>) -> Result<Writer<'a>> {
        let samples = match held_out {
            Rows::Pairs(pairs) => pairs.iter().map(pairtune::data::Sample::prompt_of).collect(),
            Rows::Samples(samples) => samples,
        };
        let eos = eos_ids(&self.folder.folder, &self.folder.config, &self.folder.tokenizer).await;
        let writing = Writing {
            per_prompt: 1,
            sampling: Sampling { temperature: 0.7, top_k: 0, top_p: 1.0, seed: 1 },
            shuffle: false,
            ..Writing::of(policy)
        };
        Writer::new(samples, &self.folder.tokenizer, eos, writing, Vec::new(), vec![scorer])
    }

    fn config(&self, method: Method) -> Result<TrainConfig> {
        stage_config(self.given, method, self.at)
    }

    /// The base model, or an adapter, on held-out pairs and prompts.
    async fn measure(&self, adapter: Option<&Adapter>) -> Result<Measure> {
        let settings = adapter.map(|adapter| &adapter.settings);
        let scorer = Scorer::for_run(self.gpu, self.model, &self.pairs, settings, &self.held_out)?;
        let sums = scorer.sums(&self.held_out, adapter, &mut |_| true).await?;
        drop(scorer);
        let won = sums.iter().filter(|sums| sums[0][0] > sums[1][0]).count() as f64 / sums.len() as f64;
        let Some(jury) = &self.jury else { unreachable!("the reward model comes before measurements") };
        let prompts: Vec<usize> = (0..jury.n_prompts().min(ANSWERED)).collect();
        let answers = jury.answer(self.gpu, self.model, adapter, &prompts, 1).await?;
        let scores: Vec<f64> = answers.iter().filter_map(|answer| *answer.rewards.first()?).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let score = mean(&scores);
        let variance = scores.iter().map(|s| (s - score).powi(2)).sum::<f64>() / (scores.len() as f64 - 1.0).max(1.0);
        let kl = match adapter {
            None => 0.0,
            Some(_) => {
                let config = &self.pairs;
                let own = answer_logps(self.gpu, self.model, config, &answers, adapter, 1.0).await?;
                let base = answer_logps(self.gpu, self.model, config, &answers, None, 1.0).await?;
                let of = |(own, base): (&Vec<f32>, &Vec<f32>)| {
                    own.iter().zip(base).map(|(own, base)| f64::from(*own) - f64::from(*base)).sum::<f64>()
                };
                mean(&own.iter().zip(&base).map(of).collect::<Vec<_>>())
            }
        };
        let lengths: Vec<f64> = answers.iter().map(|answer| answer.completion.len() as f64).collect();
        let eos = eos_ids(&self.folder.folder, &self.folder.config, &self.folder.tokenizer).await;
        let is_cut = |answer: &&pairtune::train::Rollout| answer.completion.last().is_none_or(|id| !eos.contains(id));
        let cut = answers.iter().filter(is_cut).count() as f64 / answers.len().max(1) as f64;
        Ok(Measure { won, score, score_std: variance.sqrt(), kl, length: mean(&lengths), cut })
    }

    /// A fresh adapter for a stage, or one with the values of another stage's.
    fn adapter(&self, config: &TrainConfig, values: Option<&files::Adapter>) -> Result<Adapter> {
        let adapter = match values {
            Some(values) => values.config.clone(),
            None => config.adapter(""),
        };
        let settings = config.adapter_settings(adapter, &self.folder.config)?;
        let values = values.cloned().unwrap_or_else(|| fresh(&settings, &self.folder.config, config.seed));
        upload_adapter(self.gpu, &self.folder.config, settings, &values, "a stage of the race")
    }

    /// A stage that trains on the pairs; measured on the way if it is the last of its side.
    async fn offline(
        &self,
        method: Method,
        measured: bool,
        curve: &mut Vec<Point>,
        out: &mut Output,
    ) -> Result<(Adapter, StageResult)> {
        let config = self.config(method)?;
        let examples = self.train.tokenize(&self.folder.tokenizer, &config)?.examples;
        let adapter = self.adapter(&config, None)?;
        let references = References::unknown(examples.len());
        let trainer = Trainer::new(self.gpu, self.model, config.clone(), adapter, examples, references)?;
        let n_parameters: u64 = trainer.adapter.params.iter().map(|block| u64::from(block.len())).sum();
        let name = if method == Method::Reward { "reward model" } else { "policy" };
        let memory = vec![("base", self.weight_bytes), (name, 16 * n_parameters)];
        self.run(trainer, &config, memory, measured, curve, out).await
    }

    /// The stage that optimises the policy by the reward model's scores.
    async fn online(
        &self,
        method: Method,
        start: &files::Adapter,
        scorer: &Rc<RewardModel>,
        curve: &mut Vec<Point>,
        out: &mut Output,
    ) -> Result<(Adapter, StageResult)> {
        let config = TrainConfig { reference: Reference::InitialAdapter, ..self.config(method)? };
        let policy = self.adapter(&config, Some(start))?;
        let source = writer(self.train.clone(), &config, self.folder, Vec::new(), vec![scorer.clone()]).await?;
        let reference = Some(self.adapter(&config, Some(start))?);
        let floats = |adapter: &Adapter| adapter.params.iter().map(|block| u64::from(block.len())).sum::<u64>();
        let value = match method {
            Method::Ppo => {
                let (settings, values) = config.value_model("", &self.folder.config)?;
                Some(upload_adapter(self.gpu, &self.folder.config, settings, &values, "a fresh value model")?)
            }
            _ => None,
        };
        let n = floats(&policy);
        let mut memory =
            vec![("base", self.weight_bytes), ("policy", 16 * n), ("reference", 4 * n), ("reward model", 4 * n)];
        memory.extend(value.as_ref().map(|value| ("value model", 16 * floats(value))));
        let eos = self.folder.tokenizer.eos_id();
        let mut ends = eos_ids(&self.folder.folder, &self.folder.config, &self.folder.tokenizer).await;
        ends.extend(self.folder.tokenizer.pad_id());
        let online = OnlineRun { source: Box::new(source), reference, value, ends, eos };
        let trainer = Trainer::online(self.gpu, self.model, config.clone(), policy, online)?;
        self.run(trainer, &config, memory, true, curve, out).await
    }

    async fn run(
        &self,
        mut trainer: Trainer<'_>,
        config: &TrainConfig,
        memory: Vec<(&'static str, u64)>,
        measured: bool,
        curve: &mut Vec<Point>,
        out: &mut Output,
    ) -> Result<(Adapter, StageResult)> {
        let method = config.method();
        let began = seconds();
        out.begin_steps(method.name(), trainer.n_steps as u64);
        let every = if measured { trainer.n_steps.div_ceil(MEASURED).max(1) } else { usize::MAX };
        let mut watcher = Watcher { race: self, out, curve, every, sampled: 0, measuring: 0.0 };
        drive::steps(&mut trainer, &mut watcher).await?;
        let Watcher { sampled, measuring, .. } = watcher;
        out.end();
        let passes = match &config.options {
            pairtune::train::Options::Ppo(options) => options.num_ppo_epochs as u64,
            _ => 1,
        };
        let defaults = TrainConfig::defaults_of(method).to_map();
        let settings = config.to_map().into_iter().filter(|(key, value)| defaults.get(key) != Some(value)).collect();
        let stage = StageResult {
            method: method.name(),
            seconds: seconds() - began - measuring,
            steps: trainer.step,
            tokens_trained: trainer.n_tokens * passes,
            tokens_sampled: sampled,
            memory,
            device_bytes: self.gpu.peak_bytes(),
            settings,
        };
        Ok((trainer.adapter, stage))
    }

    /// Keeps an adapter beside the results.
    async fn keep(&self, output: &Path, name: &str, adapter: &Adapter) -> Result<()> {
        let folder = output.join(name);
        make_folder(&folder)?;
        let adapter = adapter.get(self.gpu).await?;
        let card = files::ModelCard::of_run("model", None, &Map::new(), &[]);
        for (name, bytes) in adapter.files(&card) {
            write_atomic(&folder.join(name), &bytes)?;
        }
        Ok(())
    }

    /// Writes table, records and figure, and says what came out.
    fn write(&self, args: &RaceArgs, base: &Measure, sides: &[SideResult], seconds: f64, out: &Output) -> Result<()> {
        let table = race::table(base, sides);
        let said: Vec<String> = sides[1..].iter().flat_map(|side| race::verdict(base, &sides[0], side)).collect();
        let report = self.gpu.report();
        let record = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": report.name,
            "seconds": seconds,
            "base": base,
            "sides": sides,
            "verdict": said,
        });
        make_folder(&args.output)?;
        write_atomic(&args.output.join("race.json"), &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
        write_atomic(&args.output.join("race.md"), format!("{table}\n{}\n", said.join("\n")).as_bytes())?;
        write_atomic(&args.output.join("race.svg"), figure(base, sides).to_svg()?.as_bytes())?;
        out.result(format_args!("{table}\n{}", said.join("\n")));
        out.result(format_args!(
            "The race took {seconds:.0} s; table, figure and adapters are in {}",
            args.output.display()
        ));
        let mut event = Map::from_iter([("event".to_owned(), json!("race"))]);
        event.extend(record.as_object().cloned().unwrap_or_default());
        out.event(&Value::Object(event));
        Ok(())
    }
}

/// Score against KL, and both over the last stage.
fn figure(base: &Measure, sides: &[SideResult]) -> Figure {
    let line = |of: &dyn Fn(&Point) -> [f64; 2]| -> Vec<Line> {
        sides.iter().map(|side| Line::new(side.name, side.curve.iter().map(of).collect())).collect()
    };
    let panel = |title: &str, x: Axis, y: Axis, lines: Vec<Line>| Panel { title: title.to_owned(), x, y, lines };
    Figure {
        title: "DPO beside RLHF".to_owned(),
        description: format!(
            "Score of fresh answers by the reward model, and distance from the base model, whose answers score {:.2}.",
            base.score
        ),
        panels: vec![
            panel(
                "What the distance buys",
                Axis::new("KL to the start", "nats an answer"),
                Axis::new("score by the reward model", ""),
                line(&|point| [point.measure.kl, point.measure.score]),
            ),
            panel(
                "Held-out pairs won",
                Axis::new("last stage done", "%"),
                Axis::new("pairs won", "%").within(0.0, 100.0),
                line(&|point| [100.0 * point.done, 100.0 * point.measure.won]),
            ),
        ],
    }
}

fn tell(out: &Output, name: &str, measure: &Measure) {
    out.note(format_args!(
        "{name}: held-out pairs won {:.0} %, score {:.2} ± {:.2}, KL {:.2} nats, {:.1} tokens an answer",
        100.0 * measure.won,
        measure.score,
        measure.score_std,
        measure.kl,
        measure.length
    ));
}

/// Watches a stage: shows its steps, and measures the model now and then.
struct Watcher<'a, 'b> {
    race: &'a Race<'b>,
    out: &'a mut Output,
    curve: &'a mut Vec<Point>,
    every: usize,
    sampled: u64,
    /// Seconds that went into measuring.
    measuring: f64,
}

impl Host for Watcher<'_, '_> {
    fn answers(&mut self, answers: Vec<pairtune::train::Judged>, _rewards: &[String]) -> Result<()> {
        self.sampled += answers.iter().map(|answer| answer.rollout.completion.len() as u64).sum::<u64>();
        Ok(())
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            let told = ["objective/scores", "reward", "loss"].iter().find(|name| metrics.contains_key(**name));
            let text = told.map_or(String::new(), |name| format!("{name} {:.4}", number(metrics, name)));
            self.out.advance(trainer.step as u64, trainer.n_steps as u64, &text);
            if trainer.step.is_multiple_of(self.every) || (self.every < usize::MAX && trainer.done()) {
                let began = seconds();
                let measure = self.race.measure(Some(&trainer.adapter)).await?;
                self.curve.push(Point { done: trainer.step as f64 / trainer.n_steps as f64, measure });
                self.measuring += seconds() - began;
            }
            Ok(Next::GoOn)
        })
    }
}
