//! Measures a tuned model on held-out pairs, and its distance from the model that it began as.

use super::judge::Point;
use crate::data::TokenPair;
use crate::engine::run::answers::write_answers;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::Sampling;
use crate::model::{Adapter, Model};
use crate::train::{PairLogps, Rollout, Scorer, TrainConfig, answer_logps, check_reference};

/// Answers that a model writes for a measurement.
const ANSWERS: usize = 16;
/// Tokens of an answer that a model writes for a measurement, at most.
pub const ANSWER_TOKENS: usize = 32;

/// Measures models on the same pairs and prompts.
pub struct Meter<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    config: TrainConfig,
    pairs: &'a [TokenPair],
    /// The adapter that all runs begin with; none for the base model.
    start: Option<&'a Adapter>,
    start_logps: Vec<PairLogps>,
    prompts: Vec<Vec<u32>>,
    eos: Vec<u32>,
}

impl<'a> Meter<'a> {
    /// Scores the pairs by the model that all runs begin as.
    pub async fn new(
        gpu: &'a Gpu,
        model: &'a Model,
        config: &TrainConfig,
        pairs: &'a [TokenPair],
        start: Option<&'a Adapter>,
        eos: Vec<u32>,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Self> {
        let mut prompts: Vec<Vec<u32>> = Vec::new();
        for pair in pairs {
            let prompt = pair.chosen[..pair.prompt_len].to_vec();
            if !prompt.is_empty() && !prompts.contains(&prompt) && prompts.len() < ANSWERS / 2 {
                prompts.push(prompt);
            }
        }
        if prompts.is_empty() {
            let fix = "Give pairs with prompts: the model answers them to see how far it went";
            return Err(Error::input("No held-out pair has a prompt", fix, ""));
        }
        // Nothing goes backward, so that one layer's activations will do.
        let config = TrainConfig { gradient_checkpointing: true, ..config.clone() };
        let prompts = prompts.iter().cycle().take(ANSWERS).cloned().collect();
        let mut meter = Self { gpu, model, config, pairs, start, start_logps: Vec::new(), prompts, eos };
        meter.start_logps = meter.score(start, stop).await?;
        for (pair, logps) in pairs.iter().zip(&meter.start_logps) {
            check_reference(pair.row, *logps)?;
        }
        Ok(meter)
    }

    /// Returns the measurements before any step.
    pub(super) fn start(&self) -> Point {
        let won = won(&self.start_logps);
        Point { step: 0, loss: None, pairs_won: share(&won), reward_accuracy: 0.0, kl: 0.0, chosen_change: 0.0, won }
    }

    /// Measures a model after a step.
    pub(super) async fn measure(
        &self,
        adapter: &Adapter,
        step: usize,
        loss: f64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Point> {
        let logps = self.score(Some(adapter), stop).await?;
        let kl = self.kl(adapter).await?;
        let changes: Vec<[f64; 2]> = logps
            .iter()
            .zip(&self.start_logps)
            .map(|(now, before)| [0, 1].map(|side| f64::from(now[side]) - f64::from(before[side])))
            .collect();
        let gained: Vec<bool> = changes.iter().map(|[chosen, rejected]| chosen > rejected).collect();
        let won = won(&logps);
        Ok(Point {
            step,
            loss: Some(loss),
            pairs_won: share(&won),
            reward_accuracy: share(&gained),
            kl,
            chosen_change: changes.iter().map(|[chosen, _]| chosen).sum::<f64>() / changes.len().max(1) as f64,
            won,
        })
    }

    async fn score(&self, adapter: Option<&Adapter>, stop: &mut dyn FnMut() -> bool) -> Result<Vec<PairLogps>> {
        let settings = adapter.map(|adapter| &adapter.settings);
        let batch = self.config.per_device_train_batch_size;
        let scorer = Scorer::new(self.gpu, self.model, settings, self.pairs, batch)?;
        scorer.score(self.pairs, adapter, &mut |_| !stop()).await
    }

    /// KL to the starting model in nats per token, by answers that the model writes: for each token the ratio of
    /// start to model less 1 less its logarithm (Schulman's third estimator), which is right on average and never below
    /// 0.
    async fn kl(&self, adapter: &Adapter) -> Result<f64> {
        let (gpu, model, config) = (self.gpu, self.model, &self.config);
        let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: config.seed };
        let answers =
            write_answers(gpu, model, Some(adapter), &self.prompts, &self.eos, ANSWER_TOKENS, sampling).await?;
        let rollout = |(prompt, completion): (&Vec<u32>, Vec<u32>)| Rollout {
            prompt: prompt.clone(),
            completion,
            ..Rollout::default()
        };
        let answers: Vec<Rollout> = self.prompts.iter().zip(answers).map(rollout).collect();
        let own = answer_logps(gpu, model, config, &answers, Some(adapter), 1.0).await?;
        let start = answer_logps(gpu, model, config, &answers, self.start, 1.0).await?;
        let tokens = own.iter().flatten().zip(start.iter().flatten());
        let terms: Vec<f64> = tokens
            .map(|(own, start)| {
                let log_ratio = f64::from(*start) - f64::from(*own);
                log_ratio.exp_m1() - log_ratio
            })
            .collect();
        Ok(terms.iter().sum::<f64>() / terms.len().max(1) as f64)
    }
}

fn won(logps: &[PairLogps]) -> Vec<bool> {
    logps.iter().map(|[chosen, rejected]| chosen > rejected).collect()
}

fn share(of: &[bool]) -> f64 {
    of.iter().filter(|yes| **yes).count() as f64 / of.len().max(1) as f64
}
