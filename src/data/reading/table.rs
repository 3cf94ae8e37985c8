//! Rows of a table as text, which comes in chunks: CSV (RFC 4180), also with semicolons or tabs between the cells.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::reader::MAX_ROW;
use super::row::{Problem, problem};

/// Delimiters of cells. A table uses the one that its first line has most of.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// Blanks that may precede a table. A tab is not among them, since it ends an empty first cell.
const BLANK: &[u8] = b" \r\n";

/// A table that is being read; its first row names the columns.
pub(in crate::data) struct Table {
    /// None until the first line is whole.
    reader: Option<Reader>,
    delimiter: u8,
    first: Vec<u8>,
    /// Cells of the row at hand, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    n_text: usize,
    n_ends: usize,
    names: Option<Vec<String>>,
    /// Line of the next byte, from 1, and of the row at hand.
    line: usize,
    row_line: usize,
    /// Bytes of the row at hand were read.
    inside: bool,
    /// A row had no end: nothing after it can be told apart.
    lost: bool,
}

/// A row, or why it cannot be used.
pub(in crate::data) struct TableRow {
    /// Line on which it begins, from 1.
    pub(in crate::data) line: usize,
    /// Text of its cells, with delimiters between them.
    pub(in crate::data) text: Vec<u8>,
    /// The cells by the names of their columns; empty ones are left out, as `datasets` reads them, and so are those
    /// without a name: the numbers that pandas puts first.
    pub(in crate::data) cells: Result<Map<String, Value>, Problem>,
}

/// True for a file with this name whose text begins so: rows that are kept with a run are JSON, whatever their name.
pub(in crate::data) fn is_table(file: &str, first: u8) -> bool {
    let file = file.to_ascii_lowercase();
    (file.ends_with(".csv") || file.ends_with(".tsv")) && !BLANK.contains(&first) && !b"{[".contains(&first)
}

/// Names of the columns of a table that begins so, and its first row; none if the file is no table.
pub(in crate::data) fn table_head(file: &str, head: &[u8]) -> Option<(Vec<String>, Map<String, Value>)> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let begin = head.iter().position(|byte| !BLANK.contains(byte))?;
    let (mut table, mut rest) = (Table::new(1), &head[begin..]);
    if !is_table(file, rest[0]) {
        return None;
    }
    let mut row = None;
    while row.is_none() && !rest.is_empty() {
        (rest, row) = table.read(rest);
    }
    let row = row.or_else(|| table.end()).and_then(|row| row.cells.ok()).unwrap_or_default();
    Some((table.names?.into_iter().filter(|name| !name.is_empty()).collect(), row))
}

fn no_end() -> Result<Map<String, Value>, Problem> {
    problem("The row has no end", "Close the quotes around its cells, and double those inside of them")
}

impl Table {
    /// A table whose first byte is on this line of its file.
    pub(in crate::data) fn new(line: usize) -> Self {
        Self {
            reader: None,
            delimiter: b',',
            first: Vec::new(),
            text: vec![0; 1024],
            ends: vec![0; 16],
            n_text: 0,
            n_ends: 0,
            names: None,
            line,
            row_line: line,
            inside: false,
            lost: false,
        }
    }

    /// Takes bytes to the end of a row at most. Returns those that are left, and the row if it is whole.
    pub(in crate::data) fn read<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], Option<TableRow>) {
        if self.reader.is_some() {
            return self.read_rows(bytes);
        }
        let end = bytes.iter().position(|byte| b"\r\n".contains(byte));
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        self.first.extend(line);
        if end.is_some() || self.first.len() > MAX_ROW {
            let row = self.begin();
            return (rest, row);
        }
        (rest, None)
    }

    /// Takes in that nothing more comes; the last row may have no line's end.
    pub(in crate::data) fn end(&mut self) -> Option<TableRow> {
        let row = if self.reader.is_none() { self.begin() } else { None };
        if row.is_some() || self.lost || !self.inside {
            return row;
        }
        // In quotes, a line's end does not end the row.
        if self.read_cells(b"\n").1 {
            return self.take_row();
        }
        self.read_cells(&[]);
        Some(self.lose())
    }

    /// Begins to read, with the first line.
    fn begin(&mut self) -> Option<TableRow> {
        let first = std::mem::take(&mut self.first);
        let most = DELIMITERS.into_iter().rev().max_by_key(|d| first.iter().filter(|byte| *byte == d).count());
        self.delimiter = most.unwrap_or(b',');
        self.reader = Some(ReaderBuilder::new().delimiter(self.delimiter).build());
        self.read_rows(&first).1
    }

    fn read_rows<'a>(&mut self, mut bytes: &'a [u8]) -> (&'a [u8], Option<TableRow>) {
        if !self.inside {
            // Blank lines between rows are no rows.
            while let Some((&end @ (b'\n' | b'\r'), rest)) = bytes.split_first() {
                self.line += usize::from(end == b'\n');
                bytes = rest;
            }
            self.row_line = self.line;
        }
        if bytes.is_empty() || self.lost {
            return (&[], None);
        }
        let (used, whole) = self.read_cells(bytes);
        let (taken, rest) = bytes.split_at(used);
        self.line += taken.iter().filter(|&&byte| byte == b'\n').count();
        self.inside = true;
        if whole {
            return (rest, self.take_row());
        }
        if self.n_text + self.n_ends <= MAX_ROW {
            return (rest, None);
        }
        (&[], Some(self.lose()))
    }

    /// The row that has no end; no other comes after it.
    fn lose(&mut self) -> TableRow {
        self.lost = true;
        let (mut text, ends) = (std::mem::take(&mut self.text), std::mem::take(&mut self.ends));
        text.truncate(self.n_text);
        let text = self.joined(&text, &ends[..self.n_ends]);
        TableRow { line: self.row_line, text, cells: no_end() }
    }

    /// Takes bytes, none for the end of the file. Returns how many, and whether the row is whole.
    fn read_cells(&mut self, bytes: &[u8]) -> (usize, bool) {
        let Some(reader) = &mut self.reader else { return (bytes.len(), false) };
        let mut used = 0;
        loop {
            let (text, ends) = (&mut self.text[self.n_text..], &mut self.ends[self.n_ends..]);
            let (result, read, written, ended) = reader.read_record(&bytes[used..], text, ends);
            used += read;
            self.n_text += written;
            self.n_ends += ended;
            match result {
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => return (used, true),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return (used, false),
            }
            // No bytes would mean the end of the file.
            if !bytes.is_empty() && used == bytes.len() {
                return (used, false);
            }
        }
    }

    /// The row that is whole; none for one without any text, and for the names of the columns if they can be read.
    fn take_row(&mut self) -> Option<TableRow> {
        let text = self.text[..self.n_text].to_vec();
        let ends = self.ends[..self.n_ends].to_vec();
        (self.n_text, self.n_ends) = (0, 0);
        self.inside = false;
        let row = |cells| Some(TableRow { line: self.row_line, text: self.joined(&text, &ends), cells });
        let utf8: Result<Vec<&str>, _> = cells(&text, &ends).map(str::from_utf8).collect();
        let wrong = || problem("The row is not valid UTF-8", "Save the file as UTF-8");
        let Some(names) = &self.names else {
            let row = if utf8.is_err() { row(wrong()) } else { None };
            let names = cells(&text, &ends).map(|name| String::from_utf8_lossy(name).trim().to_owned());
            self.names = Some(names.collect());
            return row;
        };
        if text.trim_ascii().is_empty() {
            return None;
        }
        row(match utf8 {
            Err(_) => wrong(),
            Ok(cells) if cells.len() != names.len() => problem(
                format!("The row has {} cells, but the first row names {} columns", cells.len(), names.len()),
                "Put cells that hold commas, quotes or line breaks in quotes",
            ),
            Ok(cells) => {
                let filled = names.iter().zip(cells).filter(|(name, cell)| !name.is_empty() && !cell.is_empty());
                Ok(filled.map(|(name, cell)| (name.clone(), Value::from(cell))).collect())
            }
        })
    }

    /// The cells of a row with delimiters between them.
    fn joined(&self, text: &[u8], ends: &[usize]) -> Vec<u8> {
        cells(text, ends).collect::<Vec<_>>().join(&self.delimiter)
    }
}

/// The cells of a row, each of which ends where `ends` says.
fn cells<'a>(text: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let begins = std::iter::once(&0).chain(ends);
    begins.zip(ends).map(|(&begin, &end)| &text[begin..end])
}
