//! A model as a GGUF file, as llama.cpp's converter writes it, with an adapter added to its weights or without; and an
//! adapter as a GGUF file by itself.
//!
//! The model is in safetensors or in another GGUF file. Its weights go through memory in slices of rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::blocks::GgmlType;
use super::file::Gguf;
use super::names::{Change, GgufArch, Mapped};
use super::rope::RopeFactors;
use super::value::Value;
use super::weights::{GgufWeights, gather_rows};
use super::write::{GgufLayout, encode, write_gguf};
use crate::error::{Error, Result};
use crate::files::adapter::Adapter;
use crate::files::merge::{Adapted, Lengths, SLICE_BYTES, Update, adapted, add_product, scale_rows, transposed};
use crate::files::patterns::Scales;
use crate::files::safetensors::{TensorFiles, to_f32};
use crate::platform::{ByteSource, FolderWriter, LocalFuture};

/// llama.cpp's number for the type that most weights of a file have (`general.file_type`); none for other types.
fn file_type(ggml_type: GgmlType) -> Option<u32> {
    Some(match ggml_type {
        GgmlType::F32 => 0,
        GgmlType::F16 => 1,
        GgmlType::Q4_0 => 2,
        GgmlType::Q8_0 => 7,
        GgmlType::BF16 => 32,
        _ => return None,
    })
}

/// A model that can be written as a GGUF file.
pub struct GgufModel<'a> {
    source: Source<'a>,
    arch: GgufArch,
    /// Part of the model's config that `GgufArch::map` needs: its heads.
    config: Map<String, Json>,
    /// All but what depends on the type that is written.
    metadata: Vec<(String, Value)>,
    tensors: Vec<Planned>,
}

/// Files that the values come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Safetensors(&'a TensorFiles),
    Gguf(&'a Gguf),
}

/// A tensor that is written.
struct Planned {
    name: String,
    /// Row-major, as in the file that is written.
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    /// These, in full precision whatever the others are.
    Given(Vec<f32>),
    /// Values of a tensor of safetensors, under its Hugging Face name.
    Changed(String, Change),
    /// Values of the tensor of the same name in a GGUF file.
    Same,
}

/// A tensor of a model in safetensors: what Hugging Face calls it, what the file calls it, its shape.
pub type HfTensor = (String, String, Vec<usize>);

impl<'a> GgufModel<'a> {
    /// A model in safetensors; `config` is what `GgufArch::map` must know of it, `metadata` all that the file says but
    /// the type of its weights.
    ///
    /// An error names a tensor that the architecture does not have in GGUF.
    pub fn new(
        files: &'a TensorFiles,
        arch: GgufArch,
        config: Map<String, Json>,
        metadata: Vec<(String, Value)>,
        factors: RopeFactors,
        tensors: Vec<HfTensor>,
    ) -> Result<Self> {
        // First, so that the model's configuration can be read before its weights are written.
        let factors = factors.tensors().into_iter().map(|(name, factors)| Planned {
            name: name.to_owned(),
            shape: vec![factors.len()],
            values: Values::Given(factors),
        });
        let mut planned: Vec<Planned> = factors.collect();
        for (name, stored, shape) in tensors {
            let mapped = arch.map(&name, &config);
            let Some(Mapped { mut names, change }) = mapped.filter(|mapped| mapped.change.fits(shape[0])) else {
                return Err(Error::input(
                    format!("llama.cpp has no tensor in its architecture \"{}\" for \"{name}\"", arch.name()),
                    "Export the model as safetensors instead",
                    files.folder(),
                ));
            };
            let shape = change.stored_shape(&shape);
            planned.push(Planned { name: names.swap_remove(0), shape, values: Values::Changed(stored, change) });
        }
        Ok(Self { source: Source::Safetensors(files), arch, config, metadata, tensors: planned })
    }

    /// A model in a GGUF file: the same metadata, and the same tensors in the same order.
    ///
    /// An error names a tensor whose type cannot be read.
    pub fn of_gguf(weights: &'a GgufWeights) -> Result<Self> {
        const OF_THE_TYPE: [&str; 2] = ["general.file_type", "general.quantization_version"];
        let gguf = weights.gguf();
        let arch = weights.arch();
        let names = gguf.names_in_order();
        let planned = names.into_iter().map(|name| {
            let info = gguf.info(name)?;
            Ok(Planned { name: name.to_owned(), shape: info.shape, values: Values::Same })
        });
        // Splits and alignments are those of the file that is read.
        let kept = |key: &str| !OF_THE_TYPE.contains(&key) && !key.starts_with("split.") && key != "general.alignment";
        let metadata = gguf.metadata().iter().filter(|(key, _)| kept(key)).cloned().collect();
        let tensors = planned.collect::<Result<_>>()?;
        Ok(Self { source: Source::Gguf(gguf), arch, config: weights.config().clone(), metadata, tensors })
    }

    /// Says something else of the model than the file that it is read from.
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// Bytes of the file with weights of a type; errors as of `write`.
    pub fn bytes(&self, ggml_type: GgmlType) -> Result<u64> {
        Ok(self.layout(ggml_type)?.0.total_bytes())
    }

    /// The file without its weights: metadata, names and factors of rotary embeddings as they would be, all else
    /// zeros. Errors as of `write`.
    pub fn outline(&self, ggml_type: GgmlType, name: &str) -> Result<Box<dyn ByteSource>> {
        let (layout, _) = self.layout(ggml_type)?;
        let mut bytes = layout.front().to_vec();
        for (index, tensor) in self.tensors.iter().enumerate() {
            let Values::Given(values) = &tensor.values else { break };
            bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            bytes.resize(bytes.len() + layout.padding(index), 0);
        }
        Ok(Box::new(Outline { name: name.to_owned(), bytes, len: layout.total_bytes() }))
    }

    /// Writes the model as the file `name`, matrices in `ggml_type`, with an adapter added to them: the adapter, and
    /// where it came from. Returns the number of weights that it was added to.
    ///
    /// Types follow llama.cpp: vectors and convolutions stay in full precision, and matrices whose rows are not whole
    /// blocks are stored as F16. Q4_0 files have the head as Q8_0, since it decides each token by itself. `progress`
    /// gets the bytes done and in all, and may stop by returning false.
    ///
    /// Errors: an adapter that does not fit, a type that cannot be written, a value beyond F16.
    pub async fn write(
        &self,
        adapter: Option<(&Adapter, &str)>,
        ggml_type: GgmlType,
        to: &mut dyn FolderWriter,
        name: &str,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<usize> {
        let updates = match adapter {
            Some((adapter, from)) => self.updates(adapter, from)?,
            None => BTreeMap::new(),
        };
        let (layout, types) = self.layout(ggml_type)?;
        let total = layout.total_bytes();
        to.begin(name).await?;
        to.write(layout.front()).await?;
        let mut done = layout.front().len() as u64;
        for (index, (tensor, ggml_type)) in self.tensors.iter().zip(types).enumerate() {
            let update = updates.get(&tensor.name);
            for rows in slices(tensor) {
                let mut values = self.read(tensor, rows.clone()).await?;
                if let Some(Update { a, b, r, scale, lengths }) = update {
                    add_product(&mut values, a, &b[rows.start * r..rows.end * r], *r, *scale);
                    if let Some(Lengths::Rows(lengths)) = lengths {
                        scale_rows(&mut values, a.len() / r, &lengths[rows.start..]);
                    }
                }
                check_range(&tensor.name, ggml_type, &values)?;
                let bytes = encode(ggml_type, &values).ok_or_else(|| unwritable(ggml_type))?;
                to.write(&bytes).await?;
                done += bytes.len() as u64;
                if !progress(done, total) {
                    return Err(Error::Cancelled);
                }
            }
            to.write(&vec![0; layout.padding(index)]).await?;
            done += layout.padding(index) as u64;
        }
        to.end().await?;
        Ok(updates.len())
    }

    /// The adapter as a GGUF file of its own, for llama.cpp's `--lora`; `name` is what it calls itself.
    ///
    /// llama.cpp scales each pair by alpha over its rank. So alpha is changed with rsLoRA, and where a module's scale
    /// is another than that, its B is multiplied. An error, which says that it came `from`, if it does not fit the
    /// model.
    pub fn lora(&self, adapter: &Adapter, from: &str, name: &str) -> Result<Vec<u8>> {
        if adapter.config.use_dora {
            return Err(Error::input(
                "llama.cpp knows no DoRA adapters",
                "Export the merged model instead",
                format!("{from}, use_dora"),
            ));
        }
        let scales = Scales::new(&adapter.config)?;
        let rank = adapter.config.r as f64;
        // An alpha of zero stands for no scaling at all there.
        let alpha = Some(adapter.config.scale() * rank).filter(|alpha| *alpha != 0.0).unwrap_or(rank);
        let text = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
        let metadata = [
            text("general.architecture", self.arch.name()),
            text("general.type", "adapter"),
            text("general.name", name),
            ("general.file_type".to_owned(), Value::U32(0)),
            text("adapter.type", "lora"),
            ("adapter.lora.alpha".to_owned(), Value::F32(alpha as f32)),
        ];
        let mut tensors = Vec::new();
        for Adapted { path, weight, a, b, .. } in self.adapted(adapter, from)? {
            let (tensor, change) = self.mapped(&weight).expect("adapted modules have a tensor");
            let (r, (_, scale)) = (a.shape[0], scales.of(path)?);
            let factor = scale * r as f64 / alpha;
            let mut b = stored_rows(&b.data, r, change).into_owned();
            if (factor - 1.0).abs() > 1e-9 {
                b.iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
            }
            for (side, shape, data) in [("a", &a.shape, &a.data), ("b", &vec![tensor.shape[0], r], &b)] {
                let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
                tensors.push((format!("{}.lora_{side}", tensor.name), shape.clone(), GgmlType::F32, bytes));
            }
        }
        write_gguf(&metadata, &tensors)
    }

    /// Reads the file that `lora` wrote back into an adapter, with the settings of `adapter` and the matrices of the
    /// file.
    ///
    /// Errors: a matrix that is missing or has another shape.
    pub async fn read_lora(&self, file: &Gguf, adapter: &Adapter) -> Result<Adapter> {
        let scales = Scales::new(&adapter.config)?;
        let alpha = file.get("adapter.lora.alpha").and_then(Value::as_f64).unwrap_or(0.0);
        let mut read = adapter.clone();
        for Adapted { key, path, weight, a, b, .. } in self.adapted(adapter, file.name())? {
            let (tensor, change) = self.mapped(&weight).expect("adapted modules have a tensor");
            let (rows, r) = (b.shape[0], a.shape[0]);
            let [name_a, name_b] = ["a", "b"].map(|side| format!("{}.lora_{side}", tensor.name));
            file.expect(&name_a, &a.shape)?;
            file.expect(&name_b, &b.shape)?;
            let stored = file.read_f32(&name_b).await?;
            let factor = match scales.of(path)? {
                (_, 0.0) => 1.0,
                (_, scale) => alpha / r as f64 / scale,
            };
            let row = |row: usize| &stored[change.stored_row(row, rows) * r..][..r];
            let b = (0..rows).flat_map(row).map(|x| (f64::from(*x) * factor) as f32).collect();
            let a = file.read_f32(&name_a).await?;
            for (key, data) in [(key.to_owned(), a), (key.replace(".lora_A.", ".lora_B."), b)] {
                if let Some(tensor) = read.tensors.get_mut(&key) {
                    tensor.data = data;
                }
            }
        }
        Ok(read)
    }

    /// The tensor that Hugging Face calls `weight`, and what is done to its values.
    fn mapped(&self, weight: &str) -> Option<(&Planned, Change)> {
        let Mapped { names, change } = self.arch.map(weight, &self.config)?;
        Some((self.tensors.iter().find(|tensor| names.contains(&tensor.name))?, change))
    }

    fn adapted<'b>(&self, adapter: &'b Adapter, from: &str) -> Result<Vec<Adapted<'b>>> {
        // Whichever way the model has a matrix, here it is (out, in).
        let turned = adapter.config.fan_in_fan_out;
        adapted(adapter, from, |weight| {
            let shape = self.mapped(weight).map(|(tensor, _)| tensor.shape.clone());
            Ok(shape.map(|shape| if turned { shape.into_iter().rev().collect() } else { shape }))
        })
    }

    /// Returns the update of each tensor by its name in the file, with rows in the order of that tensor.
    fn updates<'b>(&self, adapter: &'b Adapter, from: &str) -> Result<BTreeMap<String, Update<'b>>> {
        let scales = Scales::new(&adapter.config)?;
        let mut updates = BTreeMap::new();
        for Adapted { path, weight, a, b, lengths, .. } in self.adapted(adapter, from)? {
            let (tensor, change) = self.mapped(&weight).expect("adapted modules have a tensor");
            let (r, (_, scale)) = (a.shape[0], scales.of(path)?);
            let (a, b) = (Cow::Borrowed(&a.data[..]), stored_rows(&b.data, r, change));
            let lengths = lengths.map(|lengths| Lengths::Rows(stored_rows(&lengths.data, 1, change)));
            updates.insert(tensor.name.clone(), Update { a, b, r, scale: scale as f32, lengths });
        }
        Ok(updates)
    }

    fn layout(&self, ggml_type: GgmlType) -> Result<(GgufLayout, Vec<GgmlType>)> {
        let file_type = file_type(ggml_type).ok_or_else(|| unwritable(ggml_type))?;
        let mut metadata = self.metadata.clone();
        metadata.push(("general.file_type".to_owned(), Value::U32(file_type)));
        metadata.push(("general.quantization_version".to_owned(), Value::U32(2)));
        let has_head = self.tensors.iter().any(|tensor| tensor.name == "output.weight");
        let head = if has_head { "output.weight" } else { "token_embd.weight" };
        let types: Vec<_> = self.tensors.iter().map(|tensor| stored_as(tensor, ggml_type, head)).collect();
        let described: Vec<_> =
            self.tensors.iter().zip(&types).map(|(t, stored)| (t.name.clone(), t.shape.clone(), *stored)).collect();
        Ok((GgufLayout::new(&metadata, &described)?, types))
    }

    /// Values of some rows; of a tensor that is not read by rows, all of them.
    async fn read(&self, tensor: &Planned, rows: Range<usize>) -> Result<Vec<f32>> {
        match (&tensor.values, self.source) {
            (Values::Given(values), _) => Ok(values.clone()),
            (Values::Same, Source::Gguf(gguf)) => {
                let info = gguf.info(&tensor.name)?;
                Ok(info.ggml_type.to_f32(&gguf.read_rows(&tensor.name, rows).await?))
            }
            (Values::Changed(stored, change), Source::Safetensors(files)) => {
                if by_rows(tensor) {
                    return read_changed(files, stored, *change, rows).await;
                }
                let values = files.read_f32(stored).await?;
                Ok(match change {
                    Change::PlusOne => values.into_iter().map(|x| x + 1.0).collect(),
                    Change::Transposed => transposed(&values, tensor.shape[0]),
                    _ => stored_rows(&values, 1, *change).into_owned(),
                })
            }
            (Values::Same, _) | (Values::Changed(..), _) => unreachable!("values come from the model's own files"),
        }
    }
}

/// Type of one tensor in a file that is written in `ggml_type`.
fn stored_as(tensor: &Planned, ggml_type: GgmlType, head: &str) -> GgmlType {
    let plain = tensor.name.starts_with("position_embd.") || tensor.name.contains(".shortconv.conv.");
    if tensor.shape.len() < 2 || plain || matches!(tensor.values, Values::Given(_)) {
        return GgmlType::F32;
    }
    let wanted = if ggml_type == GgmlType::Q4_0 && tensor.name == head { GgmlType::Q8_0 } else { ggml_type };
    let columns = tensor.shape.last().copied().unwrap_or(1);
    if columns.is_multiple_of(wanted.block_elements()) { wanted } else { GgmlType::F16 }
}

/// True for matrices whose rows have a place in the files of the model.
fn by_rows(tensor: &Planned) -> bool {
    let whole = matches!(tensor.values, Values::Given(_) | Values::Changed(_, Change::Transposed | Change::PlusOne));
    tensor.shape.len() > 1 && !whole
}

/// Ranges of rows that are in memory at a time.
fn slices(tensor: &Planned) -> Vec<Range<usize>> {
    let columns = tensor.shape.last().copied().unwrap_or(1);
    // A vector is one row, as `Gguf` counts.
    let rows: usize = tensor.shape.iter().rev().skip(1).product();
    let step = if by_rows(tensor) { (SLICE_BYTES as usize / (4 * columns)).max(1) } else { rows.max(1) };
    (0..rows).step_by(step).map(|first| first..(first + step).min(rows)).collect()
}

/// Rows of a matrix in safetensors, counted and ordered as the file that is written has them.
async fn read_changed(files: &TensorFiles, name: &str, change: Change, rows: Range<usize>) -> Result<Vec<f32>> {
    let info = files.info(name)?;
    let n_rows = info.shape[0];
    let row_bytes = (info.bytes() / n_rows as u64) as usize;
    let read = async |rows: Range<usize>| {
        files.read(name, (rows.start * row_bytes) as u64, (rows.end - rows.start) * row_bytes).await
    };
    let bytes = match change {
        Change::PairRows { .. } | Change::SplitHeads { .. } => {
            gather_rows(&change.hf_rows(n_rows)[rows], row_bytes, read).await?
        }
        _ => read(rows).await?,
    };
    Ok(to_f32(info.dtype, &bytes))
}

/// Rows of so many elements, Hugging Face's order of rows turned into the file's.
fn stored_rows(data: &[f32], width: usize, change: Change) -> Cow<'_, [f32]> {
    match change {
        Change::PairRows { .. } | Change::SplitHeads { .. } => {
            let order = change.hf_rows(data.len() / width);
            Cow::Owned(order.into_iter().flat_map(|row| &data[row * width..][..width]).copied().collect())
        }
        _ => Cow::Borrowed(data),
    }
}

/// Refuses what half precision, in which weights or the scales of blocks are, would turn into infinity.
fn check_range(name: &str, ggml_type: GgmlType, values: &[f32]) -> Result<()> {
    let limit = match ggml_type {
        GgmlType::F32 | GgmlType::BF16 => f32::MAX,
        GgmlType::Q8_0 => 127.0 * 65504.0,
        GgmlType::Q4_0 => 8.0 * 65504.0,
        _ => 65504.0,
    };
    match values.iter().find(|x| x.is_nan() || x.abs() > limit) {
        None => Ok(()),
        Some(value) => Err(Error::input(
            format!("The weights hold the value {value}, which {} cannot", ggml_type.name()),
            "Write them as BF16 or F32",
            format!("tensor {name}"),
        )),
    }
}

fn unwritable(ggml_type: GgmlType) -> Error {
    Error::input(
        format!("Weights cannot be written as {}", ggml_type.name()),
        "Use one of: F32, F16, BF16, Q8_0, Q4_0",
        "",
    )
}

/// The beginning of a file of which the rest is zeros.
struct Outline {
    name: String,
    bytes: Vec<u8>,
    len: u64,
}

impl ByteSource for Outline {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let known = self.bytes.get(offset as usize..).unwrap_or_default();
            let mut bytes = known[..len.min(known.len())].to_vec();
            bytes.resize(len, 0);
            Ok(bytes)
        })
    }
}
