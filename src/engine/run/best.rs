//! The best evaluation of a run: how evaluations compare, and how long a run waits for a better one.

use crate::data::counted;
use crate::engine::protocol::{Metrics, is_evaluation, step_of};
use crate::engine::run::drive::number;

/// Ranks an evaluation by held-out accuracy, then by how far apart the answers are, in nats, so that beta does not
/// matter; else by the reward; else by the loss.
pub fn rank(metrics: &Metrics) -> [f64; 2] {
    let or = |value: f64, other: f64| if value.is_finite() { value } else { other };
    let won = number(metrics, "eval_preference_accuracy");
    if won.is_finite() {
        let apart = number(metrics, "eval_logps/chosen") - number(metrics, "eval_logps/rejected");
        return [won, or(or(apart, number(metrics, "eval_margin")), 0.0)];
    }
    let reward = number(metrics, "eval_reward");
    [or(reward, or(-number(metrics, "eval_loss"), f64::NEG_INFINITY)), 0.0]
}

/// True if an evaluation of an adapter that was trained is better than the best so far.
pub fn is_better(metrics: &Metrics, best: Option<&Metrics>) -> bool {
    step_of(metrics) > 0 && best.is_none_or(|best| rank(metrics) > rank(best))
}

/// The best evaluation of a history; none before one of an adapter that was trained.
pub fn best_of(history: &[Metrics]) -> Option<&Metrics> {
    let evaluations = history.iter().filter(|entry| is_evaluation(entry));
    evaluations.fold(None, |best, entry| if is_better(entry, best) { Some(entry) } else { best })
}

/// Says that a run is to stop because `patience` evaluations in a row were no better than its best; 0 never stops it.
/// A run that goes on all the same waits as long again. Only evaluations of every `eval_steps` steps count: one more,
/// where a person stopped the run, would take the count past `patience` unseen.
pub fn stops_early(
    history: &[Metrics],
    best: Option<&Metrics>,
    eval_steps: usize,
    patience: usize,
    kept: bool,
) -> Option<String> {
    let best = step_of(best?);
    let is_regular = |step: usize| step > best && step.is_multiple_of(eval_steps);
    let since = history.iter().filter(|entry| is_evaluation(entry) && is_regular(step_of(entry))).count();
    (patience > 0 && since > 0 && since.is_multiple_of(patience)).then(|| {
        let kept =
            if kept { format!("The best adapter, of step {best}, is kept.") } else { format!("Best: step {best}.") };
        format!("Stopped early: no better held-out result in {}. {kept}", counted(since, "evaluation"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A history with evaluations of these losses, after every second step; the first is the base model's.
    fn history(losses: &[f64]) -> Vec<Metrics> {
        let entries = losses.iter().enumerate().flat_map(|(at, loss)| {
            [json!({ "step": 2 * at, "eval_loss": loss }), json!({ "step": 2 * at + 1, "loss": 0.5 })]
        });
        entries.map(|entry| entry.as_object().cloned().expect("an object")).collect()
    }

    #[test]
    fn the_best_is_the_first_of_the_lowest_losses_after_a_step() {
        let best = |losses: &[f64]| best_of(&history(losses)).map(step_of);
        assert_eq!(best(&[0.1]), None, "the base model was not trained");
        assert_eq!(best(&[0.1, 0.6, 0.5, 0.5, 0.7]), Some(4), "the base model does not count, nor does an equal one");
    }

    #[test]
    fn patience_ends_after_so_many_evaluations_since_the_best() {
        let stops = |losses: &[f64], patience| {
            let history = history(losses);
            stops_early(&history, best_of(&history), 2, patience, true).is_some()
        };
        let losses = [0.7, 0.6, 0.5, 0.6, 0.6, 0.6, 0.6];
        let at = |patience| (1..=losses.len()).filter(|n| stops(&losses[..*n], patience)).collect::<Vec<_>>();
        assert_eq!(at(2), [5, 7], "two after the best, and two more if the run went on");
        assert_eq!(at(3), [6], "three after it");
        assert!(at(0).is_empty(), "never");
    }

    #[test]
    fn patience_does_not_count_an_evaluation_between_the_regular_ones() {
        let evaluation = |step: usize| {
            let loss = if step == 20 { 0.5 } else { 0.6 };
            json!({ "step": step, "eval_loss": loss }).as_object().cloned().expect("an object")
        };
        // A person stopped the run after step 45, and went on.
        let history: Vec<Metrics> = [0, 10, 20, 30, 40, 45, 50, 60, 70, 80].map(evaluation).to_vec();
        let stops = |n: usize| {
            let history = &history[..n];
            let regular = step_of(&history[n - 1]).is_multiple_of(10);
            regular && stops_early(history, best_of(history), 10, 3, true).is_some()
        };
        let at: Vec<usize> = (1..=history.len()).filter(|n| stops(*n)).map(|n| step_of(&history[n - 1])).collect();
        assert_eq!(at, [50, 80], "three regular ones after the best, and three more where the run went on");
    }
}
