//! Turns rows of a file into the examples that a method trains on.

use super::settings::config::TrainConfig;
use super::settings::method::{KtoLoss, Options, SftOptions};
use crate::data::{
    APART, Dropped, Example, Examples, KtoRules, Method, Record, Sample, SftRules, SplitBy, Tokenizer, check_margins,
    kto_example, mismatch, orpo_example, prompt_example, prompt_groups, reward_example, sft_example, split_by_prompt,
    tokenize, tokenize_kto, tokenize_orpo, tokenize_prompts, tokenize_record, tokenize_reward, tokenize_sft,
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
    /// Returns an empty list of the same kind.
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

    /// Splits into rows to train on and rows held out; rows of one prompt stay on the same side.
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

    /// A number for each row; rows with the same prompt share it.
    pub fn prompt_groups(&self, by: SplitBy) -> Vec<usize> {
        match self {
            Self::Pairs(rows) => prompt_groups(rows, by),
            Self::Samples(rows) => prompt_groups(rows, by),
        }
    }

    /// Tokenises the rows as TRL's trainer does for a method with these settings; an error says why no row can be used.
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
                tokenize_kto(&samples, tokenizer, &kto_rules(config, *loss))
            }
            (Options::Sft(_, options), _) => {
                tokenize_sft(&samples(Sample::chosen_of), tokenizer, &sft_rules(config, options))
            }
            (Options::Grpo(..) | Options::Rloo(..) | Options::Ppo(_), _) => {
                let prompts: Vec<Sample> = samples(Sample::prompt_of).iter().map(Sample::asked).collect();
                tokenize_prompts(&prompts, tokenizer)
            }
            (Options::Dpo(_) | Options::Reward(_) | Options::Orpo | Options::Cpo(..), Self::Samples(_)) => {
                unreachable!("files of other kinds are refused when they are read")
            }
        }
    }
}

fn kto_rules(config: &TrainConfig, loss: KtoLoss) -> KtoRules {
    KtoRules {
        max_length: config.max_length,
        batch_size: config.per_device_train_batch_size,
        mismatched: loss == KtoLoss::Kto,
    }
}

fn sft_rules(config: &TrainConfig, options: &SftOptions) -> SftRules {
    SftRules {
        max_length: config.max_length,
        completion_only_loss: options.completion_only_loss,
        assistant_only_loss: options.assistant_only_loss,
    }
}

/// The tokens of one row, or why it is skipped. A pair that KTO takes apart gives two, the preferred answer first.
pub type RowTokens = Vec<std::result::Result<Example, Dropped>>;

/// Tokenises rows one at a time, so that a person can watch and stop it; gives the same result as [`Rows::tokenize`].
pub struct RowTokenizer<'a> {
    tokenizer: Tokenizer,
    config: &'a TrainConfig,
}

impl<'a> RowTokenizer<'a> {
    /// Prepares for rows of the method; an error if the tokenizer or the rows lack what the settings ask for.
    pub fn new(rows: &Rows, tokenizer: &Tokenizer, config: &'a TrainConfig) -> Result<Self> {
        let tokenizer = match (&config.options, rows) {
            (Options::Sft(_, options), _) if options.assistant_only_loss => tokenizer.for_assistant_loss()?,
            (Options::Reward(_), Rows::Pairs(rows)) => {
                check_margins(rows)?;
                tokenizer.clone()
            }
            _ => tokenizer.clone(),
        };
        Ok(Self { tokenizer, config })
    }

    /// Tokenises one row.
    pub fn row(&self, rows: &Rows, at: usize) -> Result<RowTokens> {
        let (tokenizer, max_length) = (&self.tokenizer, self.config.max_length);
        let sample = |of_pair: fn(&Record) -> Sample| match rows {
            Rows::Pairs(rows) => of_pair(&rows[at]),
            Rows::Samples(rows) => rows[at].clone(),
        };
        let one = match (&self.config.options, rows) {
            (Options::Dpo(_), Rows::Pairs(rows)) => {
                tokenize_record(&rows[at], tokenizer, max_length)?.map(Example::from)
            }
            (Options::Reward(_), Rows::Pairs(rows)) => reward_example(&rows[at], tokenizer, max_length)?,
            (Options::Orpo | Options::Cpo(..), Rows::Pairs(rows)) => orpo_example(&rows[at], tokenizer, max_length)?,
            (Options::Kto(..), Rows::Pairs(rows)) => {
                let sides = Sample::apart(std::slice::from_ref(&rows[at]));
                return sides.iter().map(|side| kto_example(side, tokenizer, max_length)).collect();
            }
            (Options::Kto(..), Rows::Samples(rows)) => kto_example(&rows[at], tokenizer, max_length)?,
            (Options::Sft(_, options), _) => {
                sft_example(&sample(Sample::chosen_of), tokenizer, &sft_rules(self.config, options))?
            }
            (Options::Grpo(..) | Options::Rloo(..) | Options::Ppo(_), _) => {
                prompt_example(&sample(Sample::prompt_of).asked(), tokenizer)?
            }
            (Options::Dpo(_) | Options::Reward(_) | Options::Orpo | Options::Cpo(..), Rows::Samples(_)) => {
                unreachable!("rows of other kinds are refused before")
            }
        };
        Ok(vec![one])
    }

    /// Collects the examples to train on from the tokens of rows in their order.
    pub fn examples(&self, rows: &[&RowTokens]) -> Examples {
        let mut examples = Examples::default();
        // Pairs that are taken apart come in blocks; in each block all preferred answers come first.
        for block in rows.chunks(APART) {
            let sides = block.iter().map(|row| row.len()).max().unwrap_or(0);
            for side in 0..sides {
                block.iter().filter_map(|row| row.get(side)).for_each(|row| examples.push(row.clone()));
            }
        }
        if let Options::Kto(loss, _) = &self.config.options {
            examples.examples = mismatch(examples.examples, &kto_rules(self.config, *loss));
        }
        examples
    }

    /// Returns these examples, or an error with counts if none is left.
    pub fn some(&self, examples: Examples) -> Result<Examples> {
        let (noun, max_length) = match self.config.method() {
            Method::Sft => ("example", self.config.max_length),
            Method::Kto => ("thumb", self.config.max_length),
            Method::Dpo | Method::Reward | Method::Orpo | Method::Cpo => ("pair", self.config.max_length),
            Method::Grpo | Method::Rloo | Method::Ppo => ("prompt", usize::MAX),
        };
        examples.some(noun, max_length)
    }
}
