//! Checks of the kernels of policy losses: GRPO's family, RLOO, PPO.

use super::cases::{Check, Compare, Matrix, random};
use super::objectives::Metrics;
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::{self, PolicyLoss, PolicySettings, metric, policy_metric, ppo_metric};
use crate::reference;

/// All of them at one middling, ragged size.
pub async fn check_policies(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for settings in policies() {
        checks.push(policy(gpu, LENGTHS[1], &settings).await?);
    }
    checks.push(rloo(gpu, LENGTHS[1], 0.0).await?);
    checks.push(ppo_policy(gpu, 333).await?);
    checks.push(ppo_value(gpu, 333).await?);
    Ok(checks)
}

/// Tokens of completions: a lone one, none, and more than a workgroup has lanes.
pub const LENGTHS: [&[u32]; 3] = [&[3], &[5, 130, 1, 64, 0, 17, 70], &[300, 1000, 2, 511]];

/// Every type of loss, and every option.
pub fn policies() -> Vec<PolicySettings> {
    use PolicyLoss::{Bnpo, Cispo, Dapo, DrGrpo, Grpo, Luspo, Sapo, Vespo};
    let base = PolicySettings {
        epsilon_high: 0.28,
        beta: 0.04,
        max_completion_length: 64,
        step_tokens: 50.0,
        ..PolicySettings::default()
    };
    let mut all: Vec<PolicySettings> = [Grpo, Bnpo, DrGrpo, Dapo, Luspo, Cispo, Sapo, Vespo]
        .into_iter()
        .map(|loss_type| PolicySettings { loss_type, ..base })
        .collect();
    let shared = PolicySettings { sequence_level: true, epsilon: 0.01, epsilon_high: 0.02, ..base };
    all.extend([
        PolicySettings { loss_type: Grpo, delta: Some(1.02), ..shared },
        PolicySettings { loss_type: Luspo, ..shared },
        PolicySettings { loss_type: Cispo, epsilon_high: 1.01, beta: 0.0, ..shared },
        PolicySettings { loss_type: Sapo, use_bias_correction_kl: false, ..shared },
        PolicySettings { on_policy: true, entropy_coef: 0.01, ..base },
        PolicySettings { loss_type: Grpo, delta: Some(1.5), beta: 0.0, ..base },
        PolicySettings { loss_type: Sapo, beta: 0.0, ..base },
        PolicySettings { loss_type: Vespo, beta: 0.0, ..base },
        PolicySettings {
            loss_type: Bnpo,
            top_entropy_quantile: 0.35,
            entropy_coef: 0.02,
            off_policy_mask_threshold: Some(0.01),
            use_bias_correction_kl: false,
            ..base
        },
    ]);
    all
}

/// Completions with ratios on both sides of 1, the third of which does not count. The first token of each has moved so
/// many nats more as its advantage asks for.
struct Case {
    stats: Matrix,
    ranges: Vec<[u32; 2]>,
    gpu_ranges: Tensor,
    tokens: Matrix,
    sequences: Matrix,
}

impl Case {
    fn new(gpu: &Gpu, lengths: &[u32], far: f64) -> Self {
        let mut end = 0;
        let ranges = lengths.iter().map(|length| {
            end += length;
            [end - length, end]
        });
        let ranges: Vec<[u32; 2]> = ranges.collect();
        let [rows, sequences] = [end, lengths.len() as u32];
        let draw = random(4 * end, 7);
        let draws = || draw.chunks_exact(4);
        let stats = draws().flat_map(|d| [2.0 * d[0] - 2.5, 9.0, 1.5 + 1.5 * d[1], 1.0]).collect();
        let advantages = [1.2, -0.7, 0.9, -1.5, 0.3, 0.0, 0.8];
        let mut tokens: Vec<f64> =
            draws().flat_map(|d| [2.0 * d[0] - 2.5 + 0.6 * d[2], 2.0 * d[0] - 2.5 + d[3], 9.0, 9.0]).collect();
        for (s, [first, _]) in ranges.iter().enumerate().filter(|(_, range)| range[0] < range[1]) {
            tokens[4 * *first as usize] -= if advantages[s % 7] < 0.0 { -far } else { far };
        }
        let facts = (0..lengths.len()).flat_map(|s| [advantages[s % 7], if s == 2 { 0.0 } else { 1.0 }, 9.0, 9.0]);
        Self {
            stats: Matrix::new(gpu, rows, 4, stats),
            gpu_ranges: gpu.upload("ranges", sequences, 2, Dtype::U32, ranges.as_flattened()),
            ranges,
            tokens: Matrix::new(gpu, rows, 4, tokens),
            sequences: Matrix::new(gpu, sequences, 4, facts.collect()),
        }
    }

    fn rows(&self) -> u32 {
        self.stats.tensor.rows()
    }
}

/// A loss of GRPO's family; taken twice with share ½. Without a reference some tokens have moved far.
pub async fn policy(gpu: &Gpu, lengths: &[u32], settings: &PolicySettings) -> Result<Check> {
    let case = Case::new(gpu, lengths, if settings.beta == 0.0 { 200.0 } else { 0.0 });
    let [dlogp, dentropy] = ["dlogp", "dentropy"].map(|name| gpu.zeros(name, 1, case.rows(), Dtype::F32));
    let metrics = Metrics::twice(gpu, |rec, metrics| {
        let (stats, ranges) = (&case.stats.tensor, &case.gpu_ranges);
        let (tokens, sequences) = (&case.tokens.tensor, &case.sequences.tensor);
        kernels::policy(rec, stats, ranges, tokens, sequences, settings, 0.5, &dlogp, &dentropy, metrics);
    });
    let twin = twin_settings(settings, 0.5);
    let (stats, tokens) = (case.stats.values.as_chunks().0, case.tokens.values.as_chunks().0);
    let want = reference::policy(stats, &case.ranges, tokens, case.sequences.values.as_chunks().0, &twin);
    // Ratios have the error of the sums that they are exponentials of.
    let compare = Compare::new(gpu, "policy", if settings.beta == 0.0 { 5e-5 } else { 1e-5 });
    let compare = compare.and(&dlogp, &want.dlogp).await?.and(&dentropy, &want.dentropy).await?;
    let is_over_the_step = [PolicyLoss::Dapo, PolicyLoss::Cispo, PolicyLoss::Vespo].contains(&settings.loss_type);
    let mut slots = vec![
        (metric::LOSS, 2.0 * want.loss),
        (policy_metric::ENTROPY, want.entropy),
        (policy_metric::KL, want.kl),
        (policy_metric::POLICY_LOSS, if is_over_the_step { want.policy_loss } else { 2.0 * want.policy_loss }),
    ];
    match settings.loss_type {
        PolicyLoss::Cispo => slots.push((policy_metric::CISPO_CLIP_RATIO, want.high)),
        PolicyLoss::Vespo => slots.push((policy_metric::VESPO_PHI, want.phi)),
        PolicyLoss::Sapo => {}
        _ => slots.extend(clip_slots([want.low, want.high], want.extremes)),
    }
    metrics.compare(compare, &slots).await
}

/// Shares of ratios that are too low and too high, and the extremes of sequences.
fn clip_slots([low, high]: [f64; 2], extremes: Option<[f64; 2]>) -> Vec<(usize, f64)> {
    let means = [policy_metric::LOW_MEAN, policy_metric::HIGH_MEAN, policy_metric::REGION_MEAN];
    let means = means.into_iter().zip([low, high, low + high]);
    let [lowest, highest] = extremes.unwrap_or_default();
    // A micro-batch may lack these values, so they are added without its share, and counted.
    let count = if extremes.is_some() { 2.0 } else { 0.0 };
    let places = [policy_metric::LOW_MIN, policy_metric::HIGH_MAX, policy_metric::EXTREMES_COUNT];
    means.chain(places.into_iter().zip([2.0 * lowest, 2.0 * highest, count])).collect()
}

fn twin_settings(settings: &PolicySettings, share: f64) -> reference::PolicySettings {
    use reference::PolicyLoss as Twin;
    reference::PolicySettings {
        loss_type: match settings.loss_type {
            PolicyLoss::Grpo => Twin::Grpo,
            PolicyLoss::Bnpo => Twin::Bnpo,
            PolicyLoss::DrGrpo => Twin::DrGrpo,
            PolicyLoss::Dapo => Twin::Dapo,
            PolicyLoss::Luspo => Twin::Luspo,
            PolicyLoss::Cispo => Twin::Cispo,
            PolicyLoss::Sapo => Twin::Sapo,
            PolicyLoss::Vespo => Twin::Vespo,
        },
        epsilon: settings.epsilon,
        epsilon_high: settings.epsilon_high,
        delta: settings.delta.unwrap_or(f64::INFINITY),
        sequence_level: settings.sequence_level,
        on_policy: settings.on_policy,
        beta: settings.beta,
        use_bias_correction_kl: settings.use_bias_correction_kl,
        top_entropy_quantile: settings.top_entropy_quantile,
        entropy_coef: settings.entropy_coef,
        off_policy_mask_threshold: settings.off_policy_mask_threshold.unwrap_or(f64::INFINITY),
        sapo_temperature: settings.sapo_temperature,
        vespo_k: settings.vespo_k,
        vespo_lambda: settings.vespo_lambda,
        max_completion_length: settings.max_completion_length.into(),
        step_tokens: settings.step_tokens,
        share,
    }
}

/// RLOO's loss, the first tokens so many nats away; taken twice with share ½.
pub async fn rloo(gpu: &Gpu, lengths: &[u32], far: f64) -> Result<Check> {
    let (case, epsilon) = (Case::new(gpu, lengths, far), [0.2, 0.28]);
    let dlogp = gpu.zeros("dlogp", 1, case.rows(), Dtype::F32);
    let metrics = Metrics::twice(gpu, |rec, metrics| {
        let (stats, ranges) = (&case.stats.tensor, &case.gpu_ranges);
        let (tokens, sequences) = (&case.tokens.tensor, &case.sequences.tensor);
        kernels::rloo(rec, stats, ranges, tokens, sequences, epsilon, 0.5, &dlogp, metrics);
    });
    let (stats, tokens) = (case.stats.values.as_chunks().0, case.tokens.values.as_chunks().0);
    let want = reference::rloo(stats, &case.ranges, tokens, case.sequences.values.as_chunks().0, epsilon);
    let half: Vec<f64> = want.dlogp.iter().map(|d| 0.5 * d).collect();
    let flags = |side: usize| want.clipped.iter().map(move |clipped| f64::from(u8::from(clipped[side])));
    let means = [0, 1].map(|side| flags(side).sum::<f64>() / lengths.len() as f64);
    let mut slots = vec![(metric::LOSS, want.loss), (policy_metric::ENTROPY, want.entropy)];
    slots.extend(clip_slots(means, Some([flags(0).fold(1.0, f64::min), flags(1).fold(0.0, f64::max)])));
    // Ratios of whole completions have the error of the sum that they are exponentials of.
    let compare = Compare::new(gpu, "rloo", 5e-5).and(&dlogp, &half).await?;
    metrics.compare(compare, &slots).await
}

/// PPO's loss of the policy, some tokens left out; taken twice with share ½.
pub async fn ppo_policy(gpu: &Gpu, tokens: u32) -> Result<Check> {
    let draw = random(4 * tokens, 8);
    let draws = || draw.chunks_exact(4).enumerate();
    let stats = draws().flat_map(|(_, d)| [2.0 * d[0] - 2.5, 9.0, 1.5 + d[1], 1.0]).collect();
    let mask = |t: usize| f64::from(u8::from(t % 7 != 2));
    let facts = draws().flat_map(|(t, d)| [2.0 * d[0] - 2.5 + 0.5 * d[2], 2.0 * d[3], mask(t), 9.0]);
    let (stats, facts) = (Matrix::new(gpu, tokens, 4, stats), Matrix::new(gpu, tokens, 4, facts.collect()));
    let (dlogp, positions) = (gpu.zeros("dlogp", 1, tokens, Dtype::F32), tokens + 9);
    let metrics = Metrics::twice(gpu, |rec, metrics| {
        kernels::ppo_policy(rec, &stats.tensor, &facts.tensor, 0.2, positions, 0.5, &dlogp, metrics);
    });
    let want = reference::ppo_policy(stats.values.as_chunks().0, facts.values.as_chunks().0, 0.2, positions.into());
    let half: Vec<f64> = want.dlogp.iter().map(|d| 0.5 * d).collect();
    let compare = Compare::new(gpu, "ppo_policy", 1e-5).and(&dlogp, &half).await?;
    let slots = [
        (metric::LOSS, want.loss),
        (ppo_metric::APPROXKL, want.approxkl),
        (ppo_metric::CLIPFRAC, want.clipfrac),
        (ppo_metric::LOSS_POLICY, want.loss),
        (ppo_metric::RATIO, want.ratio),
        (ppo_metric::RATIO_SQUARES, (want.ratio - 1.0).powi(2)),
        (ppo_metric::ENTROPY, want.entropy),
    ];
    metrics.compare(compare, &slots).await
}

/// PPO's loss of the value model, some positions left out; taken twice with share ½.
pub async fn ppo_value(gpu: &Gpu, positions: u32) -> Result<Check> {
    let draw = random(3 * positions, 9);
    let facts = draw.chunks_exact(3).enumerate();
    let facts = facts.flat_map(|(t, d)| [d[0] + 0.5 * d[1], 2.0 * d[2], f64::from(u8::from(t % 7 != 2)), 9.0]);
    let values = Matrix::new(gpu, positions, 1, draw.chunks_exact(3).map(|d| d[0]).collect());
    let facts = Matrix::new(gpu, positions, 4, facts.collect());
    let dvalues = gpu.zeros("dvalues", positions, 1, Dtype::F32);
    let metrics = Metrics::twice(gpu, |rec, metrics| {
        kernels::ppo_value(rec, &values.tensor, &facts.tensor, 0.2, 0.1, 0.5, &dvalues, metrics);
    });
    let (cliprange, vf_coef) = (f64::from(0.2f32), f64::from(0.1f32));
    let want = reference::ppo_value(&values.values, facts.values.as_chunks().0, cliprange);
    let part: Vec<f64> = want.dvalues.iter().map(|d| 0.5 * vf_coef * d).collect();
    let compare = Compare::new(gpu, "ppo_value", 1e-5).and(&dvalues, &part).await?;
    let slots = [
        (metric::LOSS, vf_coef * want.loss),
        (ppo_metric::LOSS_VALUE, want.loss),
        (ppo_metric::VAL_CLIPFRAC, want.clipfrac),
    ];
    metrics.compare(compare, &slots).await
}
