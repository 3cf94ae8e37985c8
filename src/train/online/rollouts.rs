//! Answers that a policy wrote, with their rewards; read from a file, or sampled during a run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Adapter, Model};
use crate::platform::LocalFuture;

/// An answer of the policy, and its rewards.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rollout {
    /// Row of the prompt in its file.
    pub prompt_row: usize,
    /// Tokens of the prompt.
    pub prompt: Vec<u32>,
    /// Tokens of the answer; one that ended has EOS last.
    pub completion: Vec<u32>,
    /// Value of each reward, in the order of the rewards' names; `None` where a reward does not apply.
    pub rewards: Vec<Option<f64>>,
}

/// Request to a source of answers.
pub struct Wanted<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The base model.
    pub model: &'a Model,
    /// The policy.
    pub adapter: &'a Adapter,
    /// Number of answers; those to one prompt come one after the other.
    pub answers: usize,
    /// Number of batches before this one.
    pub generation: usize,
}

/// Source of answers.
pub trait RolloutSource {
    /// Names of the rewards, in their order.
    fn rewards(&self) -> &[String];

    /// Returns the next batch of answers.
    fn next<'a>(&'a mut self, wanted: Wanted<'a>) -> LocalFuture<'a, Result<Vec<Rollout>>>;

    /// Tokens of the longest possible prompt and of the longest possible answer.
    fn longest(&self) -> [usize; 2];

    /// Number of answers that a pass over the prompts gives.
    fn answers(&self) -> usize;
}

/// Answers out of a file, in its order.
#[derive(Debug, Clone)]
pub struct Replay {
    rewards: Vec<String>,
    rollouts: Vec<Rollout>,
    file: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    prompt_row: usize,
    prompt_ids: Vec<u32>,
    #[serde(alias = "response_ids")]
    completion_ids: Vec<u32>,
    #[serde(default)]
    rewards: Map<String, Value>,
    score: Option<f64>,
}

impl Replay {
    /// Reads a file with an answer on each line; an error names the line.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self> {
        let mut replay = Self { rewards: Vec::new(), rollouts: Vec::new(), file: file.to_owned() };
        let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        for (number, line) in lines {
            let wrong = |what: String| {
                Error::input(
                    what,
                    "Give each line prompt_ids, completion_ids and rewards, or prompt_ids, response_ids and score",
                    format!("{file}, line {}", number + 1),
                )
            };
            let line: Line = serde_json::from_slice(line).map_err(|e| wrong(format!("This is no answer: {e}")))?;
            if line.prompt_ids.is_empty() || line.completion_ids.is_empty() {
                return Err(wrong("The prompt or the answer has no tokens".to_owned()));
            }
            let (names, rewards) = match line.score {
                Some(score) => (vec!["score".to_owned()], vec![Some(score)]),
                None => (line.rewards.keys().cloned().collect(), line.rewards.values().map(Value::as_f64).collect()),
            };
            if names.is_empty() || (!replay.rewards.is_empty() && replay.rewards != names) {
                return Err(wrong(format!("The rewards are {names:?}, but those before are {:?}", replay.rewards)));
            }
            replay.rewards = names;
            let (prompt, completion) = (line.prompt_ids, line.completion_ids);
            replay.rollouts.push(Rollout { prompt_row: line.prompt_row, prompt, completion, rewards });
        }
        match replay.rollouts.is_empty() {
            true => Err(Error::input("The file has no answers", "Give it one on each line", file)),
            false => Ok(replay),
        }
    }

    /// The tokens of each answer's prompt.
    pub fn prompts(&self) -> impl Iterator<Item = &[u32]> {
        self.rollouts.iter().map(|rollout| rollout.prompt.as_slice())
    }
}

impl RolloutSource for Replay {
    fn rewards(&self) -> &[String] {
        &self.rewards
    }

    fn next<'a>(&'a mut self, wanted: Wanted<'a>) -> LocalFuture<'a, Result<Vec<Rollout>>> {
        Box::pin(async move {
            let rest = self.rollouts.get(wanted.generation * wanted.answers..).unwrap_or_default();
            let Some(next) = rest.get(..wanted.answers) else {
                let what = format!("{} answers are left of {}", rest.len(), self.rollouts.len());
                let fix = format!("Take fewer steps, or give more answers: a batch has {}", wanted.answers);
                return Err(Error::input(what, fix, self.file.clone()));
            };
            Ok(next.to_vec())
        })
    }

    fn longest(&self) -> [usize; 2] {
        let most = |of: fn(&Rollout) -> usize| self.rollouts.iter().map(of).max().unwrap_or(0);
        [most(|rollout| rollout.prompt.len()), most(|rollout| rollout.completion.len())]
    }

    fn answers(&self) -> usize {
        self.rollouts.len()
    }
}

/// State between two steps of a run that trains on answers, without its adapters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AnswersState {
    /// Micro-batches done.
    pub micro: usize,
    /// Batches of answers that were taken.
    pub generation: usize,
    /// Steps of PPO's optimisers.
    pub optimizer_steps: u32,
    /// The batch of answers that is not used up.
    pub batch: Option<BatchState>,
}

/// A batch of answers, and the results computed for it. Numbers are stored as bits, so that a file restores them
/// exactly.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BatchState {
    /// The answers.
    pub rows: Vec<Rollout>,
    /// Log-probabilities of the tokens when they were written, f32.
    pub old: Vec<Vec<u32>>,
    /// Log-probabilities under the reference, f32.
    pub reference: Vec<Vec<u32>>,
    /// Advantages, f64.
    pub advantages: Vec<u64>,
    /// True for each answer that counts.
    pub keep: Vec<bool>,
    /// Number of tokens of the answers that count.
    pub tokens: usize,
}

/// Results of a run for one answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// The answer.
    pub rollout: Rollout,
    /// Log-probabilities of its tokens under the policy that wrote it, nats; empty if they were not needed.
    pub old_logps: Vec<f32>,
    /// Log-probabilities of its tokens under the reference.
    pub ref_logps: Vec<f32>,
    /// One number, or one for each token with PPO.
    pub advantages: Vec<f64>,
    /// Value before each token (PPO only).
    pub values: Vec<f32>,
}

impl Judged {
    /// Returns the line of `rollouts.jsonl`. `names` are the rewards' names; `per_token` is true for PPO's advantages.
    pub fn to_json(&self, names: &[String], per_token: bool) -> Value {
        let rollout = &self.rollout;
        let mut line = json!({ "prompt_row": rollout.prompt_row, "prompt_ids": rollout.prompt });
        if per_token {
            line["response_ids"] = json!(rollout.completion);
            line["score"] = json!(rollout.rewards.first().copied().flatten());
            line["advantages"] = json!(self.advantages);
            line["values"] = json!(self.values);
        } else {
            line["completion_ids"] = json!(rollout.completion);
            line["rewards"] = names.iter().cloned().zip(rollout.rewards.iter().map(|reward| json!(reward))).collect();
            line["advantages"] = json!(self.advantages.first());
        }
        for (name, logps) in [("old_logps", &self.old_logps), ("ref_logps", &self.ref_logps)] {
            if !logps.is_empty() {
                line[name] = json!(logps);
            }
        }
        line
    }
}
