//! Rows that are no pairs: an answer to a prompt, with a verdict or without, a whole text, a prompt alone.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::reading::fields::{Fields, take, verdict};
use super::reading::row::{Problem, kind as kind_of, messages as checked, part, problem, template_columns};
use super::reading::shapes::messages;
use super::record::{Message, Part, Record};

/// One row that is no pair; `prompt` and `completion`, where both are there, are either text or messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Index among the non-blank rows of the file, malformed ones included, from 0 (TRL's row number).
    pub row: usize,
    /// Line of the file on which the row begins, from 1.
    pub line: usize,
    /// The prompt; none for whole texts and conversations.
    pub prompt: Option<Part>,
    /// The answer, or the whole text or conversation; none for a prompt alone.
    pub completion: Option<Part>,
    /// True if the answer is wanted; none without a verdict.
    pub label: Option<bool>,
    /// Tools for the chat template, a list of JSON schemas.
    pub tools: Option<Value>,
    /// Further variables for the chat template, for example `enable_thinking`.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// The other columns of a prompt, which rules for rewards may look at; empty for all else.
    pub columns: Map<String, Value>,
}

/// Pairs that TRL takes apart together: all chosen answers of so many, then all rejected ones.
pub const APART: usize = 1000;

impl Sample {
    fn of(record: &Record, completion: Option<&Part>, label: Option<bool>) -> Self {
        Self {
            row: record.row,
            line: record.line,
            prompt: Some(record.prompt.clone()),
            completion: completion.cloned(),
            label,
            tools: record.tools.clone(),
            chat_template_kwargs: record.chat_template_kwargs.clone(),
            columns: Map::new(),
        }
    }

    /// A pair's prompt and preferred answer, for fine-tuning.
    pub fn chosen_of(record: &Record) -> Self {
        Self::of(record, Some(&record.chosen), None)
    }

    /// A pair's prompt alone.
    pub fn prompt_of(record: &Record) -> Self {
        Self::of(record, None, None)
    }

    /// The question alone, for a model to answer. Rules for rewards find the row's own answer in the columns `answer`
    /// and `completion`.
    pub fn asked(&self) -> Self {
        let (prompt, answer) = match (&self.prompt, &self.completion) {
            (None, Some(Part::Messages(list))) => {
                let asked = list.iter().rposition(|message| role(message) != "assistant").map_or(0, |last| last + 1);
                let answer = list.get(asked..).filter(|answer| !answer.is_empty()).map(<[Message]>::to_vec);
                (Some(Part::Messages(list[..asked].to_vec())), answer.map(Part::Messages))
            }
            (prompt, completion) => (prompt.clone(), completion.clone().filter(|_| prompt.is_some())),
        };
        let mut columns = self.columns.clone();
        if let Some(answer) = answer {
            for name in ["answer", "completion"] {
                columns.entry(name).or_insert_with(|| answer.text().into());
            }
        }
        let prompt = prompt.filter(|prompt| !matches!(prompt, Part::Messages(list) if list.is_empty()));
        Self { prompt, completion: None, label: None, columns, ..self.clone() }
    }

    /// Pairs as answers with verdicts, in TRL's order: of each thousand pairs all preferred answers, then all others.
    pub fn apart(records: &[Record]) -> Vec<Self> {
        let block = |block: &[Record]| -> Vec<Self> {
            let chosen = block.iter().map(|record| Self::of(record, Some(&record.chosen), Some(true)));
            let rejected = block.iter().map(|record| Self::of(record, Some(&record.rejected), Some(false)));
            chosen.chain(rejected).collect()
        };
        records.chunks(APART).flat_map(block).collect()
    }

    /// Answers with verdicts as pairs: a wanted answer with an unwanted one to the same prompt, in their order. The
    /// fewer of the two kinds are taken again from the first on.
    pub fn together(samples: &[&Self]) -> Vec<Record> {
        let pair = |[wanted, unwanted]: [&Self; 2], line: usize| {
            Some(Record {
                row: 0,
                line,
                prompt: wanted.prompt.clone()?,
                chosen: wanted.completion.clone()?,
                rejected: unwanted.completion.clone()?,
                tools: wanted.tools.clone(),
                chat_template_kwargs: wanted.chat_template_kwargs.clone(),
                scores: None,
                margin: None,
            })
        };
        let mut pairs = Vec::new();
        for sides in by_prompt(samples) {
            // The line of a pair is that of the answer which is in no other pair.
            let longer = usize::from(sides[1].len() > sides[0].len());
            for (at, own) in sides[longer].iter().enumerate() {
                pairs.extend(pair(sides.each_ref().map(|side| side[at % side.len()]), own.line));
            }
        }
        for (row, pair) in pairs.iter_mut().enumerate() {
            pair.row = row;
        }
        pairs
    }

    /// Number of pairs that answers with verdicts make.
    pub fn n_together(samples: &[&Self]) -> usize {
        by_prompt(samples).iter().map(|[wanted, unwanted]| wanted.len().max(unwanted.len())).sum()
    }

    /// The sample as a row of a file, with TRL's columns.
    pub fn to_json(&self) -> Value {
        let mut map = self.columns.clone();
        let answer = match (&self.prompt, &self.completion) {
            (None, Some(Part::Messages(_))) => "messages",
            (None, Some(Part::Text(_))) => "text",
            _ => "completion",
        };
        for (name, part) in [("prompt", &self.prompt), (answer, &self.completion)] {
            map.extend(part.as_ref().map(|part| (name.to_owned(), part.to_json())));
        }
        map.extend(self.label.map(|label| ("label".to_owned(), Value::from(label))));
        map.extend(self.tools.clone().map(|tools| ("tools".to_owned(), tools)));
        let kwargs = self.chat_template_kwargs.clone();
        map.extend(kwargs.map(|kwargs| ("chat_template_kwargs".to_owned(), Value::Object(kwargs))));
        Value::Object(map)
    }
}

/// Wanted and unwanted answers to each prompt that has both, in the order of the prompts.
fn by_prompt<'a>(samples: &[&'a Sample]) -> Vec<[Vec<&'a Sample>; 2]> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut prompts: Vec<[Vec<&Sample>; 2]> = Vec::new();
    for &sample in samples {
        let (Some(prompt), Some(_), Some(label)) = (&sample.prompt, &sample.completion, sample.label) else { continue };
        let key = json!([prompt.to_json(), sample.tools, sample.chat_template_kwargs]).to_string();
        let place = *places.entry(key).or_insert_with(|| {
            prompts.push(Default::default());
            prompts.len() - 1
        });
        prompts[place][usize::from(!label)].push(sample);
    }
    prompts.retain(|sides| sides.iter().all(|side| !side.is_empty()));
    prompts
}

/// A row with these columns as a sample of this kind.
pub(super) fn parse_sample(
    mut map: Map<String, Value>,
    row: usize,
    line: usize,
    kind: Kind,
    fields: &Fields,
) -> Result<Sample, Problem> {
    let keys = map.keys().cloned().collect::<Vec<_>>().join(", ");
    let missing =
        || problem(format!("The columns that are needed are missing; the keys are: {keys}"), kind.wanted().keys);
    let (prompt, completion) = match kind {
        Kind::Prompts => (prompt_in(&mut map, fields)?, None),
        Kind::Pairs | Kind::Completions | Kind::Labelled => answered(&mut map, fields)?,
    };
    let (prompt, completion) = match (kind, prompt, completion) {
        (Kind::Prompts, prompt @ Some(_), _) => (prompt, None),
        (Kind::Labelled, None, Some(Part::Messages(list))) => {
            let (prompt, answer) = last_answer(list)?;
            (Some(Part::Messages(prompt)), Some(Part::Messages(vec![answer])))
        }
        (Kind::Labelled, None, Some(Part::Text(_))) => return missing(),
        (Kind::Completions | Kind::Labelled | Kind::Pairs, prompt, completion @ Some(_)) => (prompt, completion),
        _ => return missing(),
    };
    if let (Some(prompt), Some(completion)) = (&prompt, &completion)
        && matches!(prompt, Part::Text(_)) != matches!(completion, Part::Text(_))
    {
        return problem("A string and a message list are mixed", "Use strings for both, or messages for both");
    }
    if matches!(&completion, Some(Part::Messages(list)) if list.is_empty()) {
        return problem("The answer has no messages", "Give it the assistant's answer");
    }
    let label = match (kind, take(&mut map, &fields.label)) {
        (Kind::Labelled, Some(value)) => match verdict(&value) {
            Some(label) => Some(label),
            None => {
                let found =
                    if value.is_number() || value.is_string() { value.to_string() } else { kind_of(&value).into() };
                return problem(format!("\"{}\" is {found}", fields.label), "It must be true or false");
            }
        },
        (Kind::Labelled, None) => {
            return problem(format!("\"{}\" is missing; the keys are: {keys}", fields.label), kind.wanted().keys);
        }
        _ => None,
    };
    let (tools, chat_template_kwargs) = template_columns(&mut map)?;
    let columns = if kind == Kind::Prompts { map } else { Map::new() };
    Ok(Sample { row, line, prompt, completion, label, tools, chat_template_kwargs, columns })
}

/// The prompt of a row, if it has one, and its answer, whole conversation or whole text.
fn answered(map: &mut Map<String, Value>, fields: &Fields) -> Result<(Option<Part>, Option<Part>), Problem> {
    let has = |map: &Map<String, Value>, name: &str| map.get(name).is_some_and(|value| !value.is_null());
    if has(map, &fields.completion) && has(map, &fields.prompt) {
        if fields.prompt == "prompt" && fields.completion == "completion" && fields.system.is_empty() {
            return Ok((part(map, "prompt")?, part(map, "completion")?));
        }
        fields.as_pairs(true).rename(map);
        return Ok((part(map, "prompt")?, part(map, "chosen")?));
    }
    if has(map, &fields.messages) {
        return Ok((None, conversation(map, &fields.messages)?));
    }
    match take(map, &fields.text) {
        None => Ok((None, None)),
        Some(Value::String(text)) => Ok((None, Some(Part::Text(text)))),
        Some(other) => problem(format!("\"{}\" is {}", fields.text, kind_of(&other)), "It must be a string"),
    }
}

/// Takes the prompt of a row: its own, or its conversation up to the last answer. Other columns stay.
fn prompt_in(map: &mut Map<String, Value>, fields: &Fields) -> Result<Option<Part>, Problem> {
    if let Some(prompt) = take(map, &fields.prompt) {
        if fields.prompt == "prompt" && fields.system.is_empty() {
            map.insert("prompt".to_owned(), prompt);
            return part(map, "prompt");
        }
        // The pairs' reader takes its own columns away, and others stay.
        let mut asked = Map::from_iter([(fields.prompt.clone(), prompt)]);
        for beside in [fields.system.as_str(), "input", "history"] {
            asked.extend(take(map, beside).map(|value| (beside.to_owned(), value)));
        }
        fields.as_pairs(false).rename(&mut asked);
        let prompt = part(&mut asked, "prompt");
        map.extend(asked);
        return prompt;
    }
    match conversation(map, &fields.messages)? {
        Some(Part::Messages(mut list)) => {
            while list.last().is_some_and(|message| role(message) == "assistant") {
                list.pop();
            }
            if list.is_empty() {
                return problem("The conversation asks nothing", "Give it a message of the user's");
            }
            Ok(Some(Part::Messages(list)))
        }
        other => Ok(other),
    }
}

/// A conversation in ShareGPT's words or in those of chat templates.
fn conversation(map: &mut Map<String, Value>, name: &str) -> Result<Option<Part>, Problem> {
    match take(map, name).map(messages) {
        None => Ok(None),
        Some(Value::Array(list)) => checked(list, name).map(|list| Some(Part::Messages(list))),
        Some(other) => problem(format!("\"{name}\" is {}", kind_of(&other)), "It must be a list of messages"),
    }
}

/// A conversation without its last message, which must be an answer, and that message.
fn last_answer(mut list: Vec<Message>) -> Result<(Vec<Message>, Message), Problem> {
    match list.pop() {
        Some(answer) if role(&answer) == "assistant" => Ok((list, answer)),
        _ => problem("The conversation does not end with an answer", "End it with the assistant's message"),
    }
}

fn role(message: &Message) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}
