//! PPO as TRL 1.12 had it: a batch of answers, their values and advantages, and several passes of clipped updates of
//! the policy and of a value model, which is another adapter on the same base.

use super::advantages::{gae, nan_mean, whitened};
use super::policy::{Answers, PolicyTensors};
use super::rollouts::{Judged, Rollout, RolloutSource, Wanted};
use crate::error::Result;
use crate::gpu::Recorder;
use crate::kernels::{self, AdamW, ppo_metric};
use crate::model::{Adapter, Model};
use crate::train::optimizer::Optimizer;
use crate::train::settings::config::TrainConfig;
use crate::train::settings::method::{KlEstimator, Options, PpoOptions};
use crate::train::trainer::View;

/// State of a PPO run, with the value model.
pub(in crate::train) struct Ppo<'a> {
    pub(in crate::train) source: Box<dyn RolloutSource + 'a>,
    /// Adapter of the reference; `None` for the base model.
    reference: Option<Adapter>,
    /// The value model's adapter.
    pub(in crate::train) value: Adapter,
    pub(in crate::train) value_optimizer: Optimizer,
    answers: Answers,
    /// Buffers for the value model, if its adapter's layout differs from the policy's.
    value_answers: Option<Answers>,
    pub(in crate::train) tensors: PolicyTensors,
    /// The token that ends an answer.
    eos: Option<u32>,
    pub(in crate::train) generation: usize,
    /// Optimiser steps so far; an update takes several.
    pub(in crate::train) optimizer_steps: u32,
    pub(in crate::train) judged: Vec<Judged>,
}

/// Results computed for a batch of answers before its updates.
struct Batch {
    rows: Vec<Rollout>,
    old: Vec<Vec<f32>>,
    /// Value before each token of an answer, and after the last token where there is room.
    values: Vec<Vec<f32>>,
    /// Advantages and returns, one for each position up to the longest possible answer.
    advantages: Vec<Vec<f64>>,
    returns: Vec<Vec<f64>>,
}

/// Results of an update: the tokens of its answers, and its metrics.
pub(in crate::train) struct Updated {
    pub(in crate::train) n_tokens: u64,
    pub(in crate::train) metrics: Vec<(&'static str, f64)>,
}

impl<'a> Ppo<'a> {
    pub(in crate::train) fn new(
        view: &View<'_>,
        source: Box<dyn RolloutSource + 'a>,
        reference: Option<Adapter>,
        value: Adapter,
        eos: Option<u32>,
    ) -> Result<Self> {
        let answers = Answers::new(view, source.longest(), view.adapter)?;
        // Policy and value model run one after the other, so they can share one set of buffers.
        let alike = value.settings.targets == view.adapter.settings.targets;
        let value_answers = if alike { None } else { Some(Answers::new(view, source.longest(), &value)?) };
        let tensors = PolicyTensors::new(view.gpu, answers.size());
        let value_optimizer = Optimizer::new(view.gpu, &value);
        let (generation, optimizer_steps, judged) = (0, 0, Vec::new());
        Ok(Self {
            source,
            reference,
            value,
            value_optimizer,
            answers,
            value_answers,
            tensors,
            eos,
            generation,
            optimizer_steps,
            judged,
        })
    }

    /// Writes answers, judges them, and takes the optimiser steps of an update. Calls `each_step` before each step,
    /// once the gradients are there.
    pub(in crate::train) async fn update(
        &mut self,
        view: &View<'_>,
        optimizer: &Optimizer,
        learning_rate: f64,
        each_step: &mut dyn AsyncEachStep,
    ) -> Result<Updated> {
        let (config, options) = (view.config, ppo_of(view.config));
        let (batch, mut metrics) = self.judge(view).await?;
        let (size, micro, accumulation) =
            (batch.rows.len(), config.per_device_train_batch_size, config.gradient_accumulation_steps);
        let mini = size / options.num_mini_batches;
        let mut rec = view.gpu.recorder();
        rec.clear(&self.tensors.metrics);
        let mut done = 0;
        for _ in 0..options.num_ppo_epochs {
            for first in (0..size).step_by(mini.max(1)) {
                for at in (first..(first + mini).min(size)).step_by(micro) {
                    let rows = at..(at + micro).min(first + mini);
                    self.micro_batch(view, &mut rec, &batch, rows);
                    done += 1;
                    // The step follows after this many micro-batches, whatever the mini-batches are: accelerate counts
                    // micro-batches.
                    if done % accumulation == 0 {
                        rec.submit();
                        each_step.before(view.adapter, &self.value).await?;
                        self.optimizer_steps += 1;
                        let settings = adamw(config, learning_rate, self.optimizer_steps);
                        optimizer.step(&mut rec, view.adapter, &settings, &self.tensors.metrics);
                        self.value_optimizer.step(&mut rec, &self.value, &settings, &self.tensors.metrics);
                    }
                }
            }
        }
        rec.submit();
        let values = view.gpu.read(&self.tensors.metrics).await?;
        metrics.extend(averages(&values, options, accumulation, done));
        let n_tokens = batch.rows.iter().map(|row| (row.prompt.len() + row.completion.len()) as u64).sum();
        Ok(Updated { n_tokens, metrics })
    }

    /// Returns the next batch of answers with values, advantages and returns, and its logged values.
    async fn judge(&mut self, view: &View<'_>) -> Result<(Batch, Vec<(&'static str, f64)>)> {
        let View { gpu, model, adapter, config, .. } = *view;
        let (options, answers) = (ppo_of(config), batch_size(config));
        let wanted = Wanted { gpu, model, adapter, answers, generation: self.generation };
        let mut rows = self.source.next(wanted).await?;
        self.generation += 1;
        let longest = options.response_length;
        rows.iter_mut().for_each(|row| row.completion.truncate(longest));
        let temperature = temperature(options);
        let old = self.answers.logps(view, &rows, Some(adapter), temperature).await?;
        let reference = self.answers.logps(view, &rows, self.reference.as_ref(), temperature).await?;
        let room = self.value_answers.as_ref().unwrap_or(&self.answers);
        let values = room.values(view, &rows, &self.value, &self.tensors, |row| places(row, longest)).await?;

        let mut score: Vec<f64> = rows.iter().map(|row| row.rewards.iter().flatten().sum()).collect();
        let has_eos = |row: &Rollout| self.eos.is_some_and(|eos| row.completion.contains(&eos));
        if let Some(penalty) = options.missing_eos_penalty {
            let without = score.iter_mut().zip(&rows).filter(|(_, row)| !has_eos(row));
            without.for_each(|(score, _)| *score -= penalty);
        }
        let kl = |i: usize, t: usize| {
            let log_ratio = f64::from(reference[i][t]) - f64::from(old[i][t]);
            match options.kl_estimator {
                KlEstimator::K1 => -log_ratio,
                KlEstimator::K3 => log_ratio.exp() - 1.0 - log_ratio,
            }
        };
        let of_rows = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..rows.len()).map(|i| (0..rows[i].completion.len()).map(|t| of(i, t)).sum()).collect()
        };
        let kls = of_rows(&kl);
        let entropies = of_rows(&|i, t| -f64::from(old[i][t]));
        let non_score: Vec<f64> = kls.iter().map(|kl| -options.kl_coef * kl).collect();
        let mut rewards: Vec<Vec<f64>> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let k = row.completion.len();
                let mut rewards = vec![0.0; longest];
                (0..k).for_each(|t| rewards[t] = -options.kl_coef * kl(i, t));
                // The score is added one position behind the last token, if there is such a position.
                rewards[if k < longest { k } else { k - 1 }] += score[i];
                rewards
            })
            .collect();
        if options.whiten_rewards {
            let counts: Vec<bool> = rows.iter().flat_map(|row| counted(longest, places(row, longest))).collect();
            rewards = whitened(&rewards.concat(), &counts, true).chunks(longest).map(<[f64]>::to_vec).collect();
        }
        let Advantages { raw, returns, whitened: advantages } = advantages_of(options, &rows, &rewards, &values);

        for (i, row) in rows.iter().enumerate() {
            let k = row.completion.len();
            self.judged.push(Judged {
                rollout: row.clone(),
                old_logps: old[i].clone(),
                ref_logps: reference[i].clone(),
                advantages: raw[i][..k].to_vec(),
                values: values[i][..k].to_vec(),
            });
        }
        let eos = |row: &Rollout| row.completion.iter().filter(|id| Some(**id) == self.eos).count() as f64;
        let metrics = vec![
            ("objective/kl", nan_mean(&kls)),
            ("objective/entropy", nan_mean(&entropies)),
            ("objective/non_score_reward", nan_mean(&non_score)),
            ("objective/rlhf_reward", nan_mean(&non_score) + nan_mean(&score)),
            ("objective/scores", nan_mean(&score)),
            ("val/num_eos_tokens", rows.iter().map(eos).sum()),
        ];
        Ok((Batch { rows, old, values, advantages, returns }, metrics))
    }

    /// Records forward, loss and backward of some answers, for the policy and for the value model.
    fn micro_batch(&self, view: &View<'_>, rec: &mut Recorder<'_>, batch: &Batch, rows: std::ops::Range<usize>) {
        let View { gpu, model, adapter, config, .. } = *view;
        let (options, longest) = (ppo_of(config), ppo_of(config).response_length);
        let share = 1.0 / config.gradient_accumulation_steps as f32;
        let of = &batch.rows[rows.clone()];
        rec.submit();
        let acts = self.answers.load(gpu, of);
        let tensors = self.tensors.view(&acts);
        let facts = rows.clone().flat_map(|i| {
            (0..batch.rows[i].completion.len()).map(move |t| [batch.old[i][t], batch.advantages[i][t] as f32, 1.0, 0.0])
        });
        gpu.write(&tensors.token_facts, facts.collect::<Vec<_>>().as_flattened());
        let temperature = temperature(options);
        model.forward(rec, &acts, Some(adapter));
        model.score(rec, &acts, temperature, true);
        let positions = (of.len() * longest) as u32;
        let (stats, facts, dlogp, metrics) =
            (&acts.token_stats, &tensors.token_facts, &tensors.dlogp, &tensors.metrics);
        kernels::ppo_policy(rec, stats, facts, options.cliprange, positions, share, dlogp, metrics);
        model.backward_with_entropy(rec, &acts, adapter, dlogp, None, temperature);

        // The value model's facts must not overtake the policy's.
        rec.submit();
        self.value_micro_batch(model, view, rec, batch, rows, share);
    }

    fn value_micro_batch(
        &self,
        model: &Model,
        view: &View<'_>,
        rec: &mut Recorder<'_>,
        batch: &Batch,
        rows: std::ops::Range<usize>,
        share: f32,
    ) {
        let (options, longest) = (ppo_of(view.config), ppo_of(view.config).response_length);
        let room = self.value_answers.as_ref().unwrap_or(&self.answers);
        let acts = room.load_some(view.gpu, &batch.rows[rows.clone()], |row| places(row, longest));
        let tensors = self.tensors.view(&acts);
        let facts = rows.flat_map(|i| {
            (0..places(&batch.rows[i], longest))
                .map(move |t| [batch.values[i][t], batch.returns[i][t] as f32, 1.0, 0.0])
        });
        view.gpu.write(&tensors.token_facts, facts.collect::<Vec<_>>().as_flattened());
        model.forward(rec, &acts, Some(&self.value));
        model.values(rec, &acts, &self.value, &tensors.values);
        let (range, weight) = (options.cliprange_value as f32, options.vf_coef as f32);
        let PolicyTensors { values, token_facts, dvalues, metrics, .. } = &tensors;
        kernels::ppo_value(rec, values, token_facts, range, weight, share, dvalues, metrics);
        model.backward_values(rec, &acts, &self.value, dvalues);
    }
}

/// Observer of the gradients of a step before it is taken.
pub(in crate::train) trait AsyncEachStep {
    /// Receives the policy and the value model, with their gradients.
    fn before<'a>(
        &'a mut self,
        policy: &'a Adapter,
        value: &'a Adapter,
    ) -> crate::platform::LocalFuture<'a, Result<()>>;
}

/// Advantages of each token of each answer, padded to the longest that may be written.
struct Advantages {
    /// Advantages of generalised advantage estimation.
    raw: Vec<Vec<f64>>,
    /// Sums of these and the values that they were measured against.
    returns: Vec<Vec<f64>>,
    /// Advantages with mean 0 and variance 1 over all tokens that were written.
    whitened: Vec<Vec<f64>>,
}

fn advantages_of(options: &PpoOptions, rows: &[Rollout], rewards: &[Vec<f64>], values: &[Vec<f32>]) -> Advantages {
    let longest = options.response_length;
    let filled = |i: usize| -> Vec<f64> {
        let mut filled: Vec<f64> = values[i].iter().map(|value| f64::from(*value)).collect();
        filled.resize(longest, 0.0);
        filled
    };
    let raw: Vec<Vec<f64>> =
        (0..rows.len()).map(|i| gae(&rewards[i], &filled(i), options.gamma, options.lam)).collect();
    let returns = (0..rows.len()).map(|i| raw[i].iter().zip(filled(i)).map(|(a, value)| a + value).collect()).collect();
    let counts: Vec<bool> = rows.iter().flat_map(|row| counted(longest, row.completion.len())).collect();
    let whitened = whitened(&raw.concat(), &counts, false).chunks(longest).map(<[f64]>::to_vec).collect();
    Advantages { raw, returns, whitened }
}

/// PPO's settings.
pub(in crate::train) fn ppo_of(config: &TrainConfig) -> &PpoOptions {
    match &config.options {
        Options::Ppo(options) => options,
        other => unreachable!("{} is not PPO", other.method()),
    }
}

/// Answers of a batch.
pub(in crate::train) fn batch_size(config: &TrainConfig) -> usize {
    config.per_device_train_batch_size * config.gradient_accumulation_steps
}

/// TRL adds a little to the temperature, in case it is 0.
fn temperature(options: &PpoOptions) -> f32 {
    (options.temperature + 1e-7) as f32
}

/// Number of an answer's positions that have a value: before each token, and after the last where there is room.
fn places(row: &Rollout, longest: usize) -> usize {
    (row.completion.len() + 1).min(longest)
}

fn counted(longest: usize, places: usize) -> impl Iterator<Item = bool> {
    (0..longest).map(move |t| t < places)
}

fn adamw(config: &TrainConfig, learning_rate: f64, step: u32) -> AdamW {
    AdamW {
        learning_rate,
        beta1: config.adam_beta1,
        beta2: config.adam_beta2,
        epsilon: config.adam_epsilon,
        weight_decay: config.weight_decay,
        // TRL's trainer has no clipping.
        max_grad_norm: 0.0,
        step,
    }
}

/// Averages of an update. TRL keeps the values of its micro-batches in an array by epoch, mini-batch and accumulation,
/// but fills only the entries that it uses. The other entries are zeros, and count in the averages.
fn averages(
    values: &[f32],
    options: &PpoOptions,
    accumulation: usize,
    micro_batches: usize,
) -> Vec<(&'static str, f64)> {
    let slots = (options.num_ppo_epochs * options.num_mini_batches * accumulation) as f64;
    let (filled, accumulation) = (micro_batches as f64, accumulation as f64);
    // The kernels weight each micro-batch by 1 / accumulation, which is undone here.
    let sum = |at: usize| f64::from(values[at]) * accumulation;
    let ratio = sum(ppo_metric::RATIO) / slots;
    // The variance of the ratios, zeros included, follows from the sum of their squares about 1.
    let (squares, above) = (sum(ppo_metric::RATIO_SQUARES), sum(ppo_metric::RATIO) - filled);
    let of_filled = squares - 2.0 * (ratio - 1.0) * above + filled * (ratio - 1.0).powi(2);
    let variance = (of_filled + (slots - filled) * ratio.powi(2)) / (slots - 1.0);
    let averages = [
        ("policy/approxkl_avg", ppo_metric::APPROXKL),
        ("policy/clipfrac_avg", ppo_metric::CLIPFRAC),
        ("loss/policy_avg", ppo_metric::LOSS_POLICY),
        ("loss/value_avg", ppo_metric::LOSS_VALUE),
        ("val/clipfrac_avg", ppo_metric::VAL_CLIPFRAC),
        ("policy/entropy_avg", ppo_metric::ENTROPY),
    ];
    let mut averages = averages.map(|(name, at)| (name, sum(at) / slots)).to_vec();
    averages.extend([("val/ratio", ratio), ("val/ratio_var", variance)]);
    averages
}
