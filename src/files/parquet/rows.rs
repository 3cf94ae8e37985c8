//! Rows of a Parquet file as JSON objects: what the columns hold apart is put together, row by row.

use serde_json::{Map, Value};

use super::footer::{Group, footer};
use super::page::{Column, Entry};
use super::schema::{Leaf, Node, Shape, tree};
use super::thrift::Read;
use crate::error::{Error, Result};
use crate::platform::ByteSource;

/// First and last bytes of a Parquet file.
const MAGIC: &[u8] = b"PAR1";
/// Bytes of the description at the end at the most: a tenth of this describes a hundred thousand pages.
const MAX_FOOTER: u64 = 16 << 20;
/// Advice for a file that cannot be read.
const FIX: &str = "Fetch it again, or write it with pyarrow or datasets, packed with snappy, gzip or zstd";

/// A Parquet file whose description was read.
pub struct Parquet {
    name: String,
    len: u64,
    roots: Vec<Node>,
    leaves: Vec<Leaf>,
    groups: Vec<Group>,
}

/// A row group that is being read.
pub struct RowGroup<'a> {
    file: &'a Parquet,
    /// The stored columns that are read, by their place.
    columns: Vec<Option<Column<'a>>>,
    /// Entries of the row at hand, by the place of their column.
    entries: Vec<Vec<Entry>>,
    left: u64,
    /// Bytes that a row may have.
    most: usize,
}

/// A row.
pub struct Row {
    /// Its columns by name; null where one is not read or has no value.
    pub values: Map<String, Value>,
    /// Bytes that it takes, about.
    pub bytes: usize,
    /// It takes more than it may, and is not whole.
    pub too_long: bool,
}

impl Parquet {
    /// True for a file that begins so.
    pub fn is_parquet(head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    /// Reads the description at the file's end.
    pub async fn open(source: &dyn ByteSource) -> Result<Self> {
        let (name, len) = (source.name(), source.len());
        let wrong = |why: String| Error::input(format!("The Parquet file cannot be read: {why}"), FIX, name);
        let cut = || wrong("its end is missing".to_owned());
        let tail_at = len.checked_sub(8).filter(|at| *at >= 4).ok_or_else(cut)?;
        let tail = source.read_at(tail_at, 8).await?;
        if tail.ends_with(b"PARE") {
            return Err(wrong("it is encrypted".to_owned()));
        }
        let size: Option<[u8; 4]> = tail.strip_suffix(MAGIC).and_then(|size| size.try_into().ok());
        let size = u64::from(u32::from_le_bytes(size.ok_or_else(cut)?));
        if size > MAX_FOOTER || size > tail_at {
            return Err(wrong(format!("its description claims to have {size} bytes")));
        }
        let bytes = source.read_at(tail_at - size, size as usize).await?;
        let footer = footer(&bytes).map_err(wrong)?;
        let (roots, leaves) = tree(&footer.schema).map_err(wrong)?;
        if footer.groups.iter().any(|group| group.chunks.len() != leaves.len()) {
            return Err(wrong("a row group has other columns than the table".to_owned()));
        }
        Ok(Self { name: name.to_owned(), len, roots, leaves, groups: footer.groups })
    }

    /// The names of its columns.
    pub fn columns(&self) -> Vec<String> {
        self.roots.iter().map(|node| node.name.clone()).collect()
    }

    /// Rows of each row group.
    pub fn group_rows(&self) -> Vec<u64> {
        self.groups.iter().map(|group| group.n_rows).collect()
    }

    /// Begins with a row group, of which only some columns are read; a row may have `most` bytes.
    pub fn group(&self, index: usize, is_wanted: &dyn Fn(&str) -> bool, most: usize) -> Result<RowGroup<'_>> {
        let Some(group) = self.groups.get(index) else {
            return Err(Error::input("There is no such row group", FIX, self.name.as_str()));
        };
        let mut columns: Vec<Option<Column<'_>>> = self.leaves.iter().map(|_| None).collect();
        for node in self.roots.iter().filter(|node| is_wanted(&node.name)) {
            for place in node.leaves.clone() {
                let column = Column::new(&self.leaves[place], group.chunks[place], self.len);
                columns[place] = Some(column.map_err(|why| self.damage(&node.name, &why))?);
            }
        }
        let entries = self.leaves.iter().map(|_| Vec::new()).collect();
        Ok(RowGroup { file: self, columns, entries, left: group.n_rows, most })
    }

    fn damage(&self, column: &str, why: &str) -> Error {
        Error::input(format!("The column \"{column}\" cannot be read: {why}"), FIX, self.name.as_str())
    }
}

impl RowGroup<'_> {
    /// Rows that are left, as the file says.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next row; none at the end. After an error there are no further rows in this group.
    pub async fn next(&mut self, source: &dyn ByteSource) -> Result<Option<Row>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut room = self.most;
        let mut row = Row { values: Map::new(), bytes: 0, too_long: false };
        let file = self.file;
        for node in &file.roots {
            for place in node.leaves.clone() {
                let Some(column) = &mut self.columns[place] else { continue };
                self.entries[place].clear();
                let fits = column.row(source, &mut self.entries[place], &mut room).await;
                row.too_long |= !fits.map_err(|why| file.damage(&node.name, &why))?;
            }
        }
        row.bytes = self.most - room;
        for node in &file.roots {
            let is_read = node.leaves.clone().all(|place| self.columns[place].is_some());
            let value = match is_read && !row.too_long {
                true => Slots::new(&mut self.entries, node).whole(node).map_err(|why| file.damage(&node.name, &why))?,
                false => Value::Null,
            };
            row.values.insert(node.name.clone(), value);
        }
        Ok(Some(row))
    }
}

/// Entries of a row's columns, each of which is taken once.
struct Slots<'a> {
    first: usize,
    columns: Vec<std::iter::Peekable<std::vec::Drain<'a, Entry>>>,
}

impl<'a> Slots<'a> {
    fn new(entries: &'a mut [Vec<Entry>], node: &Node) -> Self {
        let columns = entries.get_mut(node.leaves.clone()).unwrap_or_default();
        Self {
            first: node.leaves.start,
            columns: columns.iter_mut().map(|column| column.drain(..).peekable()).collect(),
        }
    }

    /// The value of a column, which takes all entries.
    fn whole(mut self, node: &Node) -> Read<Value> {
        let value = self.value(node)?;
        match self.columns.iter_mut().all(|column| column.peek().is_none()) {
            true => Ok(value),
            false => Err("its parts have different lengths".to_owned()),
        }
    }

    fn value(&mut self, node: &Node) -> Read<Value> {
        let def = self.peek(node)?.def;
        if def < node.def {
            self.pass(node)?;
            return Ok(Value::Null);
        }
        match &node.shape {
            Shape::Value => Ok(self.take(node.leaves.start)?.value),
            Shape::Object(children) => {
                let mut map = Map::new();
                for child in children {
                    // A table gives each object all keys: what has no value was not there.
                    match self.value(child)? {
                        Value::Null => {}
                        value => drop(map.insert(child.name.clone(), value)),
                    }
                }
                Ok(Value::Object(map))
            }
            Shape::List { def: from, .. } if def < *from => {
                self.pass(node)?;
                Ok(Value::Array(Vec::new()))
            }
            Shape::List { rep, item, .. } => {
                let mut list = Vec::new();
                loop {
                    list.push(self.value(item)?);
                    if !self.peek(node).is_ok_and(|entry| entry.rep == *rep) {
                        return Ok(Value::Array(list));
                    }
                }
            }
        }
    }

    /// Takes one entry of each column below: together they say that nothing is there.
    fn pass(&mut self, node: &Node) -> Read<()> {
        node.leaves.clone().try_for_each(|place| self.take(place).map(drop))
    }

    fn peek(&mut self, node: &Node) -> Read<&Entry> {
        let column = self.columns.get_mut(node.leaves.start - self.first);
        column.and_then(|column| column.peek()).ok_or_else(|| "its parts have different lengths".to_owned())
    }

    fn take(&mut self, place: usize) -> Read<Entry> {
        let column = self.columns.get_mut(place - self.first);
        column.and_then(Iterator::next).ok_or_else(|| "its parts have different lengths".to_owned())
    }
}
