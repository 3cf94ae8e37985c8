//! Plan of a run before it begins.

use serde::{Deserialize, Serialize};

use super::{Problem, Settings};

/// Plan of a run: steps, memory, obstacles and remedies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanInfo {
    /// The settings that were planned.
    pub settings: Settings,
    /// All settings, defaults included.
    pub full_settings: Settings,
    /// Why the run cannot begin, if so.
    pub blocked: Option<Problem>,
    /// Pairs to train on.
    pub n_train: usize,
    /// Rows that are held out, in order.
    pub held_out: Vec<usize>,
    /// Pairs that are longer than max length and truncated.
    pub n_truncated: usize,
    /// Pairs that are skipped: nothing of the answers would be left.
    pub n_dropped: usize,
    /// Optimiser steps.
    pub n_steps: usize,
    /// Tokens of the longer side of every pair, for a histogram.
    pub lengths: Vec<u32>,
    /// Bytes on the device: weights, adapters and optimisers, activations, logits.
    pub memory: [u64; 4],
    /// The models in it, by name: one base, and the adapters on it.
    pub models: Vec<(String, u64)>,
    /// Bytes that the device has, if known.
    pub limit: Option<u64>,
    /// Changes that would make it fit, largest saving first.
    pub fixes: Vec<Fix>,
    /// Seconds of a step, if one was measured.
    pub step_seconds: Option<f64>,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
    /// Good and less good news.
    pub checks: Vec<Check>,
}

/// A change of settings that makes a run fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// Description of the change.
    pub label: String,
    /// The settings to change.
    pub settings: Settings,
    /// Bytes that it saves.
    pub saves: u64,
}

/// A line of the plan's checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// False if it deserves a look.
    pub good: bool,
    /// The sentence.
    pub text: String,
}
