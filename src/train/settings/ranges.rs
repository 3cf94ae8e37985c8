//! Ranges of the settings' values.

use std::fmt::Display;

use super::config::TrainConfig;
use super::method::{DivergenceType, DpoOptions, GrpoOptions, KtoLoss, OnlineOptions, Options, PpoOptions};
use crate::data::{Method, Sampling};
use crate::train::loss::LossType;

/// Receives whether a value is right, its setting's name, the value, and the range in words.
type Check<'a> = &'a mut dyn FnMut(bool, &str, &dyn Display, &str);

impl TrainConfig {
    /// Lists every value that is out of range: the setting's key, and `name is value, but must be range`.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, name: &str, value: &dyn Display, range: &str| {
            if !ok {
                problems.push((name.to_owned(), format!("{name} is {value}, but must be {range}")));
            }
        };
        match self.method() {
            Method::Grpo | Method::Rloo => check(not_negative(self.beta), "beta", &self.beta, "0 or more"),
            _ => check(positive(self.beta), "beta", &self.beta, "above 0"),
        }
        check(not_negative(self.learning_rate), "learning_rate", &self.learning_rate, "0 or more");
        check(not_negative(self.warmup_steps), "warmup_steps", &self.warmup_steps, "0 or more");
        check(not_negative(self.weight_decay), "weight_decay", &self.weight_decay, "0 or more");
        check(fraction(self.adam_beta1), "adam_beta1", &self.adam_beta1, "from 0 to below 1");
        check(fraction(self.adam_beta2), "adam_beta2", &self.adam_beta2, "from 0 to below 1");
        check(not_negative(self.adam_epsilon), "adam_epsilon", &self.adam_epsilon, "0 or more");
        check(not_negative(self.max_grad_norm), "max_grad_norm", &self.max_grad_norm, "0 or more");
        let batch = self.per_device_train_batch_size;
        check(batch > 0, "per_device_train_batch_size", &batch, "1 or more");
        let accumulation = self.gradient_accumulation_steps;
        check(accumulation > 0, "gradient_accumulation_steps", &accumulation, "1 or more");
        check(self.max_length >= 2, "max_length", &self.max_length, "2 or more");
        check(self.max_steps > 0 || self.max_steps == -1, "max_steps", &self.max_steps, "1 or more, or -1");
        check(positive(self.num_train_epochs), "num_train_epochs", &self.num_train_epochs, "above 0");
        check((1..=1024).contains(&self.r), "r", &self.r, "from 1 to 1024");
        check(positive(self.lora_alpha), "lora_alpha", &self.lora_alpha, "above 0");
        check(fraction(self.lora_dropout), "lora_dropout", &self.lora_dropout, "from 0 to below 1");
        check(
            !self.use_dora || self.dropout() == 0.0,
            "disable_dropout",
            &"false",
            "true with use_dora, or lora_dropout 0: DoRA trains without dropout",
        );
        check(fraction(self.eval_split), "eval_split", &self.eval_split, "from 0 to below 1");
        match &self.options {
            Options::Dpo(options) => self.dpo(options, &mut check),
            Options::Reward(options) => {
                let centre = options.center_rewards_coefficient.unwrap_or(0.0);
                check(not_negative(centre), "center_rewards_coefficient", &centre, "0 or more");
            }
            Options::Kto(loss, options) => {
                let weights = [options.desirable_weight, options.undesirable_weight];
                for (name, weight) in ["desirable_weight", "undesirable_weight"].into_iter().zip(weights) {
                    check(not_negative(weight), name, &weight, "0 or more");
                }
                // KTO estimates its KL from answers to other prompts of the batch.
                let paired = *loss == KtoLoss::Kto;
                check(!paired || batch > 1, "per_device_train_batch_size", &batch, "2 or more for loss_type kto");
                let random = paired && self.train_sampling_strategy == Sampling::Random;
                check(!random, "train_sampling_strategy", &"random", "sequential for loss_type kto");
            }
            Options::Cpo(_, options) => {
                check(not_negative(options.cpo_alpha), "cpo_alpha", &options.cpo_alpha, "0 or more");
                check(options.simpo_gamma.is_finite(), "simpo_gamma", &options.simpo_gamma, "a finite number");
                check(options.alpha.is_finite(), "alpha", &options.alpha, "a finite number");
                check(fraction(self.label_smoothing), "label_smoothing", &self.label_smoothing, "from 0 to below 1");
            }
            Options::Grpo(_, online, options) => {
                self.online(online, &mut check);
                grpo(options, &mut check);
            }
            Options::Rloo(online, options) => {
                self.online(online, &mut check);
                if let Some(range) = &options.reward_clip_range {
                    let ok = matches!(range.as_slice(), [low, high] if low < high);
                    check(ok, "reward_clip_range", &format!("{range:?}"), "the least and the largest reward");
                }
            }
            Options::Ppo(options) => self.ppo(options, &mut check),
            Options::Sft(..) | Options::Orpo => {}
        }
        problems
    }

    fn dpo(&self, options: &DpoOptions, check: Check<'_>) {
        check(!self.loss_type.is_empty(), "loss_type", &"empty", "one loss type or several");
        if let Some(weights) = &self.loss_weights {
            let (n, types) = (weights.len(), self.loss_type.len());
            check(n == types, "loss_weights", &format!("{n} long"), &format!("as long as loss_type, {types}"));
            check(weights.iter().all(|w| w.is_finite()), "loss_weights", &"not finite", "finite numbers");
        }
        let has = |kind: LossType| self.loss_type.contains(&kind);
        let e = self.label_smoothing;
        let half = has(LossType::Robust);
        let range = if half { "from 0 to below 0.5" } else { "from 0 to below 1" };
        check(not_negative(e) && e < if half { 0.5 } else { 1.0 }, "label_smoothing", &e, range);
        check(!has(LossType::ExoPair) || e > 0.0, "label_smoothing", &e, "above 0 for exo_pair; 0.001 is usual");
        let tau = options.discopop_tau;
        check(positive(tau), "discopop_tau", &tau, "above 0");
        let lambda = options.dpop_lambda;
        check(not_negative(lambda), "dpop_lambda", &lambda, "0 or more");
        let ld_alpha = options.ld_alpha.unwrap_or(1.0);
        check((0.0..=1.0).contains(&ld_alpha), "ld_alpha", &ld_alpha, "from 0 to 1");
        let coefficient = options.f_alpha_divergence_coef;
        check(coefficient.is_finite(), "f_alpha_divergence_coef", &coefficient, "a finite number");
        if options.f_divergence_type != DivergenceType::ReverseKl {
            for kind in self.loss_type.iter().filter(|kind| !kind.takes_divergence()) {
                check(false, "f_divergence_type", &"another", &format!("reverse_kl with loss_type {}", kind.name()));
            }
        }
        for kind in [LossType::Aot, LossType::AotUnpaired, LossType::Sft] {
            let both = options.use_weighting && has(kind);
            check(!both, "use_weighting", &"true", &format!("false with loss_type {}", kind.name()));
        }
    }

    fn online(&self, options: &OnlineOptions, check: Check<'_>) {
        let n = options.num_generations;
        check(n >= 2, "num_generations", &n, "2 or more");
        check(options.max_completion_length > 0, "max_completion_length", &options.max_completion_length, "1 or more");
        let generations = options.steps_per_generation.unwrap_or(self.gradient_accumulation_steps);
        check(generations > 0, "steps_per_generation", &generations, "1 or more");
        let answers = self.per_device_train_batch_size.saturating_mul(generations);
        check(
            answers.is_multiple_of(n.max(1)),
            "num_generations",
            &n,
            &format!("a divisor of per_device_train_batch_size times steps_per_generation, {answers}"),
        );
        check(options.num_iterations > 0, "num_iterations", &options.num_iterations, "1 or more");
        check(positive(options.temperature), "temperature", &options.temperature, "above 0");
        let top_p = options.top_p;
        check(top_p > 0.0 && top_p <= 1.0, "top_p", &top_p, "above 0, and at most 1");
        check(not_negative(options.epsilon), "epsilon", &options.epsilon, "0 or more");
        let high = options.epsilon_high.unwrap_or(0.0);
        check(not_negative(high), "epsilon_high", &high, "0 or more");
    }

    fn ppo(&self, options: &PpoOptions, check: Check<'_>) {
        let counts = [
            ("num_ppo_epochs", options.num_ppo_epochs),
            ("num_mini_batches", options.num_mini_batches),
            ("response_length", options.response_length),
            ("total_episodes", options.total_episodes.unwrap_or(1)),
        ];
        for (name, count) in counts {
            check(count > 0, name, &count, "1 or more");
        }
        let answers = self.per_device_train_batch_size.saturating_mul(self.gradient_accumulation_steps);
        let parts = options.num_mini_batches;
        check(
            answers.is_multiple_of(parts.max(1)),
            "num_mini_batches",
            &parts,
            &format!(
                "a divisor of the batch, per_device_train_batch_size times gradient_accumulation_steps, {answers}"
            ),
        );
        let enough = !options.whiten_rewards || answers / parts.max(1) >= 8;
        check(enough, "whiten_rewards", &"true", "false for mini-batches of fewer than 8 answers");
        check(positive(options.temperature), "temperature", &options.temperature, "above 0");
        check(positive(options.num_train_epochs), "num_train_epochs", &options.num_train_epochs, "above 0");
        let stop = options.stop_token.as_deref();
        check(matches!(stop, None | Some("eos")), "stop_token", &stop.unwrap_or_default(), "eos, or left out");
        for (name, share) in [("gamma", options.gamma), ("lam", options.lam)] {
            check((0.0..=1.0).contains(&share), name, &share, "from 0 to 1");
        }
        let sizes = [
            ("kl_coef", options.kl_coef),
            ("cliprange", options.cliprange),
            ("cliprange_value", options.cliprange_value),
            ("vf_coef", options.vf_coef),
            ("missing_eos_penalty", options.missing_eos_penalty.unwrap_or(0.0)),
        ];
        for (name, size) in sizes {
            check(not_negative(size), name, &size, "0 or more");
        }
    }
}

fn grpo(options: &GrpoOptions, check: Check<'_>) {
    let delta = options.delta.unwrap_or(2.0);
    check(positive(delta), "delta", &delta, "above 0");
    let quantile = options.top_entropy_quantile;
    check(quantile > 0.0 && quantile <= 1.0, "top_entropy_quantile", &quantile, "above 0, and at most 1");
    check(options.entropy_coef.is_finite(), "entropy_coef", &options.entropy_coef, "a finite number");
    let temperatures = [
        ("sapo_temperature_pos", options.sapo_temperature_pos),
        ("sapo_temperature_neg", options.sapo_temperature_neg),
    ];
    for (name, temperature) in temperatures {
        check(positive(temperature), name, &temperature, "above 0");
    }
    let shapes = [
        ("vespo_k_pos", options.vespo_k_pos),
        ("vespo_lambda_pos", options.vespo_lambda_pos),
        ("vespo_k_neg", options.vespo_k_neg),
        ("vespo_lambda_neg", options.vespo_lambda_neg),
    ];
    for (name, shape) in shapes {
        check(not_negative(shape), name, &shape, "0 or more");
    }
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn fraction(value: f64) -> bool {
    (0.0..1.0).contains(&value)
}
