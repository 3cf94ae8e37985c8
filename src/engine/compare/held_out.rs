//! Comparing base and tuned: held-out pairs, and pairs token by token.

use std::rc::Rc;

use crate::data::{Example, Kind, Method};
use crate::engine::compare::writing;
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{
    CompareCommand, Event, HeldOutPair, Inspection, Metrics, Phase, TokenChange, WhichAdapter,
};
use crate::engine::run::between::tell;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::files::{self, Task};
use crate::gpu::Gpu;
use crate::kernels;
use crate::model::{Adapter, AdapterSettings, LoadIn, Model};
use crate::train::{PairLogps, Scorer, TrainConfig, logps};

/// A model on the device with its GPU and files, ready for comparing.
pub(in crate::engine) struct Bench {
    pub(in crate::engine) gpu: Rc<Gpu>,
    pub(in crate::engine) open: Rc<OpenModel>,
    pub(in crate::engine) model: Rc<Model>,
}

impl Session {
    pub(in crate::engine) async fn handle_compare(&mut self, command: CompareCommand) -> Result<()> {
        match command {
            CompareCommand::Generate(request) => self.generate(*request).await,
            CompareCommand::ScoreHeldOut { strength } => self.score_held_out(strength).await,
            CompareCommand::InspectPair { index, strength } => self.inspect_pair(index, strength).await,
        }
    }

    /// The open model on the device, quantised as for the open run, or else as it was planned last.
    pub(in crate::engine) async fn bench(&mut self) -> Result<Bench> {
        self.bench_in(self.load_in()).await
    }

    /// The open model on the device, quantised by `load_in`.
    pub(in crate::engine) async fn bench_in(&mut self, load_in: LoadIn) -> Result<Bench> {
        let (gpu, open) = (self.need_gpu().await?, self.opened()?);
        self.load_weights(&open, load_in).await?;
        let model = open.load(&gpu, self.store().ok(), load_in, &mut |_| true).await?;
        Ok(Bench { gpu, open, model })
    }

    /// The open model on the device as these settings have it, with the kernels that were chosen for it.
    pub(in crate::engine) async fn bench_for(&mut self, config: &TrainConfig) -> Result<Bench> {
        self.planned_load_in = config.load_in;
        self.need_gpu().await?.allow(config.precision());
        let bench = self.bench_in(config.load_in).await?;
        kernels::adopt(&bench.gpu, &bench.open.tuned());
        Ok(bench)
    }

    /// Returns the quantisation of the open run's base; without a run, that of the last plan.
    fn load_in(&self) -> LoadIn {
        self.config_of_run().map_or(self.planned_load_in, |config| config.load_in)
    }

    /// An adapter of the open run; an error if it has none yet.
    pub(in crate::engine) fn adapter_of_run(&self, which: WhichAdapter) -> Result<files::Adapter> {
        let run = self.run.as_ref();
        let last = || run.and_then(|run| run.checkpoint.as_ref()).map(|checkpoint| checkpoint.adapter.clone());
        let best = || run.and_then(|run| run.best.clone());
        let found = match which {
            WhichAdapter::Best => best().or_else(last),
            // An adapter that was trained elsewhere has no checkpoint: it is stored as the best one.
            WhichAdapter::Last => last().or_else(best),
        };
        found.ok_or_else(|| Error::input("There is no tuned model yet", "Train one, or open a run", ""))
    }

    /// An adapter on the device with its effect multiplied; none for the base model.
    pub(in crate::engine) fn place_adapter(&self, bench: &Bench, strength: f32) -> Result<Option<Adapter>> {
        if strength == 0.0 {
            return Ok(None);
        }
        if !strength.is_finite() || !(0.0..=4.0).contains(&strength) {
            return Err(Error::input(format!("The adapter scale is {:.0} %", 100.0 * strength), "Give 0 to 400 %", ""));
        }
        let values = self.adapter_of_run(WhichAdapter::Best)?;
        check_writes(&values, "")?;
        place(bench, &values, strength).map(Some)
    }

    /// Scores every held-out pair at an adapter scale.
    pub(in crate::engine) async fn score_held_out(&mut self, strength: f32) -> Result<()> {
        let bench = self.bench().await?;
        let (pairs, base) = self.held_out(&bench).await?;
        let adapter = self.place_adapter(&bench, strength)?;
        let tuned = match &adapter {
            None => base.clone(),
            Some(adapter) => {
                let config = TrainConfig { per_device_train_batch_size: BATCH, ..self.pairs_config()? };
                let settings = Some(&adapter.settings);
                let scorer = Scorer::for_run(&bench.gpu, &bench.model, &config, settings, &pairs)?;
                let run_id = self.run.as_ref().map(|run| run.record.run_id.clone()).unwrap_or_default();
                let (wire, total) = (&mut self.wire, pairs.len() as u64);
                wire.begin();
                let mut scored = |done: usize| {
                    tell(wire, &run_id, Phase::Evaluating, done as u64, total);
                    !wire.inbox.cancelled()
                };
                scorer.sums(&pairs, Some(adapter), &mut scored).await?.iter().map(logps).collect()
            }
        };
        check_finite(base.iter().chain(&tuned).flatten(), strength)?;
        let pairs = pairs
            .iter()
            .zip(base.iter().zip(&tuned))
            .map(|(pair, (base, tuned))| HeldOutPair {
                index: pair.row,
                base: base.map(f64::from),
                tuned: tuned.map(f64::from),
                tokens: pair.scored_lengths(),
            })
            .collect();
        self.wire.send(Event::HeldOut { strength, pairs });
        Ok(())
    }

    /// The held-out pairs of the open run, with the base model's log-probabilities.
    async fn held_out(&mut self, bench: &Bench) -> Result<(Vec<Example>, Vec<PairLogps>)> {
        if let Some(known) = self.run.as_ref().and_then(|run| run.held_out.clone()) {
            return Ok(known);
        }
        let config = self.pairs_config()?;
        let pairs = self.run_split(&config).await?.held_out;
        if pairs.is_empty() {
            return Err(Error::input("No pairs are held out", "Set eval_split above 0 in the plan", "eval_split"));
        }
        let config = TrainConfig { per_device_train_batch_size: BATCH, ..config };
        let base = self.reference(&bench.gpu, &bench.model, &config, &pairs, None).await?;
        if let Some(run) = &mut self.run {
            run.held_out = Some((pairs.clone(), base.clone()));
        }
        Ok((pairs, base))
    }

    fn config_of_run(&self) -> Result<TrainConfig> {
        match &self.run {
            Some(run) => TrainConfig::from_map(&run.record.settings, "settings"),
            None => Err(Error::input("There is no tuned model yet", "Train one, or open a run", "")),
        }
    }

    /// The settings by which the open run's pairs are scored, as DPO does it whatever method it was trained by.
    fn pairs_config(&self) -> Result<TrainConfig> {
        let config = self.config_of_run()?;
        match &self.pairs {
            Some(pairs) if pairs.kind != Kind::Pairs => Err(Error::input(
                format!("The run's rows are {}: there are no two answers to compare", pairs.kind.word()),
                "Compare texts instead",
                pairs.name.clone(),
            )),
            _ if config.method() == Method::Dpo => Ok(config),
            _ => Ok(TrainConfig {
                max_length: config.max_length,
                eval_split: config.eval_split,
                seed: config.seed,
                load_in: config.load_in,
                ..TrainConfig::defaults()
            }),
        }
    }

    /// Sends the log-probability of every scored token of a pair, before and after tuning.
    pub(in crate::engine) async fn inspect_pair(&mut self, index: usize, strength: f32) -> Result<()> {
        let bench = self.bench().await?;
        let config = self.pairs_config()?;
        let Some(pairs) = &self.pairs else {
            return Err(Error::input("No pairs are open", "Choose a pairs file first", ""));
        };
        let tokenizer = &bench.open.tokenizer();
        let record = pairs.record(index)?;
        let pair = crate::data::tokenize_record(record, tokenizer, config.max_length)?.map_err(|dropped| {
            let at = format!("line {}", dropped.line);
            Error::input(format!("This pair is skipped: {}", dropped.reason), "Choose another", at)
        })?;
        let adapter = self.place_adapter(&bench, strength)?;
        let settings = adapter.as_ref().map(|adapter| &adapter.settings);
        let scorer = Scorer::new(&bench.gpu, &bench.model, settings, std::slice::from_ref(&pair), 1)?;
        let base = scorer.tokens(&pair, None).await?;
        let tuned = scorer.tokens(&pair, adapter.as_ref()).await?;
        check_finite(base.iter().chain(&tuned).flatten(), strength)?;
        let side = |s: usize, ids: &[u32]| -> Result<Vec<TokenChange>> {
            let texts = writing::pieces(ids, tokenizer)?;
            let texts = texts.into_iter().skip(pair.prompt_len.max(1));
            let values = base[s].iter().zip(&tuned[s]);
            Ok(texts.zip(values).map(|(text, (&base, &tuned))| TokenChange { text, base, tuned }).collect())
        };
        let sides = [side(0, &pair.chosen)?, side(1, &pair.rejected)?];
        let change =
            |tokens: &[TokenChange]| tokens.iter().map(|t| f64::from(t.tuned) - f64::from(t.base)).sum::<f64>();
        let margin = config.beta * (change(&sides[0]) - change(&sides[1]));
        let prompt = pairs.prompt(index);
        self.wire.send(Event::Inspected(Box::new(Inspection { index, strength, prompt, sides, margin })));
        Ok(())
    }
}

/// Refuses scores that cannot be shown or compared.
fn check_finite<'a>(mut scores: impl Iterator<Item = &'a f32>, strength: f32) -> Result<()> {
    match scores.find(|score| !score.is_finite()) {
        None => Ok(()),
        Some(score) => {
            let what = format!("With the adapter at {:.0} %, a pair's score is {score}", 100.0 * strength);
            Err(Error::input(what, "Choose a lower adapter scale, or train with a lower learning rate", ""))
        }
    }
}

/// Pairs that are scored at a time.
const BATCH: usize = 4;

/// An error if an adapter scores texts, and writes none.
pub(super) fn check_writes(values: &files::Adapter, run: &str) -> Result<()> {
    match values.config.task {
        Task::CausalLm => Ok(()),
        Task::SeqCls => Err(Error::input(
            "The run trained a reward model, which scores texts and does not write them",
            "Open another run to compare texts",
            run,
        )),
    }
}

/// An adapter on the device with its effect multiplied.
pub(in crate::engine) fn place(bench: &Bench, values: &files::Adapter, strength: f32) -> Result<Adapter> {
    let mut settings = AdapterSettings::new(values.config.clone(), &bench.open.config)?;
    settings.check(&bench.open.config, values, "the run's adapter")?;
    settings.strength = strength;
    let adapter = Adapter::new(&bench.gpu, &bench.open.config, settings);
    adapter.set(&bench.gpu, values, "the run's adapter")?;
    bench.gpu.check()?;
    Ok(adapter)
}

/// The metrics of a history that were measured at a step.
pub(in crate::engine) fn metrics_at(history: &[Metrics], step: usize) -> Vec<Metrics> {
    history
        .iter()
        .take_while(|entry| crate::engine::run::drive::number(entry, "step") <= step as f64)
        .cloned()
        .collect()
}
