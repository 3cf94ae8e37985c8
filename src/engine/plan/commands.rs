//! Plans, trials, and how fast the device is.

use crate::bench::{Extent, bench};
use crate::data::{Example, Method, Sampling};
use crate::engine::plan::planning;
use crate::engine::protocol::{Event, Inputs, PlanInfo, Problem, Settings};
use crate::engine::run::inputs::Rewards;
use crate::engine::session::{Session, memory_of};
use crate::error::{Error, Result};
use crate::files::TargetModules;
use crate::model::{AdapterSettings, LoadIn};
use crate::platform::host;
use crate::train::{OnlineRun, References, Scorer, TrainConfig, Trainer, frozen_bytes};

impl Session {
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
        let measured = self.step_seconds.as_ref().filter(|(before, _)| step_of(before) == step_of(&config));
        let seconds = measured.map(|(_, seconds)| *seconds);
        let mut info = planning::plan_info(settings.clone(), &config, &model, pairs, &split, limit, seconds, &judges)?;
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

    /// Takes two steps that are thrown away, to measure time and memory.
    pub(in crate::engine) async fn trial(&mut self, settings: Settings) -> Result<()> {
        let mut config = TrainConfig::from_map(&settings, "settings")?;
        (config.max_steps, config.train_sampling_strategy) = (2, Sampling::Sequential);
        let (gpu, model) = (self.need_gpu().await?, self.opened()?);
        let split = self.split(&config).await?;
        let planned_bytes = planning::memory(&config, &model, &split)?.total();
        gpu.allow(config.precision());
        self.load_weights(&model, config.load_in).await?;
        let weights = model.load(&gpu, self.store().ok(), config.load_in, &mut |_| true).await?;
        let adapter = Self::upload(&gpu, &model, &weights, &config, None)?;
        let tokenizer = model.tokenizer();
        let Some(pairs) = &self.pairs else { return Err(Error::Cancelled) };
        let mut trainer = match config.answers() {
            None => {
                let examples = hardest_first(split.train, &config);
                let reference = References { known: vec![Some([0.0; 2]); examples.len()], adapter: None };
                Trainer::new(&gpu, &weights, config.clone(), adapter, examples, reference)?
            }
            Some(_) => {
                let writer = Rewards::stand_in().writer(pairs, &split.train, &config, &tokenizer, &model.eos)?;
                let value = Self::value_model(&gpu, &model, &config)?;
                let (source, ends, eos) = (Box::new(writer), model.eos.clone(), tokenizer.eos_id());
                let online = OnlineRun { source, reference: None, value, ends, eos };
                Trainer::online(&gpu, &weights, config.clone(), adapter, online)?
            }
        };
        self.wire.inbox.unless_cancelled(trainer.step()).await?;
        // The same rows again, now that every kernel is compiled.
        trainer.step = 0;
        let began = host::seconds();
        self.wire.inbox.unless_cancelled(trainer.step()).await?;
        let step_seconds = host::seconds() - began;
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
        self.step_seconds = Some((config, step_seconds));
        self.wire.send(Event::Tried { step_seconds, device_bytes, planned_bytes });
        let inputs = self.planned_inputs.clone();
        self.plan(settings, self.limit, &inputs).await
    }
}

/// The longest row first, so that the time of a step is not too good to be true, then some from the middle; all others
/// too, so that memory is taken as for the run. Their reference does not change the time.
fn hardest_first(mut rows: Vec<Example>, config: &TrainConfig) -> Vec<Example> {
    rows.sort_by_key(|row| std::cmp::Reverse(row.sequences.iter().map(Vec::len).sum::<usize>()));
    let wanted = config.per_device_train_batch_size * config.gradient_accumulation_steps;
    if let Some((_, others)) = rows.split_first_mut() {
        others.rotate_left((others.len() / 2).saturating_sub(wanted));
    }
    rows
}

/// Returns the settings that the time of a step depends on.
pub(in crate::engine) fn step_of(config: &TrainConfig) -> ([usize; 6], &TargetModules, (bool, bool, LoadIn, Method)) {
    let (pairs, parts) = (config.per_device_train_batch_size, config.gradient_accumulation_steps);
    let how = (config.gradient_checkpointing, config.fp16, config.load_in, config.method());
    let [answers, longest] = config.answers().unwrap_or_default();
    ([pairs, parts, config.max_length, config.r, answers, longest], &config.target_modules, how)
}
