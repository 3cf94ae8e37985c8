//! PEFT LoRA adapters: a folder with `adapter_config.json` and `adapter_model.safetensors`, read and written.
//!
//! PEFT features that pairtune cannot compute are refused by name when an adapter is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use super::model_card::ModelCard;
use super::safetensors::{Tensor, parse, serialize_f32};
use crate::error::{Error, Result};
use crate::platform::{Folder, read_all};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Prefix of PEFT's tensor keys; the path of the module follows.
pub const PEFT_PREFIX: &str = "base_model.model.";
/// Suffix of the key of A, after the path of the module.
pub const LORA_A: &str = ".lora_A.weight";
/// Suffix of the key of B.
pub const LORA_B: &str = ".lora_B.weight";
/// The key of the head that scores, of a reward or value model (1, hidden).
pub const SCORE: &str = "base_model.model.score.weight";
/// Suffix of the key of DoRA's lengths.
pub const LORA_MAGNITUDE: &str = ".lora_magnitude_vector";

/// A LoRA or DoRA adapter: settings, and its tensors by their full PEFT key.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// The settings.
    pub config: AdapterConfig,
    /// `base_model.model.<module>.lora_A.weight` (r, in) and `.lora_B.weight` (out, r); for DoRA also
    /// `.lora_magnitude_vector` (out).
    pub tensors: BTreeMap<String, Tensor>,
}

/// The settings in `adapter_config.json` that matter here, under PEFT's names.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Rank.
    pub r: usize,
    /// Numerator of the scale.
    pub lora_alpha: f64,
    /// Kept as it was read; DPO trains without dropout.
    pub lora_dropout: f64,
    /// Modules that have an adapter.
    pub target_modules: TargetModules,
    /// Exceptions to `target_modules`: modules that get no adapter.
    pub exclude_modules: Option<TargetModules>,
    /// The layers that have an adapter; none for all.
    pub layers_to_transform: Option<Vec<usize>>,
    /// Ranks of some modules, by patterns for the ends of their paths, of which the first that matches counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// `lora_alpha` of some modules likewise.
    pub alpha_pattern: Vec<(String, f64)>,
    /// True for a scale of `lora_alpha / sqrt(r)`.
    pub use_rslora: bool,
    /// True for DoRA (Liu et al. 2024): each row of `W + scale B A` is brought to a length that is trained.
    pub use_dora: bool,
    /// True where base weights are stored (in, out), as GPT-2's are.
    pub fan_in_fan_out: bool,
    /// Name or path of the base model.
    pub base_model_name_or_path: Option<String>,
    /// Task of the model with the adapter.
    pub task: Task,
}

/// PEFT's `task_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// `CAUSAL_LM`: it writes.
    #[default]
    CausalLm,
    /// `SEQ_CLS`: it scores, by a head that is in the adapter.
    SeqCls,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::CausalLm => "CAUSAL_LM",
            Self::SeqCls => "SEQ_CLS",
        }
    }
}

/// PEFT's `target_modules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetModules {
    /// `"all-linear"`: every linear layer but the head.
    AllLinear,
    /// The last parts of module names, or longer endings of them.
    Names(Vec<String>),
    /// A regular expression for whole module names.
    Pattern(String),
}

impl fmt::Display for TargetModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllLinear => f.write_str("\"all-linear\""),
            Self::Names(names) => write!(f, "{names:?}"),
            Self::Pattern(pattern) => write!(f, "{pattern:?}"),
        }
    }
}

impl TargetModules {
    /// Reads JSON: a list of names, `"all-linear"` in any case, or a pattern. Returns none for anything else.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) if name.eq_ignore_ascii_case("all-linear") => Some(Self::AllLinear),
            Value::String(pattern) => Some(Self::Pattern(pattern.clone())),
            Value::Array(list) if !list.is_empty() => {
                let names: Option<Vec<String>> = list.iter().map(|name| name.as_str().map(str::to_owned)).collect();
                names.map(Self::Names)
            }
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::AllLinear => json!("all-linear"),
            Self::Names(names) => json!(names.iter().collect::<BTreeSet<_>>()),
            Self::Pattern(pattern) => json!(pattern),
        }
    }
}

impl AdapterConfig {
    /// Factor of the product B A x: `lora_alpha / r`, or `lora_alpha / sqrt(r)` with `use_rslora`.
    pub fn scale(&self) -> f64 {
        self.scale_of(self.r, self.lora_alpha)
    }

    /// Returns the settings of the same adapter with its scale multiplied by `strength`.
    ///
    /// An error for DoRA, whose file has no such number.
    pub fn times(&self, strength: f64) -> Result<Self> {
        if self.use_dora {
            return Err(Error::input(
                format!("A DoRA adapter cannot be written at an adapter scale of {:.0} %", 100.0 * strength),
                "Set the adapter scale to 100 %, or train plain LoRA",
                "use_dora",
            ));
        }
        let alpha_pattern = self.alpha_pattern.iter().map(|(pattern, alpha)| (pattern.clone(), alpha * strength));
        let alpha_pattern = alpha_pattern.collect();
        Ok(Self { lora_alpha: self.lora_alpha * strength, alpha_pattern, ..self.clone() })
    }

    /// The same for a module of another rank or alpha.
    pub fn scale_of(&self, r: usize, alpha: f64) -> f64 {
        let r = r as f64;
        alpha / if self.use_rslora { r.sqrt() } else { r }
    }
}

impl Adapter {
    /// Reads an adapter folder; keys without the `base_model.model.` prefix get it.
    ///
    /// Errors say that the folder is no adapter, name the setting that is not supported, or the tensor that is not
    /// one of a pair of finite LoRA matrices of rank `r`.
    pub async fn read(folder: &dyn Folder) -> Result<Self> {
        let files = folder.files();
        let has = |name: &str| files.iter().any(|file| file == name);
        if !has(CONFIG) {
            let what = if has("config.json") { "This is a model folder, not an adapter" } else { "This is no adapter" };
            return Err(Error::input(
                format!("{what}: it has no {CONFIG}"),
                format!("Name a folder that PEFT saved, with {CONFIG} and {WEIGHTS}"),
                folder.name(),
            ));
        }
        if !has(WEIGHTS) {
            return Err(Error::input(
                format!("The adapter has no {WEIGHTS}"),
                "If it has adapter_model.bin, load it with PEFT and save it again with save_pretrained",
                folder.name(),
            ));
        }
        let source = folder.open(CONFIG)?;
        let config = AdapterConfig::from_bytes(&read_all(source.as_ref()).await?, source.name())?;
        let source = folder.open(WEIGHTS)?;
        let tensors = parse(source.name(), &read_all(source.as_ref()).await?)?;
        let tensors = tensors.into_iter().map(|(key, tensor)| (full_key(&key), tensor)).collect();
        let adapter = Self { config, tensors };
        adapter.check(source.name())?;
        Ok(adapter)
    }

    /// The tensors alone, as a safetensors file.
    pub fn tensor_file(&self) -> Vec<u8> {
        let tensors: Vec<_> = self
            .tensors
            .iter()
            .map(|(key, tensor)| (key.clone(), tensor.shape.clone(), tensor.data.as_slice()))
            .collect();
        serialize_f32(&tensors, &BTreeMap::from([("format".to_owned(), "pt".to_owned())]))
    }

    /// The files of a PEFT 0.21 folder, name and content: weights (f32), config and README.
    pub fn files(&self, card: &ModelCard) -> Vec<(String, Vec<u8>)> {
        vec![
            (WEIGHTS.to_owned(), self.tensor_file()),
            (CONFIG.to_owned(), self.config.to_bytes()),
            ("README.md".to_owned(), card.to_markdown(&self.config).into_bytes()),
        ]
    }

    /// Checks that the tensors are whole pairs of A (r, in) and B (out, r), r being that of the settings unless they
    /// give some modules others, each with a vector (out) if the adapter is DoRA.
    fn check(&self, file: &str) -> Result<()> {
        let wrong = |key: &str, what: String| {
            Error::input(what, "Save the adapter again with PEFT, as plain LoRA", format!("{file}, tensor {key}"))
        };
        let mut modules = BTreeSet::new();
        for (key, tensor) in &self.tensors {
            let r = self.config.r;
            let varied = !self.config.rank_pattern.is_empty();
            if let Some(value) = tensor.data.iter().find(|value| !value.is_finite()) {
                return Err(wrong(key, format!("The tensor holds the value {value}")));
            }
            if key == SCORE && self.config.task == Task::SeqCls {
                let fits = matches!(tensor.shape.as_slice(), [1, hidden] if *hidden > 0);
                if !fits {
                    return Err(wrong(key, format!("The head that scores has the shape {:?}", tensor.shape)));
                }
                continue;
            }
            let part = key.rsplit_once(".lora_").map(|(module, part)| (module, format!(".lora_{part}")));
            let (module, fits) = match part.as_ref().map(|(module, part)| (*module, part.as_str())) {
                Some((module, LORA_A)) => (module, tensor.shape.len() == 2 && (varied || tensor.shape[0] == r)),
                Some((module, LORA_B)) => (module, tensor.shape.len() == 2 && (varied || tensor.shape[1] == r)),
                Some((module, LORA_MAGNITUDE)) if self.config.use_dora => (module, tensor.shape.len() == 1),
                Some((_, LORA_MAGNITUDE)) => {
                    return Err(wrong(key, format!("It is DoRA's, but {CONFIG} has no use_dora")));
                }
                _ => return Err(wrong(key, "This tensor is not a LoRA matrix of a linear layer".to_owned())),
            };
            if !fits || tensor.shape.contains(&0) {
                let what = format!("The shape {:?} does not fit the rank {r} of {CONFIG}", tensor.shape);
                return Err(wrong(key, what));
            }
            modules.insert(module);
        }
        let parts = if self.config.use_dora { &[LORA_A, LORA_B, LORA_MAGNITUDE][..] } else { &[LORA_A, LORA_B] };
        for key in modules.iter().flat_map(|module| parts.iter().map(move |part| format!("{module}{part}"))) {
            if !self.tensors.contains_key(&key) {
                return Err(wrong(&key, "The module has other tensors, but this one is missing".to_owned()));
            }
        }
        if self.config.task == Task::SeqCls && !self.tensors.contains_key(SCORE) {
            return Err(wrong(SCORE, "The adapter is that of a model that scores, but has no head".to_owned()));
        }
        match modules.is_empty() {
            true => Err(wrong("*.lora_A.weight", "The adapter has no tensors".to_owned())),
            false => Ok(()),
        }
    }
}

/// Settings of PEFT that must be absent, null, false or empty, because we would compute something else.
const REFUSED: [&str; 17] = [
    "modules_to_save",
    "lora_bias",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "loftq_config",
    "corda_config",
    "lora_ga_config",
    "megatron_config",
    "use_bdlora",
    "use_qalora",
    "ensure_weight_tying",
];

impl AdapterConfig {
    fn from_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        let map: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| {
            Error::input(format!("This is not a JSON object: {e}"), "Save the adapter again with PEFT", file)
        })?;
        let fields = Fields { map: &map, file };
        let (get, wrong) = (|key: &str| fields.get(key), |key: &str, needed: &str| fields.wrong(key, needed));
        if get("peft_type").and_then(Value::as_str) != Some("LORA") {
            return Err(wrong("peft_type", "\"LORA\""));
        }
        let task = match get("task_type").and_then(Value::as_str) {
            Some("SEQ_CLS") => Task::SeqCls,
            _ => Task::CausalLm,
        };
        fields.check_supported(task)?;
        let number = |key: &str| get(key).and_then(Value::as_f64);
        let excluded = get("exclude_modules").is_some_and(|list| list.as_array().is_none_or(|list| !list.is_empty()));
        let target_modules = fields.modules("target_modules")?.ok_or_else(|| wrong("target_modules", MODULES))?;
        // The name of the list of layers says nothing new: a model has one.
        let layers_to_transform = match get("layers_to_transform") {
            None => None,
            Some(layers) => Some(layer_list(layers).ok_or_else(|| wrong("layers_to_transform", "layers' numbers"))?),
        };
        let rank =
            |value: &Value| value.as_u64().and_then(|r| u16::try_from(r).ok()).map(usize::from).filter(|r| *r > 0);
        let alpha = |value: &Value| value.as_f64().filter(|alpha| alpha.abs() <= f64::from(f32::MAX));
        let rank_pattern = pattern(get("rank_pattern"), rank);
        let alpha_pattern = pattern(get("alpha_pattern"), alpha);
        Ok(Self {
            r: match get("r").and_then(Value::as_u64).and_then(|r| u16::try_from(r).ok()) {
                Some(r) if r > 0 => usize::from(r),
                _ => return Err(wrong("r", "a positive whole number below 65536")),
            },
            lora_alpha: match number("lora_alpha") {
                Some(alpha) if alpha.abs() <= f64::from(f32::MAX) => alpha,
                _ => return Err(wrong("lora_alpha", "a number")),
            },
            lora_dropout: match number("lora_dropout").unwrap_or(0.0) {
                dropout if (0.0..=1.0).contains(&dropout) => dropout,
                _ => return Err(wrong("lora_dropout", "a number from 0 to 1")),
            },
            target_modules,
            exclude_modules: if excluded { fields.modules("exclude_modules")? } else { None },
            layers_to_transform: layers_to_transform.filter(|layers| !layers.is_empty()),
            rank_pattern: rank_pattern
                .ok_or_else(|| wrong("rank_pattern", "an object of whole numbers below 65536"))?,
            alpha_pattern: alpha_pattern.ok_or_else(|| wrong("alpha_pattern", "an object of numbers"))?,
            use_rslora: fields.flag("use_rslora")?,
            use_dora: fields.flag("use_dora")?,
            fan_in_fan_out: fields.flag("fan_in_fan_out")?,
            base_model_name_or_path: get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
            task,
        })
    }

    /// `adapter_config.json` with PEFT 0.21's whole key set, sorted, indent 2.
    fn to_bytes(&self) -> Vec<u8> {
        let number = |alpha: f64| match alpha {
            whole if whole.fract() == 0.0 && whole.abs() < 1e15 => json!(whole as i64),
            other => json!(other),
        };
        let alphas: Map<String, Value> = self.alpha_pattern.iter().map(|(key, a)| (key.clone(), number(*a))).collect();
        let ranks: Map<String, Value> = self.rank_pattern.iter().map(|(key, r)| (key.clone(), json!(r))).collect();
        let config = json!({
            "alora_invocation_tokens": null,
            "alpha_pattern": alphas,
            "arrow_config": null,
            "auto_mapping": null,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "corda_config": null,
            "ensure_weight_tying": false,
            "eva_config": null,
            "exclude_modules": self.exclude_modules.as_ref().map(TargetModules::to_json),
            "fan_in_fan_out": self.fan_in_fan_out,
            "inference_mode": true,
            "init_lora_weights": true,
            "kasa_config": null,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": self.layers_to_transform,
            "loftq_config": {},
            "lora_alpha": number(self.lora_alpha),
            "lora_bias": false,
            "lora_dropout": self.lora_dropout,
            "lora_ga_config": null,
            "megatron_config": null,
            "megatron_core": "megatron.core",
            "modules_to_save": (self.task == Task::SeqCls).then_some(["classifier", "score"]),
            "monteclora_config": null,
            "peft_type": "LORA",
            "peft_version": "0.21.2",
            "qalora_group_size": 16,
            "r": self.r,
            "rank_pattern": ranks,
            "revision": null,
            "target_modules": self.target_modules.to_json(),
            "target_parameters": null,
            "task_type": self.task.name(),
            "trainable_token_indices": null,
            "use_bdlora": null,
            "use_dora": self.use_dora,
            "use_qalora": false,
            "use_rslora": self.use_rslora,
            "velora_config": null,
        });
        format!("{config:#}\n").into_bytes()
    }
}

/// Values of `target_modules`, for errors.
const MODULES: &str = "a list of module names, a regular expression, or \"all-linear\"";

/// Fields of an `adapter_config.json`, and the errors that name them.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    file: &'a str,
}

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, needed: &str) -> Error {
        let found = self.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        Error::input(
            format!("{key} is {found}"),
            format!("It must be {needed}; save the adapter again with PEFT"),
            format!("{}, field {key}", self.file),
        )
    }

    fn refused(&self, key: &str, value: &Value) -> Error {
        Error::input(
            format!("The adapter has {key} = {value}, which is not supported"),
            "Use a plain LoRA adapter, or merge this one into its base model first",
            format!("{}, field {key}", self.file),
        )
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    fn modules(&self, key: &str) -> Result<Option<TargetModules>> {
        match self.get(key).map(TargetModules::from_json) {
            Some(None) => Err(self.wrong(key, MODULES)),
            other => Ok(other.flatten()),
        }
    }

    /// An error if the adapter has something that would be lost here.
    fn check_supported(&self, task: Task) -> Result<()> {
        // PEFT names the head that scores among the modules to save, by two names of which a model has one.
        let is_head = |name: &Value| matches!(name.as_str(), Some("score" | "classifier"));
        let heads = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(is_head));
        for (key, value) in REFUSED.iter().filter_map(|key| self.get(key).map(|value| (key, value))) {
            if *key == "modules_to_save" && task == Task::SeqCls && heads(value) {
                continue;
            }
            let empty = match value {
                Value::Bool(flag) => !flag,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !empty {
                return Err(self.refused(key, value));
            }
        }
        if let Some(bias) = self.get("bias").filter(|bias| bias.as_str() != Some("none")) {
            return Err(self.refused("bias", bias));
        }
        // Other initialisations (PiSSA, OLoRA, ...) change the base weights when PEFT loads the adapter.
        match self.get("init_lora_weights") {
            Some(init @ Value::String(name)) if !["gaussian", "orthogonal", "eva"].contains(&name.as_str()) => {
                Err(self.refused("init_lora_weights", init))
            }
            _ => Ok(()),
        }
    }
}

/// A tensor's key with the prefix that may be left out, and as PEFT names it today.
fn full_key(key: &str) -> String {
    let prefix = if key.starts_with(PEFT_PREFIX) { "" } else { PEFT_PREFIX };
    // PEFT 0.9 to 0.11 wrote a weight.
    let key = if key.ends_with(".lora_magnitude_vector.weight") { key.trim_end_matches(".weight") } else { key };
    format!("{prefix}{key}")
}

/// One layer's number, or a list of them.
fn layer_list(value: &Value) -> Option<Vec<usize>> {
    let number = |value: &Value| value.as_u64().map(|layer| layer as usize);
    match value {
        Value::Array(list) => list.iter().map(number).collect(),
        one => number(one).map(|layer| vec![layer]),
    }
}

/// An object of patterns and values, in its order; none if a value is not what `read` wants.
fn pattern<T>(value: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<(String, T)>> {
    let Some(value) = value else { return Some(Vec::new()) };
    value.as_object()?.iter().map(|(key, value)| Some((key.clone(), read(value)?))).collect()
}
