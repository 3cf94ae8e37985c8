//! Objective of a run: the tokens that count in each micro-batch and their weights, the loss, the logged values.

use super::loss::PairObjective;
use super::scorer::PairSums;
use super::settings::config::TrainConfig;
use super::settings::method::{KtoLoss, Options, SftLoss};
use super::trainer::Logged;
use crate::data::Example;
use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{self, KtoSettings, METRICS, kto_metric, metric, reward_metric};
use crate::model::{Activations, Adapter, BatchSize, Model, Packed, PackedSequence};

/// Objective of an offline method.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Objective {
    /// Losses of pairs: DPO, ORPO, CPO.
    Pairs(PairObjective),
    /// Cross entropy of the tokens that are labels.
    Supervised {
        /// True if each token's cross entropy is multiplied by the token's probability (DFT).
        by_chance: bool,
    },
    /// KTO, whose second sequence joins the prompt with another row's answer.
    Kto(KtoSettings),
    /// Scores of whole texts.
    Reward {
        /// Weight of the term that pulls the rewards' mean to 0.
        centre: f32,
    },
}

impl Objective {
    /// Returns the objective of an offline method; `None` for a method that trains on answers.
    pub(super) fn of(config: &TrainConfig) -> Option<Self> {
        match &config.options {
            Options::Sft(loss, _) => Some(Self::Supervised { by_chance: *loss == SftLoss::Dft }),
            Options::Kto(loss, options) => Some(Self::Kto(KtoSettings {
                beta: config.beta as f32,
                desirable_weight: options.desirable_weight as f32,
                undesirable_weight: options.undesirable_weight as f32,
                mismatched: *loss == KtoLoss::Kto,
            })),
            Options::Reward(options) => {
                Some(Self::Reward { centre: options.center_rewards_coefficient.unwrap_or(0.0) as f32 })
            }
            Options::Dpo(_) | Options::Orpo | Options::Cpo(..) => PairObjective::of(config).map(Self::Pairs),
            Options::Grpo(..) | Options::Rloo(..) | Options::Ppo(_) => None,
        }
    }

    /// True if log-probabilities of a reference take part.
    pub(super) fn has_reference(&self) -> bool {
        match self {
            Self::Pairs(pairs) => pairs.has_reference,
            Self::Kto(_) => true,
            Self::Supervised { .. } | Self::Reward { .. } => false,
        }
    }

    /// True if texts are scored by a head.
    pub(super) fn has_head(&self) -> bool {
        matches!(self, Self::Reward { .. })
    }

    /// Tokens of an example, as TRL's `num_tokens` counts them.
    pub(super) fn tokens(&self, example: &Example) -> usize {
        let counted = if matches!(self, Self::Kto(_)) { 1 } else { example.sequences.len() };
        example.sequences.iter().take(counted).map(Vec::len).sum()
    }

    /// Number of tokens of an example that are labels; supervised fine-tuning divides by it.
    pub(super) fn labels(example: &Example) -> usize {
        match &example.labels {
            Some(labels) => labels.iter().skip(1).filter(|label| **label).count(),
            None => example.sequences.first().map_or(0, |ids| ids.len().saturating_sub(1)),
        }
    }

    /// The sequences of an example in the form in which they are packed.
    pub(super) fn sequences<'a>(&self, example: &'a Example) -> Vec<PackedSequence<'a>> {
        let sides = example.sequences.iter().zip(&example.starts).enumerate();
        sides
            .map(|(side, (ids, &start))| PackedSequence { ids, scored: self.scored(example, side, ids, start) })
            .collect()
    }

    fn scored(&self, example: &Example, side: usize, ids: &[u32], start: usize) -> std::ops::Range<usize> {
        match self {
            // ORPO's chosen answer is imitated together with its prompt.
            Self::Pairs(pairs) if pairs.whole && side == 0 => 1.min(ids.len())..ids.len(),
            Self::Pairs(_) | Self::Kto(_) => start.min(ids.len())..ids.len(),
            Self::Supervised { .. } => {
                let Some(labels) = &example.labels else { return 1.min(ids.len())..ids.len() };
                let first = labels.iter().position(|label| *label).unwrap_or(ids.len());
                let end = labels.iter().rposition(|label| *label).map_or(first, |last| last + 1);
                first..end
            }
            // The position at which the score is read.
            Self::Reward { .. } => start + 1..start + 2,
        }
    }

    /// Weights of a token of an example: in the first sum, in the second sum, in the logged values, and an unused 0.
    fn weight(&self, example: &Example, side: usize, token: usize) -> [f32; 4] {
        let answer = f32::from(u8::from(token >= example.starts[side]));
        match self {
            Self::Pairs(pairs) => {
                let nll = f32::from(u8::from(side == 0 && pairs.nll != 0.0));
                let scored = |side: usize| example.sequences[side].len().saturating_sub(example.starts[side].max(1));
                let shared = example.starts[side].max(1) + scored(0).min(scored(1));
                let counted = if token < shared { 1.0 } else { pairs.ld_alpha };
                [answer * counted, nll, answer, 0.0]
            }
            Self::Supervised { .. } => {
                let label = example.labels.as_ref().is_none_or(|labels| labels.get(token) == Some(&true));
                [0.0, f32::from(u8::from(label)), f32::from(u8::from(label)), 0.0]
            }
            Self::Kto(_) => [1.0, 0.0, 1.0, 0.0],
            Self::Reward { .. } => [0.0; 4],
        }
    }

    /// Facts about a sequence: reference log-probability, completion tokens (1 where losses do not divide by them),
    /// scored tokens, the example's value.
    fn facts(&self, example: &Example, side: usize, reference: f32) -> [f32; 4] {
        let (len, start) = (example.sequences[side].len(), example.starts[side]);
        let scored = len.saturating_sub(start.max(1)) as f32;
        let completion = len.saturating_sub(start).max(1) as f32;
        let by_length = matches!(self, Self::Pairs(pairs) if pairs.by_length);
        [reference, if by_length { completion } else { 1.0 }, scored, example.value as f32]
    }

    /// Logged values besides loss and gradient norm, in TRL's order.
    pub(super) fn logged(&self) -> Vec<Logged> {
        let plain = |(name, at)| (name, at, None);
        let rewards = [
            ("rewards/chosen", metric::REWARDS_CHOSEN),
            ("rewards/rejected", metric::REWARDS_REJECTED),
            ("rewards/accuracies", metric::REWARDS_ACCURACIES),
            ("rewards/margins", metric::REWARDS_MARGINS),
            ("logps/chosen", metric::LOGPS_CHOSEN),
            ("logps/rejected", metric::LOGPS_REJECTED),
        ];
        let tokens = [
            ("logits/chosen", metric::LOGITS_CHOSEN),
            ("logits/rejected", metric::LOGITS_REJECTED),
            ("entropy", metric::ENTROPY),
            ("mean_token_accuracy", metric::MEAN_TOKEN_ACCURACY),
        ];
        let odds = [("log_odds_ratio", metric::LOG_ODDS_RATIO), ("log_odds_chosen", metric::LOG_ODDS_CHOSEN)];
        match self {
            Self::Pairs(pairs) if pairs.has_reference => rewards.into_iter().chain(tokens).map(plain).collect(),
            Self::Pairs(pairs) => {
                let more = [("nll_loss", metric::NLL)].into_iter();
                let odds = odds.into_iter().filter(|_| pairs.whole);
                // TRL's means of logits include the padding; these do not.
                rewards.into_iter().chain(more).chain(odds).chain(tokens.into_iter().take(2)).map(plain).collect()
            }
            Self::Supervised { .. } => {
                let values = [("entropy", metric::NLL_ENTROPY), ("mean_token_accuracy", metric::NLL_ACCURACY)];
                values.map(plain).to_vec()
            }
            Self::Kto(_) => {
                use kto_metric::{CHOSEN_COUNT, MARGINS_COUNT, REJECTED_COUNT};
                vec![
                    ("kl", kto_metric::KL, None),
                    ("entropy", kto_metric::ENTROPY, None),
                    ("rewards/chosen", kto_metric::REWARDS_CHOSEN, Some(CHOSEN_COUNT)),
                    ("rewards/rejected", kto_metric::REWARDS_REJECTED, Some(REJECTED_COUNT)),
                    ("rewards/margins", kto_metric::REWARDS_MARGINS, Some(MARGINS_COUNT)),
                    ("logps/chosen", kto_metric::LOGPS_CHOSEN, Some(CHOSEN_COUNT)),
                    ("logps/rejected", kto_metric::LOGPS_REJECTED, Some(REJECTED_COUNT)),
                    ("logits/chosen", kto_metric::LOGITS_CHOSEN, Some(CHOSEN_COUNT)),
                    ("logits/rejected", kto_metric::LOGITS_REJECTED, Some(REJECTED_COUNT)),
                ]
            }
            Self::Reward { .. } => {
                let values = [
                    ("min_reward", reward_metric::MIN_REWARD),
                    ("mean_reward", reward_metric::MEAN_REWARD),
                    ("max_reward", reward_metric::MAX_REWARD),
                    ("accuracy", reward_metric::ACCURACY),
                    ("margin", reward_metric::MARGIN),
                ];
                values.map(plain).to_vec()
            }
        }
    }
}

/// A micro-batch: examples, and the reference's log-probabilities of each, if there is a reference.
pub(super) struct MicroBatch<'a> {
    pub(super) examples: Vec<&'a Example>,
    pub(super) reference: Vec<[f32; 2]>,
    /// One over the micro-batches of the step.
    pub(super) share: f32,
    /// Divisor of supervised fine-tuning's loss: the number of labels in the whole step.
    pub(super) labels: f32,
}

/// Tensors between the token statistics and the loss.
pub(super) struct LossTensors {
    sums: Tensor,    // (S, 8)
    known: Tensor,   // (S, 4)
    dsums: Tensor,   // (S, 2)
    weights: Tensor, // (N, 4)
    dlogp: Tensor,   // (N)
    values: Tensor,  // (N, 1), scores
    dvalues: Tensor, // (N, 1)
    margins: Tensor, // (S, 1)
    pub(super) metrics: Tensor,
}

impl LossTensors {
    pub(super) fn new(gpu: &Gpu, size: BatchSize) -> Self {
        let zeros = |name, rows: u32, cols| gpu.zeros(name, rows.max(1), cols, Dtype::F32);
        let BatchSize { scored, sequences, .. } = size;
        Self {
            sums: zeros("sums", sequences, 8),
            known: zeros("known", sequences, 4),
            dsums: zeros("dsums", sequences, 2),
            weights: zeros("weights", scored, 4),
            dlogp: zeros("dlogp", 1, scored.max(1)),
            values: zeros("values", scored, 1),
            dvalues: zeros("dvalues", scored, 1),
            margins: zeros("margins", sequences, 1),
            metrics: zeros("metrics", 1, METRICS),
        }
    }

    /// Views at the size of one batch.
    fn view(&self, scored: u32, sequences: u32) -> Self {
        Self {
            sums: self.sums.view(sequences, 8),
            known: self.known.view(sequences, 4),
            dsums: self.dsums.view(sequences, 2),
            weights: self.weights.view(scored, 4),
            dlogp: self.dlogp.view(1, scored),
            values: self.values.view(scored, 1),
            dvalues: self.dvalues.view(scored, 1),
            margins: self.margins.view(sequences, 1),
            metrics: self.metrics.clone(),
        }
    }
}

impl Objective {
    /// Packs examples.
    pub(super) fn pack(&self, examples: &[&Example]) -> Packed {
        Packed::groups(&examples.iter().map(|example| self.sequences(example)).collect::<Vec<_>>())
    }

    /// Each sequence of a packed batch: the index of its example, and its index in that example.
    fn sides(examples: &[&Example]) -> Vec<(usize, usize)> {
        let side = |side: usize| {
            let with = move |(i, example): (usize, &&Example)| (side < example.sequences.len()).then_some((i, side));
            examples.iter().enumerate().filter_map(with)
        };
        side(0).chain(side(1)).collect()
    }

    /// Writes the weights of the tokens of a packed batch.
    fn write_weights(&self, gpu: &Gpu, examples: &[&Example], weights: &Tensor) {
        let mut rows: Vec<[f32; 4]> = Vec::new();
        for (i, side) in Self::sides(examples) {
            let example = examples[i];
            let sequence = &self.sequences(example)[side];
            rows.extend(sequence.predicted().map(|token| self.weight(example, side, token)));
        }
        if !rows.is_empty() {
            gpu.write(weights, rows.as_flattened());
        }
    }

    /// Records the sums of each sequence of a batch whose forward pass is already recorded.
    fn sum(&self, rec: &mut Recorder<'_>, acts: &Activations, tensors: &LossTensors) {
        let (stats, state) = (&acts.token_stats, &acts.state);
        kernels::sequence_sum(rec, stats, state, &tensors.weights, &acts.ranges, self.by_chance(), &tensors.sums);
    }

    fn by_chance(&self) -> bool {
        matches!(self, Self::Supervised { by_chance: true })
    }

    /// Records loss and metrics of a batch, and the derivatives with respect to each token's log-probability, or to
    /// each value if texts are scored by a head. The batch's statistics, or values, must be recorded already.
    pub(super) fn record(
        &self,
        gpu: &Gpu,
        rec: &mut Recorder<'_>,
        acts: &Activations,
        all: &LossTensors,
        batch: &MicroBatch<'_>,
    ) {
        let tensors = &all.view(acts.size().scored, acts.size().sequences);
        self.write_facts(gpu, tensors, batch);
        if self.has_head() {
            self.record_losses(rec, tensors, batch);
            return;
        }
        self.write_weights(gpu, &batch.examples, &tensors.weights);
        self.sum(rec, acts, tensors);
        self.record_losses(rec, tensors, batch);
        let (stats, sequence) = (&acts.token_stats, &acts.sequence);
        kernels::token_gradient(
            rec,
            &tensors.dsums,
            stats,
            &tensors.weights,
            sequence,
            self.by_chance(),
            &tensors.dlogp,
        );
    }

    /// Records only loss and metrics, from known sums.
    pub(super) fn record_sums(
        &self,
        gpu: &Gpu,
        rec: &mut Recorder<'_>,
        all: &LossTensors,
        batch: &MicroBatch<'_>,
        sums: &[PairSums],
    ) {
        let sides = Self::sides(&batch.examples);
        let tensors = &all.view(sides.len() as u32, sides.len() as u32);
        let rows: Vec<[f32; 8]> = sides.into_iter().map(|(i, side)| sums[i][side]).collect();
        gpu.write(&tensors.sums, rows.as_flattened());
        gpu.write(&tensors.values, &rows.iter().map(|row| row[0]).collect::<Vec<f32>>());
        self.write_facts(gpu, tensors, batch);
        self.record_losses(rec, tensors, batch);
    }

    fn record_losses(&self, rec: &mut Recorder<'_>, tensors: &LossTensors, batch: &MicroBatch<'_>) {
        let (n, share) = (batch.examples.len() as u32, batch.share);
        rec.clear(&tensors.dsums);
        let LossTensors { sums, known, dsums, metrics, .. } = tensors;
        match self {
            Self::Pairs(pairs) => {
                for &(loss, weight) in &pairs.losses {
                    kernels::preference(rec, loss, sums, known, &pairs.settings, weight * share, dsums, metrics);
                }
                kernels::pair_metrics(rec, sums, known, &pairs.settings, share, metrics);
                if pairs.nll != 0.0 {
                    let counted = |example: &&Example| self.sequences(example)[0].predicted().len();
                    let tokens = batch.examples.iter().map(counted).sum::<usize>().max(1) as f32;
                    kernels::token_nll(rec, sums, n, pairs.nll * share / tokens, share / tokens, dsums, metrics);
                }
            }
            Self::Supervised { .. } => {
                let tokens = batch.examples.iter().map(|example| Self::labels(example)).sum::<usize>().max(1) as f32;
                kernels::token_nll(rec, sums, n, 1.0 / batch.labels.max(1.0), share / tokens, dsums, metrics);
            }
            Self::Kto(settings) => kernels::kto(rec, sums, known, settings, share, dsums, metrics),
            Self::Reward { centre } => {
                let margins = &tensors.margins.view(n, 1);
                kernels::reward(rec, &tensors.values, margins, *centre, share, &tensors.dvalues, metrics);
            }
        }
    }

    fn write_facts(&self, gpu: &Gpu, tensors: &LossTensors, batch: &MicroBatch<'_>) {
        let facts = Self::sides(&batch.examples).into_iter().map(|(i, side)| {
            let reference = batch.reference.get(i).map_or(0.0, |reference| reference[side]);
            self.facts(batch.examples[i], side, reference)
        });
        gpu.write(&tensors.known, facts.collect::<Vec<_>>().as_flattened());
        if self.has_head() {
            let margins: Vec<f32> = batch.examples.iter().map(|example| example.value as f32).collect();
            gpu.write(&tensors.margins.view(margins.len() as u32, 1), &margins);
        }
    }

    /// Computes the sums of examples that the loss is made of, under the base model or an adapter. The first sum is the
    /// score if there is a head.
    pub(super) async fn score(
        &self,
        scorer: &Forward<'_>,
        tensors: &LossTensors,
        examples: &[&Example],
        adapter: Option<&Adapter>,
    ) -> Result<Vec<PairSums>> {
        let packed = self.pack(examples);
        let acts = scorer.acts.load(scorer.gpu, &packed);
        let tensors = tensors.view(acts.size().scored, acts.size().sequences);
        self.write_weights(scorer.gpu, examples, &tensors.weights);
        let mut rec = scorer.gpu.recorder();
        scorer.model.forward(&mut rec, &acts, adapter);
        let mut sums = vec![[[0.0; 8]; 2]; examples.len()];
        let sides = Self::sides(examples);
        if let Some(adapter) = adapter.filter(|_| self.has_head()) {
            scorer.model.values(&mut rec, &acts, adapter, &tensors.values);
            rec.submit();
            for ((i, side), value) in sides.into_iter().zip(scorer.gpu.read(&tensors.values).await?) {
                sums[i][side][0] = value;
            }
            return Ok(sums);
        }
        scorer.model.score(&mut rec, &acts, 1.0, false);
        self.sum(&mut rec, &acts, &tensors);
        rec.submit();
        let values = scorer.gpu.read(&tensors.sums).await?;
        for ((i, side), row) in sides.into_iter().zip(values.as_chunks::<8>().0) {
            sums[i][side] = *row;
        }
        Ok(sums)
    }
}

/// Inputs of a forward pass.
pub(super) struct Forward<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) model: &'a Model,
    pub(super) acts: &'a Activations,
}

impl LossTensors {
    /// Scores of a batch (N,1).
    pub(super) fn values(&self, acts: &Activations) -> Tensor {
        self.values.view(acts.size().scored, 1)
    }

    /// Derivative of the loss with respect to the scores (N,1).
    pub(super) fn dvalues(&self, acts: &Activations) -> Tensor {
        self.dvalues.view(acts.size().scored, 1)
    }

    /// Derivative of the loss with respect to the log-probabilities of a batch's scored tokens (N).
    pub(super) fn dlogp(&self, acts: &Activations) -> Tensor {
        self.dlogp.view(1, acts.size().scored)
    }
}
