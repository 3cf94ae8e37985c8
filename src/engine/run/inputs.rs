//! Inputs of a run beyond settings and rows: the adapter to start from, the rewards of answers, PPO's value model.

use std::rc::Rc;

use crate::data::{Example, Method, Tokenizer};
use crate::engine::data::pairs::Pairs;
use crate::engine::library::folder::RunFolder;
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{Inputs, Metrics};
use crate::engine::run::answers::{Writer, Writing};
use crate::engine::run::rewards::{RULES, RewardModel, Rule};
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::files::{self, Task};
use crate::gpu::Gpu;
use crate::model::{Adapter, AdapterSettings, Model, fresh};
use crate::train::{Reference, Rollout, TrainConfig};

/// Rewards on the device.
#[derive(Clone)]
pub(in crate::engine) struct Rewards {
    rules: Vec<Rule>,
    models: Vec<Rc<RewardModel>>,
}

impl Rewards {
    /// Something that judges every answer alike, where only the time matters.
    pub(in crate::engine) fn stand_in() -> Self {
        Self { rules: vec![Rule::Length(1)], models: Vec::new() }
    }

    /// Returns a writer that writes and judges answers to the prompts of some rows.
    pub(in crate::engine) fn writer<'a>(
        &self,
        pairs: &Pairs,
        examples: &[Example],
        config: &TrainConfig,
        tokenizer: &'a Tokenizer,
        eos: &[u32],
    ) -> Result<Writer<'a>> {
        let prompts = pairs.prompts(examples.iter().map(|example| example.row));
        let (rules, models) = (self.rules.clone(), self.models.clone());
        Writer::new(prompts, tokenizer, eos.to_vec(), Writing::of(config), rules, models)
    }
}

/// An error if a method that writes answers has nothing that judges them, or a reward is not one.
pub(in crate::engine) fn check(config: &TrainConfig, inputs: &Inputs) -> Result<()> {
    for reward in inputs.rewards.iter().filter(|reward| !Inputs::is_run(reward)) {
        rule(reward)?;
    }
    match config.method().is_online() && inputs.rewards.is_empty() {
        false => Ok(()),
        true => Err(Error::input(
            "Nothing says what an answer is worth",
            format!("Choose a reward model's run, or a rule: {RULES}"),
            "rewards",
        )),
    }
}

fn rule(reward: &str) -> Result<Rule> {
    reward.parse().map_err(|what: String| Error::input(what, "Correct the rule", "rewards"))
}

impl Session {
    /// The adapter of a stored run: that of its best evaluation, else its last.
    pub(in crate::engine) async fn adapter_of_stored(&self, run_id: &str) -> Result<(String, files::Adapter)> {
        let (record, adapter) = RunFolder::new(self.store()?, run_id).adapter().await?;
        let name = record.name;
        match adapter {
            Some(adapter) => Ok((name, adapter)),
            None => Err(Error::input("The run has no tuned model yet", "Choose another, or continue it", name)),
        }
    }

    /// Returns the adapter of the run to start from, if there is one, with a head added where the method needs it.
    pub(in crate::engine) async fn first_adapter(
        &self,
        inputs: &Inputs,
        config: &TrainConfig,
        open: &OpenModel,
    ) -> Result<Option<files::Adapter>> {
        let Some(run_id) = &inputs.start_from else { return Ok(None) };
        let (name, adapter) = self.adapter_of_stored(run_id).await?;
        let wanted = config.adapter("").task;
        match (adapter.config.task, wanted) {
            (Task::SeqCls, Task::CausalLm) => Err(Error::input(
                "The run to start from trained a reward model, which scores texts and does not write them",
                "Start from another run, or from the base model",
                name,
            )),
            (Task::CausalLm, Task::SeqCls) => config.with_head(adapter, &open.config).map(Some),
            _ => Ok(Some(adapter)),
        }
    }

    /// An adapter on the device: these values, or a fresh one.
    pub(in crate::engine) fn upload(
        gpu: &Gpu,
        open: &OpenModel,
        weights: &Model,
        config: &TrainConfig,
        values: Option<&files::Adapter>,
    ) -> Result<Adapter> {
        let Some(values) = values else {
            let settings = config.adapter_settings(config.adapter(&open.base), &open.config)?;
            let values = fresh(&settings, &open.config, config.seed);
            let adapter = Adapter::new(gpu, &open.config, settings);
            adapter.set(gpu, &values, &open.name)?;
            weights.measure(gpu, &adapter);
            gpu.check()?;
            return Ok(adapter);
        };
        let from = "the run that it starts from";
        let settings = config.adapter_settings(values.config.clone(), &open.config)?;
        settings.check(&open.config, values, from)?;
        let adapter = Adapter::new(gpu, &open.config, settings);
        adapter.set(gpu, values, from)?;
        gpu.check()?;
        Ok(adapter)
    }

    /// The reference, if it is the adapter that the run starts from; and its content for the hash.
    pub(in crate::engine) fn reference_adapter(
        gpu: &Gpu,
        open: &OpenModel,
        weights: &Model,
        config: &TrainConfig,
        first: Option<&files::Adapter>,
    ) -> Result<Option<(Adapter, Vec<u8>)>> {
        match first.filter(|_| config.reference == Reference::InitialAdapter) {
            Some(values) => Ok(Some((Self::upload(gpu, open, weights, config, Some(values))?, values.tensor_file()))),
            None => Ok(None),
        }
    }

    /// PPO's value model: a fresh adapter like the policy's, with a head.
    pub(in crate::engine) fn value_model(gpu: &Gpu, open: &OpenModel, config: &TrainConfig) -> Result<Option<Adapter>> {
        if config.method() != Method::Ppo {
            return Ok(None);
        }
        let (settings, values) = config.value_model(&open.base, &open.config)?;
        let adapter = Adapter::new(gpu, &open.config, settings);
        adapter.set(gpu, &values, "a fresh value model")?;
        gpu.check()?;
        Ok(Some(adapter))
    }

    /// The reward models among the rewards, with the names of their runs; an error if one is none, or of another model.
    pub(in crate::engine) async fn reward_models(
        &self,
        open: &OpenModel,
        inputs: &Inputs,
    ) -> Result<Vec<(String, AdapterSettings, files::Adapter)>> {
        let mut models = Vec::new();
        for run_id in inputs.rewards.iter().filter_map(|reward| Inputs::run_of(reward)) {
            let (name, values) = self.adapter_of_stored(run_id).await?;
            if values.config.task != Task::SeqCls {
                return Err(Error::input("This run trained no reward model", "Choose one of method reward", name));
            }
            let settings = AdapterSettings::new(values.config.clone(), &open.config)?;
            settings.check(&open.config, &values, &name)?;
            models.push((name, settings, values));
        }
        Ok(models)
    }

    /// The rewards on the device.
    pub(in crate::engine) async fn rewards(&self, gpu: &Gpu, open: &OpenModel, inputs: &Inputs) -> Result<Rewards> {
        let rules = inputs.rewards.iter().filter(|reward| !Inputs::is_run(reward)).map(|reward| rule(reward));
        let mut rewards = Rewards { rules: rules.collect::<Result<_>>()?, models: Vec::new() };
        for (name, settings, values) in self.reward_models(open, inputs).await? {
            let adapter = Adapter::new(gpu, &open.config, settings);
            adapter.set(gpu, &values, &name)?;
            rewards.models.push(Rc::new(RewardModel { name, adapter }));
        }
        gpu.check()?;
        Ok(rewards)
    }
}

/// An evaluation by answers to held-out prompts, under TRL's names.
pub(in crate::engine) fn judged(answers: &[Rollout], names: &[String], weights: Option<&[f64]>) -> Metrics {
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (mut sum, mut n) = (0.0, 0);
        for value in values {
            (sum, n) = (sum + value, n + 1);
        }
        sum / f64::from(n.max(1))
    };
    let weight = |at: usize| weights.and_then(|weights| weights.get(at)).copied().unwrap_or(1.0);
    let total = |answer: &Rollout| -> f64 {
        answer.rewards.iter().enumerate().map(|(at, reward)| weight(at) * reward.unwrap_or(0.0)).sum()
    };
    let mut metrics = Metrics::from_iter([("eval_reward".to_owned(), mean(&mut answers.iter().map(total)).into())]);
    for (at, name) in names.iter().enumerate() {
        let given = &mut answers.iter().filter_map(|answer| answer.rewards.get(at).copied().flatten());
        metrics.insert(format!("eval_rewards/{name}/mean"), mean(given).into());
    }
    let length = mean(&mut answers.iter().map(|answer| answer.completion.len() as f64));
    metrics.insert("eval_completions/mean_length".to_owned(), length.into());
    metrics
}
