//! GGUF: metadata and tensors by name, read by range from one file; only the front of it is in memory.

use std::collections::BTreeMap;
use std::ops::Range;

use super::blocks::GgmlType;
use super::header::{Entry, Header, known_type, read_header};
use super::value::Value;
use crate::error::{Error, Result};
use crate::platform::ByteSource;

/// A GGUF file: its metadata, and where its tensors lie.
pub struct Gguf {
    source: Box<dyn ByteSource>,
    version: u32,
    metadata: Vec<(String, Value)>,
    /// Index of each key in `metadata`.
    keys: BTreeMap<String, usize>,
    entries: BTreeMap<String, Entry>,
}

/// Type, shape and position of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name in the file.
    pub name: String,
    /// Type of its elements.
    pub ggml_type: GgmlType,
    /// Its dimensions, row-major (the reverse of ggml's order); empty for a scalar.
    pub shape: Vec<usize>,
    /// First byte, counted from the start of the file.
    pub begin: u64,
    /// One past the last byte.
    pub end: u64,
}

impl GgufTensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of stored bytes.
    pub fn bytes(&self) -> u64 {
        self.end - self.begin
    }

    /// Elements of a row: the last dimension. A row is whole blocks.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of rows, over all outer dimensions; a vector is one row.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Stored bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.ggml_type.row_bytes(self.columns())
    }
}

impl Gguf {
    /// Reads the front of a file, and none of its tensors.
    ///
    /// Errors: another format or version or byte order, by name; a part of a split model; a damaged or cut off file,
    /// with the key or the tensor where it cannot be right.
    pub async fn open(source: Box<dyn ByteSource>) -> Result<Self> {
        let Header { version, metadata, entries } = read_header(source.as_ref()).await?;
        let keys = metadata.iter().zip(0..).map(|((key, _), at)| (key.clone(), at)).collect();
        let gguf = Self { source, version, metadata, keys, entries };
        let number = |key: &str, default: u64| gguf.get(key).and_then(Value::as_u64).unwrap_or(default);
        let count = number("split.count", 1);
        if count > 1 {
            let part = number("split.no", 0).saturating_add(1);
            return Err(Error::input(
                format!("This is part {part} of a model that is split into {count} files"),
                "Join the parts with llama.cpp's `llama-gguf-split --merge`, or use a model in one file",
                gguf.name(),
            ));
        }
        Ok(gguf)
    }

    /// Name of the file in messages.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file itself, to read ranges that `info` describes.
    pub fn source(&self) -> &dyn ByteSource {
        self.source.as_ref()
    }

    /// A value of the metadata.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).and_then(|at| self.metadata.get(*at)).map(|(_, value)| value)
    }

    /// All of the metadata, in the order of the file, as `GgufLayout` takes it.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// `general.architecture`; an error if the file has none.
    pub fn architecture(&self) -> Result<&str> {
        self.get("general.architecture").and_then(Value::as_str).ok_or_else(|| {
            Error::input(
                "The file does not say which architecture its model has",
                "Use a GGUF file of a language model",
                self.at_key("general.architecture"),
            )
        })
    }

    /// The tensors' names, in the order they lie in the file.
    pub fn names_in_order(&self) -> Vec<&str> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.begin);
        entries.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// True if there is a tensor called `name`, of whatever type.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The dimensions of a tensor of whatever type, row-major.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Looks a tensor up; an error names the nearest existing name, or the stored type if it cannot be read.
    pub fn info(&self, name: &str) -> Result<GgufTensor> {
        let Some(entry) = self.entries.get(name) else {
            let score = |other: &&String| (strsim::normalized_levenshtein(name, other) * 1e6) as u64;
            let what = match self.entries.keys().max_by_key(score) {
                Some(nearest) => format!("There is no tensor \"{name}\"; the nearest name is \"{nearest}\""),
                None => format!("There is no tensor \"{name}\": the file has no tensors"),
            };
            return Err(Error::input(what, "Use a GGUF file with all of the model's tensors", self.name()));
        };
        let (Some(ggml_type), Some(end)) = (GgmlType::of(entry.type_id), entry.end) else {
            let stored = known_type(entry.type_id)
                .map_or_else(|| format!("type {} (unknown)", entry.type_id), |known| known.name.to_owned());
            let readable = GgmlType::ALL.map(GgmlType::name).join(", ");
            return Err(Error::input(
                format!("The tensor \"{name}\" is stored as {stored}, which is not supported"),
                format!("Use a file in one of: {readable}"),
                self.at_tensor(name),
            ));
        };
        Ok(GgufTensor { name: name.to_owned(), ggml_type, shape: entry.shape.clone(), begin: entry.begin, end })
    }

    /// Looks a tensor up and checks its shape; the error says which shape was found and which is needed.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<GgufTensor> {
        let info = self.info(name)?;
        if info.shape != shape {
            return Err(Error::input(
                format!("The tensor has the shape {:?}, but the metadata asks for {shape:?}", info.shape),
                "The file contradicts itself: use another conversion of this model",
                self.at_tensor(name),
            ));
        }
        Ok(info)
    }

    /// Reads `len` stored bytes of a tensor from `offset`, counted from the tensor's first byte.
    ///
    /// The range must lie inside the tensor, which `info` describes.
    pub async fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let info = self.info(name)?;
        let inside = offset.checked_add(len as u64).is_some_and(|stop| stop <= info.bytes());
        assert!(inside, "read of {name} leaves the tensor");
        self.source.read_at(info.begin + offset, len).await
    }

    /// Reads the stored bytes of `rows` of a tensor, whole blocks row after row.
    ///
    /// The rows must be the tensor's, which `info` describes.
    pub async fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<u8>> {
        let info = self.info(name)?;
        assert!(rows.start <= rows.end && rows.end <= info.rows(), "rows {rows:?} of {name} leave the tensor");
        let row = info.row_bytes() as u64;
        let len = (rows.end - rows.start) as u64 * row;
        let len = usize::try_from(len).map_err(|_| self.too_large(name, len))?;
        self.source.read_at(info.begin + rows.start as u64 * row, len).await
    }

    /// Reads a whole tensor, converted to f32, row-major.
    pub async fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        let len = usize::try_from(info.bytes()).map_err(|_| self.too_large(name, info.bytes()))?;
        Ok(info.ggml_type.to_f32(&self.source.read_at(info.begin, len).await?))
    }

    /// Location of a key, for messages.
    pub fn at_key(&self, key: &str) -> String {
        format!("{}, {key}", self.name())
    }

    /// Location of a tensor, for messages.
    pub fn at_tensor(&self, name: &str) -> String {
        format!("{}, tensor {name}", self.name())
    }

    fn too_large(&self, name: &str, bytes: u64) -> Error {
        Error::input(
            format!("The tensor's {bytes} bytes are too many for this device"),
            "Use a smaller model",
            self.at_tensor(name),
        )
    }
}
