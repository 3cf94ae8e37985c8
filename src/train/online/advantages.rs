//! Computes advantages from rewards as TRL's GRPO, RLOO and PPO trainers do. All lists cover the answers of one batch,
//! with the answers to one prompt next to each other. A reward that is NaN does not apply.

/// Mean of the numbers among some values; NaN if there are none.
pub(in crate::train) fn nan_mean(values: &[f64]) -> f64 {
    let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// Standard deviation of the numbers among some values, with Bessel's correction; NaN for fewer than two.
pub(in crate::train) fn nan_std(values: &[f64]) -> f64 {
    let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let mean = nan_mean(&numbers);
    let squares: f64 = numbers.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (numbers.len() as f64 - 1.0)).sqrt()
}

/// The weighted sum of each answer's rewards; NaN if none applies.
pub(in crate::train) fn weighted(rewards: &[Vec<Option<f64>>], weights: &[f64]) -> Vec<f64> {
    let sum = |rewards: &Vec<Option<f64>>| match rewards.iter().any(Option::is_some) {
        true => rewards.iter().zip(weights).filter_map(|(reward, weight)| Some((*reward)? * weight)).sum(),
        false => f64::NAN,
    };
    rewards.iter().map(sum).collect()
}

/// Divisor of the advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::train) enum Scale {
    /// The standard deviation of the group.
    Group,
    /// The standard deviation of the batch.
    Batch,
    /// Nothing.
    No,
}

/// Added to a standard deviation before dividing by it, because it may be 0.
const SMALL: f64 = 1e-4;

/// Returns GRPO's advantages of answers in groups of n, and for each answer the standard deviation of its group or
/// batch.
pub(in crate::train) fn grpo(rewards: &[f64], n: usize, scale: Scale) -> (Vec<f64>, Vec<f64>) {
    let of_batch = nan_std(rewards);
    let (mut advantages, mut deviations) = (Vec::new(), Vec::new());
    for group in rewards.chunks(n) {
        let mean = nan_mean(group);
        let deviation = if scale == Scale::Batch { of_batch } else { nan_std(group) };
        let by = if scale == Scale::No { 1.0 } else { deviation + SMALL };
        advantages.extend(group.iter().map(|reward| (reward - mean) / by));
        deviations.extend(group.iter().map(|_| deviation));
    }
    (advantages, deviations)
}

/// Like `grpo`, but normalises each reward in its group, adds the results, and normalises the sum over the batch.
pub(in crate::train) fn grpo_normalised_first(
    rewards: &[Vec<Option<f64>>],
    weights: &[f64],
    n: usize,
) -> (Vec<f64>, Vec<f64>) {
    let mut sums = vec![0.0; rewards.len()];
    for (k, weight) in weights.iter().enumerate() {
        let column: Vec<f64> = rewards.iter().map(|row| row[k].unwrap_or(f64::NAN)).collect();
        for (group, sums) in column.chunks(n).zip(sums.chunks_mut(n)) {
            let (mean, deviation) = (nan_mean(group), nan_std(group));
            for (sum, reward) in sums.iter_mut().zip(group) {
                let part = weight * (reward - mean) / (deviation + SMALL);
                *sum += if part.is_nan() { 0.0 } else { part };
            }
        }
    }
    for (sum, row) in sums.iter_mut().zip(rewards) {
        if row.iter().all(Option::is_none) {
            *sum = f64::NAN;
        }
    }
    let (mean, deviation) = (nan_mean(&sums), nan_std(&sums));
    (sums.iter().map(|sum| (sum - mean) / (deviation + SMALL)).collect(), vec![deviation; sums.len()])
}

/// RLOO's advantages of answers in groups of n: each reward minus the mean of the others in its group.
pub(in crate::train) fn rloo(rewards: &[f64], n: usize, normalise: bool) -> Vec<f64> {
    let mut advantages = Vec::new();
    for group in rewards.chunks(n) {
        let numbers = group.iter().filter(|reward| !reward.is_nan());
        let (sum, count) = (numbers.clone().sum::<f64>(), numbers.count() as f64);
        advantages.extend(group.iter().map(|reward| reward - (sum - reward) / (count - 1.0)));
    }
    if normalise {
        let (mean, deviation) = (nan_mean(&advantages), nan_std(&advantages));
        advantages.iter_mut().for_each(|advantage| *advantage = (*advantage - mean) / (deviation + SMALL));
    }
    advantages
}

/// Generalised advantage estimation (Schulman et al. 2016) of one answer. `rewards` and `values` are by position; the
/// value behind the last position is 0.
pub(in crate::train) fn gae(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> Vec<f64> {
    let mut advantages = vec![0.0; rewards.len()];
    let mut last = 0.0;
    for i in (0..rewards.len()).rev() {
        let next = values.get(i + 1).copied().unwrap_or(0.0);
        last = rewards[i] + gamma * next - values[i] + gamma * lambda * last;
        advantages[i] = last;
    }
    advantages
}

/// Scales values to deviation 1 and, unless `keep_mean`, shifts them to mean 0. Only values with a true entry in
/// `counts` take part; the others become 0.
pub(in crate::train) fn whitened(values: &[f64], counts: &[bool], keep_mean: bool) -> Vec<f64> {
    let taking_part: Vec<f64> =
        values.iter().zip(counts).filter(|(_, counts)| **counts).map(|(value, _)| *value).collect();
    let mean = nan_mean(&taking_part);
    let by = 1.0 / (nan_std(&taking_part).powi(2) + 1e-8).sqrt();
    let shift = if keep_mean { mean } else { 0.0 };
    let value = |(value, counts): (&f64, &bool)| if *counts { (value - mean) * by + shift } else { 0.0 };
    values.iter().zip(counts).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TRL's numbers were printed with six decimals.
    #[track_caller]
    fn assert_near(got: &[f64], want: &[f64]) {
        let near = got.len() == want.len() && got.iter().zip(want).all(|(got, want)| (got - want).abs() < 5.1e-7);
        assert!(near, "got {got:?}, want {want:?}");
    }

    const REWARDS: [f64; 12] = [1.0, 0.0, 0.5, 0.5, 2.0, 2.0, 2.0, 2.0, 3.0, 1.0, 2.0, 0.0];

    #[test]
    fn groups_are_compared_as_in_trl() {
        let (got, deviations) = grpo(&REWARDS, 4, Scale::Group);
        let want = [1.224445, -1.224445, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.161805, -0.387268, 0.387268, -1.161805];
        assert_near(&got, &want);
        assert_eq!(deviations[4], 0.0, "the second group's are equal");
        let third = [2.0, -2.0 / 3.0, 2.0 / 3.0, -2.0];
        let first = [2.0 / 3.0, -2.0 / 3.0, 0.0, 0.0];
        assert_near(&rloo(&REWARDS, 4, false), &[first, [0.0; 4], third].concat());
    }

    #[test]
    fn a_reward_that_does_not_apply_takes_no_part() {
        let rewards = [vec![Some(1.0), None], vec![None, None], vec![Some(2.0), Some(4.0)], vec![None, Some(1.0)]];
        let sums = weighted(&rewards, &[1.0, 0.5]);
        assert!(sums[1].is_nan(), "nothing applies");
        assert_eq!([sums[0], sums[2], sums[3]], [1.0, 4.0, 0.5]);
        let (advantages, _) = grpo(&sums, 4, Scale::No);
        assert!(advantages[1].is_nan() && (advantages[0] + 5.0 / 6.0).abs() < 1e-12, "{advantages:?}");
        let (first, _) = grpo_normalised_first(&rewards, &[1.0, 0.5], 4);
        assert!(first[1].is_nan() && first[0].is_finite(), "{first:?}");
    }

    #[test]
    fn advantages_are_estimated_as_in_trl() {
        let (rewards, values) = ([-0.01, 0.02, -0.03, 0.9], [0.2, 0.1, 0.3, 0.25]);
        let got = gae(&rewards, &values, 1.0, 0.95);
        assert_near(&got, &[0.584094, 0.730625, 0.5375, 0.65]);
        assert_near(&whitened(&got, &[true; 4], false), &[-0.494260, 1.252554, -1.049709, 0.291415]);
        let some = whitened(&[1.0, 3.0, 9.0], &[true, true, false], true);
        assert!(some[2] == 0.0 && ((some[0] + some[1]) / 2.0 - 2.0).abs() < 1e-9, "{some:?}");
    }
}
