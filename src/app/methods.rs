//! The methods as the user meets them: name and purpose of each, the settings that come first, the figures that decide.
//! There is no egui in it.

use crate::app::text::run;
use crate::engine::protocol::{Kind, METHOD, Method, Settings};

/// The app's description of a method.
#[derive(Debug)]
pub(super) struct Row {
    /// Its usual name.
    pub(super) label: &'static str,
    /// Its effect on what it is given, in one sentence.
    pub(super) purpose: &'static str,
    /// The settings that are always in sight.
    pub(super) first: [&'static str; 6],
    /// The figures that decide, drawn side by side.
    pub(super) figures: [Figure; 3],
}

/// A chart of the run page.
#[derive(Debug)]
pub(super) enum Figure {
    /// The held-out accuracy, with its interval and the shares to compare it with.
    Won,
    /// Rewards over beta: how far the log-probabilities moved.
    Change,
    /// Metrics of the steps and of the evaluations.
    Lines {
        /// Its title.
        title: &'static str,
        /// Explanation of the values, and which direction is good.
        help: &'static str,
        /// Names in the legend, each with its metric by TRL's name.
        lines: &'static [(&'static str, &'static str)],
    },
}

/// Returns the method that the settings name.
pub(super) fn method_of(settings: &Settings) -> Method {
    let named = settings.get(METHOD).and_then(serde_json::Value::as_str);
    named.and_then(|name| name.parse().ok()).unwrap_or(Method::Dpo)
}

/// The methods that rows of a kind serve, the usual one first; all where there are no rows yet.
pub(super) fn serving(kind: Option<Kind>) -> &'static [Method] {
    kind.map_or(&Method::ALL, Kind::methods)
}

const MARGIN: Figure = Figure::Lines {
    title: run::MARGIN,
    help: run::MARGIN_HELP,
    lines: &[(run::TRAIN, "rewards/margins"), (run::HELD_OUT, "eval_rewards/margins")],
};
const LOSS: Figure = Figure::Lines {
    title: run::LOSS,
    help: run::LOSS_HELP,
    lines: &[(run::TRAIN, "loss"), (run::HELD_OUT, "eval_loss")],
};

const REWARD: Figure = Figure::Lines {
    title: "Reward",
    help: "What the answers are given: in training, and to held-out prompts. It should rise.",
    lines: &[(run::TRAIN, "reward"), (run::HELD_OUT, "eval_reward")],
};

const KL: Figure = Figure::Lines {
    title: "KL to the reference",
    help: "How far the model has moved from the base model, in nats. A reward that rises while this runs away is \
           often one that was tricked.",
    lines: &[(run::TRAIN, "kl")],
};

const LENGTH: Figure = Figure::Lines {
    title: "Answer length",
    help: "Tokens of the answers. One that only grows shows that length is rewarded.",
    lines: &[(run::TRAIN, "completions/mean_length"), (run::HELD_OUT, "eval_completions/mean_length")],
};

/// Settings that come first for methods that train on pairs.
const OF_PAIRS: [&str; 6] =
    ["beta", "num_train_epochs", "learning_rate", "r", "max_length", "per_device_train_batch_size"];

/// Settings that come first for methods that compare their own answers.
const OF_ANSWERS: [&str; 6] =
    ["beta", "num_generations", "max_completion_length", "learning_rate", "temperature", "per_device_train_batch_size"];

static DPO: Row = Row {
    label: "DPO",
    purpose: "Prefer these answers: the chosen one becomes likelier than the rejected one.",
    first: OF_PAIRS,
    figures: [Figure::Won, MARGIN, Figure::Change],
};

static SFT: Row = Row {
    label: "SFT",
    purpose: "Imitate these: the model learns to write the answers; of a pair, the chosen one.",
    first: [
        "num_train_epochs",
        "learning_rate",
        "r",
        "max_length",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
    ],
    figures: [
        LOSS,
        Figure::Lines {
            title: "Token accuracy",
            help: "Share of the answers' tokens that the model itself would have chosen.",
            lines: &[(run::TRAIN, "mean_token_accuracy"), (run::HELD_OUT, "eval_mean_token_accuracy")],
        },
        Figure::Lines {
            title: "Entropy",
            help: "How undecided the model is before a token, in nats. Near 0, it knows them by heart.",
            lines: &[(run::TRAIN, "entropy"), (run::HELD_OUT, "eval_entropy")],
        },
    ],
};

static REWARD_MODEL: Row = Row {
    label: "Reward model",
    purpose: "Score answers: a judge learns from the pairs what you prefer, for GRPO, RLOO and PPO.",
    first: [
        "num_train_epochs",
        "learning_rate",
        "r",
        "max_length",
        "per_device_train_batch_size",
        "center_rewards_coefficient",
    ],
    figures: [
        Figure::Won,
        Figure::Lines {
            title: "Score margin",
            help: "How far the chosen answer's score is above the rejected one's.",
            lines: &[(run::TRAIN, "margin"), (run::HELD_OUT, "eval_margin")],
        },
        LOSS,
    ],
};

static KTO: Row = Row {
    label: "KTO",
    purpose: "Prefer what was liked: single answers with a thumb up or down.",
    first: ["beta", "num_train_epochs", "learning_rate", "desirable_weight", "undesirable_weight", "max_length"],
    figures: [MARGIN, LOSS, Figure::Change],
};

static ORPO: Row = Row {
    label: "ORPO",
    purpose: "Prefer and imitate at once, without a reference model.",
    first: OF_PAIRS,
    figures: [Figure::Won, MARGIN, LOSS],
};

static CPO: Row = Row {
    label: "CPO / SimPO",
    purpose: "Prefer without a reference model: half the scoring, and less to hold the model back.",
    first: ["beta", "loss_type", "simpo_gamma", "cpo_alpha", "learning_rate", "num_train_epochs"],
    figures: [Figure::Won, MARGIN, LOSS],
};

static GRPO: Row = Row {
    label: "GRPO",
    purpose: "Let it try and be scored: several answers to a prompt are compared by their rewards.",
    first: OF_ANSWERS,
    figures: [REWARD, KL, LENGTH],
};

static RLOO: Row = Row {
    label: "RLOO",
    purpose: "Let it try and be scored: each answer against the mean of the others, with a price on KL.",
    first: OF_ANSWERS,
    figures: [REWARD, KL, LENGTH],
};

static PPO: Row = Row {
    label: "PPO",
    purpose: "Let it try and be scored, with a value model: the classic RLHF.",
    first: [
        "kl_coef",
        "total_episodes",
        "response_length",
        "learning_rate",
        "num_ppo_epochs",
        "per_device_train_batch_size",
    ],
    figures: [
        Figure::Lines {
            title: "Reward",
            help: "What the answers are given, without and with the price of KL, and to held-out prompts.",
            lines: &[
                (run::TRAIN, "objective/scores"),
                ("with KL", "objective/rlhf_reward"),
                (run::HELD_OUT, "eval_reward"),
            ],
        },
        Figure::Lines {
            title: "KL to the reference",
            help: "How far the model has moved from the base model, in nats per answer. A reward that rises \
                   while this runs away is often one that was tricked.",
            lines: &[(run::TRAIN, "objective/kl")],
        },
        Figure::Lines {
            title: "Value loss",
            help: "How well the value model foresees the reward. It should fall early.",
            lines: &[(run::TRAIN, "loss/value_avg")],
        },
    ],
};

/// Returns the app's description of a method.
pub(super) fn row(method: Method) -> &'static Row {
    match method {
        Method::Dpo => &DPO,
        Method::Sft => &SFT,
        Method::Reward => &REWARD_MODEL,
        Method::Kto => &KTO,
        Method::Orpo => &ORPO,
        Method::Cpo => &CPO,
        Method::Grpo => &GRPO,
        Method::Rloo => &RLOO,
        Method::Ppo => &PPO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::settings;

    #[test]
    fn what_comes_first_are_settings_of_the_method() {
        for method in Method::ALL {
            for key in row(method).first {
                assert!(settings(method).any(|setting| setting.key == key), "{method} has {key}");
            }
            assert!(row(method).purpose.ends_with('.'), "{method}: a sentence");
        }
    }

    #[test]
    fn a_kind_of_rows_has_its_usual_method_first() {
        assert_eq!(serving(Some(Kind::Pairs))[0], Method::Dpo);
        assert_eq!(serving(Some(Kind::Completions))[0], Method::Sft);
        assert_eq!(serving(None).len(), Method::ALL.len());
    }
}
