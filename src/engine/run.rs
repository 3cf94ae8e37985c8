//! The parts of a run that the session and the command line share: reference, evaluation, steps.

use serde_json::json;

use crate::data::TokenPair;
use crate::error::Result;
use crate::gpu::{Gpu, VariantSet};
use crate::kernels;
use crate::model::{Adapter, Model};
use crate::platform::LocalFuture;
use crate::platform::host::seconds;
use crate::train::{Metrics, PairLogps, Scorer, TrainConfig, Trainer, check_reference, eval_loss};

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

/// Takes the kernels that a `stored` set names, and the fastest where it names none. Returns the set, and what is to be
/// stored if it is new.
pub async fn tune(gpu: &Gpu, model: &Model, stored: Option<&[u8]>) -> Result<(VariantSet, Option<Vec<u8>>)> {
    if let Some(set) = stored.and_then(|bytes| serde_json::from_slice(bytes).ok()) {
        kernels::adopt(gpu, &set);
    }
    let before = gpu.variant_set();
    let set = kernels::autotune(gpu, &model.tuning(), &seconds).await?;
    let new = (set != before).then(|| serde_json::to_vec_pretty(&set).unwrap_or_default());
    Ok((set, new))
}

/// Takes the kernels that a run began with, so that it goes on with the same bits. Returns what is to be said if this
/// device cannot run some of them.
pub fn adopt(gpu: &Gpu, begun_with: &VariantSet) -> Option<String> {
    let left = kernels::adopt(gpu, begun_with);
    let what = "the run was computed with kernels that this device cannot run; its numbers may differ in their last \
                digits from here on";
    (!left.is_empty()).then(|| format!("{what}: {}", left.join(", ")))
}

/// What is `stored` of the reference of `n_pairs` pairs: nothing is known where it is missing, damaged, or of others.
pub fn known_reference(stored: Option<&[u8]>, n_pairs: usize) -> Vec<Option<PairLogps>> {
    let known = stored.and_then(|bytes| serde_json::from_slice::<Vec<Option<PairLogps>>>(bytes).ok());
    known.filter(|known| known.len() == n_pairs).unwrap_or_else(|| vec![None; n_pairs])
}

/// Log-probabilities of pairs before any training: by the base model, or by the adapter that the run begins with. Those
/// that are `known` stay.
///
/// An error if one is not finite. `progress` is told the pairs that are known and may stop.
pub async fn reference(
    gpu: &Gpu,
    model: &Model,
    adapter: Option<&Adapter>,
    pairs: &[TokenPair],
    known: &mut Vec<Option<PairLogps>>,
    batch: usize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<PairLogps>> {
    known.resize(pairs.len(), None);
    let missing: Vec<usize> = (0..pairs.len()).filter(|&i| known[i].is_none()).collect();
    if !missing.is_empty() {
        let unknown: Vec<TokenPair> = missing.iter().map(|&i| pairs[i].clone()).collect();
        let before = pairs.len() - missing.len();
        let scorer = Scorer::new(gpu, model, adapter.map(|adapter| &adapter.settings), &unknown, batch)?;
        let logps = scorer.score(&unknown, adapter, &mut |done| progress(before + done)).await?;
        for (i, logps) in missing.into_iter().zip(logps) {
            check_reference(&pairs[i], logps)?;
            known[i] = Some(logps);
        }
    }
    Ok(known.iter().flatten().copied().collect())
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
