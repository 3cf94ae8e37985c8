//! An adapter added to base weights: W += scale · B A, for DoRA then each row brought to its length, in the type W is
//! stored in, shard by shard as it was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::adapter::{Adapter, LORA_A, LORA_B, LORA_MAGNITUDE, PEFT_PREFIX};
use super::patterns::Scales;
use super::safetensors::{Dtype, Tensor, TensorFiles, TensorInfo, to_f32};
use crate::error::{Error, Result};
use crate::platform::{ByteSource, Folder, FolderWriter, read_all};

/// Bytes of a tensor that are in memory at a time.
pub(super) const SLICE_BYTES: u64 = 32 << 20;

/// Writes the merged model: same files, same tensors, same types. Returns the number of merged weights.
///
/// `beside` are small files that take the place of those of the base model. `from` says in errors where the adapter
/// came from; `progress` is told the bytes done and in all, and may stop by returning false.
pub async fn merge_model(
    base: &dyn Folder,
    adapter: &Adapter,
    from: &str,
    beside: &[(String, Vec<u8>)],
    to: &mut dyn FolderWriter,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<usize> {
    let tensors = TensorFiles::open(base).await?;
    let modules = updates(adapter, &tensors, from)?;
    let sources: Vec<_> = tensors.sources().collect();
    let total = sources.iter().map(|(source, _)| source.len()).sum();
    let mut done = 0;
    for (source, names) in sources {
        let merged: Vec<(TensorInfo, &Update<'_>)> = names
            .iter()
            .filter_map(|name| modules.get(*name).map(|update| Ok((tensors.info(name)?, update))))
            .collect::<Result<_>>()?;
        let name = source.name().rsplit(['/', '\\']).next().unwrap_or_default();
        to.begin(name).await?;
        // Header and other tensors are copied as they are, so that every offset holds.
        let mut at = 0;
        let mut tell = |at: u64| if progress(done + at, total) { Ok(()) } else { Err(Error::Cancelled) };
        for (info, update) in &merged {
            copy(source, at..info.begin, to, &mut tell).await?;
            merge_tensor(source, info, update, to).await?;
            at = info.end;
            tell(at)?;
        }
        copy(source, at..source.len(), to, &mut tell).await?;
        to.end().await?;
        done += source.len();
    }
    let replaced = |name: &&String| beside.iter().any(|(other, _)| other == *name);
    for name in base.files().iter().filter(|name| belongs_to_a_model(name) && !replaced(name)) {
        to.begin(name).await?;
        to.write(&read_all(base.open(name)?.as_ref()).await?).await?;
        to.end().await?;
    }
    for (name, bytes) in beside {
        to.begin(name).await?;
        to.write(bytes).await?;
        to.end().await?;
    }
    Ok(modules.len())
}

/// Update of a stored weight: `scale · b a`, in the order in which the weight is stored.
pub(super) struct Update<'a> {
    /// (r, columns)
    pub(super) a: Cow<'a, [f32]>,
    /// (rows, r)
    pub(super) b: Cow<'a, [f32]>,
    pub(super) r: usize,
    pub(super) scale: f32,
    /// Trained lengths of DoRA; none for plain LoRA.
    pub(super) lengths: Option<Lengths<'a>>,
}

/// The lengths of the rows of a weight, or of its columns where it is stored (in, out).
pub(super) enum Lengths<'a> {
    Rows(Cow<'a, [f32]>),
    Columns(&'a [f32]),
}

/// An adapted module: its two matrices, and the weight that they belong to.
pub(super) struct Adapted<'a> {
    /// PEFT's key of A.
    pub(super) key: &'a str,
    /// Path of the module, as in `model.named_modules()`.
    pub(super) path: &'a str,
    /// The weight, in Hugging Face's words.
    pub(super) weight: String,
    /// (r, in)
    pub(super) a: &'a Tensor,
    /// (out, r)
    pub(super) b: &'a Tensor,
    /// (out), of DoRA.
    pub(super) lengths: Option<&'a Tensor>,
}

/// The modules of an adapter with the weights that there are, of which `shape` knows the names.
///
/// An error says that it came from `from`: no weight for a module, or one of another shape than B A.
pub(super) fn adapted<'a>(
    adapter: &'a Adapter,
    from: &str,
    shape: impl Fn(&str) -> Result<Option<Vec<usize>>>,
) -> Result<Vec<Adapted<'a>>> {
    let mut modules = Vec::new();
    for (key, a) in &adapter.tensors {
        let Some(module) = key.strip_suffix(LORA_A) else { continue };
        let path = module.strip_prefix(PEFT_PREFIX).unwrap_or(module);
        // A file may leave out the name of the base model that its tensors belong to.
        let short = path.split_once('.').map_or(path, |(_, rest)| rest);
        let wrong = |what: String| {
            let fix = "Use the adapter with the base model it was made for";
            Error::input(what, fix, format!("{from}, tensor {key}"))
        };
        let (full, short) = (format!("{path}.weight"), format!("{short}.weight"));
        let (weight, shape) = match (shape(&full)?, shape(&short)?) {
            (Some(shape), _) => (full, shape),
            (None, Some(shape)) => (short, shape),
            (None, None) => return Err(wrong(format!("The model has no weight {full} to merge this into"))),
        };
        let b = adapter.tensors.get(&format!("{module}{LORA_B}"));
        let product = [b.and_then(|b| b.shape.first()), a.shape.get(1)].map(|n| n.copied().unwrap_or(0));
        let stored = if adapter.config.fan_in_fan_out { [product[1], product[0]] } else { product };
        let Some(b) = b.filter(|_| shape == stored) else {
            return Err(wrong(format!("B A has the shape {stored:?}, but the weight has {shape:?}")));
        };
        let lengths = adapter.tensors.get(&format!("{module}{LORA_MAGNITUDE}"));
        if let Some(lengths) = lengths.filter(|lengths| lengths.data.len() != product[0]) {
            return Err(wrong(format!("There are {} lengths for {} rows", lengths.data.len(), product[0])));
        }
        modules.push(Adapted { key, path, weight, a, b, lengths });
    }
    Ok(modules)
}

/// The stored weight of each adapted module, with what is added to it.
fn updates<'a>(adapter: &'a Adapter, tensors: &TensorFiles, from: &str) -> Result<BTreeMap<String, Update<'a>>> {
    let scales = Scales::new(&adapter.config)?;
    let shape = |name: &str| tensors.contains(name).then(|| tensors.info(name).map(|info| info.shape)).transpose();
    let mut updates = BTreeMap::new();
    for Adapted { path, weight, a, b, lengths, .. } in adapted(adapter, from, shape)? {
        let (r, (_, scale)) = (a.shape[0], scales.of(path)?);
        let (a, b) = match adapter.config.fan_in_fan_out {
            // Stored (in, out): what is added is Aᵀ Bᵀ.
            true => (Cow::Owned(transposed(&b.data, r)), Cow::Owned(transposed(&a.data, a.shape[1]))),
            false => (Cow::Borrowed(&a.data[..]), Cow::Borrowed(&b.data[..])),
        };
        let lengths = lengths.map(|lengths| match adapter.config.fan_in_fan_out {
            true => Lengths::Columns(&lengths.data),
            false => Lengths::Rows(Cow::Borrowed(&lengths.data)),
        });
        updates.insert(weight, Update { a, b, r, scale: scale as f32, lengths });
    }
    Ok(updates)
}

/// A matrix of so many columns, turned.
pub(super) fn transposed(data: &[f32], cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|col| data[col..].iter().step_by(cols).copied()).collect()
}

/// Reads a weight in slices of whole rows, adds the update, and writes it.
async fn merge_tensor(
    source: &dyn ByteSource,
    info: &TensorInfo,
    update: &Update<'_>,
    to: &mut dyn FolderWriter,
) -> Result<()> {
    let cols = update.a.len() / update.r;
    let mut factors = Vec::new();
    if let Some(Lengths::Columns(lengths)) = update.lengths {
        // The length of a column needs all rows: a pass of its own.
        let mut squares = vec![0.0; cols];
        for at in update.slices(info) {
            let rows = added(info, &at.read(source).await?, update, &at);
            rows.iter().enumerate().for_each(|(i, value)| squares[i % cols] += f64::from(*value).powi(2));
        }
        factors.extend(lengths.iter().zip(squares).map(|(length, square)| factor(*length, square)));
    }
    for at in update.slices(info) {
        let mut rows = added(info, &at.read(source).await?, update, &at);
        match &update.lengths {
            None => {}
            Some(Lengths::Rows(lengths)) => scale_rows(&mut rows, cols, &lengths[at.first..]),
            Some(Lengths::Columns(_)) => rows.iter_mut().enumerate().for_each(|(i, value)| *value *= factors[i % cols]),
        }
        to.write(&from_f32(info.dtype, &rows)).await?;
    }
    Ok(())
}

/// Brings each row of an adapted weight to its length, as DoRA does.
pub(super) fn scale_rows(rows: &mut [f32], cols: usize, lengths: &[f32]) {
    for (row, length) in rows.chunks_exact_mut(cols).zip(lengths) {
        let factor = factor(*length, row.iter().map(|value| f64::from(*value).powi(2)).sum());
        row.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Factor that brings a vector of squared length `square` to `length`.
fn factor(length: f32, square: f64) -> f32 {
    if square > 0.0 { (f64::from(length) / square.sqrt()) as f32 } else { 1.0 }
}

/// Whole rows of a weight in its file.
struct Slice {
    first: usize,
    rows: usize,
    begin: u64,
    bytes: usize,
}

impl Slice {
    async fn read(&self, source: &dyn ByteSource) -> Result<Vec<u8>> {
        source.read_at(self.begin, self.bytes).await
    }
}

impl Update<'_> {
    /// The weight in slices.
    fn slices(&self, info: &TensorInfo) -> impl Iterator<Item = Slice> {
        let (begin, all) = (info.begin, self.b.len() / self.r);
        let row_bytes = self.a.len() / self.r * info.dtype.size();
        let step = (SLICE_BYTES as usize / row_bytes).max(1);
        (0..all).step_by(step).map(move |first| {
            let rows = step.min(all - first);
            Slice { first, rows, begin: begin + (first * row_bytes) as u64, bytes: rows * row_bytes }
        })
    }
}

/// Rows of a weight with the update added.
fn added(info: &TensorInfo, bytes: &[u8], update: &Update<'_>, at: &Slice) -> Vec<f32> {
    let b = &update.b[at.first * update.r..][..at.rows * update.r];
    add_to_rows(info.dtype, bytes, &update.a, b, update.r, update.scale)
}

/// Copies a range of a file in slices; `tell` is told the place.
async fn copy(
    source: &dyn ByteSource,
    range: Range<u64>,
    to: &mut dyn FolderWriter,
    tell: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    for at in range.clone().step_by(SLICE_BYTES as usize) {
        let len = SLICE_BYTES.min(range.end - at);
        to.write(&source.read_at(at, len as usize).await?).await?;
        tell(at + len)?;
    }
    Ok(())
}

/// True for the small files that make a model folder whole: configs, tokenizer, template, index, licence.
fn belongs_to_a_model(name: &str) -> bool {
    let endings = [".json", ".jinja", ".txt", ".model", ".tiktoken"];
    let beginnings = ["LICENSE", "NOTICE", "USE_POLICY"];
    !name.starts_with("adapter_")
        && (endings.iter().any(|end| name.ends_with(end)) || beginnings.iter().any(|begin| name.starts_with(begin)))
}

/// Adds `scale · B A` to rows of a weight, given as stored bytes.
///
/// `rows` are n rows of W (n, in); `a` is A (r, in), and `b` the same n rows of B (n, r). Sums are in f32.
fn add_to_rows(dtype: Dtype, rows: &[u8], a: &[f32], b: &[f32], r: usize, scale: f32) -> Vec<f32> {
    let cols = a.len() / r;
    assert_eq!(rows.len(), b.len() / r * cols * dtype.size(), "B and W have the same rows");
    let mut values = to_f32(dtype, rows);
    add_product(&mut values, a, b, r, scale);
    values
}

/// Adds `scale · B A` to rows of a weight; `a` is A (r, columns), and `b` the same rows of B (rows, r).
pub(super) fn add_product(rows: &mut [f32], a: &[f32], b: &[f32], r: usize, scale: f32) {
    let cols = a.len() / r;
    let mut delta = vec![0.0f32; cols];
    for (row, b) in rows.chunks_exact_mut(cols).zip(b.chunks_exact(r)) {
        delta.fill(0.0);
        for (b, a) in b.iter().zip(a.chunks_exact(cols)) {
            for (delta, a) in delta.iter_mut().zip(a) {
                *delta += b * a;
            }
        }
        for (w, delta) in row.iter_mut().zip(&delta) {
            *w += scale * delta;
        }
    }
}

/// Values as they are stored, rounded to nearest, ties to even.
fn from_f32(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // W (2, 3), A (2, 3), B (2, 2); every number is exact in every type.
    const W: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    const A: [f32; 6] = [1.0, 0.0, -1.0, 2.0, 4.0, 8.0];
    const B: [f32; 4] = [1.0, 0.5, 0.0, -1.0];
    const MERGED: [f32; 6] = [5.0, 6.0, 9.0, 0.0, -3.0, -10.0];

    #[test]
    fn every_type_gets_the_product_added() {
        let bytes = |dtype: Dtype, values: &[f32]| -> Vec<u8> {
            let byte = |v: &f32| match dtype {
                Dtype::F32 => v.to_le_bytes().to_vec(),
                Dtype::F16 => half::f16::from_f32(*v).to_le_bytes().to_vec(),
                Dtype::BF16 => half::bf16::from_f32(*v).to_le_bytes().to_vec(),
            };
            values.iter().flat_map(byte).collect()
        };
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let merged =
                |rows: &[f32], b: &[f32]| from_f32(dtype, &add_to_rows(dtype, &bytes(dtype, rows), &A, b, 2, 2.0));
            let got = merged(&W, &B);
            assert_eq!(got, bytes(dtype, &MERGED), "{dtype:?}");
            // The second row alone.
            let row = merged(&W[3..], &B[2..]);
            assert_eq!(row, bytes(dtype, &MERGED[3..]), "{dtype:?}, one row");
        }
    }

    #[test]
    fn halves_are_rounded_to_nearest_even() {
        // A bf16 near 1 has steps of 1/128: 1 + 1/256 is a tie and goes down, 1 + 3/256 is a tie and goes up.
        for (delta, want) in [(1.0 / 256.0, 1.0), (3.0 / 256.0, 1.0 + 2.0 / 128.0)] {
            let one = half::bf16::from_f32(1.0).to_le_bytes();
            let got = from_f32(Dtype::BF16, &add_to_rows(Dtype::BF16, &one, &[delta], &[1.0], 1, 1.0));
            assert_eq!(to_f32(Dtype::BF16, &got), [want], "1 + {delta}");
        }
    }
}
