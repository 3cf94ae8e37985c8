//! A run, one optimiser step at a time, whatever the method.

use serde_json::{Map, Value};

use super::offline::Offline;
use super::online::ppo::{AsyncEachStep, Ppo, batch_size};
use super::online::rollouts::{AnswersState, Judged, RolloutSource};
use super::online::run::Online;
use super::optimizer::Optimizer;
use super::scorer::{PairLogps, References};
use super::settings::config::TrainConfig;
use crate::data::{Example, Method};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::{Gpu, Tensor};
use crate::kernels::{AdamW, metric};
use crate::model::{Adapter, Matrices, Model};
use crate::platform::LocalFuture;

/// A step's values under TRL's names, in TRL's order.
pub type Metrics = Map<String, Value>;

/// A logged value: its name, its index in the metrics, and the index of the number of micro-batches that had it, if it
/// is not the mean over all of them.
pub(super) type Logged = (&'static str, usize, Option<usize>);

/// A run: an adapter, its optimiser, its training data, and its position.
pub struct Trainer<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    /// The settings of the run.
    pub config: TrainConfig,
    /// The adapter in training.
    pub adapter: Adapter,
    /// The adapter's moments.
    pub optimizer: Optimizer,
    work: Work<'a>,
    /// Steps done: of the optimiser, or of PPO updates.
    pub step: usize,
    /// Steps of the run.
    pub n_steps: usize,
    /// Tokens trained on so far, TRL's `num_tokens`.
    pub n_tokens: u64,
    /// Gradients that the next step keeps.
    kept: KeptGradients,
}

/// Training data and state of a run, by kind of method.
enum Work<'a> {
    Offline(Box<Offline>),
    Online(Box<Online<'a>>),
    Ppo(Box<Ppo<'a>>),
}

/// View of a run for its parts.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) model: &'a Model,
    pub(super) config: &'a TrainConfig,
    pub(super) adapter: &'a Adapter,
    pub(super) step: usize,
}

/// Gradients of a step, if asked for: the adapter's, and those of PPO's value model.
enum KeptGradients {
    No,
    Asked,
    Kept(Vec<files::Adapter>),
}

/// Inputs of a run that writes answers, besides its adapter.
pub struct OnlineRun<'a> {
    /// Source of answers.
    pub source: Box<dyn RolloutSource + 'a>,
    /// Adapter of the reference; `None` for the base model.
    pub reference: Option<Adapter>,
    /// PPO's value model.
    pub value: Option<Adapter>,
    /// Tokens that end an answer: EOS, and the padding.
    pub ends: Vec<u32>,
    /// EOS.
    pub eos: Option<u32>,
}

impl<'a> Trainer<'a> {
    /// Starts a run of an offline method on examples; `reference` has an entry for each.
    pub fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        config: TrainConfig,
        adapter: Adapter,
        examples: impl IntoIterator<Item = impl Into<Example>>,
        reference: References,
    ) -> Result<Self> {
        let view = View { gpu, model, config: &config, adapter: &adapter, step: 0 };
        let offline = Offline::new(&view, examples.into_iter().map(Into::into).collect(), reference)?;
        let n_steps = config.n_steps(offline.examples.len());
        Self::of(gpu, model, config, adapter, Work::Offline(Box::new(offline)), n_steps)
    }

    /// Starts a run of a method that trains on the policy's answers.
    pub fn online(
        gpu: &'a Gpu,
        model: &'a Model,
        config: TrainConfig,
        adapter: Adapter,
        online: OnlineRun<'a>,
    ) -> Result<Self> {
        let view = View { gpu, model, config: &config, adapter: &adapter, step: 0 };
        let OnlineRun { source, reference, value, ends, eos } = online;
        let n_steps = config.n_steps(source.answers());
        let work = match (config.method(), value) {
            (Method::Ppo, Some(value)) => Work::Ppo(Box::new(Ppo::new(&view, source, reference, value, eos)?)),
            (Method::Grpo | Method::Rloo, _) => Work::Online(Box::new(Online::new(&view, source, reference, ends)?)),
            (method, _) => unreachable!("{method} trains on no answers, or has no value model"),
        };
        Self::of(gpu, model, config, adapter, work, n_steps)
    }

    fn of(
        gpu: &'a Gpu,
        model: &'a Model,
        config: TrainConfig,
        adapter: Adapter,
        work: Work<'a>,
        n_steps: usize,
    ) -> Result<Self> {
        let optimizer = Optimizer::new(gpu, &adapter);
        gpu.check()?;
        let (step, n_tokens, kept) = (0, 0, KeptGradients::No);
        Ok(Self { gpu, model, config, adapter, optimizer, work, step, n_steps, n_tokens, kept })
    }

    /// True if no step is left.
    pub fn done(&self) -> bool {
        self.step >= self.n_steps
    }

    /// Takes one step and returns its metrics; everything but the learning rate is measured before the update.
    ///
    /// The step first computes the reference where it is unknown, and writes answers where the method trains on them.
    ///
    /// Returns `Error::Diverged` if the loss or the gradient was not finite; the adapter is then as it was before the
    /// step.
    pub async fn step(&mut self) -> Result<Metrics> {
        let learning_rate = self.config.learning_rate(self.step, self.n_steps);
        let Self { gpu, model, config, adapter, work, step, .. } = self;
        let view = View { gpu, model, config, adapter, step: *step };
        let mut rec = gpu.recorder();
        let (metrics, epoch, n_tokens, names, more): (Tensor, f64, u64, Vec<Logged>, Vec<(String, f64)>) = match work {
            Work::Offline(offline) => {
                let (epoch, batches) = offline.next_batches(&view);
                for batch in &batches {
                    offline.know(&view, batch).await?;
                }
                rec.clear(&offline.tensors.metrics);
                let n_tokens = offline.record(&view, &mut rec, &batches);
                (offline.tensors.metrics.clone(), epoch, n_tokens, offline.objective.logged(), Vec::new())
            }
            Work::Online(online) => {
                rec.clear(&online.tensors.metrics);
                let recorded = online.record(&view, &mut rec).await?;
                let epoch = (view.step + 1) as f64 / self.n_steps as f64 * config.num_train_epochs;
                let names = Online::logged(config);
                let mut more = recorded.metrics;
                if let Some(coefficient) = super::online::run::entropy_coef(config) {
                    more.push(("entropy_coef".to_owned(), coefficient));
                }
                (online.tensors.metrics.clone(), epoch, recorded.n_tokens, names, more)
            }
            Work::Ppo(_) => {
                drop(rec);
                return self.update(learning_rate).await;
            }
        };
        if matches!(self.kept, KeptGradients::Asked) {
            rec.submit();
            self.kept = KeptGradients::Kept(vec![self.adapter.gradients(self.gpu).await?]);
        }
        let settings = AdamW {
            learning_rate,
            beta1: self.config.adam_beta1,
            beta2: self.config.adam_beta2,
            epsilon: self.config.adam_epsilon,
            weight_decay: self.config.weight_decay,
            max_grad_norm: self.config.max_grad_norm,
            step: self.step as u32 + 1,
        };
        self.optimizer.step(&mut rec, &self.adapter, &settings, &metrics);
        rec.submit();
        let values = self.gpu.read(&metrics).await?;
        check_finite(&values, self.step + 1)?;
        self.step += 1;
        self.n_tokens += n_tokens;
        Ok(self.named(epoch, learning_rate, &names, &values, more))
    }

    /// Takes PPO's step: a batch of answers, and several passes over it.
    async fn update(&mut self, learning_rate: f64) -> Result<Metrics> {
        let Self { gpu, model, config, adapter, work, step, optimizer, kept, .. } = self;
        let Work::Ppo(ppo) = work else { unreachable!("PPO alone has updates") };
        let view = View { gpu, model, config, adapter, step: *step };
        let mut keeper = Keeper { gpu, kept };
        let updated = ppo.update(&view, optimizer, learning_rate, &mut keeper).await?;
        let lost = |(name, value): &&(&str, f64)| name.starts_with("loss/") && !value.is_finite();
        if let Some((name, value)) = updated.metrics.iter().find(lost) {
            return Err(Error::Diverged { step: self.step + 1, what: format!("{name} {value}") });
        }
        self.step += 1;
        self.n_tokens += updated.n_tokens;
        let mut metrics = Metrics::from_iter([
            ("step".to_owned(), Value::from(self.step)),
            ("epoch".to_owned(), Value::from(self.step as f64 / self.n_steps as f64)),
        ]);
        metrics.extend(updated.metrics.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))));
        metrics.insert("lr".to_owned(), learning_rate.into());
        metrics.insert("episode".to_owned(), (self.step * batch_size(&self.config)).into());
        Ok(metrics)
    }

    /// Makes the next step keep its gradients from before clipping.
    pub fn keep_gradients(&mut self) {
        self.kept = KeptGradients::Asked;
    }

    /// Takes the gradients that a step kept: the adapter's, and those of PPO's value model.
    pub fn kept_gradients(&mut self) -> Vec<files::Adapter> {
        match std::mem::replace(&mut self.kept, KeptGradients::No) {
            KeptGradients::Kept(gradients) => gradients,
            KeptGradients::No | KeptGradients::Asked => Vec::new(),
        }
    }

    /// Takes the results for the answers since the last call, with the names of their rewards.
    pub fn take_judged(&mut self) -> (Vec<Judged>, Vec<String>) {
        match &mut self.work {
            Work::Offline(_) => (Vec::new(), Vec::new()),
            Work::Online(online) => (std::mem::take(&mut online.judged), online.source.rewards().to_vec()),
            Work::Ppo(ppo) => (std::mem::take(&mut ppo.judged), ppo.source.rewards().to_vec()),
        }
    }

    /// State of a run that trains on answers, without its adapters; `None` for other runs.
    pub fn answers_state(&self) -> Option<AnswersState> {
        match &self.work {
            Work::Offline(_) => None,
            Work::Online(online) => Some(online.state()),
            Work::Ppo(ppo) => {
                let (generation, optimizer_steps) = (ppo.generation, ppo.optimizer_steps);
                Some(AnswersState { generation, optimizer_steps, ..AnswersState::default() })
            }
        }
    }

    /// Restores what `answers_state` returned.
    pub fn restore_answers(&mut self, state: &AnswersState) {
        match &mut self.work {
            Work::Offline(_) => {}
            Work::Online(online) => online.restore(state),
            Work::Ppo(ppo) => (ppo.generation, ppo.optimizer_steps) = (state.generation, state.optimizer_steps),
        }
    }

    /// PPO's value model and its moments.
    pub fn value_and_moments(&self) -> Option<(&Adapter, &Optimizer)> {
        match &self.work {
            Work::Ppo(ppo) => Some((&ppo.value, &ppo.value_optimizer)),
            Work::Offline(_) | Work::Online(_) => None,
        }
    }

    /// PPO's value model.
    pub fn value(&self) -> Option<&Adapter> {
        match &self.work {
            Work::Ppo(ppo) => Some(&ppo.value),
            Work::Offline(_) | Work::Online(_) => None,
        }
    }

    /// Reads matrices of this run's adapter from values in the order of versions before 0.2.
    pub fn from_old_layout(&self, values: &[f32]) -> Option<Matrices> {
        self.adapter.from_old_layout(&self.model.config, values)
    }

    fn view(&self) -> View<'_> {
        View { gpu: self.gpu, model: self.model, config: &self.config, adapter: &self.adapter, step: self.step }
    }

    /// Rows of the examples of the next step; empty for a method that writes answers.
    pub fn next_rows(&self) -> Vec<usize> {
        match &self.work {
            Work::Offline(offline) => {
                let batches = offline.next_batches(&self.view()).1;
                batches.into_iter().flatten().map(|i| offline.examples[i].row).collect()
            }
            Work::Online(_) | Work::Ppo(_) => Vec::new(),
        }
    }

    /// Returns loss, gradient norm and metrics of the first micro-batch alone, and its gradients; updates nothing.
    pub async fn first_batch(&mut self) -> Result<(Metrics, files::Adapter)> {
        let Self { gpu, model, config, adapter, work, step, .. } = self;
        let view = View { gpu, model, config, adapter, step: *step };
        let Work::Offline(offline) = work else { unreachable!("there are examples") };
        let (_, batches) = offline.next_batches(&view);
        offline.know(&view, &batches[0]).await?;
        let mut rec = gpu.recorder();
        rec.clear(&offline.tensors.metrics);
        offline.record(&view, &mut rec, &batches[..1]);
        rec.submit();
        let values = gpu.read(&offline.tensors.metrics).await?;
        let names = offline.objective.logged();
        let gradients = self.adapter.gradients(self.gpu).await?;
        let mut rec = self.gpu.recorder();
        for grad in &self.adapter.grads {
            rec.clear(grad);
        }
        rec.submit();
        Ok((self.named(0.0, 0.0, &names, &values, Vec::new()), gradients))
    }

    /// Reference log-probabilities in the order of the examples, as far as they are known.
    pub fn reference(&self) -> &[Option<PairLogps>] {
        match &self.work {
            Work::Offline(offline) => &offline.reference.known,
            Work::Online(_) | Work::Ppo(_) => &[],
        }
    }

    /// Adapter of the reference of a run on examples; `None` if the base model is the reference.
    pub fn reference_adapter(&self) -> Option<&Adapter> {
        match &self.work {
            Work::Offline(offline) => offline.reference.adapter.as_ref(),
            Work::Online(_) | Work::Ppo(_) => None,
        }
    }

    fn named(
        &self,
        epoch: f64,
        learning_rate: f64,
        names: &[Logged],
        values: &[f32],
        more: Vec<(String, f64)>,
    ) -> Metrics {
        let value = |at: usize| Value::from(f64::from(values[at]));
        let mut metrics = Metrics::from_iter([
            ("step".to_owned(), Value::from(self.step)),
            ("epoch".to_owned(), Value::from(epoch)),
            ("loss".to_owned(), value(metric::LOSS)),
            ("grad_norm".to_owned(), value(metric::GRAD_NORM)),
            ("learning_rate".to_owned(), Value::from(learning_rate)),
        ]);
        metrics.extend(logged(names, values).map(|(name, value)| (name.to_owned(), Value::from(value))));
        metrics.extend(more.into_iter().map(|(name, value)| (name, Value::from(value))));
        metrics.insert("num_tokens".to_owned(), Value::from(self.n_tokens as f64));
        metrics
    }
}

/// Keeps the gradients of PPO's first optimiser step.
struct Keeper<'a> {
    gpu: &'a Gpu,
    kept: &'a mut KeptGradients,
}

impl AsyncEachStep for Keeper<'_> {
    fn before<'a>(&'a mut self, policy: &'a Adapter, value: &'a Adapter) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            if matches!(self.kept, KeptGradients::Asked) {
                let gradients = vec![policy.gradients(self.gpu).await?, value.gradients(self.gpu).await?];
                *self.kept = KeptGradients::Kept(gradients);
            }
            Ok(())
        })
    }
}

fn check_finite(values: &[f32], step: usize) -> Result<()> {
    let (loss, norm) = (values[metric::LOSS], values[metric::GRAD_NORM]);
    match loss.is_finite() && norm.is_finite() {
        true => Ok(()),
        false => Err(Error::Diverged { step, what: format!("loss {loss}, grad_norm {norm}") }),
    }
}

/// Logged values from the metrics tensor. A value that some micro-batches lack is the mean over those that have it, and
/// absent if none has.
pub(super) fn logged<'a>(names: &'a [Logged], values: &'a [f32]) -> impl Iterator<Item = (&'static str, f64)> + 'a {
    names.iter().filter_map(|&(name, at, count)| {
        let value = f64::from(values[at]);
        match count.map(|count| f64::from(values[count])) {
            None => Some((name, value)),
            Some(0.0) => None,
            Some(count) => Some((name, value / count)),
        }
    })
}
