//! Safetensors: tensors by name, read by range from one file or several shards; small files written and parsed whole.
//!
//! Format: 8 bytes of header length (little endian), a JSON header, then the tensors' bytes without gaps. The
//! `safetensors` crate reads, checks and writes headers; it wants files whole, so that ranges are ours.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::Metadata;
use safetensors::{Dtype as Stored, View};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::foreign::{foreign_format, no_model};
use crate::error::{Error, Result};
use crate::platform::{ByteSource, Folder, read_all};

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model folder, in one file or in shards; only the headers are in memory.
pub struct TensorFiles {
    folder: String,
    sources: Vec<Box<dyn ByteSource>>,
    entries: BTreeMap<String, (usize, Entry)>,
}

/// Type, shape and position of one tensor in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, row-major; empty for a scalar.
    pub shape: Vec<usize>,
    /// First byte, counted from the start of the file.
    pub begin: u64,
    /// One past the last byte.
    pub end: u64,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of bytes.
    pub fn bytes(&self) -> u64 {
        self.end - self.begin
    }
}

/// One tensor in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its dimensions, row-major; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<f32>,
}

/// Supported types of elements; weights in another type are refused when they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
}

impl Dtype {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    fn of(stored: Stored) -> Option<Self> {
        match stored {
            Stored::F32 => Some(Self::F32),
            Stored::F16 => Some(Self::F16),
            Stored::BF16 => Some(Self::BF16),
            _ => None,
        }
    }
}

impl TensorFiles {
    /// Reads the headers of `model.safetensors`, or of the shards that `model.safetensors.index.json` lists.
    ///
    /// An error says what kind of folder this is if it is not a model in safetensors, and which shard or listed tensor
    /// is missing, and names the file and tensor of a damaged header.
    pub async fn open(folder: &dyn Folder) -> Result<Self> {
        let files = folder.files();
        let has = |name: &str| files.iter().any(|file| file == name);
        let mut found = Self { folder: folder.name().to_owned(), sources: Vec::new(), entries: BTreeMap::new() };
        if has(SINGLE) {
            let source = folder.open(SINGLE)?;
            let entries = read_header(source.as_ref()).await?;
            found.entries = entries.into_iter().map(|(name, entry)| (name, (0, entry))).collect();
            found.sources.push(source);
            return Ok(found);
        }
        if !has(INDEX) {
            return Err(no_model(folder.name(), &files));
        }
        let index = folder.open(INDEX)?;
        let weight_map = parse_index(&read_all(index.as_ref()).await?, index.name())?;
        let shards: BTreeSet<&String> = weight_map.values().collect();
        for (number, shard) in shards.into_iter().enumerate() {
            if !has(shard) {
                return Err(Error::input(
                    format!("The shard \"{shard}\" is listed in {INDEX} but is not in the folder"),
                    "Download the missing shard into the folder",
                    folder.name(),
                ));
            }
            let source = folder.open(shard)?;
            let mut entries = read_header(source.as_ref()).await?;
            for name in weight_map.iter().filter(|(_, file)| *file == shard).map(|(name, _)| name) {
                let Some(entry) = entries.remove(name) else {
                    return Err(Error::input(
                        format!("The tensor \"{name}\" is listed for this shard in {INDEX} but is not in it"),
                        "Download the shard and the index again, from the same revision",
                        source.name(),
                    ));
                };
                found.entries.insert(name.clone(), (number, entry));
            }
            found.sources.push(source);
        }
        Ok(found)
    }

    /// The folder's name, for messages.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The files, each with the names of its tensors in the order they lie in it.
    pub fn sources(&self) -> impl Iterator<Item = (&dyn ByteSource, Vec<&str>)> {
        self.sources.iter().enumerate().map(|(number, source)| {
            let mut mine: Vec<_> = self.entries.iter().filter(|(_, (file, _))| *file == number).collect();
            mine.sort_by_key(|(_, (_, entry))| entry.data_offsets);
            (source.as_ref(), mine.into_iter().map(|(name, _)| name.as_str()).collect())
        })
    }

    /// True if there is a tensor called `name`, of whatever type.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Looks a tensor up; an error names the nearest existing name, or the stored type if it is not supported.
    pub fn info(&self, name: &str) -> Result<TensorInfo> {
        let (_, entry) = self.entry(name)?;
        entry.info(name, &self.at(name))
    }

    /// Looks a tensor up and checks its shape; the error says which shape was found and which is needed.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<TensorInfo> {
        let info = self.info(name)?;
        if info.shape != shape {
            return Err(Error::input(
                format!("The tensor has the shape {:?}, but config.json asks for {shape:?}", info.shape),
                "Use the config.json that came with these weights",
                self.at(name),
            ));
        }
        Ok(info)
    }

    /// Reads `len` stored bytes of a tensor from `offset`, counted from the tensor's first byte.
    ///
    /// The range must lie inside the tensor, which `info` describes.
    pub async fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let (source, entry) = self.entry(name)?;
        let ((begin, end), stop) = (entry.data_offsets, offset.checked_add(len as u64));
        assert!(stop.is_some_and(|stop| stop <= end - begin), "read of {name} leaves the tensor");
        source.read_at(begin + offset, len).await
    }

    /// Reads a whole tensor, converted to f32, row-major.
    pub async fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        let bytes = self.read(name, 0, info.bytes() as usize).await?;
        Ok(to_f32(info.dtype, &bytes))
    }

    fn entry(&self, name: &str) -> Result<(&dyn ByteSource, &Entry)> {
        if let Some((number, entry)) = self.entries.get(name)
            && let Some(source) = self.sources.get(*number)
        {
            return Ok((source.as_ref(), entry));
        }
        let score = |other: &&String| (strsim::normalized_levenshtein(name, other) * 1e6) as u64;
        let what = match self.entries.keys().max_by_key(score) {
            Some(nearest) => format!("There is no tensor \"{name}\"; the nearest name is \"{nearest}\""),
            None => format!("There is no tensor \"{name}\": the file has no tensors"),
        };
        Err(Error::input(what, "Check that config.json and the weights belong to the same model", self.folder.clone()))
    }

    fn at(&self, name: &str) -> String {
        let source = self.entries.get(name).and_then(|(number, _)| self.sources.get(*number));
        format!("{}, tensor {name}", source.map_or(self.folder.as_str(), |source| source.name()))
    }
}

/// Converts stored bytes to f32; a last incomplete element is left out.
pub fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => halves().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => halves().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
    }
}

/// A whole file of f32 `tensors` (name, shape, elements), by name; byte for byte what PEFT and transformers write.
///
/// The entries of `metadata` are written in no defined order.
pub fn serialize_f32(tensors: &[(String, Vec<usize>, &[f32])], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, shape, data)| (name, Floats { shape, data }));
    let entries = || metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let metadata = (!metadata.is_empty()).then(entries);
    safetensors::serialize(views, metadata)
        .expect("each tensor has its own name and one element per place of its shape")
}

/// A tensor to be written.
struct Floats<'a> {
    shape: &'a [usize],
    data: &'a [f32],
}

impl View for Floats<'_> {
    fn dtype(&self) -> Stored {
        Stored::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // Little endian, as every machine is that wgpu runs on.
        Cow::Borrowed(bytemuck::cast_slice(self.data))
    }

    fn data_len(&self) -> usize {
        size_of_val(self.data)
    }
}

/// Parses a small file that is in memory: tensors by name, converted to f32.
///
/// `file` is what messages call it; the errors are those of `TensorFiles`, unsupported types included.
pub fn parse(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let json_len = header_len(file, bytes, bytes.len() as u64)?;
    let header = bytes.get(8..8 + json_len).unwrap_or_default();
    let mut tensors = BTreeMap::new();
    for (name, entry) in parse_header(file, header, bytes.len() as u64)? {
        let info = entry.info(&name, &format!("{file}, tensor {name}"))?;
        let stored = bytes.get(info.begin as usize..info.end as usize).unwrap_or_default();
        tensors.insert(name, Tensor { shape: info.shape, data: to_f32(info.dtype, stored) });
    }
    Ok(tensors)
}

/// One tensor of a header, as the crate's `TensorInfo`, but with 64 bits where a page has 32.
///
/// Its bytes are counted from the end of the header in a header, and from the start of the file otherwise.
#[derive(Debug, PartialEq, Deserialize)]
struct Entry {
    dtype: Stored,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Entry {
    fn info(&self, name: &str, at: &str) -> Result<TensorInfo> {
        let Some(dtype) = Dtype::of(self.dtype) else {
            return Err(Error::input(
                format!("The tensor \"{name}\" is stored as {}, which is not supported", self.dtype),
                "Use weights stored as F32, F16 or BF16 (the unquantised original)",
                at,
            ));
        };
        let name = name.to_owned();
        let (begin, end) = self.data_offsets;
        Ok(TensorInfo { name, dtype, shape: self.shape.clone(), begin, end })
    }
}

async fn read_header(source: &dyn ByteSource) -> Result<BTreeMap<String, Entry>> {
    let start = source.read_at(0, source.len().min(64) as usize).await?;
    let json_len = header_len(source.name(), &start, source.len())?;
    let header = source.read_at(8, json_len).await?;
    parse_header(source.name(), &header, source.len())
}

/// Checks the beginning of a file of `file_len` bytes and returns the length of its JSON header.
fn header_len(file: &str, start: &[u8], file_len: u64) -> Result<usize> {
    if let Some((what, fix)) = foreign_format(start) {
        return Err(Error::input(what, fix, file));
    }
    let Some(length) = start.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else {
        return Err(damaged(file, format!("The file has {file_len} bytes, too few for a safetensors file")));
    };
    if length > 100_000_000 {
        return Err(damaged(file, format!("The header claims {length} bytes, more than the 100 MB a header may have")));
    }
    if length > file_len - 8 {
        return Err(damaged(file, format!("The header claims {length} bytes, but the file has only {file_len}")));
    }
    Ok(length as usize)
}

/// The tensors of a JSON header, which fill the rest of the file without gap or overlap.
fn parse_header(file: &str, header: &[u8], file_len: u64) -> Result<BTreeMap<String, Entry>> {
    let data_begin = 8 + header.len() as u64;
    let mut entries: Vec<(String, Entry)> = match serde_json::from_slice::<Metadata>(header) {
        Ok(metadata) => metadata.tensors().into_iter().map(|(name, info)| (name, info.into())).collect(),
        Err(e) => match wide_entries(header) {
            Ok(entries) if usize::BITS < u64::BITS => entries,
            place => {
                let at = format!("{file}{}", place.err().unwrap_or_default());
                return Err(damaged(&at, format!("The header is not valid: {e}")));
            }
        },
    };
    let mut covered = data_begin;
    for (begin, end) in entries.iter_mut().map(|(_, entry)| &mut entry.data_offsets) {
        (*begin, *end) = (begin.saturating_add(data_begin), end.saturating_add(data_begin));
        covered = covered.max(*end);
    }
    if covered != file_len {
        return Err(damaged(file, format!("The header describes {covered} bytes, but the file has {file_len}")));
    }
    Ok(entries.into_iter().collect())
}

impl From<&safetensors::tensor::TensorInfo> for Entry {
    fn from(info: &safetensors::tensor::TensorInfo) -> Self {
        let (begin, end) = info.data_offsets;
        Self { dtype: info.dtype, shape: info.shape.clone(), data_offsets: (begin as u64, end as u64) }
    }
}

/// Reads the tensors that the crate would read, by its rules. The error is the place of the first fault, which not all
/// of the crate's errors name.
///
/// The crate counts bits in a `usize`. If that has 32 bits, as in a page, it refuses sound tensors of 512 MiB and sound
/// files of 4 GiB (<https://github.com/safetensors/safetensors/issues/817>).
fn wide_entries(header: &[u8]) -> std::result::Result<Vec<(String, Entry)>, String> {
    let map: Map<String, Value> = serde_json::from_slice(header).map_err(|_| String::new())?;
    let mut entries = Vec::with_capacity(map.len());
    for (name, value) in map.into_iter().filter(|(name, _)| name != "__metadata__") {
        let entry = Entry::deserialize(value).map_err(|_| format!(", tensor {name}"))?;
        entries.push((name, entry));
    }
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut covered = 0;
    for (name, Entry { dtype, shape, data_offsets: (begin, end) }) in &entries {
        let bits = shape.iter().try_fold(dtype.bitsize() as u64, |bits, &n| bits.checked_mul(n as u64));
        let stored = end.checked_sub(*begin).and_then(|bytes| bytes.checked_mul(8));
        if *begin != covered || bits.is_none() || bits != stored {
            return Err(format!(", tensor {name}"));
        }
        covered = *end;
    }
    Ok(entries)
}

fn parse_index(bytes: &[u8], file: &str) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|e| damaged(file, format!("The index is not JSON with a \"weight_map\" of names to files: {e}")))?;
    Ok(index.weight_map)
}

fn damaged(at: &str, what: String) -> Error {
    Error::input(what, "The file is damaged or cut off: download it again", at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_headers_are_read_as_the_crate_reads_them() {
        let entry = |dtype: &str, shape: &str, begin: u64, end: u64| {
            format!(r#"{{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [{begin}, {end}]}}"#)
        };
        let gib = 1 << 30;
        for (header, sound) in [
            ("{}".to_owned(), true),
            (r#"{"__metadata__": {"format": "pt"}}"#.to_owned(), true),
            // A page must read this, but the crate cannot do so there.
            (
                format!(
                    r#"{{"a": {}, "b": {}}}"#,
                    entry("BF16", "[1073741824, 4]", 0, 8 * gib),
                    entry("F32", "[]", 8 * gib, 8 * gib + 4)
                ),
                true,
            ),
            (format!(r#"{{"a": {}}}"#, entry("F4", "[2]", 0, 1)), true),
            (format!(r#"{{"a": {}}}"#, entry("F4", "[3]", 0, 1)), false),
            (format!(r#"{{"a": {}}}"#, entry("F32", "[0, 9]", 0, 0)), true),
            (format!(r#"{{"a": {}}}"#, entry("F32", "[2]", 0, 4)), false),
            (format!(r#"{{"a": {}}}"#, entry("F32", "[1]", 4, 8)), false),
            (format!(r#"{{"a": {}}}"#, entry("F32", "[1]", 4, 0)), false),
            (format!(r#"{{"a": {}}}"#, entry("F3", "[1]", 0, 4)), false),
            (format!(r#"{{"a": {}}}"#, entry("F32", "[4611686018427387904, 4]", 0, 0)), false),
            (format!(r#"{{"a": {}, "b": {}}}"#, entry("U8", "[4]", 0, 4), entry("U8", "[4]", 2, 6)), false),
            ("[]".to_owned(), false),
        ] {
            let crate_reads = serde_json::from_str::<Metadata>(&header);
            let we_read = wide_entries(header.as_bytes());
            assert_eq!((crate_reads.is_ok(), we_read.is_ok()), (sound, sound), "{header}: {crate_reads:?} {we_read:?}");
            if let (Ok(metadata), Ok(entries)) = (crate_reads, we_read) {
                let same = |(name, info): &(String, Entry)| metadata.info(name).map(Entry::from).as_ref() == Some(info);
                assert!(entries.iter().all(same) && entries.len() == metadata.tensors().len(), "{header}");
            }
        }
    }
}
