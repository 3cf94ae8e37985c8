//! Plans, trials, and how fast the device is.

use crate::bench::{Extent, bench};
use crate::data::{Example, Method, Sampling, Tokenizer};
use crate::engine::compare::writing;
use crate::engine::data::pairs::Pairs;
use crate::engine::model::open_model::OpenModel;
use crate::engine::plan::planning::{self, Measured};
use crate::engine::protocol::{Event, Inputs, PlanCommand, PlanInfo, Problem, Settings, TRIAL_STEPS};
use crate::engine::run::between::SAMPLING;
use crate::engine::run::inputs::Rewards;
use crate::engine::session::{Session, memory_of};
use crate::error::{Error, Result};
use crate::files::TargetModules;
use crate::gpu::Gpu;
use crate::model::{AdapterSettings, Generator, LoadIn, MAX_TEXTS, Model};
use crate::platform::host;
use crate::train::{OnlineRun, References, Scorer, TrainConfig, Trainer, frozen_bytes};

impl Session {
    pub(in crate::engine) async fn handle_plan(&mut self, command: PlanCommand) -> Result<()> {
        match command {
            PlanCommand::Estimate { settings, limit, inputs } => self.plan(settings, limit, &inputs).await,
            PlanCommand::Trial { settings, prompts } => self.trial(settings, &prompts).await,
        }
    }

    pub(in crate::engine) async fn plan(
        &mut self,
        settings: Settings,
        limit: Option<u64>,
        inputs: &Inputs,
    ) -> Result<()> {
        self.limit = limit;
        self.planned_inputs.clone_from(inputs);
        if let Ok(config) = TrainConfig::from_map(&settings, "settings") {
            self.planned_load_in = config.load_in;
        }
        let info = match self.try_plan(&settings, inputs).await {
            Ok(info) => info,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => planning::blocked(settings, Problem::from(&error)),
        };
        self.wire.send(Event::Planned(Box::new(info)));
        Ok(())
    }

    async fn try_plan(&mut self, settings: &Settings, inputs: &Inputs) -> Result<PlanInfo> {
        let config = TrainConfig::from_map(settings, "settings")?;
        let model = self.opened()?;
        let split = self.split(&config).await?;
        let judges = match config.method().is_online() {
            true => self.reward_models(&model, inputs).await?,
            false => Vec::new(),
        };
        let bytes = |settings: &AdapterSettings| frozen_bytes(settings, &model.config);
        let judges: Vec<_> = judges.into_iter().map(|(name, settings, _)| (name, bytes(&settings))).collect();
        let Some(pairs) = &self.pairs else {
            return Err(Error::input("No pairs are open", "Choose a pairs file", ""));
        };
        let limit = self.limit_now();
        let measured = self.measured.as_ref().filter(|measured| step_of(&measured.config) == step_of(&config));
        let mut info = planning::plan_info(settings.clone(), &config, &model, pairs, &split, limit, measured, &judges)?;
        if let (None, Err(e)) = (&info.blocked, self.need_gpu().await) {
            info.blocked = Some(Problem::from(&e));
        }
        Ok(info)
    }

    /// Bytes that a run may take now, if that is known; what the open model holds already counts as free.
    pub(in crate::engine) fn limit_now(&self) -> Option<u64> {
        let gpu = self.gpu.as_ref()?;
        self.limit.or_else(|| memory_of(gpu))
    }

    /// Measures the speed of the GPU with models that every device has room for.
    pub(in crate::engine) async fn measure_gpu(&mut self) -> Result<()> {
        let gpu = self.need_gpu().await?;
        let wire = &mut self.wire;
        wire.begin();
        let report = bench(&gpu, Extent::Small, &host::seconds, &mut |what| {
            wire.send(Event::Measuring(what.to_owned()));
            !wire.inbox.cancelled()
        })
        .await?;
        self.wire.send(Event::Measured(report.to_string()));
        Ok(())
    }

    /// Takes two steps that are not kept, and begins an answer to each prompt, to measure time and memory.
    ///
    /// Micro-batches of a step are alike, so that one is measured where rows are given.
    pub(in crate::engine) async fn trial(&mut self, settings: Settings, prompts: &[String]) -> Result<()> {
        let planned = TrainConfig::from_map(&settings, "settings")?;
        let mut config = planned.clone();
        (config.max_steps, config.train_sampling_strategy) = (TRIAL_STEPS as i64, Sampling::Sequential);
        if config.answers().is_none() {
            config.gradient_accumulation_steps = 1;
        }
        let parts = planned.gradient_accumulation_steps as f64 / config.gradient_accumulation_steps as f64;
        let (gpu, model) = (self.need_gpu().await?, self.opened()?);
        let split = self.split(&config).await?;
        let planned_bytes = planning::memory(&config, &model, &split)?.total();
        gpu.allow(config.precision());
        self.load_weights(&model, config.load_in).await?;
        let weights = model.load(&gpu, self.store().ok(), config.load_in, &mut |_| true).await?;
        let tokenizer = model.tokenizer();
        let Some(pairs) = &self.pairs else { return Err(Error::Cancelled) };
        let mut trainer = trial_trainer(&gpu, &model, &weights, (pairs, &tokenizer), &config, split.train)?;
        let (mut seconds, mut cancelled) = (0.0, false);
        for step in 1..=TRIAL_STEPS {
            self.wire.send(Event::Trying { step });
            let began = host::seconds();
            match self.wire.inbox.unless_cancelled(trainer.step()).await {
                Err(Error::Cancelled) if step > 1 => cancelled = true,
                done => _ = done?,
            }
            if !cancelled {
                seconds = host::seconds() - began;
            }
        }
        // Held-out rows are scored beside the trainer.
        let scorer = match split.held_out.is_empty() || config.answers().is_some() {
            true => None,
            false => {
                let settings = Some(&trainer.adapter.settings);
                Some(Scorer::for_run(&gpu, &weights, &config, settings, &split.held_out)?)
            }
        };
        let device_bytes = gpu.live_bytes();
        drop((scorer, trainer));
        let answers_seconds = match cancelled {
            true => None,
            false => self.time_answers(&gpu, &model, &weights, prompts).await?,
        };
        let step_seconds = seconds * parts;
        self.measured = Some(Measured { config: planned, step_seconds, answers_seconds });
        self.wire.send(Event::Tried { step_seconds, answers_seconds, device_bytes, planned_bytes });
        let inputs = self.planned_inputs.clone();
        self.plan(settings, self.limit, &inputs).await
    }

    /// Seconds that whole answers to sample prompts take, by their first tokens; none if it was cancelled.
    async fn time_answers(
        &mut self,
        gpu: &Gpu,
        model: &OpenModel,
        weights: &Model,
        prompts: &[String],
    ) -> Result<Option<f64>> {
        let raw = self.pairs.as_ref().is_some_and(|pairs| !pairs.conversations());
        let tokenizer = model.tokenizer();
        let wanted = self.sample_tokens;
        let timed = async {
            let ids = writing::prompts_ids(prompts, raw, &tokenizer)?;
            let mut seconds = 0.0;
            for ids in ids.chunks(MAX_TEXTS) {
                let began = host::seconds();
                let n = TIMED_TOKENS.min(wanted);
                let mut generator = Generator::new(gpu, weights, None, ids, n, SAMPLING, 0).await?;
                // The first token compiles the kernels.
                generator.next(1).await?;
                let read = host::seconds();
                generator.next(n.saturating_sub(1)).await?;
                let each = (host::seconds() - read) / n.saturating_sub(1).max(1) as f64;
                seconds += read - began + each * wanted as f64;
            }
            Ok(seconds)
        };
        match self.wire.inbox.unless_cancelled(timed).await {
            Ok(seconds) => Ok(Some(seconds)),
            Err(Error::Cancelled) => Ok(None),
            // A prompt that the model does not take is told when the run begins.
            Err(Error::Input(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Tokens of an answer that a trial writes.
const TIMED_TOKENS: usize = 5;

/// Returns the trainer of a trial's steps.
fn trial_trainer<'a>(
    gpu: &'a Gpu,
    model: &OpenModel,
    weights: &'a Model,
    (pairs, tokenizer): (&'a Pairs, &'a Tokenizer),
    config: &TrainConfig,
    rows: Vec<Example>,
) -> Result<Trainer<'a>> {
    let adapter = Session::upload(gpu, model, weights, config, None)?;
    if config.answers().is_none() {
        let examples = trial_rows(rows, config.per_device_train_batch_size);
        let reference = References { known: vec![Some([0.0; 2]); examples.len()], adapter: None };
        return Trainer::new(gpu, weights, config.clone(), adapter, examples, reference);
    }
    let writer = Rewards::stand_in().writer(pairs, &rows, config, tokenizer, &model.eos)?;
    let value = Session::value_model(gpu, model, config)?;
    let (source, ends, eos) = (Box::new(writer), model.eos.clone(), tokenizer.eos_id());
    Trainer::online(gpu, weights, config.clone(), adapter, OnlineRun { source, reference: None, value, ends, eos })
}

/// Puts the longest rows first, which the memory must hold, then a batch of about the mean length, whose time is
/// measured. The others stay, so that memory is taken as for the run. Their reference does not change the time.
fn trial_rows(mut rows: Vec<Example>, batch: usize) -> Vec<Example> {
    let tokens = |row: &Example| row.sequences.iter().map(Vec::len).sum::<usize>();
    rows.sort_by_key(|row| std::cmp::Reverse(tokens(row)));
    let mean = rows.iter().map(tokens).sum::<usize>() / rows.len().max(1);
    let first = batch.min(rows.len());
    let others = &mut rows[first..];
    let typical = others.partition_point(|row| tokens(row) > mean).saturating_sub(batch / 2);
    others.rotate_left(typical.min(others.len().saturating_sub(batch)));
    rows
}

/// Returns the settings that the time of a step depends on.
pub(in crate::engine) fn step_of(config: &TrainConfig) -> ([usize; 6], &TargetModules, (bool, bool, LoadIn, Method)) {
    let (pairs, parts) = (config.per_device_train_batch_size, config.gradient_accumulation_steps);
    let how = (config.gradient_checkpointing, config.fp16, config.load_in, config.method());
    let [answers, longest] = config.answers().unwrap_or_default();
    ([pairs, parts, config.max_length, config.r, answers, longest], &config.target_modules, how)
}
