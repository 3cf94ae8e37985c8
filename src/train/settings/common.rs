//! The one list of settings: name, kind of value and help of each, and the methods that have it.

use super::method::options_of;
use crate::data::Method;

/// One setting, under its name in TRL or PEFT.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name.
    pub key: &'static str,
    /// Kind of its value.
    pub kind: Kind,
    /// Placeholder of the flag's value in the help.
    pub value: &'static str,
    /// Help text, one line.
    pub help: &'static str,
}

/// Kind of value that a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A whole number from 0.
    Whole,
    /// A whole number, or -1.
    Steps,
    /// True or false.
    Flag,
    /// A word.
    Word,
    /// A word, or a list of them.
    Words,
    /// A list of numbers.
    Numbers,
}

impl Kind {
    /// Description of the kind for an error.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Whole => "a whole number",
            Self::Steps => "a whole number, or -1",
            Self::Flag => "true or false",
            Self::Word => "a word",
            Self::Words => "a word, or a list of them",
            Self::Numbers => "a list of numbers",
        }
    }
}

const fn row(key: &'static str, kind: Kind, value: &'static str, help: &'static str) -> Setting {
    Setting { key, kind, value, help }
}

/// Settings that belong to more than one method, in the order of the docs; `common` says which methods have each.
pub(in crate::train) static COMMON: [Setting; 32] = [
    row("beta", Kind::Number, "BETA", "How closely the policy is held to the reference"),
    row("loss_type", Kind::Words, "NAMES", "One loss or several: sigmoid,sft"),
    row("loss_weights", Kind::Numbers, "WEIGHTS", "One weight per loss type: 1.0,0.5"),
    row(
        "label_smoothing",
        Kind::Number,
        "SHARE",
        "Share of labels taken to be wrong (loss types robust, exo_pair, aot)",
    ),
    row("learning_rate", Kind::Number, "RATE", "Peak learning rate"),
    row("lr_scheduler_type", Kind::Word, "NAME", "linear, cosine, constant or constant_with_warmup"),
    row("warmup_steps", Kind::Number, "STEPS", "Steps of linear warm-up; below 1, a share of all steps"),
    row("weight_decay", Kind::Number, "DECAY", "Decoupled weight decay"),
    row("adam_beta1", Kind::Number, "ADAM_BETA1", "Decay of Adam's first moment"),
    row("adam_beta2", Kind::Number, "ADAM_BETA2", "Decay of Adam's second moment"),
    row("adam_epsilon", Kind::Number, "EPSILON", "Added to the root of Adam's second moment"),
    row("max_grad_norm", Kind::Number, "NORM", "Largest gradient norm; 0 switches clipping off"),
    row("per_device_train_batch_size", Kind::Whole, "ROWS", "Rows (pairs, examples, completions) of a micro-batch"),
    row("gradient_accumulation_steps", Kind::Whole, "BATCHES", "Micro-batches of an optimiser step"),
    row("max_length", Kind::Whole, "TOKENS", "Max length of a sequence in tokens; longer ones are truncated"),
    row("max_steps", Kind::Steps, "STEPS", "Optimiser steps of the run; -1 for --num-train-epochs"),
    row("num_train_epochs", Kind::Number, "EPOCHS", "Passes over the data"),
    row("seed", Kind::Whole, "SEED", "Seeds the order of the data, the split, sampling and a fresh adapter"),
    row("train_sampling_strategy", Kind::Word, "NAME", "Order of the data: random or sequential"),
    row("r", Kind::Whole, "R", "Rank of the adapter"),
    row("lora_alpha", Kind::Number, "ALPHA", "Numerator of the adapter's scale"),
    row("target_modules", Kind::Words, "NAMES", "Modules that get an adapter: q_proj,v_proj or all-linear"),
    row("use_rslora", Kind::Flag, "BOOL", "Scale by lora_alpha / sqrt(r)"),
    row("use_dora", Kind::Flag, "BOOL", "DoRA: train the length of each row of an adapted weight too"),
    row(
        "lora_dropout",
        Kind::Number,
        "SHARE",
        "Share of the adapter's inputs that training drops, with disable_dropout false",
    ),
    row("disable_dropout", Kind::Flag, "BOOL", "Train without dropout, as TRL does by default"),
    row("reference", Kind::Word, "NAME", "What the policy is measured against: base or initial_adapter"),
    row("eval_split", Kind::Number, "SHARE", "Share of the data that is held out, whole prompts kept apart"),
    row(
        "load_in",
        Kind::Word,
        "FORMAT",
        "The base's linear layers on the GPU: stored, int8, int4 or nf4, quantised as they are loaded",
    ),
    row(
        "gradient_checkpointing",
        Kind::Flag,
        "BOOL",
        "Less memory for more time: run layers forward again in the backward pass",
    ),
    row("fp16", Kind::Flag, "BOOL", "Multiply in half precision where the GPU has it: faster, a little less exact"),
    row("save_steps", Kind::Whole, "STEPS", "Steps between checkpoints; 0 for none"),
];

/// True if a method has a setting of the common list. Every method has `reference`; one without a reference ignores it.
pub(in crate::train) fn common(method: Method, key: &str) -> bool {
    use Method::{Cpo, Dpo, Grpo, Kto, Orpo, Ppo, Reward, Sft};
    match key {
        "beta" => !matches!(method, Sft | Reward | Ppo),
        "loss_type" => matches!(method, Dpo | Sft | Kto | Cpo | Grpo),
        "loss_weights" => method == Dpo,
        "label_smoothing" => matches!(method, Dpo | Cpo),
        "max_grad_norm" => method != Ppo,
        "max_length" | "train_sampling_strategy" => matches!(method, Dpo | Sft | Reward | Kto | Orpo | Cpo),
        "max_steps" | "num_train_epochs" => method != Ppo,
        "eval_split" => true,
        "disable_dropout" => !matches!(method, Sft | Grpo),
        _ => true,
    }
}

/// Every setting of a method, the common ones first.
pub fn settings(method: Method) -> impl Iterator<Item = &'static Setting> {
    let own = options_of(method).iter().flat_map(|rows| rows.iter());
    COMMON.iter().filter(move |setting| common(method, setting.key)).chain(own)
}

/// Every setting of any method, once.
pub fn all_settings() -> Vec<&'static Setting> {
    let mut all: Vec<&Setting> = COMMON.iter().collect();
    for setting in Method::ALL.into_iter().flat_map(settings) {
        if !all.iter().any(|other| other.key == setting.key) {
            all.push(setting);
        }
    }
    all
}

/// The methods that have a setting.
pub(in crate::train) fn methods_with(key: &str) -> Vec<Method> {
    Method::ALL.into_iter().filter(|method| settings(*method).any(|setting| setting.key == key)).collect()
}
