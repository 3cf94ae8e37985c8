//! The front of a GGUF file: header, metadata, and where the tensors lie. Read in growing pieces, since vocabularies
//! make it tens of megabytes long and nothing says beforehand how many.
//!
//! Format (versions 2 and 3, little endian): `GGUF`, version, number of tensors, number of metadata entries; the
//! entries, each a key, a type and a value; the tensors, each a name, its dimensions from the innermost, a type and
//! an offset; then, at a multiple of the alignment, the tensors' bytes.
//!
//! A file can claim anything: every count is compared with the bytes that are left before something is allocated.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{Array, Strings, Value};
use crate::error::{Error, Result};
use crate::platform::ByteSource;

/// The first piece that is read, and the largest.
const PIECE: usize = 64 << 10;
const LARGEST_PIECE: usize = 16 << 20;
/// One value of metadata may have as many bytes; the largest that exist, the merges of vocabularies, have ten million.
const VALUE_LIMIT: u64 = 256 << 20;
/// A list may have as many entries.
const LIST_LIMIT: u64 = 1 << 24;
/// Lists may lie in lists, but not without end.
const DEPTH_LIMIT: u32 = 4;
const NAME_LIMIT: u64 = 65_535;
/// All of the front may have as many bytes.
const FRONT_LIMIT: u64 = 1 << 30;

/// A type of ggml, readable or not.
pub(in crate::files) struct KnownType {
    id: u32,
    pub(in crate::files) name: &'static str,
    /// Elements and bytes of a block.
    block: Option<(u64, u64)>,
}

/// All types that files had when this was written, so that one that cannot be read is at least named.
#[rustfmt::skip]
const KNOWN_TYPES: &[KnownType] = &[
    known(0, "F32", 1, 4), known(1, "F16", 1, 2), known(2, "Q4_0", 32, 18), known(3, "Q4_1", 32, 20),
    unsized_type(4, "Q4_2"), unsized_type(5, "Q4_3"), known(6, "Q5_0", 32, 22), known(7, "Q5_1", 32, 24),
    known(8, "Q8_0", 32, 34), unsized_type(9, "Q8_1"), known(10, "Q2_K", 256, 84), known(11, "Q3_K", 256, 110),
    known(12, "Q4_K", 256, 144), known(13, "Q5_K", 256, 176), known(14, "Q6_K", 256, 210), unsized_type(15, "Q8_K"),
    known(16, "IQ2_XXS", 256, 66), known(17, "IQ2_XS", 256, 74), known(18, "IQ3_XXS", 256, 98),
    known(19, "IQ1_S", 256, 50), known(20, "IQ4_NL", 32, 18), known(21, "IQ3_S", 256, 110),
    known(22, "IQ2_S", 256, 82), known(23, "IQ4_XS", 256, 136), known(24, "I8", 1, 1), known(25, "I16", 1, 2),
    known(26, "I32", 1, 4), known(27, "I64", 1, 8), known(28, "F64", 1, 8), known(29, "IQ1_M", 256, 56),
    known(30, "BF16", 1, 2), unsized_type(31, "Q4_0_4_4"), unsized_type(32, "Q4_0_4_8"),
    unsized_type(33, "Q4_0_8_8"), known(34, "TQ1_0", 256, 54), known(35, "TQ2_0", 256, 66),
    known(39, "MXFP4", 32, 17), known(40, "NVFP4", 64, 36),
];

const fn known(id: u32, name: &'static str, elements: u64, bytes: u64) -> KnownType {
    KnownType { id, name, block: Some((elements, bytes)) }
}

const fn unsized_type(id: u32, name: &'static str) -> KnownType {
    KnownType { id, name, block: None }
}

/// Looks up the type with this number.
pub(in crate::files) fn known_type(id: u32) -> Option<&'static KnownType> {
    KNOWN_TYPES.iter().find(|known| known.id == id)
}

/// Contents of the front of a file.
pub(in crate::files) struct Header {
    pub(in crate::files) version: u32,
    /// In the order of the file.
    pub(in crate::files) metadata: Vec<(String, Value)>,
    pub(in crate::files) entries: BTreeMap<String, Entry>,
}

/// Type, shape and position of one tensor, counted from the start of the file.
pub(in crate::files) struct Entry {
    pub(in crate::files) type_id: u32,
    /// Row-major: the reverse of the file's order.
    pub(in crate::files) shape: Vec<usize>,
    pub(in crate::files) begin: u64,
    /// None if the size of the type is not known.
    pub(in crate::files) end: Option<u64>,
}

/// Reads and checks the front of a file; errors name the file, with the key or the tensor.
pub(in crate::files) async fn read_header(source: &dyn ByteSource) -> Result<Header> {
    let mut front = Front { source, bytes: Vec::new(), start: 0, at: 0 };
    let (version, tensor_count, entry_count) = front.item("", first_words).await?;
    let (mut metadata, mut keys) = (Vec::new(), BTreeSet::new());
    for _ in 0..entry_count {
        let key = front.item("", name).await?;
        let value = front.item(&key, |cursor| cursor.u32().and_then(|id| cursor.value(id))).await?;
        if !keys.insert(key.clone()) {
            return Err(damaged(source, &key, "The metadata has this key twice".to_owned()));
        }
        metadata.push((key, value));
    }
    let mut found = Vec::new();
    for _ in 0..tensor_count {
        let name = front.item("", name).await?;
        let place = format!("tensor {name}");
        found.push((name, front.item(&place, tensor).await?));
    }
    let position = front.start + front.at as u64;
    let alignment = match metadata.iter().find(|(key, _)| key == "general.alignment") {
        None => 32,
        Some((_, value)) => match value.as_u64() {
            Some(n) if n.is_power_of_two() && n <= 1 << 16 => n,
            _ => {
                let what = format!("The alignment is {}, not a power of two up to 65536", value.describe());
                return Err(damaged(source, "general.alignment", what));
            }
        },
    };
    let entries = place_tensors(source, found, position.next_multiple_of(alignment), alignment)?;
    Ok(Header { version, metadata, entries })
}

/// The error of a file that is not as it should be; `place` is a key or a tensor in it.
fn damaged(source: &dyn ByteSource, place: &str, what: String) -> Error {
    let at = if place.is_empty() { source.name().to_owned() } else { format!("{}, {place}", source.name()) };
    Error::input(what, "The file is damaged or cut off: download it again", at)
}

/// Turns offsets in the data into places in the file; none leaves the file or overlaps another.
fn place_tensors(
    source: &dyn ByteSource,
    found: Vec<(String, RawTensor)>,
    data: u64,
    alignment: u64,
) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    for (name, raw) in found {
        let wrong = |what: String| damaged(source, &format!("tensor {name}"), what);
        if !raw.offset.is_multiple_of(alignment) {
            let what = format!("The tensor's offset {} is not a multiple of the alignment {alignment}", raw.offset);
            return Err(wrong(what));
        }
        let begin = data.checked_add(raw.offset).filter(|begin| *begin <= source.len());
        let end = begin.and_then(|begin| begin.checked_add(raw.bytes.unwrap_or(0))).filter(|end| *end <= source.len());
        let (Some(begin), Some(end)) = (begin, end) else {
            let bytes = raw.bytes.unwrap_or(0);
            let what = format!(
                "The tensor has {bytes} bytes from byte {} of the data, but the file has only {} bytes of data",
                raw.offset,
                source.len().saturating_sub(data)
            );
            return Err(wrong(what));
        };
        let entry = Entry { type_id: raw.type_id, shape: raw.shape, begin, end: raw.bytes.map(|_| end) };
        if entries.contains_key(&name) {
            return Err(wrong("The file has two tensors of this name".to_owned()));
        }
        entries.insert(name, entry);
    }
    let mut places: Vec<(&String, &Entry)> = entries.iter().collect();
    places.sort_by_key(|(_, entry)| (entry.begin, entry.end));
    for pair in places.windows(2) {
        if let [(before, first), (name, second)] = pair
            && first.end.is_some_and(|end| end > second.begin)
        {
            let what = format!("The tensor begins before the end of \"{before}\"");
            return Err(damaged(source, &format!("tensor {name}"), what));
        }
    }
    Ok(entries)
}

/// One tensor as the file describes it.
struct RawTensor {
    type_id: u32,
    shape: Vec<usize>,
    offset: u64,
    /// None if the size of the type is not known.
    bytes: Option<u64>,
}

/// Magic, version, number of tensors, number of metadata entries.
fn first_words(cursor: &mut Cursor<'_>) -> Parsed<(u32, u64, u64)> {
    let magic = cursor.take(4)?;
    if magic != b"GGUF" {
        let old = [b"lmgg", b"tjgg", b"fmgg", b"algg"].iter().any(|old| magic == *old);
        let what = if old { "This is a ggml file from before GGUF" } else { "This is not a GGUF file" };
        return Err(Stop::Unsupported(what.to_owned()));
    }
    let version = cursor.u32()?;
    if version != 2 && version != 3 {
        let swapped = version.swap_bytes();
        return Err(Stop::Unsupported(match swapped {
            1..=0xffff => format!("This is a big-endian GGUF file (version {swapped}), which is not supported"),
            _ => format!("This is a GGUF file of version {version}, but only 2 and 3 are supported"),
        }));
    }
    let (tensors, entries) = (cursor.u64()?, cursor.u64()?);
    // The least that a tensor or an entry takes.
    cursor.check_count(tensors, 24, "tensors")?;
    cursor.check_count(entries, 13, "metadata entries")?;
    Ok((version, tensors, entries))
}

/// A key, or the name of a tensor.
fn name(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let len = cursor.u64()?;
    if len > NAME_LIMIT {
        return Err(Stop::Bad(format!("A name claims {len} bytes, more than {NAME_LIMIT}")));
    }
    match std::str::from_utf8(cursor.take(len)?) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(Stop::Bad("A name is not UTF-8".to_owned())),
    }
}

/// Dimensions, type and offset of a tensor.
fn tensor(cursor: &mut Cursor<'_>) -> Parsed<RawTensor> {
    let n_dims = cursor.u32()?;
    if n_dims > 4 {
        return Err(Stop::Bad(format!("The tensor claims {n_dims} dimensions, but ggml has at most 4")));
    }
    let mut dims = Vec::with_capacity(4);
    for _ in 0..n_dims {
        dims.push(cursor.u64()?);
    }
    let (type_id, offset) = (cursor.u32()?, cursor.u64()?);
    if dims.contains(&0) {
        return Err(Stop::Bad(format!("The tensor has the dimensions {dims:?}, of which one is 0")));
    }
    let too_large = || Stop::Bad(format!("The tensor's dimensions {dims:?} are too large"));
    let elements = dims.iter().try_fold(1u64, |n, dim| n.checked_mul(*dim)).ok_or_else(too_large)?;
    // A tensor without dimensions is one number.
    let row = dims.first().copied().unwrap_or(1);
    let bytes = match known_type(type_id).and_then(|known| Some((known.name, known.block?))) {
        None => None,
        Some((name, (block, _))) if !row.is_multiple_of(block) => {
            let what = format!("The tensor's rows of {row} are not whole {name} blocks of {block}");
            return Err(Stop::Bad(what));
        }
        Some((_, (block, bytes))) => Some((elements / block).checked_mul(bytes).ok_or_else(too_large)?),
    };
    // The number of elements is an index, where the page has 32 bits for it.
    usize::try_from(elements).map_err(|_| too_large())?;
    let shape: Option<Vec<usize>> = dims.iter().rev().map(|dim| usize::try_from(*dim).ok()).collect();
    Ok(RawTensor { type_id, shape: shape.ok_or_else(too_large)?, offset, bytes })
}

/// Result of parsing.
type Parsed<T> = std::result::Result<T, Stop>;

/// Why parsing stopped.
enum Stop {
    /// The value goes on beyond what was read so far.
    More,
    /// The file cannot be right.
    Bad(String),
    /// The file is of another kind.
    Unsupported(String),
}

/// The bytes from some place of the file on, as far as they were read.
struct Front<'a> {
    source: &'a dyn ByteSource,
    bytes: Vec<u8>,
    /// Position of `bytes` in the file.
    start: u64,
    /// Position of the next item in `bytes`.
    at: usize,
}

impl Front<'_> {
    /// Parses what comes next, after reading more if need be; `place` says where it is, for messages.
    async fn item<T>(&mut self, place: &str, parse: impl Fn(&mut Cursor<'_>) -> Parsed<T>) -> Result<T> {
        loop {
            let rest = self.source.len() - self.start - self.at as u64;
            let mut cursor = Cursor { bytes: &self.bytes[self.at..], at: 0, rest };
            match parse(&mut cursor) {
                Ok(item) => {
                    self.at += cursor.at;
                    return Ok(item);
                }
                Err(Stop::More) => self.read_more(place).await?,
                Err(Stop::Bad(what)) => return Err(damaged(self.source, place, what)),
                Err(Stop::Unsupported(what)) => {
                    let fix = "Use a GGUF file of version 2 or 3, as llama.cpp writes them since August 2023";
                    return Err(Error::input(what, fix, self.source.name()));
                }
            }
        }
    }

    /// Reads at least as much again as was not enough, so that a long value is parsed few times.
    async fn read_more(&mut self, place: &str) -> Result<()> {
        self.bytes.drain(..self.at);
        self.start += self.at as u64;
        self.at = 0;
        let end = self.start + self.bytes.len() as u64;
        if self.bytes.len() as u64 > VALUE_LIMIT || end > FRONT_LIMIT {
            let what = format!("The metadata goes on beyond byte {end}, with a value of {} bytes", self.bytes.len());
            return Err(damaged(self.source, place, what));
        }
        let left = self.source.len() - end;
        if left == 0 {
            return Err(damaged(self.source, place, format!("The file ends, after {end} bytes, in its metadata")));
        }
        let piece = self.bytes.len().clamp(PIECE, LARGEST_PIECE);
        let more = self.source.read_at(end, left.min(piece as u64) as usize).await?;
        self.bytes.extend_from_slice(&more);
        Ok(())
    }
}

/// A place in the bytes that were read.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the file from the start of `bytes` on, read or not.
    rest: u64,
}

impl<'a> Cursor<'a> {
    /// Bytes of the file from here on, read or not.
    fn left(&self) -> u64 {
        self.rest - self.at as u64
    }

    fn take(&mut self, len: u64) -> Parsed<&'a [u8]> {
        if len > self.left() {
            return Err(Stop::Bad(format!("{len} bytes are claimed, but the file has only {} more", self.left())));
        }
        if len > VALUE_LIMIT {
            return Err(Stop::Bad(format!("A value claims {len} bytes, more than {VALUE_LIMIT}")));
        }
        let taken = self.bytes.get(self.at..self.at + len as usize).ok_or(Stop::More)?;
        self.at += len as usize;
        Ok(taken)
    }

    fn check_count(&self, count: u64, least: u64, of: &str) -> Parsed<()> {
        if count > self.left() / least {
            return Err(Stop::Bad(format!("The file claims {count} {of}, but has only {} more bytes", self.left())));
        }
        if count > LIST_LIMIT {
            return Err(Stop::Bad(format!("The file claims {count} {of}, more than {LIST_LIMIT}")));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let taken = self.take(N as u64)?;
        Ok(*taken.first_chunk().expect("as many bytes were taken"))
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Parsed<&'a [u8]> {
        let len = self.u64()?;
        self.take(len)
    }

    fn value(&mut self, type_id: u32) -> Parsed<Value> {
        Ok(match type_id {
            0 => Value::U8(u8::from_le_bytes(self.array()?)),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::String(String::from_utf8_lossy(self.string()?).into_owned()),
            9 => Value::Array(self.list(0)?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => return Err(unknown_type(other)),
        })
    }

    fn list(&mut self, depth: u32) -> Parsed<Array> {
        let (element_type, count) = (self.u32()?, self.u64()?);
        Ok(match element_type {
            0 => Array::U8(self.numbers(count, u8::from_le_bytes)?),
            1 => Array::I8(self.numbers(count, i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(count, u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(count, i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(count, u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(count, i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(count, f32::from_le_bytes)?),
            7 => Array::Bool(self.numbers(count, |byte: [u8; 1]| byte != [0])?),
            8 => {
                self.check_count(count, 8, "strings in a list")?;
                let mut strings = Strings::default();
                for _ in 0..count {
                    strings.push(self.string()?);
                }
                Array::Strings(strings)
            }
            9 if depth < DEPTH_LIMIT => {
                self.check_count(count, 12, "lists in a list")?;
                let mut lists = Vec::new();
                for _ in 0..count {
                    lists.push(self.list(depth + 1)?);
                }
                Array::Arrays(lists)
            }
            9 => return Err(Stop::Bad(format!("Lists lie in lists more than {DEPTH_LIMIT} deep"))),
            10 => Array::U64(self.numbers(count, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(count, i64::from_le_bytes)?),
            12 => Array::F64(self.numbers(count, f64::from_le_bytes)?),
            other => return Err(unknown_type(other)),
        })
    }

    fn numbers<const N: usize, T>(&mut self, count: u64, number: fn([u8; N]) -> T) -> Parsed<Vec<T>> {
        self.check_count(count, N as u64, "numbers in a list")?;
        let bytes = self.take(count * N as u64)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect())
    }
}

fn unknown_type(id: u32) -> Stop {
    Stop::Bad(format!("A value has the type {id}, which GGUF does not have"))
}
