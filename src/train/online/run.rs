//! GRPO and RLOO: batches of answers that the policy wrote, their advantages, and the micro-batches that they serve.

use super::advantages::{Scale, grpo, grpo_normalised_first, nan_mean, nan_std, rloo, weighted};
use super::policy::{Answers, PolicyTensors};
use super::rollouts::{AnswersState, BatchState, Judged, Rollout, RolloutSource, Wanted};
use crate::error::{Error, Result};
use crate::gpu::Recorder;
use crate::kernels::{self, PolicyLoss, PolicySettings, policy_metric};
use crate::model::Adapter;
use crate::train::settings::config::TrainConfig;
use crate::train::settings::method::{
    Aggregation, GrpoLoss, GrpoOptions, OnlineOptions, Options, RlooOptions, SamplingLevel, ScaleRewards,
};
use crate::train::trainer::{Logged, View};

/// State of a GRPO or RLOO run.
pub(in crate::train) struct Online<'a> {
    pub(in crate::train) source: Box<dyn RolloutSource + 'a>,
    /// Adapter of the reference; `None` for the base model.
    reference: Option<Adapter>,
    answers: Answers,
    pub(in crate::train) tensors: PolicyTensors,
    /// Tokens that end an answer.
    ends: Vec<u32>,
    batch: Option<Batch>,
    /// Micro-batches and, in the next field, batches of answers so far.
    micro: usize,
    generation: usize,
    /// Results for the answers since they were last taken.
    pub(in crate::train) judged: Vec<Judged>,
}

/// A batch of answers, and the results computed for it.
struct Batch {
    rows: Vec<Rollout>,
    old: Vec<Vec<f32>>,
    reference: Vec<Vec<f32>>,
    advantages: Vec<f64>,
    keep: Vec<bool>,
    /// Tokens of the answers that count.
    tokens: usize,
}

/// Results of a step besides the gradients.
pub(in crate::train) struct Recorded {
    /// Tokens of new answers with their prompts.
    pub(in crate::train) n_tokens: u64,
    /// Logged values of new batches of answers.
    pub(in crate::train) metrics: Vec<(String, f64)>,
}

impl<'a> Online<'a> {
    pub(in crate::train) fn new(
        view: &View<'_>,
        source: Box<dyn RolloutSource + 'a>,
        reference: Option<Adapter>,
        ends: Vec<u32>,
    ) -> Result<Self> {
        let answers = Answers::new(view, source.longest(), view.adapter)?;
        let tensors = PolicyTensors::new(view.gpu, answers.size());
        let (batch, judged) = (None, Vec::new());
        Ok(Self { source, reference, answers, tensors, ends, batch, micro: 0, generation: 0, judged })
    }

    /// Records the gradients of a step; writes and judges new answers where they are needed.
    pub(in crate::train) async fn record(&mut self, view: &View<'_>, rec: &mut Recorder<'_>) -> Result<Recorded> {
        let online = online_of(view.config);
        let accumulation = view.config.gradient_accumulation_steps;
        let batches = online.steps_per_generation.unwrap_or(accumulation);
        let size = view.config.per_device_train_batch_size;
        let (mut n_tokens, mut logged) = (0, Vec::new());
        for _ in 0..accumulation {
            if self.micro.is_multiple_of(batches * online.num_iterations) {
                rec.submit();
                let (tokens, metrics) = self.generate(view, size * batches).await?;
                n_tokens += tokens;
                logged.push(metrics);
            }
            let at = self.micro % batches * size;
            self.micro_batch(view, rec, at, size);
            self.micro += 1;
        }
        Ok(Recorded { n_tokens, metrics: means(&logged) })
    }

    /// Writes and judges the next batch of answers; returns its tokens and its logged values.
    async fn generate(&mut self, view: &View<'_>, answers: usize) -> Result<(u64, Vec<(String, f64)>)> {
        let View { gpu, model, adapter, config, .. } = *view;
        let wanted = Wanted { gpu, model, adapter, answers, generation: self.generation };
        let rows = self.source.next(wanted).await?;
        self.generation += 1;
        let online = online_of(config);
        let names = self.source.rewards().to_vec();
        let weights = match &online.reward_weights {
            None => vec![1.0; names.len()],
            Some(weights) if weights.len() == names.len() => weights.clone(),
            Some(weights) => {
                return Err(Error::input(
                    format!("reward_weights has {} numbers, but there are {} rewards", weights.len(), names.len()),
                    format!("Give one weight for each of {}", names.join(", ")),
                    "reward_weights",
                ));
            }
        };
        let temperature = online.temperature as f32;
        let old = match self.on_policy(config) {
            true => Vec::new(),
            false => self.answers.logps(view, &rows, Some(adapter), temperature).await?,
        };
        let reference = match config.beta == 0.0 {
            true => Vec::new(),
            false => self.answers.logps(view, &rows, self.reference.as_ref(), temperature).await?,
        };
        let ended: Vec<bool> = rows.iter().map(|row| self.ended(row)).collect();
        let keep: Vec<bool> = ended.iter().map(|ended| *ended || !online.mask_truncated_completions).collect();
        let kept = |of: &dyn Fn(usize) -> f64| (0..rows.len()).filter(|&i| keep[i]).map(of).sum::<f64>();
        let tokens = kept(&|i| rows[i].completion.len() as f64) as usize;
        let each: Vec<Vec<Option<f64>>> = rows.iter().map(|row| row.rewards.clone()).collect();
        let rewards = weighted(&each, &weights);
        let mut metrics = reward_metrics(&names, &each, &rewards);
        metrics.extend(length_metrics(&rows, &ended));
        let n = online.num_generations;
        let (advantages, zero) = match &config.options {
            Options::Rloo(_, options) => {
                let kl: Vec<f64> = (0..rows.len())
                    .map(|i| match (keep[i], old.get(i), reference.get(i)) {
                        (true, Some(old), Some(reference)) => {
                            old.iter().zip(reference).map(|(o, r)| f64::from(*o) - f64::from(*r)).sum()
                        }
                        _ => 0.0,
                    })
                    .collect();
                if !reference.is_empty() {
                    metrics.push(("kl".to_owned(), kl.iter().sum::<f64>() / tokens.max(1) as f64));
                }
                rloo_advantages(&rewards, &kl, config.beta, n, options)
            }
            Options::Grpo(_, _, options) => grpo_advantages(&rewards, &each, &weights, n, options),
            other => unreachable!("{} writes no answers", other.method()),
        };
        metrics.push(("frac_reward_zero_std".to_owned(), zero));
        let advantages: Vec<f64> = advantages.into_iter().map(|a| if a.is_nan() { 0.0 } else { a }).collect();
        for (i, row) in rows.iter().enumerate() {
            // An answer that does not count gets no log-probabilities.
            let told = |logps: &[Vec<f32>]| logps.get(i).filter(|_| keep[i]).cloned().unwrap_or_default();
            self.judged.push(Judged {
                rollout: row.clone(),
                old_logps: told(&old),
                ref_logps: told(&reference),
                advantages: vec![advantages[i]],
                values: Vec::new(),
            });
        }
        let n_tokens = rows.iter().map(|row| (row.prompt.len() + row.completion.len()) as u64).sum();
        self.batch = Some(Batch { rows, old, reference, advantages, keep, tokens });
        Ok((n_tokens, metrics))
    }

    /// True if the policy that learns from an answer is always the one that wrote it.
    fn on_policy(&self, config: &TrainConfig) -> bool {
        let (accumulation, online) = (config.gradient_accumulation_steps, online_of(config));
        let batches = online.steps_per_generation.unwrap_or(accumulation);
        matches!(config.options, Options::Grpo(..)) && accumulation.is_multiple_of(batches * online.num_iterations)
    }

    fn ended(&self, row: &Rollout) -> bool {
        row.completion.last().is_some_and(|last| self.ends.contains(last))
    }

    /// Records forward, loss and backward of `size` answers of the batch from `at` on.
    fn micro_batch(&self, view: &View<'_>, rec: &mut Recorder<'_>, at: usize, size: usize) {
        let Some(batch) = &self.batch else { unreachable!("answers come before their micro-batches") };
        let View { gpu, model, adapter, config, .. } = *view;
        let (online, accumulation) = (online_of(config), config.gradient_accumulation_steps);
        let rows = at..(at + size).min(batch.rows.len());
        let temperature = online.temperature as f32;
        rec.submit();
        let acts = self.answers.load(gpu, &batch.rows[rows.clone()]);
        let tensors = self.tensors.view(&acts);
        let facts = rows.clone().flat_map(|i| {
            let fact = move |logps: &[Vec<f32>], t: usize| logps.get(i).map_or(0.0, |logps| logps[t]);
            (0..batch.rows[i].completion.len()).map(move |t| [fact(&batch.old, t), fact(&batch.reference, t), 0.0, 0.0])
        });
        gpu.write(&tensors.token_facts, facts.collect::<Vec<_>>().as_flattened());
        let facts = rows.map(|i| [batch.advantages[i] as f32, f32::from(u8::from(batch.keep[i])), 0.0, 0.0]);
        gpu.write(&tensors.sequence_facts, facts.collect::<Vec<_>>().as_flattened());
        model.forward(rec, &acts, Some(adapter));
        model.score(rec, &acts, temperature, true);
        let share = 1.0 / accumulation as f32;
        let PolicyTensors { token_facts, sequence_facts, dlogp, dentropy, metrics, .. } = &tensors;
        match &config.options {
            Options::Rloo(online, _) => {
                let epsilon = [online.epsilon, online.epsilon_high.unwrap_or(online.epsilon)];
                let (stats, ranges) = (&acts.token_stats, &acts.ranges);
                kernels::rloo(rec, stats, ranges, token_facts, sequence_facts, epsilon, share, dlogp, metrics);
            }
            Options::Grpo(loss, online, options) => {
                let batches = online.steps_per_generation.unwrap_or(accumulation);
                let step_tokens = batch.tokens as f64 * accumulation as f64 / batches as f64;
                let settings = policy_settings(config, *loss, online, options, self.on_policy(config), step_tokens);
                let (stats, ranges) = (&acts.token_stats, &acts.ranges);
                kernels::policy(
                    rec,
                    stats,
                    ranges,
                    token_facts,
                    sequence_facts,
                    &settings,
                    share,
                    dlogp,
                    dentropy,
                    metrics,
                );
            }
            other => unreachable!("{} writes no answers", other.method()),
        }
        let dentropy = entropy_coef(config).map(|_| dentropy);
        model.backward_with_entropy(rec, &acts, adapter, dlogp, dentropy, temperature);
    }

    /// State of the answers, which a run needs to continue.
    pub(in crate::train) fn state(&self) -> AnswersState {
        let bits = |logps: &[Vec<f32>]| logps.iter().map(|logps| logps.iter().map(|p| p.to_bits()).collect()).collect();
        let batch = self.batch.as_ref().map(|batch| BatchState {
            rows: batch.rows.clone(),
            old: bits(&batch.old),
            reference: bits(&batch.reference),
            advantages: batch.advantages.iter().map(|a| a.to_bits()).collect(),
            keep: batch.keep.clone(),
            tokens: batch.tokens,
        });
        AnswersState { micro: self.micro, generation: self.generation, optimizer_steps: 0, batch }
    }

    /// Restores what `state` returned.
    pub(in crate::train) fn restore(&mut self, state: &AnswersState) {
        let logps = |bits: &[Vec<u32>]| {
            bits.iter().map(|bits| bits.iter().map(|bits| f32::from_bits(*bits)).collect()).collect()
        };
        (self.micro, self.generation) = (state.micro, state.generation);
        self.batch = state.batch.as_ref().map(|batch| Batch {
            rows: batch.rows.clone(),
            old: logps(&batch.old),
            reference: logps(&batch.reference),
            advantages: batch.advantages.iter().map(|bits| f64::from_bits(*bits)).collect(),
            keep: batch.keep.clone(),
            tokens: batch.tokens,
        });
    }

    /// Logged values of the micro-batches, in TRL's order.
    pub(in crate::train) fn logged(config: &TrainConfig) -> Vec<Logged> {
        use policy_metric::{
            CISPO_CLIP_RATIO, ENTROPY, EXTREMES_COUNT, HIGH_MAX, HIGH_MEAN, KL, LOW_MEAN, LOW_MIN, POLICY_LOSS,
            REGION_MEAN, VESPO_PHI,
        };
        let mut logged: Vec<Logged> = vec![("entropy", ENTROPY, None)];
        let ratios: [Logged; 5] = [
            ("clip_ratio/low_mean", LOW_MEAN, None),
            ("clip_ratio/low_min", LOW_MIN, Some(EXTREMES_COUNT)),
            ("clip_ratio/high_mean", HIGH_MEAN, None),
            ("clip_ratio/high_max", HIGH_MAX, Some(EXTREMES_COUNT)),
            ("clip_ratio/region_mean", REGION_MEAN, None),
        ];
        let Options::Grpo(loss, ..) = &config.options else {
            logged.extend(ratios);
            return logged;
        };
        if config.beta != 0.0 {
            logged.push(("kl", KL, None));
        }
        match loss {
            GrpoLoss::Grpo | GrpoLoss::Bnpo | GrpoLoss::DrGrpo | GrpoLoss::Dapo | GrpoLoss::Luspo => {
                logged.extend(ratios);
            }
            GrpoLoss::Cispo => logged.push(("cispo_clip_ratio", CISPO_CLIP_RATIO, None)),
            GrpoLoss::Vespo => logged.push(("vespo/phi_seq_mean", VESPO_PHI, None)),
            GrpoLoss::Sapo => {}
        }
        if entropy_coef(config).is_some() {
            logged.push(("policy_loss", POLICY_LOSS, None));
        }
        logged
    }
}

/// The settings that GRPO and RLOO share.
pub(in crate::train) fn online_of(config: &TrainConfig) -> &OnlineOptions {
    match &config.options {
        Options::Grpo(_, online, _) | Options::Rloo(online, _) => online,
        other => unreachable!("{} writes no answers", other.method()),
    }
}

/// Weight of the answers' entropy, if it is not 0.
pub(in crate::train) fn entropy_coef(config: &TrainConfig) -> Option<f64> {
    match &config.options {
        Options::Grpo(_, _, options) if options.entropy_coef != 0.0 => Some(options.entropy_coef),
        _ => None,
    }
}

fn grpo_advantages(
    rewards: &[f64],
    each: &[Vec<Option<f64>>],
    weights: &[f64],
    n: usize,
    options: &GrpoOptions,
) -> (Vec<f64>, f64) {
    let scale = match options.scale_rewards {
        ScaleRewards::Group => Scale::Group,
        ScaleRewards::Batch => Scale::Batch,
        ScaleRewards::None => Scale::No,
    };
    let (advantages, deviations) = match options.multi_objective_aggregation {
        Aggregation::SumThenNormalize => grpo(rewards, n, scale),
        Aggregation::NormalizeThenSum => grpo_normalised_first(each, weights, n),
    };
    (advantages, share(&deviations, |deviation| deviation.abs() <= 1e-8))
}

/// RLOO's advantages, and the share of groups whose rewards are equal.
fn rloo_advantages(rewards: &[f64], kl: &[f64], beta: f64, n: usize, options: &RlooOptions) -> (Vec<f64>, f64) {
    let clip = |reward: f64| match options.reward_clip_range.as_deref() {
        Some([low, high]) if !reward.is_nan() => reward.clamp(*low, *high),
        _ => reward,
    };
    let rewards: Vec<f64> = rewards.iter().zip(kl).map(|(reward, kl)| clip(*reward) - beta * kl).collect();
    let deviations: Vec<f64> = rewards.chunks(n).map(nan_std).collect();
    (rloo(&rewards, n, options.normalize_advantages), share(&deviations, |deviation| deviation.abs() <= 1e-8))
}

fn share(values: &[f64], is: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|value| is(**value)).count() as f64 / values.len() as f64
}

fn reward_metrics(names: &[String], each: &[Vec<Option<f64>>], rewards: &[f64]) -> Vec<(String, f64)> {
    let mut metrics = vec![("reward".to_owned(), nan_mean(rewards)), ("reward_std".to_owned(), nan_std(rewards))];
    for (k, name) in names.iter().enumerate() {
        let column: Vec<f64> = each.iter().map(|row| row[k].unwrap_or(f64::NAN)).collect();
        metrics.push((format!("rewards/{name}/mean"), nan_mean(&column)));
        metrics.push((format!("rewards/{name}/std"), nan_std(&column)));
    }
    metrics
}

fn length_metrics(rows: &[Rollout], ended: &[bool]) -> Vec<(String, f64)> {
    let lengths: Vec<f64> = rows.iter().map(|row| row.completion.len() as f64).collect();
    let mut whole: Vec<f64> =
        lengths.iter().zip(ended).filter(|(_, ended)| **ended).map(|(length, _)| *length).collect();
    let cut = 1.0 - whole.len() as f64 / lengths.len() as f64;
    if whole.is_empty() {
        whole.push(0.0);
    }
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let named = [
        ("completions/mean_length", nan_mean(&lengths)),
        ("completions/min_length", least(&lengths)),
        ("completions/max_length", most(&lengths)),
        ("completions/clipped_ratio", cut),
        ("completions/mean_terminated_length", nan_mean(&whole)),
        ("completions/min_terminated_length", least(&whole)),
        ("completions/max_terminated_length", most(&whole)),
    ];
    named.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// The mean of each value over the batches that have it.
fn means(batches: &[Vec<(String, f64)>]) -> Vec<(String, f64)> {
    let Some(first) = batches.first() else { return Vec::new() };
    let of = |name: &String| {
        let values = batches.iter().flatten().filter(|(other, _)| other == name).map(|(_, value)| *value);
        nan_mean(&values.collect::<Vec<f64>>())
    };
    first.iter().map(|(name, _)| (name.clone(), of(name))).collect()
}

fn policy_settings(
    config: &TrainConfig,
    loss: GrpoLoss,
    online: &OnlineOptions,
    options: &GrpoOptions,
    on_policy: bool,
    step_tokens: f64,
) -> PolicySettings {
    PolicySettings {
        loss_type: match loss {
            GrpoLoss::Grpo => PolicyLoss::Grpo,
            GrpoLoss::Bnpo => PolicyLoss::Bnpo,
            GrpoLoss::DrGrpo => PolicyLoss::DrGrpo,
            GrpoLoss::Dapo => PolicyLoss::Dapo,
            GrpoLoss::Luspo => PolicyLoss::Luspo,
            GrpoLoss::Cispo => PolicyLoss::Cispo,
            GrpoLoss::Sapo => PolicyLoss::Sapo,
            GrpoLoss::Vespo => PolicyLoss::Vespo,
        },
        epsilon: online.epsilon,
        epsilon_high: online.epsilon_high.unwrap_or(online.epsilon),
        delta: options.delta,
        sequence_level: options.importance_sampling_level == SamplingLevel::Sequence,
        on_policy,
        beta: config.beta,
        use_bias_correction_kl: options.use_bias_correction_kl,
        top_entropy_quantile: options.top_entropy_quantile,
        entropy_coef: options.entropy_coef,
        off_policy_mask_threshold: options.off_policy_mask_threshold,
        sapo_temperature: [options.sapo_temperature_pos, options.sapo_temperature_neg],
        vespo_k: [options.vespo_k_pos, options.vespo_k_neg],
        vespo_lambda: [options.vespo_lambda_pos, options.vespo_lambda_neg],
        max_completion_length: online.max_completion_length as u32,
        step_tokens,
    }
}
