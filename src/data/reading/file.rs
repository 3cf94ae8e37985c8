//! A file of rows as others made it: text, packed text, or Parquet. Finds its shape, its columns and its rows.

use serde_json::Map;

use super::columns::{Columns, first_row};
use super::fields::Fields;
use super::reader::{MAX_ROW, PairReader, RowReader, SampleReader};
use super::shapes::Shape;
use crate::data::kind::Kind;
use crate::error::{Error, Result};
use crate::files::{Packing, Parquet, RowGroup, Unpacker};
use crate::platform::{ByteSource, host};

/// Bytes that are read at a time, and that of packed text.
const CHUNK: u64 = 1 << 20;
const PACKED_CHUNK: usize = 128 << 10;
/// Rows of a table that is no text between two reports.
const ROWS: u64 = 256;

/// A file of pairs, or of other rows, whose beginning was read.
pub struct PairsFile<'a> {
    source: &'a dyn ByteSource,
    /// The name of the text, without the ending of its packing.
    name: String,
    form: Form,
    columns: Vec<String>,
    shape: Option<Shape>,
}

enum Form {
    Text,
    Packed(Packing),
    Parquet(Box<Parquet>),
}

impl<'a> PairsFile<'a> {
    /// Looks at the beginning of a file, whose first bytes tell what it is.
    pub async fn open(source: &'a dyn ByteSource) -> Result<Self> {
        let head = source.read_at(0, source.len().min(CHUNK) as usize).await?;
        if Parquet::is_parquet(&head) {
            let parquet = Parquet::open(source).await?;
            let columns = parquet.columns();
            let first = first_of(&parquet, source).await;
            let shape = Shape::of(&columns, &first);
            return Ok(Self {
                source,
                name: source.name().to_owned(),
                form: Form::Parquet(Box::new(parquet)),
                columns,
                shape,
            });
        }
        let (name, form, head) = match Packing::of(&head) {
            Some(packing) => {
                let unpacked = beginning(packing, source.name(), &head);
                (packing.inner_name(source.name()), Form::Packed(packing), unpacked)
            }
            None => (source.name(), Form::Text, head),
        };
        let (columns, first) = first_row(name, &head);
        let shape = Shape::of(&columns, &first);
        Ok(Self { source, name: name.to_owned(), form, columns, shape })
    }

    /// The columns of its first row; none if that cannot be told.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The shape of its rows, if it is known by name.
    pub fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Kind of its rows; none if its columns do not tell.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(&self.columns)
    }

    /// Reads all pairs with these columns, and keeps usable ones up to `room` bytes. `progress` gets the bytes and the
    /// reader so far, and may stop by returning false. Rows after damage that cannot be read are reported, and those
    /// before it stay usable.
    pub async fn read(
        &self,
        columns: &Columns,
        room: u64,
        progress: &mut dyn FnMut(u64, &PairReader) -> bool,
    ) -> Result<PairReader> {
        let reader = PairReader::new(&self.name).with_room(room).with_columns(columns);
        self.read_rows(reader, &|name| columns.needs(name), progress).await
    }

    /// Reads all rows as this kind, as [`PairsFile::read`] does pairs.
    pub async fn read_samples(
        &self,
        kind: Kind,
        fields: &Fields,
        room: u64,
        progress: &mut dyn FnMut(u64, &SampleReader) -> bool,
    ) -> Result<SampleReader> {
        let reader = SampleReader::new(&self.name, kind, fields).with_room(room);
        self.read_rows(reader, &|name| fields.need(name, kind), progress).await
    }

    async fn read_rows<R>(
        &self,
        mut reader: RowReader<R>,
        needs: &dyn Fn(&str) -> bool,
        progress: &mut dyn FnMut(u64, &RowReader<R>) -> bool,
    ) -> Result<RowReader<R>> {
        match &self.form {
            Form::Text => self.read_text(&mut reader, progress).await?,
            Form::Packed(packing) => self.read_packed(*packing, &mut reader, progress).await?,
            Form::Parquet(parquet) => {
                self.read_parquet(parquet, needs, &mut reader, progress).await?;
                return Ok(reader);
            }
        }
        reader.end()?;
        Ok(reader)
    }

    async fn read_text<R>(
        &self,
        reader: &mut RowReader<R>,
        progress: &mut dyn FnMut(u64, &RowReader<R>) -> bool,
    ) -> Result<()> {
        for offset in (0..self.source.len()).step_by(CHUNK as usize) {
            let len = CHUNK.min(self.source.len() - offset);
            reader.push(&self.source.read_at(offset, len as usize).await?)?;
            go_on(progress(offset + len, reader))?;
        }
        Ok(())
    }

    async fn read_packed<R>(
        &self,
        packing: Packing,
        reader: &mut RowReader<R>,
        progress: &mut dyn FnMut(u64, &RowReader<R>) -> bool,
    ) -> Result<()> {
        let mut unpacker = Unpacker::new(packing, self.source.name());
        // An error of the text itself is kept apart, so that it is not reported as damage of the packing.
        let mut refused = None;
        let mut take = |reader: &mut RowReader<R>, bytes: &[u8]| {
            reader.push(bytes).inspect_err(|error| refused = Some(error.clone()))
        };
        let mut outcome = Ok(());
        'file: for offset in (0..self.source.len()).step_by(CHUNK as usize) {
            let bytes = self.source.read_at(offset, CHUNK.min(self.source.len() - offset) as usize).await?;
            let mut done = offset;
            for part in bytes.chunks(PACKED_CHUNK) {
                outcome = unpacker.push(part, &mut |bytes| take(reader, bytes));
                if outcome.is_err() {
                    break 'file;
                }
                done += part.len() as u64;
                go_on(progress(done, reader))?;
                host::yield_now().await;
            }
        }
        let outcome = outcome.and_then(|()| unpacker.end(&mut |bytes| take(reader, bytes)));
        match (outcome, refused) {
            (Ok(()), _) => Ok(()),
            (Err(error), None) if reader.rows() > 0 => {
                reader.damaged(&error, 0);
                Ok(())
            }
            (Err(error), refused) => Err(refused.unwrap_or(error)),
        }
    }

    async fn read_parquet<R>(
        &self,
        parquet: &Parquet,
        needs: &dyn Fn(&str) -> bool,
        reader: &mut RowReader<R>,
        progress: &mut dyn FnMut(u64, &RowReader<R>) -> bool,
    ) -> Result<()> {
        let groups = parquet.group_rows();
        let n_rows = groups.iter().fold(0_u64, |sum, n| sum.saturating_add(*n)).max(1);
        let share = self.source.len() as f64 / n_rows as f64;
        let report = &mut |reader: &RowReader<R>| go_on(progress((reader.rows() as f64 * share) as u64, reader));
        for (index, n) in groups.into_iter().enumerate() {
            match parquet.group(index, needs, MAX_ROW) {
                Ok(mut group) => self.read_group(&mut group, reader, report).await?,
                // The first row group is typical of the file: if it cannot be read, none can.
                Err(error) if index == 0 => return Err(error),
                Err(error) => reader.damaged(&error, n.try_into().unwrap_or(usize::MAX)),
            }
            report(reader)?;
        }
        Ok(())
    }

    async fn read_group<R>(
        &self,
        group: &mut RowGroup<'_>,
        reader: &mut RowReader<R>,
        report: &mut dyn FnMut(&RowReader<R>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let left = group.left();
            if left.is_multiple_of(ROWS) {
                report(reader)?;
                host::yield_now().await;
            }
            match group.next(self.source).await {
                Ok(None) => return Ok(()),
                Ok(Some(row)) if row.too_long => reader.push_row(None, row.bytes),
                Ok(Some(row)) => reader.push_row(Some(row.values), row.bytes),
                Err(error) => {
                    reader.damaged(&error, left.try_into().unwrap_or(usize::MAX));
                    return Ok(());
                }
            }
        }
    }
}

fn go_on(wanted: bool) -> Result<()> {
    if wanted { Ok(()) } else { Err(Error::Cancelled) }
}

/// The beginning of packed text, as far as these bytes hold it.
fn beginning(packing: Packing, name: &str, head: &[u8]) -> Vec<u8> {
    let (mut unpacker, mut text) = (Unpacker::new(packing, name), Vec::new());
    for part in head.chunks(PACKED_CHUNK) {
        let mut take = |bytes: &[u8]| {
            text.extend(bytes.iter().take(CHUNK as usize - text.len()));
            go_on(text.len() < CHUNK as usize)
        };
        // Damage is told when rows are read.
        if unpacker.push(part, &mut take).is_err() {
            return text;
        }
    }
    drop(unpacker.end(&mut |bytes| {
        text.extend(bytes.iter().take((CHUNK as usize).saturating_sub(text.len())));
        Ok(())
    }));
    text
}

/// The first row of a Parquet file; empty if there is none, or it is damaged, which is told when rows are read.
async fn first_of(parquet: &Parquet, source: &dyn ByteSource) -> Map<String, serde_json::Value> {
    let wanted = |name: &str| ["prompt", "chosen", "rejected"].contains(&name);
    match parquet.group(0, &wanted, MAX_ROW) {
        Ok(mut group) => group.next(source).await.ok().flatten().map(|row| row.values).unwrap_or_default(),
        Err(_) => Map::new(),
    }
}
