//! `TrainConfig`: a flat set of settings under the names of TRL's configs and PEFT's `LoraConfig`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::common::{Setting, common, methods_with, settings};
use super::fields::Fields;
use super::method::Options;
use crate::data::{Method, Sampling, steps_per_epoch};
use crate::error::{Error, Result};
use crate::files::{Adapter, AdapterConfig, SCORE, TargetModules, Task};
use crate::gpu::Precision;
use crate::model::{AdapterSettings, Architecture, LoadIn, fresh};
use crate::train::loss::LossType;

/// Everything that decides a run, besides the model, the pairs and the initial adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Strength with which the loss holds the policy to the reference.
    pub beta: f64,
    /// One loss or several.
    pub loss_type: Vec<LossType>,
    /// One weight per loss type; 1 each if absent.
    pub loss_weights: Option<Vec<f64>>,
    /// Share of labels taken to be wrong; only `robust` reads it.
    pub label_smoothing: f64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the learning rate over the run.
    pub lr_scheduler_type: Scheduler,
    /// Steps of linear warm-up; below 1, a share of all steps.
    pub warmup_steps: f64,
    /// Decoupled weight decay, the same for all parameters.
    pub weight_decay: f64,
    /// Decay of Adam's first moment.
    pub adam_beta1: f64,
    /// Decay of Adam's second moment.
    pub adam_beta2: f64,
    /// Added to the root of Adam's second moment.
    pub adam_epsilon: f64,
    /// Largest global gradient norm; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Pairs of a micro-batch.
    pub per_device_train_batch_size: usize,
    /// Micro-batches of an optimiser step.
    pub gradient_accumulation_steps: usize,
    /// Max length of a sequence in tokens; longer ones are truncated.
    pub max_length: usize,
    /// Optimiser steps of the run; -1 for `num_train_epochs` instead.
    pub max_steps: i64,
    /// Passes over the pairs, if `max_steps` is -1.
    pub num_train_epochs: f64,
    /// Seeds the order of the pairs, the split and a fresh adapter.
    pub seed: u64,
    /// Order of the pairs.
    #[serde(serialize_with = "sampling_name")]
    pub train_sampling_strategy: Sampling,
    /// Rank of the adapter.
    pub r: usize,
    /// Numerator of the adapter's scale.
    pub lora_alpha: f64,
    /// Modules that get an adapter.
    #[serde(serialize_with = "target_names")]
    pub target_modules: TargetModules,
    /// Scale by `lora_alpha / sqrt(r)` instead of `lora_alpha / r`.
    pub use_rslora: bool,
    /// Train the length of each row of an adapted weight too (DoRA).
    pub use_dora: bool,
    /// Share of the adapter's inputs that training drops, unless `disable_dropout`.
    pub lora_dropout: f64,
    /// Train without dropout, as TRL does for preferences.
    pub disable_dropout: bool,
    /// Reference that the policy is measured against.
    pub reference: Reference,
    /// Share of the pairs that is held out, whole prompts kept apart.
    pub eval_split: f64,
    /// Format of the base's linear layers on the device; a resumed run keeps it.
    pub load_in: LoadIn,
    /// Keep one layer's activations and run layers forward again in the backward pass.
    pub gradient_checkpointing: bool,
    /// Multiply f16 operands where the GPU has f16 and gains by it. Sums, weights and adapters stay as they are.
    pub fp16: bool,
    /// Optimiser steps between checkpoints; 0 for none, but Ctrl-C always leaves one.
    pub save_steps: usize,
    /// The method, and the settings that only it has.
    #[serde(skip)]
    pub options: Options,
}

/// Shape of the learning rate over the run, as transformers names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// Down to 0 in a straight line, after warm-up.
    Linear,
    /// Down to 0 along half a cosine, after warm-up.
    Cosine,
    /// Constant; warm-up is ignored.
    Constant,
    /// Constant after warm-up.
    ConstantWithWarmup,
}

/// Reference that the policy is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The base model without adapter: what TRL does when it makes the adapter.
    Base,
    /// A frozen copy of the initial adapter: what TRL does when it is handed a PEFT model.
    InitialAdapter,
}

impl TrainConfig {
    /// Settings that work for LoRA DPO on small models.
    pub fn defaults() -> Self {
        Self::defaults_of(Method::Dpo)
    }

    /// Settings that work for a method with LoRA on small models.
    pub fn defaults_of(method: Method) -> Self {
        Self {
            beta: match method {
                Method::Grpo => 0.04,
                Method::Rloo => 0.05,
                _ => 0.1,
            },
            loss_type: vec![LossType::Sigmoid],
            loss_weights: None,
            label_smoothing: 0.0,
            learning_rate: match method {
                Method::Sft | Method::Reward => 2e-4,
                _ => 2e-5,
            },
            lr_scheduler_type: Scheduler::Cosine,
            warmup_steps: 0.1,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            per_device_train_batch_size: 4,
            gradient_accumulation_steps: 4,
            max_length: 1024,
            max_steps: -1,
            num_train_epochs: 1.0,
            seed: 42,
            // KTO's batches are part of what it computes, and TRL takes its rows in order.
            train_sampling_strategy: if method == Method::Kto { Sampling::Sequential } else { Sampling::Random },
            r: 16,
            lora_alpha: 32.0,
            target_modules: TargetModules::AllLinear,
            use_rslora: false,
            use_dora: false,
            lora_dropout: 0.0,
            disable_dropout: !matches!(method, Method::Sft | Method::Grpo),
            reference: Reference::Base,
            eval_split: 0.0,
            load_in: LoadIn::Stored,
            gradient_checkpointing: false,
            fp16: false,
            save_steps: 0,
            options: Options::defaults(method),
        }
    }

    /// The method that the settings are for.
    pub fn method(&self) -> Method {
        self.options.method()
    }

    /// Precision to which products may round their operands.
    pub fn precision(&self) -> Precision {
        if self.fp16 { Precision::F16 } else { Precision::F32 }
    }

    /// True if the method is measured against a reference.
    pub fn has_reference(&self) -> bool {
        match self.method() {
            Method::Dpo | Method::Kto | Method::Ppo => true,
            Method::Grpo | Method::Rloo => self.beta != 0.0,
            Method::Sft | Method::Reward | Method::Orpo | Method::Cpo => false,
        }
    }

    /// Reads a flat object of settings over the defaults; `at` says where it came from. A missing `method` means DPO.
    ///
    /// An error names an unknown key and the nearest known one, a key that the method does not have, a value of the
    /// wrong type, or every value out of range.
    pub fn from_map(map: &Map<String, Value>, at: &str) -> Result<Self> {
        let method = match map.get(METHOD) {
            None | Some(Value::Null) => Method::Dpo,
            Some(other) => other.as_str().unwrap_or_default().parse().map_err(|_| {
                let names = Method::ALL.map(Method::name).join(", ");
                let what = format!("There is no method {other}");
                Error::unknown(what, format!("Give one of {names}"), format!("{at}, field {METHOD}"))
                    .about_setting(METHOD)
            })?,
        };
        for key in map.keys().filter(|key| key.as_str() != METHOD) {
            check_key(key, method, at)?;
        }
        let d = Self::defaults_of(method);
        let fields = Fields { map, at };
        let config = Self {
            beta: fields.get("beta", "a number", d.beta)?,
            loss_type: if method == Method::Dpo { fields.loss_types(d.loss_type)? } else { d.loss_type },
            loss_weights: fields.get("loss_weights", "a list of numbers", d.loss_weights)?,
            label_smoothing: fields.get("label_smoothing", "a number", d.label_smoothing)?,
            learning_rate: fields.get("learning_rate", "a number", d.learning_rate)?,
            lr_scheduler_type: fields.get(
                "lr_scheduler_type",
                "one of linear, cosine, constant, constant_with_warmup",
                d.lr_scheduler_type,
            )?,
            warmup_steps: fields.get("warmup_steps", "a number", d.warmup_steps)?,
            weight_decay: fields.get("weight_decay", "a number", d.weight_decay)?,
            adam_beta1: fields.get("adam_beta1", "a number", d.adam_beta1)?,
            adam_beta2: fields.get("adam_beta2", "a number", d.adam_beta2)?,
            adam_epsilon: fields.get("adam_epsilon", "a number", d.adam_epsilon)?,
            max_grad_norm: fields.get("max_grad_norm", "a number", d.max_grad_norm)?,
            per_device_train_batch_size: fields.get(
                "per_device_train_batch_size",
                "a whole number",
                d.per_device_train_batch_size,
            )?,
            gradient_accumulation_steps: fields.get(
                "gradient_accumulation_steps",
                "a whole number",
                d.gradient_accumulation_steps,
            )?,
            max_length: fields.get("max_length", "a whole number", d.max_length)?,
            max_steps: fields.get("max_steps", "a whole number, or -1", d.max_steps)?,
            num_train_epochs: fields.get("num_train_epochs", "a number", d.num_train_epochs)?,
            seed: fields.get("seed", "a whole number", d.seed)?,
            train_sampling_strategy: fields.sampling(d.train_sampling_strategy)?,
            r: fields.get("r", "a whole number", d.r)?,
            lora_alpha: fields.get("lora_alpha", "a number", d.lora_alpha)?,
            target_modules: fields.targets(d.target_modules)?,
            use_rslora: fields.get("use_rslora", "true or false", d.use_rslora)?,
            use_dora: fields.get("use_dora", "true or false", d.use_dora)?,
            lora_dropout: fields.get("lora_dropout", "a number", d.lora_dropout)?,
            disable_dropout: fields.get("disable_dropout", "true or false", d.disable_dropout)?,
            reference: fields.get("reference", "base or initial_adapter", d.reference)?,
            eval_split: fields.get("eval_split", "a number", d.eval_split)?,
            load_in: fields.get("load_in", "one of stored, int8, int4, nf4", d.load_in)?,
            gradient_checkpointing: fields.get("gradient_checkpointing", "true or false", d.gradient_checkpointing)?,
            fp16: fields.get("fp16", "true or false", d.fp16)?,
            save_steps: fields.get("save_steps", "a whole number", d.save_steps)?,
            options: Options::read(method, &fields)?,
        };
        config.check(at)?;
        Ok(config)
    }

    fn check(&self, at: &str) -> Result<()> {
        let problems = self.problems();
        let Some((first, _)) = problems.first() else { return Ok(()) };
        let texts: Vec<&str> = problems.iter().map(|(_, text)| text.as_str()).collect();
        Err(Error::input(texts.join("; "), "Correct these settings", at).about_setting(first))
    }

    /// Share of the adapter's inputs that training drops.
    pub fn dropout(&self) -> f64 {
        if self.disable_dropout { 0.0 } else { self.lora_dropout }
    }

    /// Settings of a fresh adapter. `base` is the model's name on the Hub or its path, or empty if it has neither.
    pub fn adapter(&self, base: &str) -> AdapterConfig {
        AdapterConfig {
            r: self.r,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: self.target_modules.clone(),
            exclude_modules: None,
            layers_to_transform: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            use_rslora: self.use_rslora,
            use_dora: self.use_dora,
            fan_in_fan_out: false,
            base_model_name_or_path: Some(base).filter(|base| !base.is_empty()).map(str::to_owned),
            task: if self.method() == Method::Reward { Task::SeqCls } else { Task::CausalLm },
        }
    }

    /// Binds an adapter's settings to a model, with the dropout of this run.
    pub fn adapter_settings(&self, adapter: AdapterConfig, model: &Architecture) -> Result<AdapterSettings> {
        Ok(AdapterSettings { dropout: self.dropout() as f32, ..AdapterSettings::new(adapter, model)? })
    }

    /// Adapter of a fresh value model: like a fresh policy's, with a scoring head, and from a seed of its own.
    pub fn value_model(&self, base: &str, model: &Architecture) -> Result<(AdapterSettings, Adapter)> {
        let adapter = AdapterConfig { task: Task::SeqCls, ..self.adapter(base) };
        let settings = self.adapter_settings(adapter, model)?;
        let values = fresh(&settings, model, self.seed.wrapping_add(1));
        Ok((settings, values))
    }

    /// Turns an adapter that writes text into one that scores, by adding a fresh head.
    pub fn with_head(&self, mut adapter: Adapter, model: &Architecture) -> Result<Adapter> {
        adapter.config.task = Task::SeqCls;
        let settings = AdapterSettings::new(adapter.config.clone(), model)?;
        adapter.tensors.extend(fresh(&settings, model, self.seed).tensors.remove_entry(SCORE));
        Ok(adapter)
    }

    /// Takes over the settings of an adapter that the run starts from. An error names a key that contradicts them in
    /// `given`, the settings that were asked for.
    pub fn take_adapter(&mut self, adapter: &AdapterConfig, given: &Map<String, Value>, at: &str) -> Result<()> {
        let sorted = |targets: &TargetModules| match targets {
            TargetModules::Names(names) => {
                let mut names = names.clone();
                names.sort();
                TargetModules::Names(names)
            }
            other => other.clone(),
        };
        let differs = [
            ("r", self.r != adapter.r),
            ("lora_alpha", self.lora_alpha != adapter.lora_alpha),
            ("use_rslora", self.use_rslora != adapter.use_rslora),
            ("use_dora", self.use_dora != adapter.use_dora),
            ("lora_dropout", self.lora_dropout != adapter.lora_dropout),
            ("target_modules", sorted(&self.target_modules) != sorted(&adapter.target_modules)),
        ];
        for (key, differs) in differs {
            if differs && given.contains_key(key) {
                return Err(Error::input(
                    format!("{key} differs from that of the adapter the run starts from"),
                    format!("Leave {key} out, or start without --adapter"),
                    at,
                )
                .about_setting(key));
            }
        }
        self.r = adapter.r;
        self.lora_alpha = adapter.lora_alpha;
        self.use_rslora = adapter.use_rslora;
        self.use_dora = adapter.use_dora;
        self.lora_dropout = adapter.lora_dropout;
        self.target_modules = adapter.target_modules.clone();
        self.check(at)
    }

    /// The settings as a flat object, as `--config` reads it; `method` is left out for DPO.
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            other => unreachable!("settings are an object: {other:?}"),
        };
        let method = self.method();
        map.retain(|key, _| common(method, key));
        map.extend(self.options.to_map());
        if method != Method::Dpo {
            map.insert(METHOD.to_owned(), method.name().into());
        }
        map
    }

    /// Number of steps of a run on `examples` examples. A method that trains on answers counts as examples the answers
    /// that a pass over its prompts gives. PPO's steps are updates.
    pub fn n_steps(&self, examples: usize) -> usize {
        let (batch, accumulation) = (self.per_device_train_batch_size, self.gradient_accumulation_steps);
        let per_epoch = match &self.options {
            Options::Ppo(options) => {
                let of_epochs = (options.num_train_epochs * examples as f64).ceil() as usize;
                return options.total_episodes.unwrap_or(of_epochs).div_ceil(batch * accumulation).max(1);
            }
            Options::Grpo(_, options, _) | Options::Rloo(options, _) => {
                let batches = options.steps_per_generation.unwrap_or(accumulation);
                let generations = examples / (batch * batches);
                (generations * batches * options.num_iterations).div_ceil(accumulation).max(1)
            }
            _ => steps_per_epoch(examples, batch, accumulation),
        };
        match self.max_steps {
            steps if steps > 0 => steps as usize,
            _ => (self.num_train_epochs * per_epoch as f64).ceil() as usize,
        }
    }

    /// Number of times that a run sees each of `rows` rows; 0 for a method that trains on answers, which are new each
    /// time.
    pub fn passes(&self, rows: usize) -> f64 {
        let per_epoch = steps_per_epoch(rows, self.per_device_train_batch_size, self.gradient_accumulation_steps);
        if self.answers().is_some() { 0.0 } else { self.n_steps(rows) as f64 / per_epoch.max(1) as f64 }
    }

    /// Answers to each prompt, and the longest in tokens; `None` for a method that writes no answers.
    pub fn answers(&self) -> Option<[usize; 2]> {
        match &self.options {
            Options::Grpo(_, online, _) | Options::Rloo(online, _) => {
                Some([online.num_generations, online.max_completion_length])
            }
            Options::Ppo(ppo) => Some([1, ppo.response_length]),
            _ => None,
        }
    }

    /// Number of steps of a run on `rows` rows of a file: examples, or prompts.
    pub fn steps_on(&self, rows: usize) -> usize {
        self.n_steps(rows * self.answers().map_or(1, |[per_prompt, _]| per_prompt))
    }

    /// Learning rate of step `step` (from 0) of `n_steps`; transformers' `get_scheduler`.
    pub fn learning_rate(&self, step: usize, n_steps: usize) -> f64 {
        let n = n_steps as f64;
        let warmup = if self.warmup_steps < 1.0 { (self.warmup_steps * n).ceil() } else { self.warmup_steps.floor() };
        let k = step as f64;
        let rest = (n - warmup).max(1.0);
        let factor = match self.lr_scheduler_type {
            Scheduler::Constant => 1.0,
            _ if k < warmup => k / warmup,
            Scheduler::ConstantWithWarmup => 1.0,
            Scheduler::Linear => ((n - k) / rest).max(0.0),
            Scheduler::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * (k - warmup) / rest).cos())).max(0.0),
        };
        self.learning_rate * factor
    }
}

/// The key that names the method.
pub const METHOD: &str = "method";

/// An error if a method has no such setting.
fn check_key(key: &str, method: Method, at: &str) -> Result<()> {
    if settings(method).any(|setting| setting.key == key) {
        return Ok(());
    }
    let at = format!("{at}, field {key}");
    let others = methods_with(key);
    if !others.is_empty() {
        let others = others.into_iter().map(Method::name).collect::<Vec<_>>().join(", ");
        return Err(Error::unknown(
            format!("The method {} has no setting \"{key}\"", method.name()),
            format!("Leave it out, or use a method that has it ({others})"),
            at,
        )
        .about_setting(key));
    }
    let likeness = |setting: &&Setting| strsim::jaro_winkler(setting.key, key);
    let nearest = settings(method).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Err(Error::unknown(
        format!("There is no setting \"{key}\""),
        format!("Did you mean \"{}\"", nearest.map_or("", |setting| setting.key)),
        at,
    )
    .about_setting(key))
}

fn sampling_name<S: serde::Serializer>(sampling: &Sampling, s: S) -> std::result::Result<S::Ok, S::Error> {
    s.serialize_str(match sampling {
        Sampling::Random => "random",
        Sampling::Sequential => "sequential",
    })
}

fn target_names<S: serde::Serializer>(targets: &TargetModules, s: S) -> std::result::Result<S::Ok, S::Error> {
    match targets {
        TargetModules::AllLinear => s.serialize_str("all-linear"),
        TargetModules::Pattern(pattern) => s.serialize_str(pattern),
        TargetModules::Names(names) => names.serialize(s),
    }
}
