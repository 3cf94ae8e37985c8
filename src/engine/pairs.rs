//! Pairs as the session holds them: what was read, what was left out, and their tokens for a model.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::protocol::{LineProblem, Mapping, PairRow, PairsInfo, Problem, ProblemKind, SeenSequence};
use super::{stats, writing};
use crate::data::{
    AuditRow, Dropped, LineError, PairReader, PairsFile, Part, Record, Shape, SplitBy, TokenPair, Tokenizer, audit,
    held_out, none_left, other_purpose, prompt_groups, read_pairs, tokenize_record,
};
use crate::error::{Error, Result};
use crate::platform::ByteSource;

/// Usable pairs in memory.
pub struct Pairs {
    /// The file's name.
    pub name: String,
    /// The usable rows; `row` of each is its index here.
    pub records: Vec<Record>,
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
    flags: Vec<Vec<String>>,
    skipped: BTreeSet<usize>,
    swapped: bool,
    shape: Option<Shape>,
    /// Groups of rows with the same prompt, once they are known.
    groups: Vec<usize>,
    tokens: Option<Tokens>,
}

/// Tokens of rows, for one tokenizer and length.
struct Tokens {
    tokenizer: String,
    max_length: usize,
    /// One entry for each row; none where it was always skipped.
    rows: Vec<Option<std::result::Result<TokenPair, Dropped>>>,
}

/// The pairs of a run.
#[derive(Debug, Clone, Default)]
pub struct Split {
    /// To train on.
    pub train: Vec<TokenPair>,
    /// To evaluate with.
    pub held_out: Vec<TokenPair>,
    /// Pairs that lose their end.
    pub n_truncated: usize,
    /// Pairs that are left out.
    pub n_dropped: usize,
    /// Tokens of the longer side of every pair, before cutting.
    pub lengths: Vec<u32>,
}

/// Bytes of rows that are kept: a browser's memory is small.
const ROOM: u64 = if usize::BITS < 64 { 64 << 20 } else { 1 << 30 };
/// Rows that cannot be used and are listed; more are counted.
const SHOWN_PROBLEMS: usize = 1000;
/// Kinds of such rows that are told, and lines of each.
const SHOWN_KINDS: usize = 50;
const SHOWN_LINES: usize = 8;
/// Characters of a text that a table shows.
const SHOWN_CHARS: usize = 120;
/// Rows between two looks at the inbox while tokenising.
const TOKENIZE_ROWS: usize = 64;

impl Pairs {
    /// Reads a file in chunks; `progress` gets the bytes and the reader so far, and may stop by returning false.
    pub async fn read(
        source: &dyn ByteSource,
        mapping: Option<Mapping>,
        progress: &mut dyn FnMut(u64, &PairReader) -> bool,
    ) -> Result<Self> {
        let file = PairsFile::open(source).await?;
        let columns = file.columns().to_vec();
        let mapping = mapping.unwrap_or_else(|| Mapping::guess(&columns));
        let reader = file.read(&mapping, ROOM, progress).await?;
        let (lines, beyond, problem_count) = (reader.rows(), reader.beyond(), reader.n_errors());
        // Rows with other columns than were guessed are shown, so that a person can say which they are.
        let (records, errors) = if columns.is_empty() { reader.finish()? } else { reader.into_rows() };
        let mut pairs = Self::of(file_name(source.name()), records, None);
        (pairs.bytes, pairs.lines, pairs.beyond, pairs.problem_count) = (source.len(), lines, beyond, problem_count);
        pairs.problem_kinds = kinds_of(&errors);
        pairs.problems = errors.into_iter().take(SHOWN_PROBLEMS).map(line_problem).collect();
        pairs.mapping = mapping;
        pairs.columns = columns;
        pairs.shape = file.shape();
        Ok(pairs)
    }

    /// Pairs that are in memory as two files, the second one's held out: the demo's, or those kept with a run.
    pub fn from_parts(name: &str, train: &[u8], held_out: &[u8]) -> Result<Self> {
        let (mut records, _) = read_pairs(train, name)?;
        let held_out_from = records.len();
        if !held_out.trim_ascii().is_empty() {
            records.extend(read_pairs(held_out, name)?.0);
        }
        let mut pairs = Self::of(name.to_owned(), records, Some(held_out_from));
        pairs.bytes = (train.len() + held_out.len()) as u64;
        pairs.lines = pairs.records.len();
        Ok(pairs)
    }

    /// The bundled pairs.
    pub fn demo() -> Result<Self> {
        let train = include_bytes!("../../assets/demo/pairs.jsonl");
        let held_out = include_bytes!("../../assets/demo/held_out.jsonl");
        Self::from_parts("demo pairs", train, held_out)
    }

    fn of(name: String, mut records: Vec<Record>, held_out_from: Option<usize>) -> Self {
        for (row, record) in records.iter_mut().enumerate() {
            record.row = row;
        }
        let mapping = Mapping {
            prompt: "prompt".to_owned(),
            chosen: "chosen".to_owned(),
            rejected: "rejected".to_owned(),
            system: String::new(),
        };
        let columns = vec![mapping.prompt.clone(), mapping.chosen.clone(), mapping.rejected.clone()];
        let mut pairs = Self {
            name,
            records,
            held_out_from,
            bytes: 0,
            lines: 0,
            beyond: 0,
            problems: Vec::new(),
            problem_count: 0,
            problem_kinds: Vec::new(),
            mapping,
            columns,
            flags: Vec::new(),
            skipped: BTreeSet::new(),
            swapped: false,
            shape: None,
            groups: Vec::new(),
            tokens: None,
        };
        pairs.look_for_oddities();
        pairs
    }

    fn look_for_oddities(&mut self) {
        let texts: Vec<[String; 3]> = self
            .records
            .iter()
            .map(|record| [&record.prompt, &record.chosen, &record.rejected].map(Part::text))
            .collect();
        let rows: Vec<AuditRow<'_>> =
            texts.iter().map(|[prompt, chosen, rejected]| AuditRow { prompt, chosen, rejected }).collect();
        self.flags = audit(&rows).iter().map(|flags| flags.words()).collect();
    }

    /// Leaves rows out, or takes them back in.
    pub fn skip(&mut self, rows: &[usize], skip: bool) {
        for &row in rows.iter().filter(|&&row| row < self.records.len()) {
            if skip {
                self.skipped.insert(row);
            } else {
                self.skipped.remove(&row);
            }
        }
    }

    /// Exchanges chosen and rejected.
    pub fn swap(&mut self) {
        for record in &mut self.records {
            std::mem::swap(&mut record.chosen, &mut record.rejected);
            record.scores = record.scores.map(|[chosen, rejected]| [rejected, chosen]);
        }
        self.swapped = !self.swapped;
        self.tokens = None;
        self.look_for_oddities();
    }

    /// What a table shows of some rows.
    pub fn rows(&self, range: std::ops::Range<usize>) -> Vec<PairRow> {
        range.filter_map(|i| Some((i, self.records.get(i)?))).map(|(i, record)| self.row(i, record)).collect()
    }

    fn row(&self, i: usize, record: &Record) -> PairRow {
        let skipped = self.skipped.contains(&i);
        PairRow { flags: self.flags.get(i).cloned().unwrap_or_default(), skipped, ..preview(record) }
    }

    /// What is known of the file.
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
            usable: self.records.len(),
            beyond: self.beyond,
            skipped: self.skipped.len(),
            problems: self.problems.clone(),
            problem_count: self.problem_count,
            problem_kinds: self.problem_kinds.clone(),
            purpose: self.purpose(),
            shape: self.shape.map(|shape| shape.what().to_owned()),
            mapping: self.mapping.clone(),
            columns: self.columns.clone(),
            swapped: self.swapped,
            flags,
            longer_wins: self.longer_wins(0..self.records.len()),
            conversations: self.conversations(),
        }
    }

    /// What the file is instead of pairs, if that can be told.
    fn purpose(&self) -> Option<Problem> {
        let [what, fix] = other_purpose(&self.columns).filter(|_| self.records.is_empty())?;
        Some(Problem { what: what.to_owned(), fix: fix.to_owned(), at: self.name.clone() })
    }

    /// True if the rows are conversations.
    pub fn conversations(&self) -> bool {
        self.records.first().is_some_and(|record| matches!(record.prompt, Part::Messages(_)))
    }

    /// Share of some rows whose preferred answer is longer; ties count half.
    pub fn longer_wins(&self, rows: impl Iterator<Item = usize>) -> f64 {
        let chars = |part: &Part| part.text().chars().count();
        let lengths: Vec<[usize; 2]> = rows
            .filter_map(|row| self.records.get(row))
            .map(|record| [chars(&record.chosen), chars(&record.rejected)])
            .collect();
        stats::longer_wins(&lengths).unwrap_or(0.5)
    }

    /// A pair's prompt as text.
    pub fn prompt(&self, index: usize) -> String {
        match self.records.get(index).map(|record| &record.prompt) {
            Some(Part::Messages(list)) => {
                list.last().and_then(|message| message.get("content")).and_then(Value::as_str).unwrap_or("").to_owned()
            }
            Some(part) => part.text(),
            None => String::new(),
        }
    }

    /// The tokens of all pairs that are used, split in two. `progress` may stop by returning false.
    pub async fn split(
        &mut self,
        tokenizer: &Tokenizer,
        max_length: usize,
        eval_split: f64,
        seed: u64,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Split> {
        self.tokenize(tokenizer, max_length, progress).await?;
        let used: Vec<usize> = (0..self.records.len()).filter(|row| !self.skipped.contains(row)).collect();
        let held_out_rows: BTreeSet<usize> = match self.held_out_from {
            Some(from) => used.iter().copied().filter(|&row| row >= from).collect(),
            None => {
                if self.groups.len() != self.records.len() {
                    self.groups = prompt_groups(&self.records, SplitBy::Similar);
                }
                let groups: Vec<usize> = used.iter().map(|&row| self.groups[row]).collect();
                held_out(&groups, eval_split, seed)?.into_iter().map(|place| used[place]).collect()
            }
        };
        let Some(tokens) = &self.tokens else { return Ok(Split::default()) };
        let (mut split, mut dropped) = (Split::default(), Vec::new());
        for result in used.iter().filter_map(|&row| tokens.rows[row].as_ref()) {
            let pair = match result {
                Ok(pair) => pair,
                Err(reason) => {
                    dropped.push(reason.clone());
                    continue;
                }
            };
            let longest = pair.untruncated[0].max(pair.untruncated[1]);
            split.lengths.push(longest as u32);
            split.n_truncated += usize::from(longest > max_length);
            if held_out_rows.contains(&pair.row) {
                split.held_out.push(pair.clone());
            } else {
                split.train.push(pair.clone());
            }
        }
        split.n_dropped = dropped.len();
        match split.train.is_empty() {
            true => Err(none_left(&dropped, max_length)),
            false => Ok(split),
        }
    }

    async fn tokenize(
        &mut self,
        tokenizer: &Tokenizer,
        max_length: usize,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        let fingerprint = tokenizer.fingerprint();
        let known = |tokens: &Tokens| tokens.tokenizer == fingerprint && tokens.max_length == max_length;
        let mut rows = match self.tokens.take().filter(known) {
            Some(tokens) => tokens.rows,
            None => vec![None; self.records.len()],
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
            match tokenize_record(&self.records[row], tokenizer, max_length) {
                Ok(tokens) => rows[row] = Some(tokens),
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        self.tokens = Some(Tokens { tokenizer: fingerprint, max_length, rows });
        done
    }

    /// A pair as the model sees it.
    pub fn seen(
        &self,
        index: usize,
        tokenizer: &Tokenizer,
        max_length: usize,
    ) -> std::result::Result<[SeenSequence; 2], Problem> {
        let record = self.record(index).map_err(|e| Problem::from(&e))?;
        // Nothing is cut here, so that what would be cut can be shown.
        let pair = match tokenize_record(record, tokenizer, usize::MAX).map_err(|e| Problem::from(&e))? {
            Ok(pair) => pair,
            Err(dropped) => {
                return Err(Problem {
                    what: format!("This pair is left out: {}", dropped.reason),
                    fix: "Correct the row, or skip it".to_owned(),
                    at: format!("line {}", record.line),
                });
            }
        };
        let side = |ids: &[u32]| -> Result<SeenSequence> {
            Ok(SeenSequence {
                tokens: writing::pieces(ids, tokenizer)?,
                prompt_len: pair.prompt_len,
                cut: ids.len().saturating_sub(max_length),
            })
        };
        match (side(&pair.chosen), side(&pair.rejected)) {
            (Ok(chosen), Ok(rejected)) => Ok([chosen, rejected]),
            (Err(e), _) | (_, Err(e)) => Err(Problem::from(&e)),
        }
    }

    /// A row; an error if there is none.
    pub fn record(&self, index: usize) -> Result<&Record> {
        self.records.get(index).ok_or_else(|| Error::input("There is no such pair", "Choose another", ""))
    }

    /// The two files of a run's pairs: to train on, and held out.
    pub fn to_files(&self, split: &Split) -> [Vec<u8>; 2] {
        [&split.train, &split.held_out].map(|pairs| {
            let mut bytes = Vec::new();
            for record in pairs.iter().filter_map(|pair| self.records.get(pair.row)) {
                bytes.extend(record.to_json().to_string().into_bytes());
                bytes.push(b'\n');
            }
            bytes
        })
    }
}

/// What a table shows of a row, before all rows are known.
pub fn preview(record: &Record) -> PairRow {
    let texts = [&record.prompt, &record.chosen, &record.rejected].map(Part::text);
    let chars = texts.each_ref().map(|text| text.chars().count());
    let [prompt, chosen, rejected] = texts.map(|text| text.chars().take(SHOWN_CHARS).collect());
    let (line, scores) = (record.line, record.scores);
    PairRow { line, prompt, chosen, rejected, chars, flags: Vec::new(), skipped: false, scores }
}

fn line_problem(error: LineError) -> LineProblem {
    LineProblem { line: error.line, what: error.what, fix: error.fix, excerpt: error.excerpt }
}

/// Rows by what is wrong with them. Numbers do not count: a place within the row tells no other kind.
fn kinds_of(errors: &[LineError]) -> Vec<ProblemKind> {
    let mut places: HashMap<(String, &str), usize> = HashMap::new();
    let mut kinds: Vec<ProblemKind> = Vec::new();
    for error in errors {
        let what = error.what.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let place = *places.entry((what, error.fix.as_str())).or_insert_with(|| {
            let first = line_problem(error.clone());
            kinds.push(ProblemKind { count: 0, lines: Vec::new(), first });
            kinds.len() - 1
        });
        kinds[place].count += 1;
        if kinds[place].lines.len() < SHOWN_LINES {
            kinds[place].lines.push(error.line);
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    kinds.truncate(SHOWN_KINDS);
    kinds
}

fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}
