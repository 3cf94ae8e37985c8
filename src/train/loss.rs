//! TRL's loss types of DPO, by name, and the objective of a run on pairs.

use serde::{Deserialize, Serialize};

use super::settings::config::TrainConfig;
use super::settings::method::{CpoLoss, DivergenceType, DpoOptions, Options};
use crate::kernels::{Divergence, PairLoss, PreferenceSettings};

/// A value of DPO's `loss_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the shaders of the losses say what each is")]
pub enum LossType {
    Sigmoid,
    Hinge,
    Ipo,
    ExoPair,
    NcaPair,
    Robust,
    BcoPair,
    SppoHard,
    Aot,
    AotUnpaired,
    ApoZero,
    ApoDown,
    Discopop,
    Sft,
    SigmoidNorm,
    Dpop,
}

/// Every name that DPO's `loss_type` takes.
pub(super) fn names() -> String {
    LossType::ALL.map(LossType::name).join(", ")
}

impl LossType {
    /// All, the best known first.
    pub const ALL: [Self; 16] = [
        Self::Sigmoid,
        Self::Ipo,
        Self::Hinge,
        Self::Robust,
        Self::ApoZero,
        Self::ApoDown,
        Self::Sft,
        Self::ExoPair,
        Self::NcaPair,
        Self::BcoPair,
        Self::SppoHard,
        Self::Aot,
        Self::AotUnpaired,
        Self::Discopop,
        Self::SigmoidNorm,
        Self::Dpop,
    ];

    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sigmoid => "DPO (sigmoid)",
            Self::Ipo => "IPO",
            Self::Hinge => "Hinge (SLiC)",
            Self::Robust => "Robust DPO",
            Self::ApoZero => "APO-zero",
            Self::ApoDown => "APO-down",
            Self::Sft => "SFT",
            Self::ExoPair => "EXO",
            Self::NcaPair => "NCA",
            Self::BcoPair => "BCO",
            Self::SppoHard => "SPPO (hard)",
            Self::Aot => "AOT",
            Self::AotUnpaired => "AOT (unpaired)",
            Self::Discopop => "DiscoPOP",
            Self::SigmoidNorm => "DPO per token (sigmoid_norm)",
            Self::Dpop => "DPO-Positive (dpop)",
        }
    }

    /// The loss of pairs with this name; `None` for `sft`, which is a loss of tokens.
    pub(super) fn of_pairs(self) -> Option<PairLoss> {
        Some(match self {
            Self::Sigmoid => PairLoss::Sigmoid,
            Self::Hinge => PairLoss::Hinge,
            Self::Ipo => PairLoss::Ipo,
            Self::ExoPair => PairLoss::ExoPair,
            Self::NcaPair => PairLoss::NcaPair,
            Self::Robust => PairLoss::Robust,
            Self::BcoPair => PairLoss::BcoPair,
            Self::SppoHard => PairLoss::SppoHard,
            Self::Aot => PairLoss::Aot,
            Self::AotUnpaired => PairLoss::AotUnpaired,
            Self::ApoZero => PairLoss::ApoZero,
            Self::ApoDown => PairLoss::ApoDown,
            Self::Discopop => PairLoss::Discopop,
            Self::SigmoidNorm => PairLoss::SigmoidNorm,
            Self::Dpop => PairLoss::Dpop,
            Self::Sft => return None,
        })
    }

    /// True if the loss uses the scores of the divergence.
    pub(super) fn takes_divergence(self) -> bool {
        !matches!(
            self,
            Self::NcaPair
                | Self::BcoPair
                | Self::SppoHard
                | Self::Aot
                | Self::AotUnpaired
                | Self::ApoZero
                | Self::ApoDown
                | Self::Dpop
        )
    }

    /// True if TRL has the loss.
    pub fn is_trls(self) -> bool {
        self != Self::Dpop
    }

    /// TRL's name of the loss, or that of its paper.
    pub fn name(self) -> &'static str {
        self.of_pairs().map_or("sft", PairLoss::form)
    }
}

/// Objective of a method that trains on pairs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PairObjective {
    /// Losses of pairs, with their weights.
    pub(super) losses: Vec<(PairLoss, f32)>,
    /// Weight of the chosen answers' cross entropy.
    pub(super) nll: f32,
    /// True if that cross entropy is a mean over whole chosen sequences, prompt included.
    pub(super) whole: bool,
    /// Scalars of the losses.
    pub(super) settings: PreferenceSettings,
    /// Weight of an answer's tokens beyond the length of the shorter answer.
    pub(super) ld_alpha: f32,
    /// True if log-probabilities are relative to a reference.
    pub(super) has_reference: bool,
    /// True if the losses divide by the lengths of completions.
    pub(super) by_length: bool,
}

impl PairObjective {
    /// Returns the objective of these settings; `None` for a method that does not train on pairs.
    pub(super) fn of(config: &TrainConfig) -> Option<Self> {
        let settings = PreferenceSettings {
            beta: config.beta as f32,
            label_smoothing: config.label_smoothing as f32,
            divergence: Divergence::ReverseKl,
            by_token: false,
            weighted: false,
            discopop_tau: 1.0,
            gamma: 0.0,
            dpop_lambda: 0.0,
        };
        let plain = Self {
            losses: Vec::new(),
            nll: 0.0,
            whole: false,
            settings,
            ld_alpha: 1.0,
            has_reference: false,
            by_length: false,
        };
        match &config.options {
            Options::Dpo(options) => Some(Self::dpo(config, options, plain)),
            Options::Orpo => {
                let losses = vec![(PairLoss::OddsRatio, 1.0)];
                let settings = PreferenceSettings { by_token: true, ..settings };
                Some(Self { losses, nll: 1.0, whole: true, settings, ..plain })
            }
            Options::Cpo(loss, options) => {
                let (kind, by_token) = match loss {
                    CpoLoss::Sigmoid => (PairLoss::Smoothed, false),
                    CpoLoss::Simpo | CpoLoss::Alphapo => (PairLoss::Smoothed, true),
                    CpoLoss::Hinge => (PairLoss::Hinge, false),
                    CpoLoss::Ipo => (PairLoss::Ipo, true),
                };
                let gamma = if kind == PairLoss::Smoothed && by_token { options.simpo_gamma as f32 } else { 0.0 };
                let divergence = match options.alpha as f32 {
                    0.0 => Divergence::ReverseKl,
                    alpha => Divergence::AlphaPo(alpha),
                };
                let nll = if *loss == CpoLoss::Alphapo { 0.0 } else { options.cpo_alpha as f32 };
                let settings = PreferenceSettings { by_token, gamma, divergence, ..settings };
                Some(Self { losses: vec![(kind, 1.0)], nll, settings, ..plain })
            }
            Options::Sft(..)
            | Options::Reward(_)
            | Options::Kto(..)
            | Options::Grpo(..)
            | Options::Rloo(..)
            | Options::Ppo(_) => None,
        }
    }

    fn dpo(config: &TrainConfig, options: &DpoOptions, plain: Self) -> Self {
        let weight = |i: usize| config.loss_weights.as_ref().and_then(|w| w.get(i)).map_or(1.0, |w| *w as f32);
        let types = || config.loss_type.iter().enumerate();
        let losses = types().filter_map(|(i, kind)| Some((kind.of_pairs()?, weight(i))));
        let nll = types().filter(|(_, kind)| **kind == LossType::Sft).map(|(i, _)| weight(i)).sum();
        let coefficient = options.f_alpha_divergence_coef as f32;
        let divergence = match options.f_divergence_type {
            DivergenceType::ReverseKl => Divergence::ReverseKl,
            DivergenceType::ForwardKl => Divergence::ForwardKl,
            DivergenceType::JsDivergence => Divergence::JensenShannon,
            DivergenceType::AlphaDivergence if (coefficient - 1.0).abs() < 1e-6 => Divergence::ReverseKl,
            DivergenceType::AlphaDivergence => Divergence::Alpha(coefficient),
        };
        let settings = PreferenceSettings {
            divergence,
            weighted: options.use_weighting,
            discopop_tau: options.discopop_tau as f32,
            dpop_lambda: options.dpop_lambda as f32,
            ..plain.settings
        };
        let ld_alpha = options.ld_alpha.map_or(1.0, |alpha| alpha as f32);
        Self { losses: losses.collect(), nll, settings, ld_alpha, has_reference: true, by_length: true, ..plain }
    }
}
