//! The description at the end of a Parquet file: columns, row groups, and the positions of their pages.

use super::thrift::{Kind, Read, Thrift};

/// The whole description.
pub(super) struct Footer {
    pub(super) schema: Vec<Element>,
    pub(super) groups: Vec<Group>,
}

/// One node of the tree of columns, in the order of a walk.
#[derive(Default)]
pub(super) struct Element {
    pub(super) name: String,
    /// The stored type; none for a node with children.
    pub(super) physical: Option<i64>,
    /// Bytes of a value of fixed length.
    pub(super) length: usize,
    /// 0 required, 1 optional, 2 repeated.
    pub(super) repetition: i64,
    pub(super) children: usize,
    /// A list, by either of the two ways to say so.
    pub(super) is_list: bool,
}

/// A row group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) chunks: Vec<Chunk>,
    pub(super) n_rows: u64,
}

/// A column of a row group.
#[derive(Clone, Copy, Default)]
pub(super) struct Chunk {
    pub(super) codec: i64,
    pub(super) n_values: u64,
    /// First byte of its pages, and their bytes in all.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Stored in another file, or encrypted.
    pub(super) is_elsewhere: bool,
}

/// Reads the description from its bytes.
pub(super) fn footer(bytes: &[u8]) -> Read<Footer> {
    let mut thrift = Thrift::new(bytes);
    let mut footer = Footer { schema: Vec::new(), groups: Vec::new() };
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (2, Kind::List) => footer.schema = items(&mut thrift, element)?,
            (4, Kind::List) => footer.groups = items(&mut thrift, group)?,
            _ => thrift.skip(kind)?,
        }
    }
    Ok(footer)
}

/// A list of structs.
fn items<T>(thrift: &mut Thrift<'_>, item: fn(&mut Thrift<'_>) -> Read<T>) -> Read<Vec<T>> {
    let (len, kind) = thrift.list()?;
    if kind != Kind::Struct && len > 0 {
        return Err("its description has a list of another type".to_owned());
    }
    (0..len).map(|_| item(thrift)).collect()
}

fn element(thrift: &mut Thrift<'_>) -> Read<Element> {
    let mut element = Element::default();
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (1, Kind::Int) => element.physical = Some(thrift.int()?),
            (2, Kind::Int) => element.length = usize::try_from(thrift.count()?).unwrap_or(usize::MAX),
            (3, Kind::Int) => element.repetition = thrift.int()?,
            (4, Kind::Bytes) => element.name = String::from_utf8_lossy(thrift.bytes()?).into_owned(),
            (5, Kind::Int) => element.children = usize::try_from(thrift.count()?).unwrap_or(usize::MAX),
            // The converted type LIST.
            (6, Kind::Int) => element.is_list |= thrift.int()? == 3,
            // The logical type, of which the third is LIST.
            (10, Kind::Struct) => {
                let mut last = 0;
                while let Some((id, kind)) = thrift.field(&mut last)? {
                    element.is_list |= id == 3;
                    thrift.skip(kind)?;
                }
            }
            _ => thrift.skip(kind)?,
        }
    }
    Ok(element)
}

fn group(thrift: &mut Thrift<'_>) -> Read<Group> {
    let mut group = Group::default();
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (1, Kind::List) => group.chunks = items(thrift, chunk)?,
            (3, Kind::Int) => group.n_rows = thrift.count()?,
            _ => thrift.skip(kind)?,
        }
    }
    Ok(group)
}

fn chunk(thrift: &mut Thrift<'_>) -> Read<Chunk> {
    let mut chunk = Chunk::default();
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (3, Kind::Struct) => chunk = Chunk { is_elsewhere: chunk.is_elsewhere, ..metadata(thrift)? },
            // A path, or how it is encrypted.
            (1, Kind::Bytes) | (8, Kind::Struct) => {
                chunk.is_elsewhere = true;
                thrift.skip(kind)?;
            }
            _ => thrift.skip(kind)?,
        }
    }
    Ok(chunk)
}

fn metadata(thrift: &mut Thrift<'_>) -> Read<Chunk> {
    let mut chunk = Chunk::default();
    let (mut data, mut dictionary) = (0, 0);
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (4, Kind::Int) => chunk.codec = thrift.int()?,
            (5, Kind::Int) => chunk.n_values = thrift.count()?,
            (7, Kind::Int) => chunk.bytes = thrift.count()?,
            (9, Kind::Int) => data = thrift.count()?,
            (11, Kind::Int) => dictionary = thrift.count()?,
            _ => thrift.skip(kind)?,
        }
    }
    // Some writers say 0 where there is no dictionary.
    chunk.offset = if dictionary > 0 && dictionary < data { dictionary } else { data };
    Ok(chunk)
}
