//! Plan of a run before it begins.

use serde::{Deserialize, Serialize};

use super::{Inputs, Problem, Settings};
use crate::data::DropReason;

/// Commands about a run that has not begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanCommand {
    /// Work out what a run with these settings would take.
    Estimate {
        /// Settings of the run.
        settings: Settings,
        /// Bytes it may take on the device, if the person knows better than the engine.
        limit: Option<u64>,
        /// Rewards, and the run to start from.
        #[serde(default)]
        inputs: Inputs,
    },
    /// Take two steps with these settings, and begin an answer to each prompt, to measure time and memory; nothing of
    /// it is kept. [`Command::Cancel`](super::Command::Cancel) after the first step keeps its time.
    Trial {
        /// Settings of the run.
        settings: Settings,
        /// Sample prompts of the run.
        #[serde(default)]
        prompts: Vec<String>,
    },
}

/// Steps of a trial: the first compiles the kernels, the second is measured.
pub const TRIAL_STEPS: usize = 2;

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
    /// Rows that are longer than max_length and lose their end, in order.
    pub truncated: Vec<usize>,
    /// Rows that the run skips, in order, and why.
    pub dropped: Vec<(usize, SkipReason)>,
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
    /// Changes that suit these rows and this device better than defaults do, each with its reason.
    #[serde(default)]
    pub suited: Vec<Fix>,
    /// Seconds of a step, if one was measured.
    pub step_seconds: Option<f64>,
    /// Seconds of answering every sample prompt once, if that was measured.
    pub answers_seconds: Option<f64>,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
    /// Good and less good news.
    pub checks: Vec<Check>,
}

/// Why a run skips a row that the file itself has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The prompt alone fills max_length.
    PromptTooLong,
    /// The row is longer than max_length, and the method does not cut.
    TooLong,
    /// The chat template rejects it.
    Template,
    /// A text has no tokens, or nothing that is learnt.
    Nothing,
    /// The answer is disliked, and the method imitates.
    Unwanted,
}

impl From<&DropReason> for SkipReason {
    fn from(reason: &DropReason) -> Self {
        match reason {
            DropReason::PromptTooLong => Self::PromptTooLong,
            DropReason::TooLong => Self::TooLong,
            DropReason::Template(_) => Self::Template,
            DropReason::Empty | DropReason::NoLabels | DropReason::Boundary => Self::Nothing,
            DropReason::Unwanted => Self::Unwanted,
        }
    }
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
