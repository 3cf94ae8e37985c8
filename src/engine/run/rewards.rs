//! Rewards of answers: rules that need no model, and reward models, which are adapters on the same base.

use std::fmt;
use std::str::FromStr;

use fancy_regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::data::{Example, Part, Record, Sample, Tokenizer, reward_example};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Adapter, Model};
use crate::train::{Scorer, TrainConfig};

/// A reward that needs no model.
#[derive(Debug, Clone)]
pub enum Rule {
    /// 1 for an answer of so many tokens, less for shorter and longer ones, 0 for none and for twice as many.
    Length(usize),
    /// 1 if the pattern is found in the answer, else 0.
    Pattern(Box<Regex>),
    /// 1 if the answer has this text, else 0.
    Contains(String),
    /// 1 if the whole answer is JSON, else 0.
    Json,
    /// 1 if the answer is that of this column of the prompt's row, spaces around it aside, else 0; it does not apply to
    /// a row without the column.
    Equals(String),
}

/// Syntax of the rules.
pub const RULES: &str = "length:TOKENS, regex:PATTERN, contains:TEXT, json, equals or equals:COLUMN";

/// Steps of a search for a pattern at most: some patterns take for ever.
const MOST_STEPS: usize = 1_000_000;

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, argument) = text.split_once(':').unwrap_or((text, ""));
        let wrong = |what: String| format!("{what}; the rules are {RULES}");
        match (name, argument) {
            ("length", tokens) => match tokens.parse() {
                Ok(tokens) if tokens > 0 => Ok(Self::Length(tokens)),
                _ => Err(wrong(format!("\"{tokens}\" is no number of tokens"))),
            },
            ("regex", "") | ("contains", "") => Err(wrong(format!("{name} needs something to look for"))),
            ("regex", pattern) => match RegexBuilder::new(pattern).backtrack_limit(MOST_STEPS).build() {
                Ok(pattern) => Ok(Self::Pattern(Box::new(pattern))),
                Err(e) => Err(wrong(format!("\"{pattern}\" is no regular expression: {e}"))),
            },
            ("contains", text) => Ok(Self::Contains(text.to_owned())),
            ("json", "") => Ok(Self::Json),
            ("equals", "") => Ok(Self::Equals("answer".to_owned())),
            ("equals", column) => Ok(Self::Equals(column.to_owned())),
            _ => Err(wrong(format!("There is no rule \"{text}\""))),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(tokens) => write!(f, "length:{tokens}"),
            Self::Pattern(pattern) => write!(f, "regex:{}", pattern.as_str()),
            Self::Contains(text) => write!(f, "contains:{text}"),
            Self::Json => f.write_str("json"),
            Self::Equals(column) => write!(f, "equals:{column}"),
        }
    }
}

impl Rule {
    /// Returns its name among the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Length(_) => "length",
            Self::Pattern(_) => "regex",
            Self::Contains(_) => "contains",
            Self::Json => "json",
            Self::Equals(_) => "equals",
        }
    }

    /// Returns the reward of an answer of so many tokens; none where the rule does not apply. `columns` are those of
    /// the prompt's row.
    pub fn reward(&self, answer: &str, tokens: usize, columns: &Map<String, Value>) -> Option<f64> {
        let yes = |yes: bool| Some(f64::from(u8::from(yes)));
        match self {
            Self::Length(wanted) => Some((1.0 - (tokens as f64 / *wanted as f64 - 1.0).abs()).max(0.0)),
            // A search that takes too long has found nothing.
            Self::Pattern(pattern) => yes(pattern.is_match(answer).unwrap_or(false)),
            Self::Contains(text) => yes(answer.contains(text)),
            Self::Json => yes(serde_json::from_str::<Value>(answer.trim()).is_ok()),
            Self::Equals(column) => {
                let wanted = match columns.get(column) {
                    None | Some(Value::Null) => return None,
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                yes(answer.trim() == wanted.trim())
            }
        }
    }
}

/// A reward model: an adapter with a head on the same base.
pub struct RewardModel {
    /// Its name among the metrics.
    pub name: String,
    /// The adapter.
    pub adapter: Adapter,
}

/// Texts that are scored together.
const TEXTS: usize = 8;

impl RewardModel {
    /// The scores of texts.
    pub async fn scores(&self, gpu: &Gpu, model: &Model, texts: &[Example]) -> Result<Vec<f32>> {
        let defaults = TrainConfig::defaults_of(crate::data::Method::Reward);
        let config = TrainConfig { per_device_train_batch_size: TEXTS, ..defaults };
        let scorer = Scorer::for_run(gpu, model, &config, Some(&self.adapter.settings), texts)?;
        let sums = scorer.sums(texts, Some(&self.adapter), &mut |_| true).await?;
        Ok(sums.iter().map(|sums| sums[0][0]).collect())
    }
}

/// A prompt and an answer to it as a reward model reads them: a conversation as the template ends it, as in training;
/// text as the policy wrote it, with or without its end.
pub fn scored_text(
    prompt: &Sample,
    prompt_ids: &[u32],
    answer: &str,
    ids: &[u32],
    tokenizer: &Tokenizer,
) -> Result<Example> {
    if let Some(messages @ Part::Messages(_)) = &prompt.prompt {
        let message = Map::from_iter([
            ("role".to_owned(), Value::from("assistant")),
            ("content".to_owned(), Value::from(answer)),
        ]);
        let said = Part::Messages(vec![message]);
        let record = Record {
            row: prompt.row,
            line: prompt.line,
            prompt: messages.clone(),
            chosen: said.clone(),
            rejected: said,
            tools: prompt.tools.clone(),
            chat_template_kwargs: prompt.chat_template_kwargs.clone(),
            scores: None,
            margin: None,
        };
        let mut example = reward_example(&record, tokenizer, usize::MAX)?.map_err(|dropped| {
            Error::input(
                format!("The reward model cannot read an answer: {}", dropped.reason),
                "Use another template, or plain text",
                format!("line {}", prompt.line),
            )
        })?;
        example.sequences.truncate(1);
        example.starts.truncate(1);
        example.untruncated.truncate(1);
        return Ok(example);
    }
    let sequence: Vec<u32> = prompt_ids.iter().chain(ids).copied().collect();
    let pad = tokenizer.pad_id();
    let read = sequence.iter().rposition(|id| Some(*id) != pad).unwrap_or(0);
    Ok(Example {
        row: prompt.row,
        starts: vec![read],
        untruncated: vec![sequence.len()],
        sequences: vec![sequence],
        labels: None,
        value: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reward(rule: &str, answer: &str, tokens: usize) -> Option<f64> {
        let columns = Map::from_iter([("answer".to_owned(), Value::from(" 42 ")), ("n".to_owned(), Value::from(7))]);
        rule.parse::<Rule>().expect("a rule").reward(answer, tokens, &columns)
    }

    #[test]
    fn rules_say_what_an_answer_gets() {
        assert_eq!(
            [10, 5, 15, 20, 0, 40].map(|n| reward("length:10", "", n)),
            [1.0, 0.5, 0.5, 0.0, 0.0, 0.0].map(Some)
        );
        assert_eq!(reward("regex:^[a-z]+\\.$", "yes.", 1), Some(1.0));
        assert_eq!(reward("regex:^[a-z]+\\.$", "Yes.", 1), Some(0.0));
        assert_eq!(reward("contains:sorry", "I am sorry", 1), Some(1.0));
        assert_eq!([reward("json", " {\"a\": 1}\n", 1), reward("json", "a", 1)], [Some(1.0), Some(0.0)]);
        assert_eq!([reward("equals", "42", 1), reward("equals:n", "7", 1)], [Some(1.0), Some(1.0)]);
        assert_eq!([reward("equals", "43", 1), reward("equals:other", "7", 1)], [Some(0.0), None]);
        // A pattern without an end.
        assert_eq!(reward("regex:(a+)+\\1b$", &"a".repeat(40), 1), Some(0.0));
    }

    #[test]
    fn a_rule_that_is_none_is_refused_with_those_that_are() {
        for wrong in ["length", "length:0", "length:x", "regex:", "regex:(", "contains:", "json:1", "short"] {
            let said = wrong.parse::<Rule>().expect_err(wrong);
            assert!(said.contains(RULES), "{said}");
        }
        for right in ["length:3", "regex:a|b", "contains:a:b", "json", "equals:n"] {
            assert_eq!(right.parse::<Rule>().expect(right).to_string(), right);
        }
    }
}
