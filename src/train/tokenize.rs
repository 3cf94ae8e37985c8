//! From rows of a file to what a method trains on.

use super::config::TrainConfig;
use super::method::{KtoLoss, Options};
use crate::data::{
    Example, Examples, KtoRules, Record, Sample, SftRules, SplitBy, Tokenizer, split_by_prompt, tokenize, tokenize_kto,
    tokenize_orpo, tokenize_prompts, tokenize_reward, tokenize_sft,
};
use crate::error::Result;

/// The usable rows of a file.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Pairs.
    Pairs(Vec<Record>),
    /// Examples, thumbs or prompts.
    Samples(Vec<Sample>),
}

impl Rows {
    /// No rows of the same kind.
    fn none(&self) -> Self {
        match self {
            Self::Pairs(_) => Self::Pairs(Vec::new()),
            Self::Samples(_) => Self::Samples(Vec::new()),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Pairs(rows) => rows.len(),
            Self::Samples(rows) => rows.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows to train on and rows held out, whole prompts kept apart.
    pub fn split(self, by: SplitBy, share: f64, seed: u64) -> Result<(Self, Self)> {
        if share == 0.0 {
            let none = self.none();
            return Ok((self, none));
        }
        Ok(match self {
            Self::Pairs(rows) => {
                let (train, held_out) = split_by_prompt(rows, by, share, seed)?;
                (Self::Pairs(train), Self::Pairs(held_out))
            }
            Self::Samples(rows) => {
                let (train, held_out) = split_by_prompt(rows, by, share, seed)?;
                (Self::Samples(train), Self::Samples(held_out))
            }
        })
    }

    /// The tokens that a method with these settings trains on, as TRL's trainer makes them; an error says why no row
    /// can be used.
    pub fn tokenize(&self, tokenizer: &Tokenizer, config: &TrainConfig) -> Result<Examples> {
        let max_length = config.max_length;
        let samples = |of_pair: fn(&Record) -> Sample| match self {
            Self::Pairs(rows) => rows.iter().map(of_pair).collect(),
            Self::Samples(rows) => rows.clone(),
        };
        match (&config.options, self) {
            (Options::Dpo(_), Self::Pairs(rows)) => {
                let tokens = tokenize(rows, tokenizer, max_length)?;
                let examples = tokens.pairs.into_iter().map(Example::from).collect();
                Ok(Examples { examples, dropped: tokens.dropped })
            }
            (Options::Reward(_), Self::Pairs(rows)) => tokenize_reward(rows, tokenizer, max_length),
            (Options::Orpo | Options::Cpo(..), Self::Pairs(rows)) => tokenize_orpo(rows, tokenizer, max_length),
            (Options::Kto(loss, _), rows) => {
                let samples = match rows {
                    Self::Pairs(rows) => Sample::apart(rows),
                    Self::Samples(rows) => rows.clone(),
                };
                let (batch_size, mismatched) = (config.per_device_train_batch_size, *loss == KtoLoss::Kto);
                tokenize_kto(&samples, tokenizer, &KtoRules { max_length, batch_size, mismatched })
            }
            (Options::Sft(_, options), _) => {
                let (completion_only_loss, assistant_only_loss) =
                    (options.completion_only_loss, options.assistant_only_loss);
                let rules = SftRules { max_length, completion_only_loss, assistant_only_loss };
                tokenize_sft(&samples(Sample::chosen_of), tokenizer, &rules)
            }
            (Options::Grpo(..) | Options::Rloo(..) | Options::Ppo(_), _) => {
                tokenize_prompts(&samples(Sample::prompt_of), tokenizer)
            }
            (Options::Dpo(_) | Options::Reward(_) | Options::Orpo | Options::Cpo(..), Self::Samples(_)) => {
                unreachable!("files of other kinds are refused when they are read")
            }
        }
    }
}
