//! Rows from JSONL, a JSON array or CSV, read in chunks; a malformed row is reported and the rest stays usable.

use std::mem::take;

use serde_json::{Map, Value};

use super::columns::Columns;
use super::fields::Fields;
use super::row::{KEYS, Problem, excerpt, excerpt_of, parse_object, parse_row, too_long};
use super::table::{Table, TableRow, is_table};
use crate::data::count::none_of;
use crate::data::kind::Kind;
use crate::data::record::{LineError, Record};
use crate::data::sample::{Sample, parse_sample};
use crate::error::{Error, Result};
use crate::files::Packing;

/// Reads the rows of a file that comes in chunks; only the current row's bytes are kept.
pub struct RowReader<R> {
    file: String,
    wanted: Wanted,
    parse: Parse<R>,
    stage: Stage,
    table: Table,
    /// Bytes of the row that is not complete yet (in the first stage: of the file's beginning).
    row_bytes: Vec<u8>,
    /// The row has more bytes than are kept of it.
    too_long: bool,
    /// Line of the next byte, from 1.
    line: usize,
    /// Line on which `row_bytes` begins, or the row's number.
    row_line: usize,
    /// Line on which the array begins.
    array_line: usize,
    /// True if rows are told by their numbers, from 1: the array's first row is in its first line, which may have all.
    numbered: bool,
    rows: usize,
    records: Vec<R>,
    errors: Vec<LineError>,
    /// Errors in all, of which `errors` are the first.
    n_errors: usize,
    /// Bytes of rows that may be kept, and that are.
    room: u64,
    kept: u64,
    beyond: usize,
}

/// A reader of preference pairs.
pub type PairReader = RowReader<Record>;

/// A reader of rows of another kind.
pub type SampleReader = RowReader<Sample>;

/// Function that makes a row of an object, given its number from 0 and its line.
type Parse<R> = Box<dyn Fn(Map<String, Value>, usize, usize) -> std::result::Result<R, Problem>>;

/// Words for the rows that are wanted, for messages.
#[derive(Clone, Copy)]
pub(in crate::data) struct Wanted {
    /// Noun of a row.
    pub(in crate::data) noun: &'static str,
    /// Columns that a file should have.
    pub(in crate::data) columns: &'static str,
    /// Advice for a row that is not usable.
    pub(in crate::data) keys: &'static str,
}

/// Errors that are kept one by one; more are only counted.
const MAX_ERRORS: usize = 10_000;
/// Bytes of a row at most: what has no end would take the rest of the file.
pub(in crate::data) const MAX_ROW: usize = 16 << 20;

/// Position of the reader within the structure of the file.
#[derive(Clone, Copy)]
enum Stage {
    /// In the first four bytes, which tell other formats apart.
    Magic,
    /// In the blanks before the first row.
    Start,
    /// In JSONL: one row a line.
    Lines,
    /// In a JSON array: rows at depth 0 of it, apart by commas.
    Array { depth: usize, in_string: bool, escaped: bool },
    /// In a table, which has its own lines.
    Table,
    /// After the end of the array.
    Done,
}

impl RowReader<Record> {
    /// A reader at the beginning of a file; `file` is what messages call it.
    pub fn new(file: &str) -> Self {
        let wanted = Wanted { noun: "pair", columns: "\"prompt\", \"chosen\" and \"rejected\"", keys: KEYS };
        Self::of(file, wanted, Box::new(|object, row, line| parse_row(object, row, line, None)))
    }

    /// Reads these columns; those that TRL knows, or none, are read as they are named.
    pub fn with_columns(mut self, columns: &Columns) -> Self {
        let columns = Some(columns.clone()).filter(Columns::are_renamed);
        self.parse = Box::new(move |object, row, line| parse_row(object, row, line, columns.as_ref()));
        self
    }
}

impl RowReader<Sample> {
    /// A reader at the beginning of a file whose rows are of this kind and have these columns.
    pub fn new(file: &str, kind: Kind, fields: &Fields) -> Self {
        let fields = fields.clone();
        Self::of(file, kind.wanted(), Box::new(move |object, row, line| parse_sample(object, row, line, kind, &fields)))
    }
}

impl<R> RowReader<R> {
    fn of(file: &str, wanted: Wanted, parse: Parse<R>) -> Self {
        Self {
            file: file.to_owned(),
            wanted,
            parse,
            stage: Stage::Magic,
            table: Table::new(1),
            row_bytes: Vec::new(),
            too_long: false,
            line: 1,
            row_line: 1,
            array_line: 0,
            numbered: false,
            rows: 0,
            records: Vec::new(),
            errors: Vec::new(),
            n_errors: 0,
            room: u64::MAX,
            kept: 0,
            beyond: 0,
        }
    }

    /// Keeps usable rows up to so many bytes of the file; later ones are checked and counted, but not kept.
    pub fn with_room(mut self, bytes: u64) -> Self {
        self.room = bytes;
        self
    }

    /// The usable rows so far.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// Rows so far, blank ones not counted.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Errors so far: rows that cannot be used, and an array without an end.
    pub fn n_errors(&self) -> usize {
        self.n_errors
    }

    /// Usable rows so far for which there was no room.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// Takes the next bytes of the file, in chunks of any size; an error says that it is in another format.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        if matches!(self.stage, Stage::Magic) {
            let (head, rest) = bytes.split_at(bytes.len().min(4 - self.row_bytes.len()));
            self.row_bytes.extend(head);
            bytes = rest;
            if self.row_bytes.len() < 4 {
                return Ok(());
            }
            self.leave_magic()?;
        }
        self.feed(bytes);
        Ok(())
    }

    /// Ends the file and returns its rows and those that cannot be used; an error if there is no usable one.
    pub fn finish(mut self) -> Result<(Vec<R>, Vec<LineError>)> {
        self.end()?;
        if !self.records.is_empty() {
            return Ok(self.into_rows());
        }
        Err(match self.errors.first() {
            None => Error::input(
                format!("The file has no {}s", self.wanted.noun),
                format!("Each line needs one JSON object, with {}", self.wanted.columns),
                self.file,
            ),
            Some(first) => Error::input(
                format!("{} be used; the first: {}", none_of(self.rows, "row"), first.what),
                first.fix.clone(),
                format!("{}, line {}", self.file, first.line),
            ),
        })
    }

    /// The rows so far, of which there may be none, and those that cannot be used.
    pub fn into_rows(self) -> (Vec<R>, Vec<LineError>) {
        (self.records, self.errors)
    }

    /// Takes in that nothing more comes; the last row may have no line's end.
    pub fn end(&mut self) -> Result<()> {
        if matches!(self.stage, Stage::Magic) {
            self.leave_magic()?;
        }
        if matches!(self.stage, Stage::Table) {
            if let Some(row) = self.table.end() {
                self.take_table_row(row);
            }
        } else if !matches!(self.stage, Stage::Done) {
            self.end_row();
        }
        if matches!(self.stage, Stage::Array { .. }) {
            let cut = Problem::new("The array has no end", "The file was probably cut off: fetch it again");
            self.report(self.line, cut, String::new());
        }
        self.stage = Stage::Done;
        Ok(())
    }

    /// Refuses other formats by their first bytes, and takes a byte order mark away.
    fn leave_magic(&mut self) -> Result<()> {
        let head = take(&mut self.row_bytes);
        let packed = [&b"PK\x03\x04"[..], b"BZh", b"\xfd7zX", b"7z\xbc\xaf"];
        let other = if head.starts_with(b"PAR1") {
            Some("a Parquet file")
        } else if Packing::of(&head).is_some() || packed.iter().any(|magic| head.starts_with(magic)) {
            Some("a compressed file")
        } else if head.starts_with(b"ARRO") {
            Some("an Arrow file")
        } else if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            Some("text in UTF-16")
        } else {
            None
        };
        if let Some(other) = other {
            return Err(Error::input(
                format!("This is {other}"),
                "Save it as JSON Lines in UTF-8, for example with `dataset.to_json`; gzip or zstd may pack it",
                self.file.clone(),
            ));
        }
        self.stage = Stage::Start;
        self.feed(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head));
        Ok(())
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.stage {
                Stage::Lines => self.feed_line(bytes),
                Stage::Table => self.feed_table(bytes),
                Stage::Start if byte == b'[' => {
                    self.array_line = self.line;
                    self.stage = Stage::Array { depth: 0, in_string: false, escaped: false };
                    rest
                }
                Stage::Start if is_table(&self.file, byte) => {
                    self.table = Table::new(self.line);
                    self.stage = Stage::Table;
                    bytes
                }
                Stage::Start if !byte.is_ascii_whitespace() => {
                    self.stage = Stage::Lines;
                    self.row_line = self.line;
                    bytes
                }
                Stage::Array { depth, in_string, escaped } => {
                    self.stage = self.feed_array(byte, depth, in_string, escaped);
                    rest
                }
                Stage::Done if !byte.is_ascii_whitespace() => {
                    let fix = "Keep one array, or use one object a line without an array";
                    self.report(
                        self.line,
                        Problem::new("There is text after the end of the array", fix),
                        excerpt(bytes),
                    );
                    return;
                }
                Stage::Magic | Stage::Start | Stage::Done => rest,
            };
            if byte == b'\n' && !matches!(self.stage, Stage::Lines | Stage::Table) {
                self.line += 1;
            }
        }
    }

    /// Takes the rest of a line and returns the bytes after it.
    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.keep(bytes);
            return &[];
        };
        let (row, rest) = bytes.split_at(end);
        self.keep(row);
        self.end_row();
        self.line += 1;
        self.row_line = self.line;
        rest.strip_prefix(b"\n").unwrap_or(rest)
    }

    /// Takes a row of a table, or what there is of it, and returns the bytes after it.
    fn feed_table<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (rest, row) = self.table.read(bytes);
        if let Some(row) = row {
            self.take_table_row(row);
        }
        rest
    }

    /// Takes one byte of an array and returns the next stage.
    fn feed_array(&mut self, byte: u8, mut depth: usize, mut in_string: bool, mut escaped: bool) -> Stage {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            match byte {
                b']' if depth == 0 => {
                    self.end_row();
                    return Stage::Done;
                }
                b',' if depth == 0 => {
                    self.end_row();
                    return Stage::Array { depth, in_string, escaped };
                }
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.row_bytes.is_empty() {
            if self.rows == 0 {
                self.numbered = self.line == self.array_line;
            }
            self.row_line = if self.numbered { self.rows + 1 } else { self.line };
        }
        if !self.row_bytes.is_empty() || !byte.is_ascii_whitespace() {
            self.keep(&[byte]);
        }
        Stage::Array { depth, in_string, escaped }
    }

    /// Adds bytes to the row at hand, up to the most that one may have.
    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_ROW - self.row_bytes.len();
        self.too_long |= bytes.len() > room;
        self.row_bytes.extend(bytes.iter().take(room));
    }

    /// Parses the bytes of a complete row; a blank one is no row.
    fn end_row(&mut self) {
        let (bytes, is_cut) = (take(&mut self.row_bytes), take(&mut self.too_long));
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return;
        }
        let object = if is_cut { too_long() } else { parse_object(bytes, self.wanted.keys) };
        self.take_row(bytes, self.row_line, object);
    }

    fn take_table_row(&mut self, row: TableRow) {
        self.take_row(&row.text, row.line, row.cells);
    }

    /// Takes a row that was read as an object from these bytes.
    fn take_row(&mut self, bytes: &[u8], line: usize, object: std::result::Result<Map<String, Value>, Problem>) {
        let row = self.rows;
        self.rows += 1;
        match object.and_then(|object| (self.parse)(object, row, line)) {
            Ok(record) => self.keep_record(record, bytes.len()),
            Err(problem) => self.report(line, problem, excerpt(bytes)),
        }
    }

    /// Takes a row of a table that is no text, whose line is its number from 1; `bytes` is what it takes. None stands
    /// for one that is too long.
    pub fn push_row(&mut self, object: Option<Map<String, Value>>, bytes: usize) {
        let (row, line) = (self.rows, self.rows + 1);
        self.rows += 1;
        let shown = object.as_ref().map(excerpt_of).unwrap_or_default();
        let object = object.map_or_else(too_long, Ok);
        match object.and_then(|object| (self.parse)(object, row, line)) {
            Ok(record) => self.keep_record(record, bytes),
            Err(problem) => self.report(line, problem, shown),
        }
    }

    /// Takes in that the file is damaged here, and that the next `rows` rows, if they are known, cannot be read.
    pub fn damaged(&mut self, error: &Error, rows: usize) {
        let problem = match error {
            Error::Input(error) => Problem::new(error.what.clone(), error.fix.clone()),
            other => Problem::new(other.to_string(), "Try it again"),
        };
        let line = if rows > 0 { self.rows + 1 } else { self.line };
        self.report(line, problem, String::new());
        self.rows = self.rows.saturating_add(rows);
    }

    fn keep_record(&mut self, record: R, bytes: usize) {
        if self.kept.saturating_add(bytes as u64) > self.room {
            self.beyond += 1;
            return;
        }
        self.kept += bytes as u64;
        self.records.push(record);
    }

    /// Counts an error, and keeps it if there is room.
    fn report(&mut self, line: usize, Problem { what, fix }: Problem, excerpt: String) {
        self.n_errors += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(LineError { line, what, fix, excerpt });
        }
    }
}
