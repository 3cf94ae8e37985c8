//! Safetensors: tensors by name, read by range from one file or several shards; small files written and parsed whole.
//!
//! Format: 8 bytes of header length (little endian), a JSON header, then the tensors' bytes without gaps.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::platform::{ByteSource, Folder, read_all};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model folder, in one file or in shards; only the headers are in memory.
pub struct TensorFiles {
    folder: String,
    sources: Vec<Box<dyn ByteSource>>,
    entries: BTreeMap<String, (usize, Entry)>,
}

/// Where one tensor lies in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// How its elements are stored.
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

/// How elements are stored; weights in another type are refused when they are used.
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

    /// Its name in a safetensors header.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::BF16].into_iter().find(|dtype| dtype.name() == name)
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

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The files, each with the names of its tensors in the order they lie in it.
    pub fn sources(&self) -> impl Iterator<Item = (&dyn ByteSource, Vec<&str>)> {
        self.sources.iter().enumerate().map(|(number, source)| {
            let mut mine: Vec<_> = self.entries.iter().filter(|(_, (file, _))| *file == number).collect();
            mine.sort_by_key(|(_, (_, entry))| entry.begin);
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
        let end = offset.checked_add(len as u64);
        assert!(end.is_some_and(|end| end <= entry.end - entry.begin), "read of {name} leaves the tensor");
        source.read_at(entry.begin + offset, len).await
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

/// The length and JSON header of a file that holds `tensors` (name, type, shape) in this order.
///
/// The caller writes these bytes, then each tensor's bytes one after another. The header is padded with spaces to a
/// multiple of 8 bytes, so that the tensors are aligned.
pub fn header_bytes(tensors: &[(String, Dtype, Vec<usize>)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut begin = 0u64;
    for (name, dtype, shape) in tensors {
        let end = begin + shape.iter().map(|&n| n as u64).product::<u64>() * dtype.size() as u64;
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end]});
        assert!(header.insert(name.clone(), entry).is_none(), "two tensors are called {name}");
        begin = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

/// A whole file of f32 `tensors` (name, shape, elements), in this order.
pub fn serialize_f32(tensors: &[(String, Vec<usize>, &[f32])], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let header: Vec<_> = tensors.iter().map(|(name, shape, _)| (name.clone(), Dtype::F32, shape.clone())).collect();
    let mut bytes = header_bytes(&header, metadata);
    for (name, shape, data) in tensors {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{name} needs one element per place of its shape");
        bytes.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    }
    bytes
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
        let stored = bytes.get(entry.begin as usize..entry.end as usize).unwrap_or_default();
        tensors.insert(name, Tensor { shape: info.shape, data: to_f32(info.dtype, stored) });
    }
    Ok(tensors)
}

/// One tensor as the header describes it, with byte offsets from the start of the file.
#[derive(Debug, Clone)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

impl Entry {
    fn info(&self, name: &str, at: &str) -> Result<TensorInfo> {
        let Some(dtype) = Dtype::from_name(&self.dtype) else {
            return Err(Error::input(
                format!("The tensor \"{name}\" is stored as {}, which is not supported", self.dtype),
                "Use weights stored as F32, F16 or BF16 (the unquantised original)",
                at,
            ));
        };
        let name = name.to_owned();
        Ok(TensorInfo { name, dtype, shape: self.shape.clone(), begin: self.begin, end: self.end })
    }
}

/// An entry of the JSON header, with byte offsets from the end of the header.
#[derive(Deserialize)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
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

/// Recognises other formats by their first bytes: what it is, and what to do.
fn foreign_format(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const ORIGINAL: &str = "Use the model's original folder, with model.safetensors and config.json";
    const CONVERT: &str = "Use a revision with model.safetensors, or convert it with transformers' save_pretrained";
    const FETCH: &str = "Download the file itself, for example with `git lfs pull` or `hf download`";
    // A header of less than 4 GiB has four zero bytes in its length, where a pickle has opcodes.
    let pickle = start.starts_with(&[0x80, 0x02]) && start.get(4..8).is_some_and(|b| b != [0; 4]);
    if start.starts_with(b"GGUF") {
        Some(("This is a GGUF file, not safetensors", ORIGINAL))
    } else if start.starts_with(b"PK\x03\x04") || pickle {
        Some(("This is a PyTorch (pickle) file, not safetensors", CONVERT))
    } else if start.starts_with(b"version https://git-lfs") {
        Some(("This is a Git LFS pointer, not the file it points to", FETCH))
    } else if start.starts_with(b"<!DOCTYPE") || start.starts_with(b"<html") {
        Some(("This is a web page, not a safetensors file", FETCH))
    } else {
        None
    }
}

/// Parses the JSON header and checks that the tensors fill the rest of the file without gap or overlap.
fn parse_header(file: &str, header: &[u8], file_len: u64) -> Result<BTreeMap<String, Entry>> {
    let data_begin = 8 + header.len() as u64;
    let map: Map<String, Value> =
        serde_json::from_slice(header).map_err(|e| damaged(file, format!("The header is not valid JSON: {e}")))?;
    let mut entries = Vec::with_capacity(map.len());
    for (name, value) in map {
        if name == "__metadata__" {
            continue;
        }
        let wrong = |what: String| damaged(&format!("{file}, tensor {name}"), what);
        let raw: HeaderEntry =
            serde_json::from_value(value).map_err(|e| wrong(format!("Its header entry is malformed: {e}")))?;
        let [begin, end] = raw.data_offsets;
        if end < begin || end > file_len - data_begin {
            return Err(wrong(format!(
                "Its bytes {begin}..{end} are not in the file, which has {} bytes of tensors",
                file_len - data_begin
            )));
        }
        let elements = raw.shape.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim as u64));
        let bits = elements.and_then(|n| n.checked_mul(bits_per_element(&raw.dtype).unwrap_or(0)));
        let fits = bits == (end - begin).checked_mul(8) || bits_per_element(&raw.dtype).is_none();
        if elements.is_none_or(|n| usize::try_from(n).is_err()) || !fits {
            return Err(wrong(format!(
                "Its {} bytes do not match the shape {:?} of type {}",
                end - begin,
                raw.shape,
                raw.dtype
            )));
        }
        let entry = Entry { dtype: raw.dtype, shape: raw.shape, begin: data_begin + begin, end: data_begin + end };
        entries.push((name, entry));
    }
    entries.sort_by_key(|(_, entry)| (entry.begin, entry.end));
    let mut covered = data_begin;
    for (name, entry) in &entries {
        if entry.begin != covered {
            let how = if entry.begin < covered { "overlap" } else { "leave a gap after" };
            return Err(damaged(
                &format!("{file}, tensor {name}"),
                format!("Its bytes {}..{} {how} those of the tensor before it", entry.begin, entry.end),
            ));
        }
        covered = entry.end;
    }
    if covered != file_len {
        return Err(damaged(file, format!("The header describes {covered} bytes, but the file has {file_len}")));
    }
    Ok(entries.into_iter().collect())
}

/// Bits per element of the types the format knows; `None` for one that is newer than this code.
fn bits_per_element(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
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

/// The error of a folder without safetensors weights, from what it holds instead.
fn no_model(folder: &str, files: &[String]) -> Error {
    let ending = |suffix: &str| files.iter().find(|file| file.ends_with(suffix));
    let (what, fix) = if files.iter().any(|file| file == "adapter_config.json") {
        (
            "This is an adapter (it has adapter_config.json), but a model is needed".to_owned(),
            "Name the folder of the base model here, and this folder as the adapter",
        )
    } else if let Some(file) = ending(".gguf") {
        (
            format!("This folder has GGUF weights only ({file})"),
            "Use the model's original folder, with model.safetensors and config.json",
        )
    } else if let Some(file) = files.iter().find(|file| file.starts_with("pytorch_model") || file.ends_with(".bin")) {
        (
            format!("This folder has PyTorch (pickle) weights only ({file})"),
            "Use a revision with model.safetensors, or convert it with transformers' save_pretrained",
        )
    } else if let Some(file) = ending(".safetensors") {
        (
            format!("There is neither {SINGLE} nor {INDEX}, only {file}"),
            "Download the model's folder whole; a single file must be called model.safetensors",
        )
    } else {
        (format!("There is neither {SINGLE} nor {INDEX} in this folder"), "Name a folder with a Hugging Face model")
    };
    Error::input(what, fix, folder)
}
