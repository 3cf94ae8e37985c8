//! `trainer_state.json` of a checkpoint, as transformers' `TrainerState` writes and reads it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The progress of a run: counters, settings that shape the log, and the log itself.
///
/// Field names and defaults are those of transformers 5; fields that a file lacks take their default, and fields that
/// are unknown here are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainerState {
    /// Best value of the chosen metric so far.
    pub best_metric: Option<f64>,
    /// Optimiser step of the best value.
    pub best_global_step: Option<u64>,
    /// Folder of the best checkpoint.
    pub best_model_checkpoint: Option<String>,
    /// Epochs done, fractions included.
    pub epoch: Option<f64>,
    /// Evaluate every so many steps.
    pub eval_steps: f64,
    /// Optimiser steps done.
    pub global_step: u64,
    /// Always false here: no hyper-parameter search.
    pub is_hyper_param_search: bool,
    /// Always true here: one process.
    pub is_local_process_zero: bool,
    /// Always true here: one process.
    pub is_world_process_zero: bool,
    /// One map of metric names to values per logged step, oldest first.
    pub log_history: Vec<Map<String, Value>>,
    /// Log every so many steps.
    pub logging_steps: f64,
    /// Optimiser steps of the whole run.
    pub max_steps: u64,
    /// Tokens seen, if counted.
    pub num_input_tokens_seen: u64,
    /// Epochs of the whole run, rounded up.
    pub num_train_epochs: u64,
    /// Save every so many steps.
    pub save_steps: f64,
    /// State of the trainer's callbacks; transformers fills it, we pass it on.
    pub stateful_callbacks: Map<String, Value>,
    /// Floating-point operations so far.
    pub total_flos: f64,
    /// Pairs per micro-batch.
    pub train_batch_size: Option<u64>,
    /// Name of the search trial; none here.
    pub trial_name: Option<String>,
    /// Parameters of the search trial; none here.
    pub trial_params: Option<Map<String, Value>>,
}

impl Default for TrainerState {
    fn default() -> Self {
        Self {
            best_metric: None,
            best_global_step: None,
            best_model_checkpoint: None,
            epoch: None,
            eval_steps: 500.0,
            global_step: 0,
            is_hyper_param_search: false,
            is_local_process_zero: true,
            is_world_process_zero: true,
            log_history: Vec::new(),
            logging_steps: 500.0,
            max_steps: 0,
            num_input_tokens_seen: 0,
            num_train_epochs: 0,
            save_steps: 500.0,
            stateful_callbacks: Map::new(),
            total_flos: 0.0,
            train_batch_size: None,
            trial_name: None,
            trial_params: None,
        }
    }
}

impl TrainerState {
    /// Parses the file's bytes; `file` is what messages call it, and the error names the field or place.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::input(
                format!("The trainer state cannot be read: {e}"),
                "Resume from another checkpoint, or start a new run",
                file,
            )
        })
    }

    /// The file's bytes: JSON, indent 2, sorted keys, a line end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value.sort_all_objects();
        format!("{value:#}\n").into_bytes()
    }
}
