//! A model's weights under Hugging Face's names, whatever they are stored in: safetensors, or one GGUF file.

use std::ops::Range;

use serde_json::{Map, Value};

use super::gguf::blocks::GgmlType;
use super::gguf::names::Change;
use super::gguf::weights::GgufWeights;
use super::safetensors::{Dtype, TensorFiles};
use crate::error::{Error, Result};
use crate::platform::Folder;

/// The weights of a model folder; only what describes them is in memory.
pub enum ModelFiles {
    /// One file or shards.
    Safetensors(TensorFiles),
    /// A single file, with the model's configuration in it.
    Gguf(Box<GgufWeights>),
}

/// Storage type of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Each by itself.
    Plain(Dtype),
    /// In ggml's blocks.
    Blocks(GgmlType),
}

/// A matrix in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMatrix {
    /// Storage type of its elements.
    pub stored: Stored,
    /// Bytes of all rows.
    pub bytes: u64,
    /// True if rows and columns have changed places, against the shape that Hugging Face gives it.
    pub turned: bool,
}

impl Stored {
    fn of(ggml: GgmlType) -> Self {
        match ggml {
            GgmlType::F32 => Self::Plain(Dtype::F32),
            GgmlType::F16 => Self::Plain(Dtype::F16),
            GgmlType::BF16 => Self::Plain(Dtype::BF16),
            blocks => Self::Blocks(blocks),
        }
    }
}

/// The GGUF file that a folder's weights are in: it has no safetensors, and one file of that kind.
pub fn gguf_in(folder: &dyn Folder) -> Option<String> {
    let files = folder.files();
    let mut found = files.iter().filter(|file| file.to_lowercase().ends_with(".gguf"));
    let (first, second) = (found.next()?, found.next());
    let is_other = files.iter().any(|file| file.ends_with(".safetensors") || file == super::safetensors::INDEX);
    (second.is_none() && !is_other).then(|| first.clone())
}

impl ModelFiles {
    /// Reads the headers of a folder's weights; an error says what kind of folder it is if it has none.
    pub async fn open(folder: &dyn Folder) -> Result<Self> {
        match gguf_in(folder) {
            Some(file) => Ok(Self::Gguf(Box::new(GgufWeights::open(folder.open(&file)?).await?))),
            None => TensorFiles::open(folder).await.map(Self::Safetensors),
        }
    }

    /// The model's configuration, where the file of the weights has it.
    pub fn config(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Safetensors(_) => None,
            Self::Gguf(gguf) => Some(gguf.config()),
        }
    }

    /// Name of the folder or file, for messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Safetensors(files) => files.folder(),
            Self::Gguf(gguf) => gguf.gguf().name(),
        }
    }

    /// Number of tensors.
    pub fn n_tensors(&self) -> usize {
        match self {
            Self::Safetensors(files) => files.names().count(),
            Self::Gguf(gguf) => gguf.gguf().names().count(),
        }
    }

    /// True if there is a tensor called `name`.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Safetensors(files) => files.contains(name),
            Self::Gguf(gguf) => gguf.contains(name),
        }
    }

    /// Looks a tensor up and checks its shape; the error says which shape was found and which is needed.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<StoredMatrix> {
        match self {
            Self::Safetensors(files) => {
                let info = files.expect(name, shape)?;
                Ok(StoredMatrix { stored: Stored::Plain(info.dtype), bytes: info.bytes(), turned: false })
            }
            Self::Gguf(gguf) => {
                let (found, ggml) = gguf.info(name)?;
                let (info, change) = gguf.stored(name)?;
                if found != shape {
                    return Err(Error::input(
                        format!("The tensor has the shape {found:?}, but the file's configuration asks for {shape:?}"),
                        "The file contradicts itself: use another conversion of this model",
                        format!("{}, tensor {}", gguf.gguf().name(), info.name),
                    ));
                }
                let turned = change == Change::Transposed;
                Ok(StoredMatrix { stored: Stored::of(ggml), bytes: info.bytes(), turned })
            }
        }
    }

    /// Reads rows of a matrix of `n_rows` rows as stored bytes. Rows are Hugging Face's, or those of the file if the
    /// matrix is turned there.
    pub async fn rows(&self, name: &str, n_rows: usize, rows: Range<usize>) -> Result<Vec<u8>> {
        match self {
            Self::Safetensors(files) => {
                let row_bytes = files.info(name)?.bytes() / n_rows as u64;
                files.read(name, rows.start as u64 * row_bytes, (rows.len() as u64 * row_bytes) as usize).await
            }
            Self::Gguf(gguf) => match gguf.stored(name)? {
                (info, Change::Transposed) => gguf.gguf().read_rows(&info.name, rows).await,
                _ => gguf.read_rows(name, rows).await,
            },
        }
    }

    /// Reads a whole tensor as Hugging Face has it, converted to f32, row-major.
    pub async fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        match self {
            Self::Safetensors(files) => files.read_f32(name).await,
            Self::Gguf(gguf) => gguf.read_f32(name).await,
        }
    }
}
