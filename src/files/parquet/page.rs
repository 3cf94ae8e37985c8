//! A stored column of a row group: its pages, one at a time, and the entries of one row after the other.

use serde_json::Value;

use super::footer::Chunk;
use super::levels::Runs;
use super::schema::Leaf;
use super::thrift::{Kind, Read, Thrift};
use super::values::{Dictionary, Values};
use crate::files::unpack::{Packing, unpack_part};
use crate::platform::ByteSource;

/// Bytes of a page, packed or not, at the most; writers make them of about 1 MiB.
const MAX_PAGE: u64 = 128 << 20;
/// Bytes that are read at once where nothing is known yet.
const WINDOW: u64 = 128 << 10;
/// Bytes of a page's header at the most: statistics may hold whole texts.
const MAX_HEADER: u64 = 4 << 20;
/// Bytes that an entry is counted as, beside its text.
const ENTRY: usize = 32;

/// One entry of a row: a value with its place in the tree.
pub(super) struct Entry {
    pub(super) rep: u32,
    pub(super) def: u32,
    /// Null unless it is defined.
    pub(super) value: Value,
}

/// A column that is being read.
pub(super) struct Column<'a> {
    leaf: &'a Leaf,
    codec: i64,
    at: u64,
    end: u64,
    /// Values that pages still have to bring.
    left: u64,
    dictionary: Option<Dictionary>,
    page: Option<Page>,
    /// Bytes of the file from `window_at` on.
    window: Vec<u8>,
    window_at: u64,
}

/// A page that is being read.
struct Page {
    bytes: Vec<u8>,
    reps: Runs,
    defs: Runs,
    values: Values,
    left: u64,
}

impl<'a> Column<'a> {
    /// At its first page; an error if it cannot be read at all.
    pub(super) fn new(leaf: &'a Leaf, chunk: Chunk, file_len: u64) -> Read<Self> {
        if chunk.is_elsewhere {
            return Err("a column is encrypted or stored in another file".to_owned());
        }
        if !matches!(chunk.codec, 0..=2 | 6) {
            let name = ["LZO", "Brotli", "LZ4"].get((chunk.codec - 3) as usize).unwrap_or(&"LZ4");
            return Err(format!("it is packed with {name}"));
        }
        let end = chunk.offset.checked_add(chunk.bytes).filter(|end| *end <= file_len);
        let end = end.ok_or("a column lies beyond its end")?;
        Ok(Self {
            leaf,
            codec: chunk.codec,
            at: chunk.offset,
            end,
            left: chunk.n_values,
            dictionary: None,
            page: None,
            window: Vec::new(),
            window_at: 0,
        })
    }

    /// Takes the entries of the next row; false if they are more than `room` bytes, and were not all kept.
    pub(super) async fn row(
        &mut self,
        source: &dyn ByteSource,
        entries: &mut Vec<Entry>,
        room: &mut usize,
    ) -> Read<bool> {
        let (mut n, mut fits) = (0_usize, true);
        loop {
            let page = match self.page.as_mut().filter(|page| page.left > 0) {
                Some(page) => page,
                None if self.left > 0 => {
                    self.load(source).await?;
                    continue;
                }
                None if n > 0 => return Ok(fits),
                None => return Err("a column has too few rows".to_owned()),
            };
            let rep = { page.reps }.next(&page.bytes)?;
            if n > 0 && rep == 0 {
                return Ok(fits);
            }
            if n == 0 && rep > 0 {
                return Err("a column's rows do not begin where they should".to_owned());
            }
            let entry = page.next(self.leaf, self.dictionary.as_ref())?;
            n += 1;
            let bytes = ENTRY + entry.value.as_str().map_or(0, str::len);
            fits &= bytes <= *room;
            if fits {
                *room -= bytes;
                entries.push(entry);
            }
            if self.leaf.max_rep == 0 {
                return Ok(fits);
            }
        }
    }

    /// Reads the next page, which may be one of the dictionary.
    async fn load(&mut self, source: &dyn ByteSource) -> Read<()> {
        let header = self.header(source).await?;
        let (packed, size) = (header.packed, header.size);
        if packed > self.end - self.at || packed > MAX_PAGE || size > MAX_PAGE {
            return Err(format!("a page claims to have {} bytes", packed.max(size)));
        }
        let bytes = self.bytes(source, packed).await?;
        self.at += packed;
        match header.kind {
            0 => {
                let bytes = unpacked(self.codec, bytes, size as usize)?;
                self.page = Some(self.first_version(bytes, &header)?);
            }
            2 => {
                let bytes = unpacked(self.codec, bytes, size as usize)?;
                self.dictionary = Some(Dictionary::new(bytes, self.leaf.physical, header.n)?);
            }
            3 => self.page = Some(self.second_version(bytes, &header)?),
            // An index, which nobody needs.
            _ => return Ok(()),
        }
        if header.kind != 2 {
            self.left = self.left.checked_sub(header.n).ok_or("its pages have more values than they should")?;
        }
        Ok(())
    }

    /// A page whose levels are packed with its values, each after its length.
    fn first_version(&self, bytes: Vec<u8>, header: &Header) -> Read<Page> {
        let mut at = 0;
        let mut levels = |max: u32| -> Read<Runs> {
            if max == 0 {
                return Ok(Runs::zeros());
            }
            let length: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            let begin = at + 4;
            at = begin + u32::from_le_bytes(length.ok_or("a page ends too early")?) as usize;
            if at > bytes.len() {
                return Err("a page ends too early".to_owned());
            }
            Runs::new(begin, at, width(max))
        };
        let (reps, defs) = (levels(self.leaf.max_rep)?, levels(self.leaf.max_def)?);
        let values = Values::new(header.encoding, self.leaf.physical, &bytes, at)?;
        Ok(Page { bytes, reps, defs, values, left: header.n })
    }

    /// A page whose levels are never packed.
    fn second_version(&self, packed: Vec<u8>, header: &Header) -> Read<Page> {
        let [reps, defs] = header.levels.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let levels = reps.checked_add(defs).filter(|levels| *levels <= packed.len()).ok_or("a page ends too early")?;
        let size = (header.size as usize).checked_sub(levels).ok_or("a page ends too early")?;
        let bytes = match header.is_packed && self.codec != 0 {
            false => packed,
            true => {
                let mut bytes = packed;
                let values = unpacked(self.codec, bytes.split_off(levels), size)?;
                bytes.extend(values);
                bytes
            }
        };
        let of = |begin: usize, end: usize, max: u32| match max {
            0 => Ok(Runs::zeros()),
            _ => Runs::new(begin, end, width(max)),
        };
        let (reps, defs) = (of(0, reps, self.leaf.max_rep)?, of(reps, levels, self.leaf.max_def)?);
        let values = Values::new(header.encoding, self.leaf.physical, &bytes, levels)?;
        Ok(Page { bytes, reps, defs, values, left: header.n })
    }

    /// The header of the page that begins here, and passes it.
    async fn header(&mut self, source: &dyn ByteSource) -> Read<Header> {
        let rest = self.end - self.at;
        let mut ask = WINDOW.min(rest);
        loop {
            self.fill(source, ask).await?;
            let from = (self.at - self.window_at) as usize;
            let bytes = self.window.get(from..).unwrap_or_default();
            match header(bytes) {
                Ok((header, len)) => {
                    self.at += len as u64;
                    return Ok(header);
                }
                Err(why) if ask >= rest.min(MAX_HEADER) => return Err(why),
                Err(_) => ask = (4 * ask).min(rest).min(MAX_HEADER),
            }
        }
    }

    /// The next bytes of the file.
    async fn bytes(&mut self, source: &dyn ByteSource, len: u64) -> Read<Vec<u8>> {
        let from = self.at.checked_sub(self.window_at).unwrap_or(u64::MAX) as usize;
        if let Some(bytes) = from.checked_add(len as usize).and_then(|to| self.window.get(from..to)) {
            return Ok(bytes.to_vec());
        }
        source.read_at(self.at, len as usize).await.map_err(|e| e.to_string())
    }

    /// Sees that the window has `len` bytes from here on.
    async fn fill(&mut self, source: &dyn ByteSource, len: u64) -> Read<()> {
        let has = |column: &Self| {
            let window_end = column.window_at + column.window.len() as u64;
            column.at >= column.window_at && window_end >= column.at + len.min(WINDOW / 8)
        };
        // A header is short: the rest of an older window may hold it.
        if len > WINDOW || !has(self) {
            self.window = source.read_at(self.at, len as usize).await.map_err(|e| e.to_string())?;
            self.window_at = self.at;
        }
        Ok(())
    }
}

impl Page {
    fn next(&mut self, leaf: &Leaf, dictionary: Option<&Dictionary>) -> Read<Entry> {
        self.left -= 1;
        let (rep, def) = (self.reps.next(&self.bytes)?, self.defs.next(&self.bytes)?);
        let value = match def == leaf.max_def {
            true => self.values.next(&self.bytes, dictionary)?,
            false => Value::Null,
        };
        Ok(Entry { rep, def, value })
    }
}

/// Bits that a level takes.
fn width(max: u32) -> u32 {
    u32::BITS - max.leading_zeros()
}

/// Header in front of a page.
#[derive(Default)]
struct Header {
    kind: i64,
    size: u64,
    packed: u64,
    n: u64,
    encoding: i64,
    /// Bytes of repetition and definition levels, in the second version.
    levels: [u64; 2],
    is_packed: bool,
}

/// A header, and its bytes.
fn header(bytes: &[u8]) -> Read<(Header, usize)> {
    let mut thrift = Thrift::new(bytes);
    let mut header = Header { is_packed: true, ..Header::default() };
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (1, Kind::Int) => header.kind = thrift.int()?,
            (2, Kind::Int) => header.size = thrift.count()?,
            (3, Kind::Int) => header.packed = thrift.count()?,
            (5 | 7, Kind::Struct) => detail(&mut thrift, &mut header, [1, 2])?,
            (8, Kind::Struct) => detail(&mut thrift, &mut header, [1, 4])?,
            _ => thrift.skip(kind)?,
        }
    }
    Ok((header, thrift.at()))
}

/// Reads the part of a header that is specific to the kind of page; `fields` are the ids of the number of values and of
/// the encoding.
fn detail(thrift: &mut Thrift<'_>, header: &mut Header, fields: [i16; 2]) -> Read<()> {
    let mut last = 0;
    let is_second = fields[1] == 4;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        match (id, kind) {
            (id, Kind::Int) if id == fields[0] => header.n = thrift.count()?,
            (id, Kind::Int) if id == fields[1] => header.encoding = thrift.int()?,
            (5, Kind::Int) if is_second => header.levels[1] = thrift.count()?,
            (6, Kind::Int) if is_second => header.levels[0] = thrift.count()?,
            (7, kind @ (Kind::True | Kind::False)) if is_second => header.is_packed = kind == Kind::True,
            _ => thrift.skip(kind)?,
        }
    }
    Ok(())
}

/// The bytes of a page, which must be `size` of them.
fn unpacked(codec: i64, bytes: Vec<u8>, size: usize) -> Read<Vec<u8>> {
    match codec {
        0 => Ok(bytes),
        1 => match snap::raw::decompress_len(&bytes) {
            Ok(len) if len == size => snap::raw::Decoder::new().decompress_vec(&bytes).map_err(|e| e.to_string()),
            Ok(len) => Err(format!("a page has {len} bytes and not {size}")),
            Err(e) => Err(e.to_string()),
        },
        2 => unpack_part(Packing::Gzip, &bytes, size),
        _ if size == 0 => Ok(Vec::new()),
        _ => unpack_part(Packing::Zstd, &bytes, size),
    }
}
