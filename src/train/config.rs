//! `TrainConfig`: a flat set of settings under the names of TRL's `DPOConfig` and PEFT's `LoraConfig`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::loss::{self, LossType};
use crate::data::Sampling;
use crate::error::{Error, Result};
use crate::files::{AdapterConfig, TargetModules};
use crate::kernels::{LossWeights, PreferenceSettings};
use crate::model::{AdapterSettings, Architecture, LoadIn};

/// Everything that decides a run, beside the model, the pairs and the initial adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainConfig {
    /// How hard the loss pushes away from the reference.
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
    /// Decoupled, on all parameters alike.
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
    /// Longest sequence in tokens; longer ones lose their end.
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
    /// What the policy is measured against.
    pub reference: Reference,
    /// Share of the pairs that is held out, whole prompts kept apart.
    pub eval_split: f64,
    /// How the base's linear layers lie on the device; a run goes on with the same.
    pub load_in: LoadIn,
    /// Keep one layer's activations and run layers forward again in the backward pass.
    pub gradient_checkpointing: bool,
    /// Optimiser steps between checkpoints; 0 for none, but Ctrl-C always leaves one.
    pub save_steps: usize,
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

/// What the policy is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The base model without adapter: what TRL does when it makes the adapter.
    Base,
    /// A frozen copy of the initial adapter: what TRL does when it is handed a PEFT model.
    InitialAdapter,
}

/// Every setting's name, in the order of the README.
pub const KEYS: [&str; 31] = [
    "beta",
    "loss_type",
    "loss_weights",
    "label_smoothing",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "max_steps",
    "num_train_epochs",
    "seed",
    "train_sampling_strategy",
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
    "use_dora",
    "lora_dropout",
    "disable_dropout",
    "reference",
    "eval_split",
    "load_in",
    "gradient_checkpointing",
    "save_steps",
];

impl TrainConfig {
    /// Settings that work for LoRA DPO on small models.
    pub fn defaults() -> Self {
        Self {
            beta: 0.1,
            loss_type: vec![LossType::Sigmoid],
            loss_weights: None,
            label_smoothing: 0.0,
            learning_rate: 2e-5,
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
            train_sampling_strategy: Sampling::Random,
            r: 16,
            lora_alpha: 32.0,
            target_modules: TargetModules::AllLinear,
            use_rslora: false,
            use_dora: false,
            lora_dropout: 0.0,
            disable_dropout: true,
            reference: Reference::Base,
            eval_split: 0.0,
            load_in: LoadIn::Stored,
            gradient_checkpointing: false,
            save_steps: 0,
        }
    }

    /// Defaults overridden by a flat object; `at` says where it came from.
    ///
    /// An error names an unknown key and the nearest known one, a value of the wrong type, or every value out of range.
    pub fn from_map(map: &Map<String, Value>, at: &str) -> Result<Self> {
        for key in map.keys() {
            if !KEYS.contains(&key.as_str()) {
                let nearest =
                    KEYS.iter().max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
                return Err(Error::input(
                    format!("There is no setting \"{key}\""),
                    format!("Did you mean \"{}\"", nearest.unwrap_or(&"")),
                    format!("{at}, field {key}"),
                ));
            }
        }
        let d = Self::defaults();
        let fields = Fields { map, at };
        let config = Self {
            beta: fields.get("beta", "a number", d.beta)?,
            loss_type: fields.loss_types(d.loss_type)?,
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
            save_steps: fields.get("save_steps", "a whole number", d.save_steps)?,
        };
        config.check(at)?;
        Ok(config)
    }

    fn check(&self, at: &str) -> Result<()> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::input(problems.join("; "), "Correct these settings", at)),
        }
    }

    /// Every value that is out of range, as `name value: range`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, name: &str, value: &dyn std::fmt::Display, range: &str| {
            if !ok {
                problems.push(format!("{name} is {value}, but must be {range}"));
            }
        };
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let not_negative = |v: f64| v.is_finite() && v >= 0.0;
        let fraction = |v: f64| (0.0..1.0).contains(&v);
        let robust = self.loss_type.contains(&LossType::Robust);
        check(positive(self.beta), "beta", &self.beta, "above 0");
        check(!self.loss_type.is_empty(), "loss_type", &"empty", "one loss type or several");
        if let Some(weights) = &self.loss_weights {
            let (n, types) = (weights.len(), self.loss_type.len());
            check(n == types, "loss_weights", &format!("{n} long"), &format!("as long as loss_type, {types}"));
            check(weights.iter().all(|w| w.is_finite()), "loss_weights", &"not finite", "finite numbers");
        }
        check(
            not_negative(self.label_smoothing) && self.label_smoothing < if robust { 0.5 } else { 1.0 },
            "label_smoothing",
            &self.label_smoothing,
            if robust { "from 0 to below 0.5" } else { "from 0 to below 1" },
        );
        check(not_negative(self.learning_rate), "learning_rate", &self.learning_rate, "0 or more");
        check(not_negative(self.warmup_steps), "warmup_steps", &self.warmup_steps, "0 or more");
        check(not_negative(self.weight_decay), "weight_decay", &self.weight_decay, "0 or more");
        check(fraction(self.adam_beta1), "adam_beta1", &self.adam_beta1, "from 0 to below 1");
        check(fraction(self.adam_beta2), "adam_beta2", &self.adam_beta2, "from 0 to below 1");
        check(not_negative(self.adam_epsilon), "adam_epsilon", &self.adam_epsilon, "0 or more");
        check(not_negative(self.max_grad_norm), "max_grad_norm", &self.max_grad_norm, "0 or more");
        let batch = self.per_device_train_batch_size;
        check(batch > 0, "per_device_train_batch_size", &batch, "1 or more");
        let accumulation = self.gradient_accumulation_steps;
        check(accumulation > 0, "gradient_accumulation_steps", &accumulation, "1 or more");
        check(self.max_length >= 2, "max_length", &self.max_length, "2 or more");
        check(self.max_steps > 0 || self.max_steps == -1, "max_steps", &self.max_steps, "1 or more, or -1");
        check(positive(self.num_train_epochs), "num_train_epochs", &self.num_train_epochs, "above 0");
        check((1..=1024).contains(&self.r), "r", &self.r, "from 1 to 1024");
        check(positive(self.lora_alpha), "lora_alpha", &self.lora_alpha, "above 0");
        check(fraction(self.lora_dropout), "lora_dropout", &self.lora_dropout, "from 0 to below 1");
        check(
            !self.use_dora || self.dropout() == 0.0,
            "disable_dropout",
            &"false",
            "true with use_dora, or lora_dropout 0: DoRA trains without dropout",
        );
        check(fraction(self.eval_split), "eval_split", &self.eval_split, "from 0 to below 1");
        problems
    }

    /// Share of the adapter's inputs that training drops.
    pub fn dropout(&self) -> f64 {
        if self.disable_dropout { 0.0 } else { self.lora_dropout }
    }

    /// Scalars of the loss kernel.
    pub fn preference(&self) -> PreferenceSettings {
        let weights: LossWeights = loss::weights(&self.loss_type, self.loss_weights.as_deref());
        PreferenceSettings { beta: self.beta as f32, label_smoothing: self.label_smoothing as f32, weights }
    }

    /// The settings of a fresh adapter for the model of this name on the Hub, or at this path; empty if it has neither.
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
        }
    }

    /// An adapter of these settings for a model, and what training drops.
    pub fn adapter_settings(&self, adapter: AdapterConfig, model: &Architecture) -> Result<AdapterSettings> {
        Ok(AdapterSettings { dropout: self.dropout() as f32, ..AdapterSettings::new(adapter, model)? })
    }

    /// Takes over the settings of an adapter that the run starts from; an error names a key of `given`, the settings
    /// that were asked for, that says otherwise.
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
                ));
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

    /// The settings as a flat object, as `--config` reads it.
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            other => unreachable!("settings are an object: {other:?}"),
        }
    }

    /// Optimiser steps of the run.
    pub fn n_steps(&self, steps_per_epoch: usize) -> usize {
        match self.max_steps {
            steps if steps > 0 => steps as usize,
            _ => (self.num_train_epochs * steps_per_epoch as f64).ceil() as usize,
        }
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

/// One flat object, read with checks.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    at: &'a str,
}

impl Fields<'_> {
    fn get<T: DeserializeOwned>(&self, key: &str, wanted: &str, default: T) -> Result<T> {
        match self.map.get(key) {
            None => Ok(default),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| self.wrong(key, value, wanted)),
        }
    }

    fn loss_types(&self, default: Vec<LossType>) -> Result<Vec<LossType>> {
        let wanted = format!("one of {}, or a list of them", loss::NAMES);
        match self.map.get("loss_type") {
            Some(value @ Value::String(_)) => Ok(vec![self.get("loss_type", &wanted, LossType::Sigmoid)?])
                .map_err(|_: Error| self.wrong("loss_type", value, &wanted)),
            _ => self.get("loss_type", &wanted, default),
        }
    }

    fn sampling(&self, default: Sampling) -> Result<Sampling> {
        match self.map.get("train_sampling_strategy") {
            None => Ok(default),
            Some(Value::String(name)) if name == "random" => Ok(Sampling::Random),
            Some(Value::String(name)) if name == "sequential" => Ok(Sampling::Sequential),
            Some(value) => Err(self.wrong("train_sampling_strategy", value, "random or sequential")),
        }
    }

    fn targets(&self, default: TargetModules) -> Result<TargetModules> {
        let wanted = "\"all-linear\", a module name, a regular expression, or a list of module names";
        let Some(value) = self.map.get("target_modules") else { return Ok(default) };
        match TargetModules::from_json(value) {
            // A lone name is a list of one: as a pattern it would have to be a whole path.
            Some(TargetModules::Pattern(name)) if is_name(&name) => Ok(TargetModules::Names(vec![name])),
            Some(targets) => Ok(targets),
            None => Err(self.wrong("target_modules", value, wanted)),
        }
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> Error {
        Error::input(format!("{key} is {value}"), format!("Give {wanted}"), format!("{}, field {key}", self.at))
    }
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

/// True for a module's name or path, which has none of the signs of a pattern but the dot.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
}
