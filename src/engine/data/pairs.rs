//! Rows as the session holds them, pairs or others: what was read, what was skipped, and their tokens for a model.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::problems::{kinds_of, line_problem};
use super::views::{sample_texts, texts_of};
use crate::data::{
    AuditRow, Example, Fields, Kind, Method, PairsFile, Part, Record, Sample, Shape, SplitBy, Tokenizer, audit,
    held_out, other_purpose, prompt_example, tokenize_record,
};
use crate::engine::protocol::{LineProblem, Mapping, PairsInfo, Problem, ProblemKind, SkipReason};
use crate::engine::stats;
use crate::error::{Error, Result};
use crate::platform::{ByteSource, MemorySource};
use crate::train::{Options, RowTokenizer, RowTokens, Rows, TrainConfig};

/// Usable rows in memory.
pub struct Pairs {
    /// The file's name.
    pub name: String,
    /// The usable rows; `row` of each is its index here.
    pub rows: Rows,
    /// Kind of the rows.
    pub kind: Kind,
    /// Rows from here on are held out; none to split them by `eval_split`.
    pub held_out_from: Option<usize>,
    bytes: u64,
    lines: usize,
    beyond: usize,
    problems: Vec<LineProblem>,
    problem_count: usize,
    problem_kinds: Vec<ProblemKind>,
    mapping: Mapping,
    columns: Vec<String>,
    pub(super) flags: Vec<Vec<String>>,
    pub(super) skipped: BTreeSet<usize>,
    swapped: bool,
    /// Rows that were edited, and the number of changes that no file has.
    edited: BTreeSet<usize>,
    edits: usize,
    shape: Option<Shape>,
    /// Groups of rows with the same prompt, once they are known.
    groups: Vec<usize>,
    /// Number of pairs that the rows make, once it is known.
    pub(super) n_to_make: OnceCell<usize>,
    tokens: Option<Tokens>,
}

/// Tokens of rows, made in one way.
struct Tokens {
    way: Way,
    /// One entry for each row; none where it was always skipped.
    rows: Vec<Option<RowTokens>>,
}

/// Everything that a row's tokens depend on: tokenizer, method, length, and what fine-tuning learns of a row.
#[derive(PartialEq)]
struct Way(String, Method, usize, Option<(Option<bool>, bool)>);

impl Way {
    fn of(tokenizer: &Tokenizer, config: &TrainConfig) -> Self {
        let learnt = match &config.options {
            Options::Sft(_, options) => Some((options.completion_only_loss, options.assistant_only_loss)),
            _ => None,
        };
        Self(tokenizer.fingerprint(), config.method(), config.max_length, learnt)
    }
}

/// The rows of a run.
#[derive(Debug, Clone, Default)]
pub struct Split {
    /// Rows to train on.
    pub train: Vec<Example>,
    /// Rows to evaluate with.
    pub held_out: Vec<Example>,
    /// Rows that are longer than max_length and lose their end, in order.
    pub truncated: Vec<usize>,
    /// Rows that are skipped, in order, and why.
    pub dropped: Vec<(usize, SkipReason)>,
    /// Tokens of the longest sequence of every row, before cutting.
    pub lengths: Vec<u32>,
}

impl Split {
    /// Keeps at most `n` of the held-out rows, or all with 0.
    pub fn hold_out_at_most(mut self, n: usize) -> Self {
        keep_at_most(&mut self.held_out, n);
        self
    }
}

/// Keeps at most `n` of the held-out rows, or all with 0: some of every part of the file, which may be in an order.
pub fn keep_at_most(held_out: &mut Vec<Example>, n: usize) {
    // Rows are counted, because one may be several examples.
    let rows: BTreeSet<usize> = held_out.iter().map(|example| example.row).collect();
    let all = rows.len();
    if n > 0 && n < all {
        let spread = |(at, _): &(usize, usize)| (at + 1) * n / all > at * n / all;
        let kept: BTreeSet<usize> = rows.into_iter().enumerate().filter(spread).map(|(_, row)| row).collect();
        held_out.retain(|example| kept.contains(&example.row));
    }
}

/// Bytes of rows that are kept: a browser's memory is small.
const ROOM: u64 = if usize::BITS < 64 { 64 << 20 } else { 1 << 30 };
/// Rows that cannot be used and are listed; more are counted.
const SHOWN_PROBLEMS: usize = 1000;
/// Flag of rows that a person edited.
const EDITED: &str = "edited";
/// Rows between two looks at the inbox while tokenising.
const TOKENIZE_ROWS: usize = 64;

/// Bytes that are read, the first rows, and the usable and unusable rows so far; false stops reading.
type Reported<'a> = dyn FnMut(u64, &[Record], [usize; 2]) -> bool + 'a;

impl Pairs {
    /// Reads a file in chunks; `progress` gets the bytes, the first rows, and the usable and unusable rows so far, and
    /// may stop by returning false. The columns decide the kind of the rows; with a `mapping` they are pairs.
    pub async fn read(source: &dyn ByteSource, mapping: Option<Mapping>, progress: &mut Reported<'_>) -> Result<Self> {
        let file = PairsFile::open(source).await?;
        let columns = file.columns().to_vec();
        let kind = if mapping.is_some() { Kind::Pairs } else { Kind::of(&columns).unwrap_or(Kind::Pairs) };
        let mapping = mapping.unwrap_or_else(|| Mapping::guess(&columns));
        let (rows, errors, counts) = match kind {
            Kind::Pairs => {
                let reader = file
                    .read(&mapping, ROOM, &mut |done, reader| {
                        progress(done, reader.records(), [reader.records().len() + reader.beyond(), reader.n_errors()])
                    })
                    .await?;
                let counts = [reader.rows(), reader.beyond(), reader.n_errors()];
                // Rows with other columns than were guessed are shown, so that a person can say which they are.
                let (rows, errors) = if columns.is_empty() { reader.finish()? } else { reader.into_rows() };
                (Rows::Pairs(rows), errors, counts)
            }
            _ => {
                let fields = Fields::guess(&columns);
                let reader = file
                    .read_samples(kind, &fields, ROOM, &mut |done, reader| {
                        progress(done, &[], [reader.records().len() + reader.beyond(), reader.n_errors()])
                    })
                    .await?;
                let counts = [reader.rows(), reader.beyond(), reader.n_errors()];
                let (rows, errors) = reader.into_rows();
                (Rows::Samples(rows), errors, counts)
            }
        };
        let mut pairs = Self::of(file_name(source.name()), rows, kind, None);
        pairs.bytes = source.len();
        [pairs.lines, pairs.beyond, pairs.problem_count] = counts;
        pairs.problem_kinds = kinds_of(&errors);
        pairs.problems = errors.into_iter().take(SHOWN_PROBLEMS).map(line_problem).collect();
        pairs.mapping = mapping;
        pairs.columns = columns;
        pairs.shape = file.shape();
        Ok(pairs)
    }

    /// Rows that are in memory as two files, the second one's held out: the demo's, or those kept with a run.
    pub async fn from_parts(name: &str, train: &[u8], held_out: &[u8]) -> Result<Self> {
        // Whatever the rows were read from, they were written as JSONL.
        let source = |bytes: &[u8]| MemorySource { name: "pairs.jsonl".to_owned(), bytes: bytes.into() };
        let always = &mut |_: u64, _: &[Record], _: [usize; 2]| true;
        let mut pairs = Self::read(&source(train), None, always).await?;
        pairs.held_out_from = Some(pairs.rows.len());
        if !held_out.trim_ascii().is_empty() {
            let others = Self::read(&source(held_out), None, always).await?;
            let same = pairs.kind == others.kind;
            match (&mut pairs.rows, others.rows) {
                (Rows::Pairs(rows), Rows::Pairs(others)) => rows.extend(others),
                (Rows::Samples(rows), Rows::Samples(others)) if same => rows.extend(others),
                _ => {
                    let what = format!("The rows to train on are {}, those held out are not", pairs.kind.word());
                    return Err(Error::input(what, "Delete the run", name));
                }
            }
        }
        pairs.number_rows();
        pairs.look_for_oddities();
        pairs.name = name.to_owned();
        pairs.bytes = (train.len() + held_out.len()) as u64;
        pairs.lines = pairs.rows.len();
        Ok(pairs)
    }

    /// The rows that a run was stored with; none for an adapter that was trained elsewhere.
    pub async fn of_run(name: &str, [train, held_out]: [&[u8]; 2]) -> Result<Option<Self>> {
        match train.is_empty() && held_out.is_empty() {
            true => Ok(None),
            false => Self::from_parts(name, train, held_out).await.map(Some),
        }
    }

    /// Pairs that no file has yet.
    pub(super) fn of_rows(name: String, rows: Vec<Record>, held_out_from: Option<usize>) -> Self {
        let lines = rows.len();
        let columns = ["prompt", "chosen", "rejected"].map(str::to_owned).to_vec();
        let mapping = Mapping::guess(&columns);
        let pairs = Self::of(name, Rows::Pairs(rows), Kind::Pairs, held_out_from);
        Self { lines, edits: 1, columns, mapping, ..pairs }
    }

    /// The bundled pairs.
    pub async fn demo() -> Result<Self> {
        let train = include_bytes!("../../../assets/demo/pairs.jsonl");
        let held_out = include_bytes!("../../../assets/demo/held_out.jsonl");
        Self::from_parts("demo pairs", train, held_out).await
    }

    fn of(name: String, rows: Rows, kind: Kind, held_out_from: Option<usize>) -> Self {
        let mut pairs = Self {
            name,
            rows,
            kind,
            held_out_from,
            bytes: 0,
            lines: 0,
            beyond: 0,
            problems: Vec::new(),
            problem_count: 0,
            problem_kinds: Vec::new(),
            mapping: Mapping::default(),
            columns: Vec::new(),
            flags: Vec::new(),
            skipped: BTreeSet::new(),
            swapped: false,
            edited: BTreeSet::new(),
            edits: 0,
            shape: None,
            groups: Vec::new(),
            n_to_make: OnceCell::new(),
            tokens: None,
        };
        pairs.number_rows();
        pairs.look_for_oddities();
        pairs
    }

    fn number_rows(&mut self) {
        match &mut self.rows {
            Rows::Pairs(rows) => rows.iter_mut().enumerate().for_each(|(at, row)| row.row = at),
            Rows::Samples(rows) => rows.iter_mut().enumerate().for_each(|(at, row)| row.row = at),
        }
    }

    fn look_for_oddities(&mut self) {
        self.flags = match &self.rows {
            Rows::Pairs(rows) => {
                let texts: Vec<[String; 3]> = rows.iter().map(texts_of).collect();
                let rows: Vec<AuditRow<'_>> =
                    texts.iter().map(|[prompt, chosen, rejected]| AuditRow { prompt, chosen, rejected }).collect();
                audit(&rows).iter().map(|flags| flags.words()).collect()
            }
            Rows::Samples(rows) => {
                let word = |label: bool| if label { "liked" } else { "disliked" };
                rows.iter().map(|row| row.label.map(|label| word(label).to_owned()).into_iter().collect()).collect()
            }
        };
        for &row in &self.edited {
            self.flags[row].push(EDITED.to_owned());
        }
    }

    /// All rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Leaves rows out, or takes them back in.
    pub fn skip(&mut self, rows: &[usize], skip: bool) {
        for &row in rows.iter().filter(|&&row| row < self.rows.len()) {
            if skip {
                self.skipped.insert(row);
            } else {
                self.skipped.remove(&row);
            }
        }
        self.n_to_make.take();
    }

    /// Swaps chosen and rejected.
    pub fn swap(&mut self) {
        let Rows::Pairs(rows) = &mut self.rows else { return };
        rows.iter_mut().for_each(swap_answers);
        self.swapped = !self.swapped;
        self.tokens = None;
        self.look_for_oddities();
    }

    /// Swaps chosen and rejected of one row, as an edit of it.
    pub fn swap_row(&mut self, index: usize) -> Result<()> {
        let row = match &mut self.rows {
            Rows::Pairs(rows) => rows.get_mut(index),
            Rows::Samples(_) => None,
        };
        swap_answers(row.ok_or_else(no_row)?);
        self.edited(index);
        Ok(())
    }

    /// Changes the texts of a row, one for each of its passages; an error if they are of another row.
    pub fn edit(&mut self, index: usize, texts: [Vec<String>; 3]) -> Result<()> {
        let mut parts = match &mut self.rows {
            Rows::Pairs(rows) => rows.get_mut(index).map(parts_of),
            Rows::Samples(rows) => rows.get_mut(index).map(sample_parts),
        }
        .ok_or_else(no_row)?;
        let count = |part: &Option<&mut Part>| part.as_ref().map_or(0, |part| part.passages().len());
        if parts.iter().zip(&texts).any(|(part, texts)| count(part) != texts.len()) {
            return Err(Error::input("The edited texts are of another row", "Open the row again, then edit it", ""));
        }
        for (part, texts) in parts.iter_mut().zip(texts) {
            if let Some(part) = part {
                part.edit(texts);
            }
        }
        self.edited(index);
        Ok(())
    }

    /// Takes in that a row is another one now.
    fn edited(&mut self, index: usize) {
        self.edited.insert(index);
        self.edits += 1;
        // The row's tokens, and the rows that its prompt is like, are other ones now.
        if let Some(tokens) = &mut self.tokens {
            tokens.rows[index] = None;
        }
        self.groups.clear();
        self.n_to_make.take();
        self.look_for_oddities();
    }

    /// The rows that are not skipped, as JSON Lines.
    pub fn to_jsonl(&self) -> String {
        let rows = (0..self.rows.len()).filter(|row| !self.skipped.contains(row));
        rows.filter_map(|row| self.json(row)).map(|row| format!("{row}\n")).collect()
    }

    /// A row as a row of a file.
    fn json(&self, row: usize) -> Option<Value> {
        match &self.rows {
            Rows::Pairs(rows) => rows.get(row).map(Record::to_json),
            Rows::Samples(rows) => rows.get(row).map(Sample::to_json),
        }
    }

    /// Rows that hold a text in any of their own, whatever the case of its letters.
    pub fn find(&self, text: &str) -> Vec<usize> {
        let wanted = text.to_lowercase();
        let holds = |texts: [String; 3]| texts.iter().any(|text| text.to_lowercase().contains(&wanted));
        match &self.rows {
            Rows::Pairs(rows) => (0..rows.len()).filter(|&at| holds(texts_of(&rows[at]))).collect(),
            Rows::Samples(rows) => (0..rows.len()).filter(|&at| holds(sample_texts(&rows[at]))).collect(),
        }
    }

    /// Returns the summary of the file.
    pub fn info(&self) -> PairsInfo {
        let mut flags: Vec<(String, usize)> = Vec::new();
        for word in self.flags.iter().flatten() {
            match flags.iter_mut().find(|(known, _)| known == word) {
                Some((_, n)) => *n += 1,
                None => flags.push((word.clone(), 1)),
            }
        }
        PairsInfo {
            name: self.name.clone(),
            bytes: self.bytes,
            lines: self.lines,
            usable: self.rows.len(),
            beyond: self.beyond,
            skipped: self.skipped.len(),
            problems: self.problems.clone(),
            problem_count: self.problem_count,
            problem_kinds: self.problem_kinds.clone(),
            purpose: self.purpose(),
            kind: self.kind,
            shape: self.shape.map(|shape| shape.what().to_owned()),
            mapping: self.mapping.clone(),
            columns: self.columns.clone(),
            swapped: self.swapped,
            edits: self.edits,
            to_make: self.to_make(),
            flags,
            longer_wins: self.longer_wins(0..self.rows.len()),
            conversations: self.conversations(),
        }
    }

    /// Returns what the file is instead of pairs, if no row can be used and the columns tell.
    fn purpose(&self) -> Option<Problem> {
        let [what, fix] = other_purpose(&self.columns).filter(|_| self.rows.is_empty())?;
        Some(Problem::new(what, fix, &self.name))
    }

    /// True if the rows are conversations.
    pub fn conversations(&self) -> bool {
        let is = |part: &Option<Part>| matches!(part, Some(Part::Messages(_)));
        match &self.rows {
            Rows::Pairs(rows) => rows.first().is_some_and(|row| matches!(row.prompt, Part::Messages(_))),
            Rows::Samples(rows) => rows.first().is_some_and(|row| is(&row.prompt) || is(&row.completion)),
        }
    }

    /// Share of some rows whose preferred answer is longer; ties count half, and so does all that is no pair.
    pub fn longer_wins(&self, rows: impl Iterator<Item = usize>) -> f64 {
        let Rows::Pairs(records) = &self.rows else { return 0.5 };
        let chars = |part: &Part| part.text().chars().count();
        let lengths: Vec<[usize; 2]> = rows
            .filter_map(|row| records.get(row))
            .map(|record| [chars(&record.chosen), chars(&record.rejected)])
            .collect();
        stats::longer_wins(&lengths).unwrap_or(0.5)
    }

    /// A row's prompt as text; empty if it has none.
    pub fn prompt(&self, index: usize) -> String {
        let prompt = match &self.rows {
            Rows::Pairs(rows) => rows.get(index).map(|row| row.prompt.clone()),
            Rows::Samples(rows) => rows.get(index).and_then(|row| row.asked().prompt),
        };
        match prompt {
            Some(Part::Messages(list)) => {
                list.last().and_then(|message| message.get("content")).and_then(Value::as_str).unwrap_or("").to_owned()
            }
            Some(part) => part.text(),
            None => String::new(),
        }
    }

    /// The prompts of some rows, for answers that a model will write.
    pub fn prompts(&self, rows: impl Iterator<Item = usize>) -> Vec<Sample> {
        let sample = |at: usize| match &self.rows {
            Rows::Pairs(rows) => rows.get(at).map(Sample::prompt_of),
            Rows::Samples(rows) => rows.get(at).map(Sample::asked),
        };
        rows.filter_map(sample).collect()
    }

    /// An error if the first row does not become text by the template of a tokenizer.
    pub fn check_chat(&self, tokenizer: &Tokenizer) -> Result<()> {
        match &self.rows {
            Rows::Pairs(rows) => {
                rows.first().map_or(Ok(()), |row| tokenize_record(row, tokenizer, usize::MAX).map(drop))
            }
            Rows::Samples(rows) => rows.first().map_or(Ok(()), |row| prompt_example(&row.asked(), tokenizer).map(drop)),
        }
    }

    /// The tokens of all rows that are used, as a run with these settings takes them, split in two. `progress` may stop
    /// by returning false.
    pub async fn split(
        &mut self,
        tokenizer: &Tokenizer,
        config: &TrainConfig,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Split> {
        self.check_serves(config.method())?;
        let row_tokenizer = RowTokenizer::new(&self.rows, tokenizer, config)?;
        self.tokenize(&row_tokenizer, Way::of(tokenizer, config), progress).await?;
        let used: Vec<usize> = (0..self.rows.len()).filter(|row| !self.skipped.contains(row)).collect();
        let held_out_rows: BTreeSet<usize> = match self.held_out_from {
            Some(from) => used.iter().copied().filter(|&row| row >= from).collect(),
            None => {
                if self.groups.len() != self.rows.len() {
                    self.groups = self.rows.prompt_groups(SplitBy::Similar);
                }
                let groups: Vec<usize> = used.iter().map(|&row| self.groups[row]).collect();
                held_out(&groups, config.eval_split, config.seed)?.into_iter().map(|place| used[place]).collect()
            }
        };
        let Some(tokens) = &self.tokens else { return Ok(Split::default()) };
        let part = |held_out: bool| {
            let rows = used.iter().filter(|row| held_out_rows.contains(row) == held_out);
            let rows: Vec<&RowTokens> = rows.filter_map(|&row| tokens.rows[row].as_ref()).collect();
            row_tokenizer.examples(&rows)
        };
        let (train, held_out) = (part(false), part(true));
        let longest = |example: &Example| example.untruncated.iter().copied().max().unwrap_or(0);
        let examples = || train.examples.iter().chain(&held_out.examples);
        let is_cut = |e: &&Example| !config.method().is_online() && longest(e) > config.max_length;
        let truncated: BTreeSet<usize> = examples().filter(is_cut).map(|e| e.row).collect();
        let dropped = train.dropped.iter().chain(&held_out.dropped);
        let dropped: BTreeMap<usize, SkipReason> = dropped.map(|row| (row.row, (&row.reason).into())).collect();
        Ok(Split {
            truncated: truncated.into_iter().collect(),
            dropped: dropped.into_iter().collect(),
            lengths: examples().map(|e| longest(e) as u32).collect(),
            held_out: held_out.examples,
            train: row_tokenizer.some(train)?.examples,
        })
    }

    /// An error that says what the rows are and what they serve, if a method cannot train on them.
    fn check_serves(&self, method: Method) -> Result<()> {
        match self.kind {
            Kind::Pairs => Ok(()),
            _ => Kind::for_method(&self.columns, method, &self.name).map(drop),
        }
    }

    async fn tokenize(
        &mut self,
        row_tokenizer: &RowTokenizer<'_>,
        way: Way,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        let mut rows = match self.tokens.take().filter(|tokens| tokens.way == way) {
            Some(tokens) => tokens.rows,
            None => vec![None; self.rows.len()],
        };
        let mut done = Ok(());
        let missing = |row: &usize| rows[*row].is_none() && !self.skipped.contains(row);
        for (n, row) in (0..rows.len()).filter(missing).collect::<Vec<_>>().into_iter().enumerate() {
            if n % TOKENIZE_ROWS == 0 {
                crate::platform::host::yield_now().await;
                if !progress(row) {
                    done = Err(Error::Cancelled);
                    break;
                }
            }
            match row_tokenizer.row(&self.rows, row) {
                Ok(tokens) => rows[row] = Some(tokens),
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        self.tokens = Some(Tokens { way, rows });
        done
    }

    /// Some of the pairs; an error if the rows are none.
    pub fn some(&self, rows: &[Example]) -> Result<Vec<Record>> {
        match &self.rows {
            Rows::Pairs(records) => Ok(rows.iter().filter_map(|row| records.get(row.row)).cloned().collect()),
            Rows::Samples(_) => Err(Error::input(
                format!("The rows are {}, and no pairs", self.kind.word()),
                "Choose a file of pairs: models are compared by them",
                self.name.clone(),
            )),
        }
    }

    /// A pair; an error if there is none.
    pub fn record(&self, index: usize) -> Result<&Record> {
        match &self.rows {
            Rows::Pairs(rows) => rows.get(index),
            Rows::Samples(_) => None,
        }
        .ok_or_else(|| Error::input("There is no such pair", "Choose another", ""))
    }

    /// The two files of a run's rows: to train on, and held out.
    pub fn to_files(&self, split: &Split) -> [Vec<u8>; 2] {
        [&split.train, &split.held_out].map(|examples| {
            let mut bytes = Vec::new();
            let rows: BTreeSet<usize> = examples.iter().map(|example| example.row).collect();
            for row in rows {
                bytes.extend(self.json(row).map(|row| format!("{row}\n")).unwrap_or_default().into_bytes());
            }
            bytes
        })
    }
}

pub(super) fn no_row() -> Error {
    Error::input("There is no such row", "Choose another", "")
}

fn swap_answers(record: &mut Record) {
    std::mem::swap(&mut record.chosen, &mut record.rejected);
    record.scores = record.scores.map(|[chosen, rejected]| [rejected, chosen]);
}

fn parts_of(record: &mut Record) -> [Option<&mut Part>; 3] {
    [&mut record.prompt, &mut record.chosen, &mut record.rejected].map(Some)
}

fn sample_parts(sample: &mut Sample) -> [Option<&mut Part>; 3] {
    [sample.prompt.as_mut(), sample.completion.as_mut(), None]
}

fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_rows_of_every_part_of_the_file_stay_held_out() {
        let example = |row| Example {
            row,
            sequences: Vec::new(),
            starts: Vec::new(),
            untruncated: Vec::new(),
            labels: None,
            value: 0.0,
        };
        // KTO takes a pair apart: all chosen answers, then all rejected ones.
        let split = Split { held_out: (0..8).chain(0..8).map(example).collect(), ..Split::default() };
        let rows = |most| split.clone().hold_out_at_most(most).held_out.iter().map(|e| e.row).collect::<Vec<_>>();
        assert_eq!(rows(3), [2, 5, 7, 2, 5, 7], "both answers of three pairs");
        assert_eq!((rows(0).len(), rows(8).len(), rows(9).len()), (16, 16, 16), "all of them");
    }

    #[test]
    fn the_pairs_that_rows_make_are_counted_once_until_a_row_changes() {
        let rows = r#"[{"prompt": "Hi", "completion": "Hello!", "label": true},
            {"prompt": "Hi", "completion": "No.", "label": false}]"#;
        let source = MemorySource { name: "thumbs.json".to_owned(), bytes: rows.as_bytes().into() };
        let mut pairs = pollster::block_on(Pairs::read(&source, None, &mut |_: u64, _: &[Record], _: [usize; 2]| true))
            .expect("rows");
        assert_eq!(pairs.info().to_make, 1);
        assert_eq!(pairs.n_to_make.get(), Some(&1), "the next summary has it from this one");
        pairs.skip(&[1], true);
        assert_eq!(pairs.info().to_make, 0, "a skipped answer is in no pair");
        pairs.skip(&[1], false);
        assert_eq!(pairs.info().to_make, 1, "it is back");
        let other = [vec!["Bye".to_owned()], vec!["No.".to_owned()], Vec::new()];
        pairs.edit(1, other).expect("the texts of this row");
        assert_eq!(pairs.info().to_make, 0, "the two answer other prompts now");
    }
}
