//! The settings as fields: which values each takes, and how they are read and written. There is no egui in it.

use serde_json::{Value, json};

use super::text;
use crate::engine::protocol::Settings;

/// What a setting takes.
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
    /// A whole number between these.
    Whole(i64, i64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// On or off.
    Switch,
    /// Words separated by commas.
    Words,
    /// Numbers separated by commas, or nothing.
    Numbers,
}

/// Settings that are always in sight.
pub(super) const FIRST: [&str; 6] =
    ["beta", "num_train_epochs", "learning_rate", "r", "max_length", "per_device_train_batch_size"];

/// Every setting, in the order of the README.
pub(super) const ALL: [(&str, Kind); 37] = [
    ("beta", Kind::Positive),
    ("loss_type", Kind::Words),
    ("loss_weights", Kind::Numbers),
    ("label_smoothing", Kind::Fraction),
    ("learning_rate", Kind::Number(0.0, 1.0)),
    ("lr_scheduler_type", Kind::Choice(&["linear", "cosine", "constant", "constant_with_warmup"])),
    ("warmup_steps", Kind::Number(0.0, 1e9)),
    ("weight_decay", Kind::Number(0.0, 10.0)),
    ("adam_beta1", Kind::Fraction),
    ("adam_beta2", Kind::Fraction),
    ("adam_epsilon", Kind::Number(0.0, 1.0)),
    ("max_grad_norm", Kind::Number(0.0, 1e9)),
    ("per_device_train_batch_size", Kind::Whole(1, 1024)),
    ("gradient_accumulation_steps", Kind::Whole(1, 4096)),
    ("max_length", Kind::Whole(2, 1 << 20)),
    ("max_steps", Kind::Whole(-1, 1 << 40)),
    ("num_train_epochs", Kind::Positive),
    ("seed", Kind::Whole(0, 1 << 53)),
    ("train_sampling_strategy", Kind::Choice(&["random", "sequential"])),
    ("r", Kind::Whole(1, 1024)),
    ("lora_alpha", Kind::Positive),
    ("target_modules", Kind::Words),
    ("use_rslora", Kind::Switch),
    ("use_dora", Kind::Switch),
    ("lora_dropout", Kind::Fraction),
    ("disable_dropout", Kind::Switch),
    ("reference", Kind::Choice(&["base", "initial_adapter"])),
    ("eval_split", Kind::Fraction),
    ("load_in", Kind::Choice(&["stored", "int8", "int4", "nf4"])),
    ("gradient_checkpointing", Kind::Switch),
    ("save_steps", Kind::Whole(0, 1 << 40)),
    ("f_divergence_type", Kind::Choice(&["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"])),
    ("f_alpha_divergence_coef", Kind::Number(-10.0, 10.0)),
    ("ld_alpha", Kind::Optional(0.0, 1.0)),
    ("use_weighting", Kind::Switch),
    ("discopop_tau", Kind::Positive),
    ("precompute_ref_log_probs", Kind::Switch),
];

/// Leaves only settings that a run has; the names of the others come back.
pub(super) fn keep_known(settings: &mut Settings) -> Vec<String> {
    let (known, unknown): (Settings, Settings) =
        std::mem::take(settings).into_iter().partition(|(key, _)| ALL.iter().any(|(name, _)| name == key));
    *settings = known;
    unknown.into_iter().map(|(key, _)| key).collect()
}

/// A value as it stands in its field.
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

/// What was typed, as a value; the error says what would be right.
pub(super) fn parsed(kind: Kind, typed: &str) -> Result<Value, String> {
    let typed = typed.trim();
    let number = |from: f64, to: f64, range: &str| match typed.replace(',', ".").parse::<f64>() {
        Ok(value) if value.is_finite() && value >= from && value <= to => Ok(json!(value)),
        _ => Err(text::wants(range)),
    };
    match kind {
        Kind::Optional(..) if typed.is_empty() => Ok(Value::Null),
        Kind::Number(from, to) | Kind::Optional(from, to) => number(from, to, &text::between(from, to)),
        Kind::Positive => number(f64::MIN_POSITIVE, f64::MAX, text::ABOVE_0),
        Kind::Fraction => number(0.0, 1.0 - f64::EPSILON, text::FRACTION),
        Kind::Whole(from, to) => match typed.parse::<i64>() {
            Ok(value) if (from..=to).contains(&value) => Ok(json!(value)),
            _ => Err(text::wants(&text::whole_between(from, to))),
        },
        Kind::Choice(_) => Ok(json!(typed)),
        Kind::Switch => Ok(json!(typed == "true")),
        Kind::Words => {
            let words: Vec<&str> = typed.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => Err(text::wants(text::A_WORD)),
                [word] => Ok(json!(word)),
                words => Ok(json!(words)),
            }
        }
        Kind::Numbers if typed.is_empty() => Ok(Value::Null),
        Kind::Numbers => {
            let numbers: Result<Vec<f64>, _> = typed.split(',').map(|part| part.trim().parse::<f64>()).collect();
            numbers.map(|numbers| json!(numbers)).map_err(|_| text::wants(text::A_LIST))
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
            (Kind::Words, json!(["sigmoid", "sft"])),
            (Kind::Words, json!("all-linear")),
            (Kind::Numbers, Value::Null),
            (Kind::Numbers, json!([1.0, 0.5])),
            (Kind::Switch, json!(true)),
        ] {
            assert_eq!(parsed(kind, &shown(Some(&value))), Ok(value.clone()), "{value}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (kind, typed) in [
            (Kind::Positive, "0"),
            (Kind::Fraction, "1"),
            (Kind::Whole(1, 4), "5"),
            (Kind::Whole(1, 4), "1.5"),
            (Kind::Number(0.0, 1.0), "much"),
            (Kind::Words, " "),
        ] {
            assert!(parsed(kind, typed).is_err(), "{kind:?} refuses {typed}");
        }
    }
}
