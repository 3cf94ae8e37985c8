//! A GGUF file's tensors under their Hugging Face names, with what llama.cpp's converter did to them undone.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::blocks::GgmlType;
use super::config::{gguf_config, unsupported_architecture};
use super::file::{Gguf, GgufTensor};
use super::names::{Change, GgufArch};
use crate::error::{Error, Result};
use crate::platform::ByteSource;

/// A file with its config, read as a model's folder is.
pub struct GgufWeights {
    gguf: Gguf,
    arch: GgufArch,
    config: Map<String, Json>,
}

impl GgufWeights {
    /// Reads the front of a file and its config; errors as of `Gguf::open` and `gguf_config`.
    pub async fn open(source: Box<dyn ByteSource>) -> Result<Self> {
        let gguf = Gguf::open(source).await?;
        let config = gguf_config(&gguf).await?;
        match GgufArch::of(gguf.architecture()?) {
            Some(arch) => Ok(Self { gguf, arch, config }),
            None => Err(unsupported_architecture(&gguf, gguf.architecture()?)),
        }
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// Its architecture.
    pub fn arch(&self) -> GgufArch {
        self.arch
    }

    /// Configuration that `gguf_config` read from the file.
    pub fn config(&self) -> &Map<String, Json> {
        &self.config
    }

    /// True if the file has the tensor that Hugging Face calls `hf_name`.
    pub fn contains(&self, hf_name: &str) -> bool {
        let mapped = self.arch.map(hf_name, &self.config);
        mapped.is_some_and(|mapped| mapped.names.iter().any(|name| self.gguf.contains(name)))
    }

    /// The file's tensor that Hugging Face calls `hf_name`, and what was done to it.
    ///
    /// An error if the architecture has no such tensor, the file lacks it, its type cannot be read, or its rows cannot
    /// be what the change made of whole heads.
    pub fn stored(&self, hf_name: &str) -> Result<(GgufTensor, Change)> {
        let Some(mapped) = self.arch.map(hf_name, &self.config) else {
            return Err(Error::input(
                format!("Models of the architecture \"{}\" have no tensor \"{hf_name}\"", self.arch.name()),
                "Use a model of a supported architecture",
                self.gguf.name(),
            ));
        };
        let name = mapped.names.iter().find(|name| self.gguf.contains(name)).unwrap_or(&mapped.names[0]);
        let info = self.gguf.info(name)?;
        let rows = if info.shape.len() < 2 { info.elements() } else { info.rows() };
        if !mapped.change.fits(rows) {
            return Err(Error::input(
                format!("The tensor has {rows} rows, which are not the rows of whole heads ({:?})", mapped.change),
                "The file contradicts itself: use another conversion of this model",
                self.gguf.at_tensor(name),
            ));
        }
        Ok((info, mapped.change))
    }

    /// Hugging Face's shape of a tensor and the type its elements are stored in; errors as of `stored`.
    pub fn info(&self, hf_name: &str) -> Result<(Vec<usize>, GgmlType)> {
        let (info, change) = self.stored(hf_name)?;
        Ok((change.hf_shape(&info.shape), info.ggml_type))
    }

    /// Reads rows of a matrix as Hugging Face counts them, as stored bytes, whole blocks row after row.
    ///
    /// The rows must be the matrix's. An error if its values or columns were changed, which stored bytes cannot undo
    /// (norms, and GPT-2's transposed matrices: as stored, those are in any other layer's order).
    pub async fn read_rows(&self, hf_name: &str, rows: Range<usize>) -> Result<Vec<u8>> {
        let (info, change) = self.stored(hf_name)?;
        match change {
            Change::None | Change::Squeezed => self.gguf.read_rows(&info.name, rows).await,
            Change::PairRows { .. } | Change::SplitHeads { .. } if info.shape.len() == 2 => {
                self.gather(&info, change, rows).await
            }
            _ => Err(Error::input(
                format!("The tensor \"{hf_name}\" cannot be read by rows ({change:?})"),
                "Read it whole",
                self.gguf.at_tensor(&info.name),
            )),
        }
    }

    /// Reads a whole tensor as Hugging Face has it, converted to f32, row-major.
    pub async fn read_f32(&self, hf_name: &str) -> Result<Vec<f32>> {
        let (info, change) = self.stored(hf_name)?;
        let stored = self.gguf.read_f32(&info.name).await?;
        Ok(match (change, info.shape.as_slice()) {
            (Change::PlusOne, _) => stored.into_iter().map(|x| x - 1.0).collect(),
            (Change::Transposed, [rows, columns]) => (0..*columns)
                .flat_map(|j| (0..*rows).map(move |i| (i, j)))
                .map(|(i, j)| stored[i * columns + j])
                .collect(),
            (Change::PairRows { .. } | Change::SplitHeads { .. }, shape) => {
                let rows = if shape.len() < 2 { info.elements() } else { info.rows() };
                let width = (info.elements() / rows.max(1)).max(1);
                let row = |row: usize| &stored[change.stored_row(row, rows) * width..][..width];
                (0..rows).flat_map(row).copied().collect()
            }
            _ => stored,
        })
    }

    /// Reads rows that were moved.
    async fn gather(&self, info: &GgufTensor, change: Change, rows: Range<usize>) -> Result<Vec<u8>> {
        assert!(rows.start <= rows.end && rows.end <= info.rows(), "rows {rows:?} of {} leave the tensor", info.name);
        let stored: Vec<usize> = rows.map(|row| change.stored_row(row, info.rows())).collect();
        gather_rows(&stored, info.row_bytes(), async |rows| self.gguf.read_rows(&info.name, rows).await).await
    }
}

/// The bytes of rows in any order, in as few pieces as their places allow; `read` reads rows that follow each other.
pub(in crate::files) async fn gather_rows(
    order: &[usize],
    row_bytes: usize,
    read: impl AsyncFn(Range<usize>) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut all = Vec::with_capacity(order.len() * row_bytes);
    let (Some(first), Some(last)) = (order.iter().min().copied(), order.iter().max().copied()) else {
        return Ok(all);
    };
    // Rows of one head take turns with as many others; rows of query, key and value lie far apart, each in a run.
    if last - first < 3 * order.len() {
        let span = read(first..last + 1).await?;
        for row in order {
            all.extend_from_slice(&span[(row - first) * row_bytes..][..row_bytes]);
        }
    } else {
        for run in order.chunk_by(|row, next| *next == row + 1) {
            all.extend(read(run[0]..run[0] + run.len()).await?);
        }
    }
    Ok(all)
}
