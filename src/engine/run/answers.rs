//! Answers that the policy writes while it is trained, with their rewards.

use std::rc::Rc;

use crate::data::{Sample, Sampling as Order, Tokenizer, order, prompt_example};
use crate::engine::run::rewards::{RewardModel, Rule, scored_text};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::Sampling;
use crate::model::{Adapter, Generator, MAX_STEPS, MAX_TEXTS, Model};
use crate::platform::LocalFuture;
use crate::train::{Options, Rollout, RolloutSource, TrainConfig, Wanted};

/// Settings for writing answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writing {
    /// Answers to each prompt.
    pub per_prompt: usize,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Settings for drawing tokens; the seed is that of the run.
    pub sampling: Sampling,
    /// True if prompts are shuffled for every pass over them.
    pub shuffle: bool,
}

impl Writing {
    /// Takes them from the settings of a run.
    pub fn of(config: &TrainConfig) -> Self {
        let sampling = |temperature: f64, top_k: usize, top_p: f64| Sampling {
            temperature: temperature as f32,
            top_k: top_k as u32,
            top_p: top_p as f32,
            seed: config.seed,
        };
        let [per_prompt, max_new_tokens] = config.answers().expect("the method writes answers");
        let (sampling, shuffle) = match &config.options {
            Options::Grpo(_, online, _) | Options::Rloo(online, _) => {
                (sampling(online.temperature, online.top_k, online.top_p), online.shuffle_dataset)
            }
            Options::Ppo(ppo) => (sampling(ppo.temperature, 0, 1.0), true),
            other => unreachable!("{} writes no answers", other.method()),
        };
        Self { per_prompt, max_new_tokens, sampling, shuffle }
    }
}

/// A source of answers that the policy writes: prompts, settings for writing, and rewards.
pub struct Writer<'a> {
    prompts: Vec<(Sample, Vec<u32>)>,
    tokenizer: &'a Tokenizer,
    eos: Vec<u32>,
    writing: Writing,
    rules: Vec<Rule>,
    models: Vec<Rc<RewardModel>>,
    names: Vec<String>,
}

impl<'a> Writer<'a> {
    /// Tokenises prompts; an error says that none can be used, or that there is no reward.
    pub fn new(
        samples: Vec<Sample>,
        tokenizer: &'a Tokenizer,
        eos: Vec<u32>,
        writing: Writing,
        rules: Vec<Rule>,
        models: Vec<Rc<RewardModel>>,
    ) -> Result<Self> {
        let mut prompts = Vec::with_capacity(samples.len());
        for sample in samples {
            if let Ok(example) = prompt_example(&sample, tokenizer)? {
                let ids = example.sequences.into_iter().next().unwrap_or_default();
                prompts.push((sample, ids));
            }
        }
        if prompts.is_empty() {
            return Err(Error::input("There are no prompts", "Give a file with prompts or pairs", ""));
        }
        let mut names: Vec<String> = Vec::new();
        for name in rules.iter().map(|rule| rule.name().to_owned()).chain(models.iter().map(|m| m.name.clone())) {
            let alike = names.iter().filter(|other| **other == name || other.starts_with(&format!("{name}_"))).count();
            names.push(if alike == 0 { name } else { format!("{name}_{}", alike + 1) });
        }
        if names.is_empty() {
            return Err(Error::input(
                "Nothing says what an answer is worth",
                format!("Give --reward-model, or --reward with one of {}", crate::engine::run::rewards::RULES),
                "",
            ));
        }
        Ok(Self { prompts, tokenizer, eos, writing, rules, models, names })
    }

    /// The prompts of a batch: their order goes on from batch to batch, shuffled anew for each pass.
    fn prompts_of(&self, generation: usize, groups: usize) -> Vec<usize> {
        let n = self.prompts.len();
        let (strategy, seed) =
            (if self.writing.shuffle { Order::Random } else { Order::Sequential }, self.writing.sampling.seed);
        let first = generation * groups;
        (first..first + groups).map(|at| order(n, strategy, seed, (at / n) as u64)[at % n]).collect()
    }

    /// Answers to prompts, each up to its end.
    async fn write(
        &self,
        gpu: &Gpu,
        model: &Model,
        adapter: Option<&Adapter>,
        seed: u64,
        prompts: &[Vec<u32>],
    ) -> Result<Vec<Vec<u32>>> {
        let sampling = Sampling { seed, ..self.writing.sampling };
        write_answers(gpu, model, adapter, prompts, &self.eos, self.writing.max_new_tokens, sampling).await
    }

    /// Answers to some of the prompts, by the base model or an adapter, and what they are given.
    pub async fn answer(
        &self,
        gpu: &Gpu,
        model: &Model,
        adapter: Option<&Adapter>,
        prompts: &[usize],
        seed: u64,
    ) -> Result<Vec<Rollout>> {
        let ids: Vec<Vec<u32>> = prompts.iter().map(|&prompt| self.prompts[prompt].1.clone()).collect();
        let answers = self.write(gpu, model, adapter, seed, &ids).await?;
        let rewards = self.rewards(gpu, model, prompts, &answers).await?;
        let rows = prompts.iter().zip(ids).zip(answers).zip(rewards);
        Ok(rows
            .map(|(((&at, prompt), completion), rewards)| Rollout {
                prompt_row: self.prompts[at].0.row,
                prompt,
                completion,
                rewards,
            })
            .collect())
    }

    /// Names of the rewards.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of prompts.
    pub fn n_prompts(&self) -> usize {
        self.prompts.len()
    }

    /// Returns the rewards of the answers, a list for each in the order of the names.
    async fn rewards(
        &self,
        gpu: &Gpu,
        model: &Model,
        prompts: &[usize],
        answers: &[Vec<u32>],
    ) -> Result<Vec<Vec<Option<f64>>>> {
        let mut rewards = Vec::with_capacity(answers.len());
        let mut texts = Vec::new();
        for (&prompt, ids) in prompts.iter().zip(answers) {
            let (sample, prompt_ids) = &self.prompts[prompt];
            let text = self.tokenizer.decode(ids, true)?;
            let tokens = ids.iter().filter(|id| !self.eos.contains(id)).count();
            let by_rules = self.rules.iter().map(|rule| rule.reward(&text, tokens, &sample.columns));
            rewards.push(by_rules.collect::<Vec<_>>());
            if !self.models.is_empty() {
                texts.push(scored_text(sample, prompt_ids, &text, ids, self.tokenizer)?);
            }
        }
        for scorer in &self.models {
            let scores = scorer.scores(gpu, model, &texts).await?;
            for (rewards, score) in rewards.iter_mut().zip(scores) {
                rewards.push(Some(f64::from(score)));
            }
        }
        Ok(rewards)
    }
}

impl RolloutSource for Writer<'_> {
    fn rewards(&self) -> &[String] {
        &self.names
    }

    fn next<'a>(&'a mut self, wanted: Wanted<'a>) -> LocalFuture<'a, Result<Vec<Rollout>>> {
        Box::pin(async move {
            let groups = self.prompts_of(wanted.generation, wanted.answers / self.writing.per_prompt);
            let prompts: Vec<usize> =
                groups.into_iter().flat_map(|prompt| vec![prompt; self.writing.per_prompt]).collect();
            let seed = seed_of(self.writing.sampling.seed, wanted.generation);
            self.answer(wanted.gpu, wanted.model, Some(wanted.adapter), &prompts, seed).await
        })
    }

    fn longest(&self) -> [usize; 2] {
        let prompt = self.prompts.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
        [prompt, self.writing.max_new_tokens]
    }

    fn answers(&self) -> usize {
        self.prompts.len() * self.writing.per_prompt
    }
}

/// Answers to prompts, several together, each up to the first token of `eos`, which it keeps, or to `max` tokens.
pub async fn write_answers(
    gpu: &Gpu,
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[Vec<u32>],
    eos: &[u32],
    max: usize,
    sampling: Sampling,
) -> Result<Vec<Vec<u32>>> {
    let mut answers = Vec::with_capacity(prompts.len());
    let ended = |answer: &[u32]| answer.last().is_some_and(|last| eos.contains(last));
    for (at, texts) in prompts.chunks(MAX_TEXTS).enumerate() {
        let mut generator = Generator::new(gpu, model, adapter, texts, max, sampling, at * MAX_TEXTS).await?;
        gpu.check()?;
        let mut written: Vec<Vec<u32>> = vec![Vec::new(); texts.len()];
        let mut drawn = 0;
        while drawn < max && !written.iter().all(|answer| ended(answer)) {
            let tokens = generator.next(MAX_STEPS).await?;
            drawn += tokens.first().map_or(0, Vec::len);
            for (answer, tokens) in written.iter_mut().zip(tokens) {
                for token in tokens {
                    if ended(answer) {
                        break;
                    }
                    answer.push(token);
                }
            }
        }
        answers.extend(written);
    }
    Ok(answers)
}

/// The seed of a batch of answers.
fn seed_of(seed: u64, generation: usize) -> u64 {
    let mut hash = blake3::Hasher::new();
    hash.update(&seed.to_le_bytes());
    hash.update(&(generation as u64).to_le_bytes());
    let [a, b, c, d, ..] = *hash.finalize().as_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d]))
}
