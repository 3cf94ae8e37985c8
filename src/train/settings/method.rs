//! The settings that only some methods have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::common::Setting;
use super::fields::{Fields, Taken};
use crate::data::Method;
use crate::error::Result;

/// Lists of a method's settings besides the common ones.
pub(in crate::train) fn options_of(method: Method) -> &'static [&'static [Setting]] {
    match method {
        Method::Dpo => &[DpoOptions::ROWS],
        Method::Sft => &[SftOptions::ROWS],
        Method::Reward => &[RewardOptions::ROWS],
        Method::Kto => &[KtoOptions::ROWS],
        Method::Orpo => &[],
        Method::Cpo => &[CpoOptions::ROWS],
        Method::Grpo => &[OnlineOptions::ROWS, GrpoOptions::ROWS],
        Method::Rloo => &[OnlineOptions::ROWS, RlooOptions::ROWS],
        Method::Ppo => &[PpoOptions::ROWS],
    }
}

/// Declares a struct of settings: fields, defaults, reader, and rows for the list of settings. The doc comments of the
/// fields are also the help texts of the flags.
macro_rules! options {
    ($(#[$about:meta])* $name:ident { $($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:expr;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct $name {
            $($(#[doc = $help])+ pub $key: $type,)*
        }

        impl $name {
            pub(in crate::train) const ROWS: &'static [Setting] = &[$(Setting {
                key: stringify!($key),
                kind: <$type as Taken>::KIND,
                value: "VALUE",
                help: concat!($($help),+).trim_ascii_start(),
            },)*];

            pub(in crate::train) fn defaults() -> Self {
                Self { $($key: $default,)* }
            }

            pub(in crate::train) fn read(fields: &Fields<'_>) -> Result<Self> {
                let d = Self::defaults();
                Ok(Self { $($key: fields.take(stringify!($key), d.$key)?,)* })
            }
        }
    };
}

options! {
    /// Settings of DPO besides the common ones.
    DpoOptions {
        /// Divergence between policy and reference: reverse_kl, forward_kl, js_divergence or alpha_divergence
        f_divergence_type: DivergenceType = DivergenceType::ReverseKl;
        /// Alpha of alpha_divergence
        f_alpha_divergence_coef: f64 = 0.5;
        /// Weight of an answer's tokens beyond the length of the shorter one (LD-DPO), 0 to 1; 1 if left out
        ld_alpha: Option<f64> = None;
        /// Weight pairs by their probability under the policy (WPO)
        use_weighting: bool = false;
        /// Temperature of the mixture (loss type discopop)
        discopop_tau: f64 = 0.05;
        /// Factor of the penalty for a chosen answer that loses (loss type dpop, which TRL does not have)
        dpop_lambda: f64 = 50.0;
        /// No effect: reference log-probabilities are computed once in any case
        precompute_ref_log_probs: bool = false;
    }
}

options! {
    /// Settings of supervised fine-tuning.
    SftOptions {
        /// Learn the completion alone; if left out, true where there is a prompt
        completion_only_loss: Option<bool> = None;
        /// Learn the assistant's turns alone, as the chat template marks them
        assistant_only_loss: bool = false;
    }
}

options! {
    /// Settings of the reward model.
    RewardOptions {
        /// Pulls the rewards' mean to 0: 0.01 is usual; off if left out
        center_rewards_coefficient: Option<f64> = None;
    }
}

options! {
    /// Settings of KTO.
    KtoOptions {
        /// Weight of a liked answer
        desirable_weight: f64 = 1.0;
        /// Weight of a disliked answer
        undesirable_weight: f64 = 1.0;
    }
}

options! {
    /// Settings of CPO, SimPO and AlphaPO.
    CpoOptions {
        /// Weight of imitating the chosen answers; 0 in SimPO itself
        cpo_alpha: f64 = 1.0;
        /// Margin of the rewards (loss type simpo)
        simpo_gamma: f64 = 0.5;
        /// AlphaPO's shape of the reward; 0 for none
        alpha: f64 = 0.0;
    }
}

options! {
    /// Settings of GRPO and RLOO.
    OnlineOptions {
        /// Answers to each prompt
        num_generations: usize = 8;
        /// Longest answer in tokens
        max_completion_length: usize = 256;
        /// Micro-batches that one batch of answers serves; as many as gradient_accumulation_steps if left out
        steps_per_generation: Option<usize> = None;
        /// Passes over each batch of answers
        num_iterations: usize = 1;
        /// Temperature at which answers are sampled, and log-probabilities taken
        temperature: f64 = 1.0;
        /// Sample from the likeliest tokens that have this probability together
        top_p: f64 = 1.0;
        /// Sample from this many of the likeliest tokens; 0 for all
        top_k: usize = 0;
        /// Clip range of the ratio to the sampling policy, downwards
        epsilon: f64 = 0.2;
        /// Clip range upwards; the same as epsilon if left out
        epsilon_high: Option<f64> = None;
        /// One weight per reward; 1 each if left out
        reward_weights: Option<Vec<f64>> = None;
        /// Skip truncated answers
        mask_truncated_completions: bool = false;
        /// Shuffle the prompts
        shuffle_dataset: bool = true;
    }
}

options! {
    /// Settings of GRPO alone.
    GrpoOptions {
        /// Cap of the ratio where the clipped one is the smaller; none if left out
        delta: Option<f64> = None;
        /// Deviation that advantages are divided by: group, batch or none
        scale_rewards: ScaleRewards = ScaleRewards::Group;
        /// Ratio of each token, or of each sequence (GSPO): token or sequence
        importance_sampling_level: SamplingLevel = SamplingLevel::Token;
        /// Several rewards: sum_then_normalize or normalize_then_sum
        multi_objective_aggregation: Aggregation = Aggregation::SumThenNormalize;
        /// Weigh the KL term by the ratio
        use_bias_correction_kl: bool = true;
        /// Learn from the share of tokens with the highest entropy alone
        top_entropy_quantile: f64 = 1.0;
        /// Weight of the tokens' entropy
        entropy_coef: f64 = 0.0;
        /// Leave out bad answers that the policy has drifted from by more, in nats per token
        off_policy_mask_threshold: Option<f64> = None;
        /// SAPO's temperature of good answers (loss type sapo)
        sapo_temperature_pos: f64 = 1.0;
        /// SAPO's temperature of bad answers (loss type sapo)
        sapo_temperature_neg: f64 = 1.05;
        /// VESPO's power for good answers (loss type vespo)
        vespo_k_pos: f64 = 2.0;
        /// VESPO's rate for good answers (loss type vespo)
        vespo_lambda_pos: f64 = 3.0;
        /// VESPO's power for bad answers (loss type vespo)
        vespo_k_neg: f64 = 3.0;
        /// VESPO's rate for bad answers (loss type vespo)
        vespo_lambda_neg: f64 = 2.0;
    }
}

options! {
    /// Settings of RLOO alone.
    RlooOptions {
        /// Bring advantages to mean 0 and deviation 1
        normalize_advantages: bool = false;
        /// Least and largest reward that counts: -1,1
        reward_clip_range: Option<Vec<f64>> = None;
    }
}

options! {
    /// Settings of PPO.
    PpoOptions {
        /// Passes over each batch of answers
        num_ppo_epochs: usize = 4;
        /// Parts that a batch is cut into
        num_mini_batches: usize = 1;
        /// Answers of the whole run; num_train_epochs times the prompts if left out
        total_episodes: Option<usize> = None;
        /// Passes over the prompts, if total_episodes is left out
        num_train_epochs: f64 = 1.0;
        /// Longest answer in tokens
        response_length: usize = 53;
        /// Temperature at which answers are sampled, and log-probabilities taken
        temperature: f64 = 0.7;
        /// Token that ends an answer: eos; if left out, only response_length ends it
        stop_token: Option<String> = None;
        /// Penalty for an answer without an end; none if left out
        missing_eos_penalty: Option<f64> = None;
        /// Weight of the KL to the reference
        kl_coef: f64 = 0.05;
        /// Estimator of the KL: k1 or k3
        kl_estimator: KlEstimator = KlEstimator::K1;
        /// Bring rewards to deviation 1
        whiten_rewards: bool = false;
        /// Discount of later rewards
        gamma: f64 = 1.0;
        /// Generalised advantage estimation's lambda
        lam: f64 = 0.95;
        /// Clip range of the ratio to the sampling policy
        cliprange: f64 = 0.2;
        /// Clip range of the values
        cliprange_value: f64 = 0.2;
        /// Weight of the value loss
        vf_coef: f64 = 0.1;
    }
}

/// Declares a choice among words, under the names that TRL gives them.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $word),* }

        impl Taken for $name {
            const KIND: super::common::Kind = super::common::Kind::Word;
        }
    };
}

words! {
    /// TRL's `f_divergence_type`.
    DivergenceType {
        /// The log-ratio itself.
        ReverseKl,
        /// Forward KL.
        ForwardKl,
        /// Jensen-Shannon.
        JsDivergence,
        /// Alpha, with a coefficient.
        AlphaDivergence,
    }
}

words! {
    /// TRL's `scale_rewards`.
    ScaleRewards {
        /// The deviation of the group.
        Group,
        /// The deviation of the batch.
        Batch,
        /// No division.
        None,
    }
}

words! {
    /// TRL's `importance_sampling_level`.
    SamplingLevel {
        /// A ratio for each token.
        Token,
        /// A ratio for each sequence.
        Sequence,
    }
}

words! {
    /// TRL's `multi_objective_aggregation`.
    Aggregation {
        /// Rewards are added, then normalised.
        SumThenNormalize,
        /// Each reward is normalised, then they are added.
        NormalizeThenSum,
    }
}

words! {
    /// TRL's `kl_estimator`.
    KlEstimator {
        /// The log-ratio.
        K1,
        /// Schulman's third.
        K3,
    }
}

words! {
    /// `loss_type` of supervised fine-tuning.
    SftLoss {
        /// Cross entropy.
        Nll,
        /// Cross entropy of each token times its probability (DFT).
        Dft,
    }
}

words! {
    /// `loss_type` of KTO.
    KtoLoss {
        /// KTO itself.
        Kto,
        /// APO-zero of unpaired answers.
        ApoZeroUnpaired,
    }
}

words! {
    /// `loss_type` of CPO.
    CpoLoss {
        /// CPO itself.
        Sigmoid,
        /// SLiC's hinge.
        Hinge,
        /// IPO.
        Ipo,
        /// SimPO.
        Simpo,
        /// SimPO, reshaped, without imitation.
        Alphapo,
    }
}

words! {
    /// `loss_type` of GRPO.
    GrpoLoss {
        /// Mean of each answer's mean over its tokens.
        Grpo,
        /// Mean over the tokens of a micro-batch.
        Bnpo,
        /// Sum over the tokens, divided by the longest length that there may be.
        DrGrpo,
        /// Mean over the tokens of a whole step.
        Dapo,
        /// Mean of each answer's sum.
        Luspo,
        /// The ratio capped and held constant.
        Cispo,
        /// A soft gate instead of a clip.
        Sapo,
        /// A weight of the whole answer.
        Vespo,
    }
}

/// Settings that only some methods have, for one method.
#[derive(Debug, Clone, PartialEq)]
pub enum Options {
    /// DPO's.
    Dpo(DpoOptions),
    /// Supervised fine-tuning's.
    Sft(SftLoss, SftOptions),
    /// The reward model's.
    Reward(RewardOptions),
    /// KTO's.
    Kto(KtoLoss, KtoOptions),
    /// ORPO has none.
    Orpo,
    /// CPO's.
    Cpo(CpoLoss, CpoOptions),
    /// GRPO's.
    Grpo(GrpoLoss, OnlineOptions, GrpoOptions),
    /// RLOO's.
    Rloo(OnlineOptions, RlooOptions),
    /// PPO's.
    Ppo(PpoOptions),
}

impl Options {
    /// The defaults of a method.
    pub(in crate::train) fn defaults(method: Method) -> Self {
        match method {
            Method::Dpo => Self::Dpo(DpoOptions::defaults()),
            Method::Sft => Self::Sft(SftLoss::Nll, SftOptions::defaults()),
            Method::Reward => Self::Reward(RewardOptions::defaults()),
            Method::Kto => Self::Kto(KtoLoss::Kto, KtoOptions::defaults()),
            Method::Orpo => Self::Orpo,
            Method::Cpo => Self::Cpo(CpoLoss::Sigmoid, CpoOptions::defaults()),
            Method::Grpo => Self::Grpo(GrpoLoss::Dapo, OnlineOptions::defaults(), GrpoOptions::defaults()),
            Method::Rloo => Self::Rloo(OnlineOptions::defaults(), RlooOptions::defaults()),
            Method::Ppo => Self::Ppo(PpoOptions::defaults()),
        }
    }

    pub(in crate::train) fn read(method: Method, fields: &Fields<'_>) -> Result<Self> {
        Ok(match method {
            Method::Dpo => Self::Dpo(DpoOptions::read(fields)?),
            Method::Sft => Self::Sft(fields.one_loss(SftLoss::Nll, "nll or dft")?, SftOptions::read(fields)?),
            Method::Reward => Self::Reward(RewardOptions::read(fields)?),
            Method::Kto => {
                Self::Kto(fields.one_loss(KtoLoss::Kto, "kto or apo_zero_unpaired")?, KtoOptions::read(fields)?)
            }
            Method::Orpo => Self::Orpo,
            Method::Cpo => Self::Cpo(
                fields.one_loss(CpoLoss::Sigmoid, "sigmoid, hinge, ipo, simpo or alphapo")?,
                CpoOptions::read(fields)?,
            ),
            Method::Grpo => Self::Grpo(
                fields.one_loss(GrpoLoss::Dapo, "grpo, bnpo, dr_grpo, dapo, luspo, cispo, sapo or vespo")?,
                OnlineOptions::read(fields)?,
                GrpoOptions::read(fields)?,
            ),
            Method::Rloo => Self::Rloo(OnlineOptions::read(fields)?, RlooOptions::read(fields)?),
            Method::Ppo => Self::Ppo(PpoOptions::read(fields)?),
        })
    }

    /// The method that the settings are for.
    pub fn method(&self) -> Method {
        match self {
            Self::Dpo(_) => Method::Dpo,
            Self::Sft(..) => Method::Sft,
            Self::Reward(_) => Method::Reward,
            Self::Kto(..) => Method::Kto,
            Self::Orpo => Method::Orpo,
            Self::Cpo(..) => Method::Cpo,
            Self::Grpo(..) => Method::Grpo,
            Self::Rloo(..) => Method::Rloo,
            Self::Ppo(_) => Method::Ppo,
        }
    }

    /// The settings as a flat object, with `loss_type` where the method has a single loss.
    pub(in crate::train) fn to_map(&self) -> Map<String, Value> {
        fn fields(values: &impl Serialize) -> Map<String, Value> {
            match serde_json::to_value(values) {
                Ok(Value::Object(map)) => map,
                other => unreachable!("settings are an object: {other:?}"),
            }
        }
        fn with_loss(loss: &impl Serialize, mut map: Map<String, Value>) -> Map<String, Value> {
            map.insert("loss_type".to_owned(), serde_json::to_value(loss).unwrap_or_default());
            map
        }
        match self {
            Self::Dpo(options) => fields(options),
            Self::Sft(loss, options) => with_loss(loss, fields(options)),
            Self::Reward(options) => fields(options),
            Self::Kto(loss, options) => with_loss(loss, fields(options)),
            Self::Orpo => Map::new(),
            Self::Cpo(loss, options) => with_loss(loss, fields(options)),
            Self::Grpo(loss, online, own) => {
                let mut map = fields(online);
                map.extend(fields(own));
                with_loss(loss, map)
            }
            Self::Rloo(online, own) => {
                let mut map = fields(online);
                map.extend(fields(own));
                map
            }
            Self::Ppo(options) => fields(options),
        }
    }
}
