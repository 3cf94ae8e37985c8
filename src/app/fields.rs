//! The settings as fields: which values each takes, and how they are read and written. There is no egui in it.

use serde_json::{Value, json};

use crate::app::methods::method_of;
use crate::app::text::setting;
use crate::engine::protocol::{METHOD, Method, Setting, SettingKind, Settings, settings};

/// Values that a setting accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A number between these, both included.
    Number(f64, f64),
    /// A number between these, or nothing.
    Optional(f64, f64),
    /// A number above 0.
    Positive,
    /// A number from 0 to below 1.
    Fraction,
    /// A share from 0 to below 1, written in percent.
    Percent,
    /// A whole number between these.
    Whole(i64, i64),
    /// A whole number between these, or nothing.
    OptionalWhole(i64, i64),
    /// A number of steps from 1, or nothing.
    Steps {
        /// The value for nothing.
        none: i64,
        /// Says what then decides.
        by: &'static str,
    },
    /// One loss of DPO, or several, by their words.
    Losses,
    /// On, off, or nothing, which leaves it to the other settings.
    Maybe,
    /// One of these words; an empty word stands for nothing.
    Choice(&'static [&'static str]),
    /// On or off.
    Switch,
    /// Words separated by commas.
    Words,
    /// Numbers separated by commas, or nothing.
    Numbers,
}

/// The settings of a method as fields, in the order of the docs.
pub(super) fn of(method: Method) -> impl Iterator<Item = (&'static str, Kind)> {
    settings(method).map(move |setting| (setting.key, kind_of(method, setting)))
}

/// The field of one setting of a method; none if the method does not have it.
pub(super) fn one(method: Method, key: &str) -> Option<(&'static str, Kind)> {
    of(method).find(|(other, _)| *other == key)
}

/// Values that a setting accepts, narrower than its type where more is known.
fn kind_of(method: Method, setting: &Setting) -> Kind {
    let choice = |choices: &'static [&'static str]| Kind::Choice(choices);
    match setting.key {
        "beta" => beta_kind(method),
        "loss_type" => loss_kind(method),
        "lora_alpha" | "num_train_epochs" | "temperature" | "discopop_tau" => Kind::Positive,
        "label_smoothing" | "adam_beta1" | "adam_beta2" | "lora_dropout" => Kind::Fraction,
        "eval_split" => Kind::Percent,
        "save_steps" => Kind::Steps { none: 0, by: setting::BY_TIME },
        "learning_rate" | "adam_epsilon" | "gamma" | "lam" | "top_p" | "top_entropy_quantile" => Kind::Number(0.0, 1.0),
        "lr_scheduler_type" => choice(&["linear", "cosine", "constant", "constant_with_warmup"]),
        "weight_decay" => Kind::Number(0.0, 10.0),
        "per_device_train_batch_size" | "r" => Kind::Whole(1, 1024),
        "gradient_accumulation_steps" => Kind::Whole(1, 4096),
        "max_length" => Kind::Whole(2, 1 << 20),
        "num_generations" => Kind::Whole(2, 1024),
        "max_completion_length" | "response_length" => Kind::Whole(1, 1 << 20),
        "num_iterations" | "num_ppo_epochs" | "num_mini_batches" => Kind::Whole(1, 1 << 20),
        "seed" => Kind::Whole(0, 1 << 53),
        "steps_per_generation" | "total_episodes" => Kind::OptionalWhole(1, 1 << 40),
        "train_sampling_strategy" => choice(&["random", "sequential"]),
        "reference" => choice(&["base", "initial_adapter"]),
        "load_in" => choice(&["stored", "int8", "int4", "nf4"]),
        "f_divergence_type" => choice(&["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"]),
        "f_alpha_divergence_coef" | "simpo_gamma" | "alpha" | "entropy_coef" => Kind::Number(-1e3, 1e3),
        "ld_alpha" => Kind::Optional(0.0, 1.0),
        "center_rewards_coefficient"
        | "epsilon_high"
        | "delta"
        | "off_policy_mask_threshold"
        | "missing_eos_penalty" => Kind::Optional(0.0, 1e9),
        "completion_only_loss" => Kind::Maybe,
        "scale_rewards" => choice(&["group", "batch", "none"]),
        "importance_sampling_level" => choice(&["token", "sequence"]),
        "multi_objective_aggregation" => choice(&["sum_then_normalize", "normalize_then_sum"]),
        "kl_estimator" => choice(&["k1", "k3"]),
        "stop_token" => choice(&["", "eos"]),
        _ => match setting.kind {
            SettingKind::Number => Kind::Number(0.0, 1e9),
            SettingKind::Whole => Kind::Whole(0, 1 << 40),
            SettingKind::Steps => Kind::Steps { none: -1, by: setting::BY_EPOCHS },
            SettingKind::Flag => Kind::Switch,
            SettingKind::Word | SettingKind::Words => Kind::Words,
            SettingKind::Numbers => Kind::Numbers,
        },
    }
}

/// Beta of a method. GRPO and RLOO also accept 0, which turns off the penalty on the distance from the reference.
fn beta_kind(method: Method) -> Kind {
    match method {
        Method::Grpo | Method::Rloo => Kind::Number(0.0, 1e9),
        Method::Dpo | Method::Sft | Method::Reward | Method::Kto | Method::Orpo | Method::Cpo | Method::Ppo => {
            Kind::Positive
        }
    }
}

/// Losses of a method; only DPO adds several up.
fn loss_kind(method: Method) -> Kind {
    match method {
        Method::Dpo => Kind::Losses,
        Method::Sft => Kind::Choice(&["nll", "dft"]),
        Method::Kto => Kind::Choice(&["kto", "apo_zero_unpaired"]),
        Method::Cpo => Kind::Choice(&["sigmoid", "hinge", "ipo", "simpo", "alphapo"]),
        Method::Grpo | Method::Reward | Method::Orpo | Method::Rloo | Method::Ppo => {
            Kind::Choice(&["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"])
        }
    }
}

/// Removes settings that a run of their method does not have, and returns the names of the removed ones.
pub(super) fn keep_known(settings: &mut Settings) -> Vec<String> {
    let method = method_of(settings);
    let (known, unknown): (Settings, Settings) =
        std::mem::take(settings).into_iter().partition(|(key, _)| key == METHOD || one(method, key).is_some());
    *settings = known;
    unknown.into_iter().map(|(key, _)| key).collect()
}

/// Text of a value in its field.
pub(super) fn displayed(kind: Kind, value: Option<&Value>) -> String {
    match (kind, value) {
        (Kind::Percent, Some(Value::Number(share))) => {
            // A share such as 0.07 has no exact hundredfold.
            let percent = share.as_f64().map_or(f64::NAN, |share| (share * 1e10).round() / 1e8);
            shown(Some(&json!(percent)))
        }
        (Kind::Steps { none, .. }, Some(Value::Number(steps))) if steps.as_f64() == Some(none as f64) => String::new(),
        (_, value) => shown(value),
    }
}

/// Text of a value on a command line.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(value) if value != 0.0 && value.abs() < 1e-3 => format!("{value:e}"),
            Some(value) => value.to_string(),
            None => number.to_string(),
        },
        Some(other) => other.to_string(),
    }
}

/// Parses typed text into a value; the error says what would be right.
pub(super) fn parsed(kind: Kind, typed: &str) -> Result<Value, String> {
    let typed = typed.trim();
    let number = |from: f64, to: f64, range: &str| match typed.replace(',', ".").parse::<f64>() {
        Ok(value) if value.is_finite() && value >= from && value <= to => Ok(json!(value)),
        _ => Err(setting::wants(range)),
    };
    match kind {
        Kind::Optional(..) | Kind::OptionalWhole(..) | Kind::Choice(_) | Kind::Maybe if typed.is_empty() => {
            Ok(Value::Null)
        }
        Kind::Number(from, to) | Kind::Optional(from, to) => number(from, to, &setting::between(from, to)),
        Kind::Positive => number(f64::MIN_POSITIVE, f64::MAX, setting::ABOVE_0),
        Kind::Fraction => number(0.0, 1.0 - f64::EPSILON, setting::FRACTION),
        Kind::Percent => match typed.trim_end_matches('%').trim_end().replace(',', ".").parse::<f64>() {
            Ok(percent) if (0.0..100.0).contains(&percent) => Ok(json!(percent / 100.0)),
            _ => Err(setting::wants(setting::PERCENT)),
        },
        Kind::Steps { none, .. } if typed.is_empty() => Ok(json!(none)),
        Kind::Steps { .. } => match typed.parse::<i64>() {
            Ok(steps) if (1..=1 << 40).contains(&steps) => Ok(json!(steps)),
            _ => Err(setting::wants(&setting::whole_between(1, 1 << 40))),
        },
        Kind::Whole(from, to) | Kind::OptionalWhole(from, to) => match typed.parse::<i64>() {
            Ok(value) if (from..=to).contains(&value) => Ok(json!(value)),
            _ => Err(setting::wants(&setting::whole_between(from, to))),
        },
        Kind::Choice(_) => Ok(json!(typed)),
        Kind::Switch | Kind::Maybe => Ok(json!(typed == "true")),
        Kind::Words | Kind::Losses => {
            let words: Vec<&str> = typed.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => Err(setting::wants(setting::A_WORD)),
                [word] => Ok(json!(word)),
                words => Ok(json!(words)),
            }
        }
        Kind::Numbers if typed.is_empty() => Ok(Value::Null),
        Kind::Numbers => {
            let numbers: Result<Vec<f64>, _> = typed.split(',').map(|part| part.trim().parse::<f64>()).collect();
            numbers.map(|numbers| json!(numbers)).map_err(|_| setting::wants(setting::A_LIST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_shown() {
        for (kind, value) in [
            (Kind::Positive, json!(0.1)),
            (Kind::Number(0.0, 1.0), json!(2e-5)),
            (Kind::Whole(1, 1024), json!(16)),
            (Kind::Losses, json!(["sigmoid", "sft"])),
            (Kind::Percent, json!(0.07)),
            (Kind::Percent, json!(0.125)),
            (Kind::Steps { none: -1, by: "" }, json!(-1)),
            (Kind::Steps { none: -1, by: "" }, json!(40)),
            (Kind::Words, json!("all-linear")),
            (Kind::Numbers, Value::Null),
            (Kind::Numbers, json!([1.0, 0.5])),
            (Kind::Switch, json!(true)),
        ] {
            assert_eq!(parsed(kind, &displayed(kind, Some(&value))), Ok(value.clone()), "{value}");
        }
    }

    #[test]
    fn defaults_are_values_of_their_fields() {
        for method in Method::ALL {
            let defaults = crate::engine::plan::presets::defaults_of(method);
            for (key, kind) in of(method) {
                let value = defaults.get(key).cloned().unwrap_or_default();
                let back = parsed(kind, &displayed(kind, Some(&value))).map(|back| shown(Some(&back)));
                assert_eq!(back, Ok(shown(Some(&value))), "{method}: {key}");
                if let Kind::Choice(choices) = kind {
                    assert!(choices.contains(&shown(Some(&value)).as_str()), "{method}: {key} is one of {choices:?}");
                }
            }
        }
    }

    #[test]
    fn shares_are_percent_and_no_steps_are_nothing() {
        let (percent, steps) = (Kind::Percent, Kind::Steps { none: -1, by: setting::BY_EPOCHS });
        assert_eq!(displayed(percent, Some(&json!(0.1))), "10");
        assert_eq!(displayed(percent, Some(&json!(0.07))), "7", "not 7.000000000000001");
        assert_eq!(parsed(percent, "12,5 %"), Ok(json!(0.125)));
        assert_eq!(displayed(steps, Some(&json!(-1))), "", "by epochs");
        assert_eq!(shown(Some(&json!(-1))), "-1", "as the command line takes it");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (kind, typed) in [
            (Kind::Positive, "0"),
            (Kind::Fraction, "1"),
            (Kind::Percent, "100"),
            (Kind::Percent, "-1"),
            (Kind::Steps { none: 0, by: "" }, "0"),
            (Kind::Whole(1, 4), "5"),
            (Kind::Whole(1, 4), "1.5"),
            (Kind::Number(0.0, 1.0), "much"),
            (Kind::Words, " "),
        ] {
            assert!(parsed(kind, typed).is_err(), "{kind:?} refuses {typed}");
        }
    }
}
