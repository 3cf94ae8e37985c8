//! Facts that every topic shares: metrics and settings by name, problems, progress, and the machine.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode};
use crate::gpu::Backend;

/// A step's or an evaluation's values under TRL's names.
pub type Metrics = Map<String, Value>;

/// True for the metrics of an evaluation, false for those of a step.
pub fn is_evaluation(metrics: &Metrics) -> bool {
    metrics.keys().any(|key| key.starts_with("eval_"))
}

/// The optimiser step of metrics; 0 if they do not say.
pub fn step_of(metrics: &Metrics) -> usize {
    metrics.get("step").and_then(Value::as_f64).unwrap_or(0.0) as usize
}

/// Settings of a run under the names of TRL's configs and PEFT's `LoraConfig`, with `method`; absent ones have their
/// default.
pub type Settings = Map<String, Value>;

/// Identifies this build; a page and a worker of different builds must not talk to each other.
pub const BUILD: &str = env!("PAIRTUNE_BUILD");

/// The engine at its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// [`BUILD`] of the engine.
    pub build: String,
    /// The GPU, or why there is none.
    pub gpu: Result<GpuInfo, Problem>,
    /// Location of the stored runs, for people.
    pub storage: String,
    /// Why nothing can be kept, if so.
    pub storage_problem: Option<Problem>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuInfo {
    /// Name for people: the driver's, or as much as a browser tells.
    pub name: String,
    /// Interface to it.
    pub backend: Backend,
    /// True if it is the CPU in disguise.
    pub software: bool,
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    /// Optional features that are offered.
    pub features: Vec<String>,
    /// Bytes that a run may take, if the device can tell.
    pub memory: Option<u64>,
    /// Everything for a report, as text.
    pub report: String,
}

/// A problem and its remedy, from an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Problem {
    /// Kind of the problem.
    #[serde(default)]
    pub code: ErrorCode,
    /// Description of the problem.
    pub what: String,
    /// Remedy.
    pub fix: String,
    /// Place of the problem; empty if there is none.
    pub at: String,
    /// Key of the setting that is at fault, if one is.
    #[serde(default)]
    pub setting: Option<String>,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let problem = match error {
            Error::Input(e) => Self { setting: e.setting.clone(), ..Self::new(&e.what, &e.fix, &e.at) },
            Error::Device { what, fix } | Error::OutOfMemory { what, fix } | Error::DeviceLost { what, fix } => {
                Self::new(what, fix, "")
            }
            Error::Diverged { .. } | Error::Cancelled => Self::new(error.to_string(), "", ""),
        };
        Self { code: error.code(), ..problem }
    }
}

impl Problem {
    /// A problem with some input.
    pub fn new(what: impl Into<String>, fix: impl Into<String>, at: impl Into<String>) -> Self {
        Self { code: ErrorCode::Input, what: what.into(), fix: fix.into(), at: at.into(), setting: None }
    }

    /// A problem with the setting of this key.
    pub fn with_setting(key: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { setting: Some(key.to_owned()), ..Self::new(what, fix, "") }
    }

    /// True if a stored run could be opened with another model than the open one.
    pub fn wants_model(&self) -> bool {
        self.code == ErrorCode::OtherModel
    }

    /// True if the storage is full.
    pub fn is_full(&self) -> bool {
        self.code == ErrorCode::StorageFull
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}. {}", self.what.trim_end_matches('.'), self.fix)?;
        if !self.at.is_empty() {
            write!(f, " [{}]", self.at)?;
        }
        Ok(())
    }
}

/// Progress of some work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Description of the work, in a word or two.
    pub what: String,
    /// Done, in bytes, pairs or steps.
    pub done: u64,
    /// In all; 0 if that is not known.
    pub total: u64,
    /// Seconds since it began.
    pub seconds: f64,
}

/// Weight of a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warn,
    /// Nothing is wrong.
    Info,
}

impl Level {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

/// Storage in use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageInfo {
    /// Bytes used.
    pub used: u64,
    /// Bytes that may be used, if known.
    pub quota: Option<u64>,
    /// True if the browser promised not to evict it.
    pub persisted: bool,
}
