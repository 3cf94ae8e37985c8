//! The parts of a run that the session and the command line share: reference, evaluation, steps.

use crate::data::Example;
use crate::error::Result;
use crate::files;
use crate::gpu::{Gpu, VariantSet};
use crate::kernels;
use crate::model::{Adapter, AdapterSettings, Architecture, Model};
use crate::platform::LocalFuture;
use crate::platform::host::seconds;
use crate::train::{Judged, Metrics, PairLogps, Scorer, TrainConfig, Trainer, check_reference, logps};

/// Decision of a host after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Take the next step.
    GoOn,
    /// Take no more steps: the run makes way.
    End,
}

/// Follows the steps of a run: reports them, saves, evaluates, listens to people.
pub trait Host {
    /// Called with the answers that the policy wrote for a step, and the names of their rewards, before `after_step`.
    fn answers(&mut self, _answers: Vec<Judged>, _rewards: &[String]) -> Result<()> {
        Ok(())
    }

    /// Called after every step, with the seconds that it took.
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
        let (answers, rewards) = trainer.take_judged();
        if !answers.is_empty() {
            host.answers(answers, &rewards)?;
        }
        if host.after_step(trainer, &metrics, seconds() - began).await? == Next::End {
            return Ok(Next::End);
        }
    }
    Ok(Next::GoOn)
}

/// Puts an adapter on the device; `from` says in errors where it came from.
pub fn upload_adapter(
    gpu: &Gpu,
    config: &Architecture,
    settings: AdapterSettings,
    values: &files::Adapter,
    from: &str,
) -> Result<Adapter> {
    let adapter = Adapter::new(gpu, config, settings);
    adapter.set(gpu, values, from)?;
    gpu.check()?;
    Ok(adapter)
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

/// Returns the `stored` reference of `n_pairs` pairs; all are unknown if it is missing, damaged or of another count.
pub fn known_reference(stored: Option<&[u8]>, n_pairs: usize) -> Vec<Option<PairLogps>> {
    let known = stored.and_then(|bytes| serde_json::from_slice::<Vec<Option<PairLogps>>>(bytes).ok());
    known.filter(|known| known.len() == n_pairs).unwrap_or_else(|| vec![None; n_pairs])
}

/// Computes log-probabilities of examples before any training: by the base model, or by the adapter that the run begins
/// with. Entries that are `known` stay.
///
/// An error if one is not finite. `progress` is told the pairs that are known and may stop.
pub async fn reference(
    gpu: &Gpu,
    model: &Model,
    config: &TrainConfig,
    adapter: Option<&Adapter>,
    examples: &[Example],
    known: &mut Vec<Option<PairLogps>>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<PairLogps>> {
    known.resize(examples.len(), None);
    let missing: Vec<usize> = (0..examples.len()).filter(|&i| known[i].is_none()).collect();
    if !missing.is_empty() {
        let unknown: Vec<Example> = missing.iter().map(|&i| examples[i].clone()).collect();
        let before = examples.len() - missing.len();
        let settings = adapter.map(|adapter| &adapter.settings);
        let scorer = Scorer::for_run(gpu, model, config, settings, &unknown)?;
        let sums = scorer.sums(&unknown, adapter, &mut |done| progress(before + done)).await?;
        for (i, sums) in missing.into_iter().zip(&sums) {
            check_reference(examples[i].row, logps(sums))?;
            known[i] = Some(logps(sums));
        }
    }
    Ok(known.iter().flatten().copied().collect())
}

/// A number among metrics; NaN if it is not there.
pub fn number(metrics: &Metrics, name: &str) -> f64 {
    metrics.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
}
