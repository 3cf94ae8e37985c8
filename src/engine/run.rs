//! The parts of a run that the session and the command line share: reference, evaluation, steps.

use serde_json::json;

use crate::data::TokenPair;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Adapter, Model};
use crate::platform::LocalFuture;
use crate::platform::host::seconds;
use crate::train::{Metrics, PairLogps, Scorer, TrainConfig, Trainer, eval_loss};

/// What happens after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next step.
    GoOn,
    /// Nothing more: the run makes way.
    End,
}

/// Whoever watches over a run's steps: reports them, saves, evaluates, listens to people.
pub trait Host {
    /// Told of every step that was taken, and how many seconds it took.
    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds: f64,
    ) -> LocalFuture<'a, Result<Next>>;
}

/// Takes the steps that are left, until the last one or until the host ends it.
///
/// `Error::Diverged` if a step was not finite; the adapter is then as the step before left it.
pub async fn steps(trainer: &mut Trainer<'_>, host: &mut dyn Host) -> Result<Next> {
    while !trainer.done() {
        let began = seconds();
        let metrics = trainer.step().await?;
        if host.after_step(trainer, &metrics, seconds() - began).await? == Next::End {
            return Ok(Next::End);
        }
    }
    Ok(Next::GoOn)
}

/// Log-probabilities of pairs before any training: by the base model, or by the adapter that the run begins with.
///
/// An error if one is not finite: the model itself is then of no use. `progress` is told the pairs done and may stop.
pub async fn reference(
    gpu: &Gpu,
    model: &Model,
    adapter: Option<&Adapter>,
    pairs: &[TokenPair],
    batch: usize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<PairLogps>> {
    let scorer = Scorer::new(gpu, model, adapter.map(|adapter| &adapter.settings), pairs, batch)?;
    let logps = scorer.score(pairs, adapter, progress).await?;
    match pairs.iter().zip(&logps).find(|(_, logps)| logps.iter().any(|p| !p.is_finite())) {
        None => Ok(logps),
        Some((pair, _)) => Err(Error::input(
            "The model gives a log-probability that is not finite, before any training",
            "Its weights are damaged (NaN or infinite): download the model again",
            format!("row {}", pair.row),
        )),
    }
}

/// TRL's evaluation metrics, and the share of pairs whose chosen answer is the likelier one.
pub fn evaluation(config: &TrainConfig, pairs: &[TokenPair], policy: &[PairLogps], reference: &[PairLogps]) -> Metrics {
    let (beta, n) = (config.beta, policy.len() as f64);
    let mean = |value: &dyn Fn([f64; 2], [f64; 2]) -> f64| {
        let pairs = policy.iter().zip(reference);
        pairs.map(|(p, r)| value(p.map(f64::from), r.map(f64::from))).sum::<f64>() / n
    };
    let reward = |side: usize| move |p: [f64; 2], r: [f64; 2]| beta * (p[side] - r[side]);
    let (chosen, rejected) = (reward(0), reward(1));
    let share = |yes: bool| f64::from(u8::from(yes));
    let entries = [
        ("eval_loss", eval_loss(config, pairs, policy, reference)),
        ("eval_rewards/chosen", mean(&chosen)),
        ("eval_rewards/rejected", mean(&rejected)),
        ("eval_rewards/accuracies", mean(&|p, r| share(chosen(p, r) > rejected(p, r)))),
        ("eval_rewards/margins", mean(&|p, r| chosen(p, r) - rejected(p, r))),
        ("eval_logps/chosen", mean(&|p, _| p[0])),
        ("eval_logps/rejected", mean(&|p, _| p[1])),
        ("eval_preference_accuracy", mean(&|p, _| share(p[0] > p[1]))),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// A number among metrics; NaN if it is not there.
pub fn number(metrics: &Metrics, name: &str) -> f64 {
    metrics.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
}
