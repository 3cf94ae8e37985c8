//! Frozen weights on the device, in the type they are stored in or quantised on the way, read from the file in slices.

use super::architecture::{Architecture, Group, LinearSpec, Mixer, NormKind, QkNorm, Stored};
use super::load_in::LoadIn;
use crate::error::{Error, Result};
use crate::files::{self, GgmlType, ModelFiles, Stored as StoredAs};
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{Store, layernorm_backward, layernorm_forward, quantise, rmsnorm_backward, rmsnorm_forward};

/// Bytes of a weight that are in host memory at the same time.
const SLICE_BYTES: u64 = 32 << 20;
/// Blocks have a multiple of this many rows, so that every block and every part of one begins at a multiple of 256
/// bytes.
const ROW_STEP: u32 = 128;

/// A matrix (rows, cols) in one or more blocks of rows, each small enough for one binding.
#[derive(Debug, Clone)]
pub struct Weight {
    /// First row of each block, and its rows.
    pub blocks: Vec<(u32, Tensor)>,
    /// All rows.
    pub rows: u32,
    /// Columns.
    pub cols: u32,
}

impl Weight {
    /// Types of its blocks.
    pub fn dtypes(&self) -> impl Iterator<Item = Dtype> {
        self.blocks.iter().map(|(_, block)| block.dtype())
    }
}

/// Linear layers that are computed as one: `weight` (out, in) and, in some configs, `bias` (out), with the rows of one
/// layer after those of the other.
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in)
    pub weight: Weight,
    /// (out)
    pub bias: Option<Tensor>,
}

/// A norm, frozen.
#[derive(Debug, Clone)]
pub struct Norm {
    /// (columns), offset included.
    pub gain: Tensor,
    /// (columns), only in a `LayerNorm`.
    pub bias: Option<Tensor>,
}

/// A convolution over the last tokens, for each column by itself.
#[derive(Debug, Clone)]
pub struct Conv {
    /// (taps, hidden), the earliest token first.
    pub weight: Tensor,
    /// (hidden)
    pub bias: Option<Tensor>,
}

/// One decoder layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Before attention.
    pub before_mixer: Option<Norm>,
    /// Between attention and its addition to the residual stream.
    pub after_mixer: Option<Norm>,
    /// Before the MLP.
    pub before_mlp: Option<Norm>,
    /// Between the MLP and its addition to the residual stream.
    pub after_mlp: Option<Norm>,
    /// (columns of queries and keys), the gains of their norms.
    pub qk_gain: Option<Tensor>,
    /// Convolution of a layer without attention.
    pub conv: Option<Conv>,
    /// Linear layers of each group.
    pub linears: [Linear; 4],
}

impl Layer {
    /// The weights of a group.
    pub fn linear(&self, group: Group) -> &Linear {
        &self.linears[group as usize]
    }
}

/// Reads the tensors of a model folder onto a device, hashing every byte on the way.
pub(super) struct Loader<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) config: &'a Architecture,
    pub(super) files: &'a ModelFiles,
    pub(super) load_in: LoadIn,
    pub(super) max_block_bytes: u64,
    pub(super) hash: blake3::Hasher,
    /// Hash of the last matrix's bytes.
    pub(super) last_hash: blake3::Hash,
    /// Receives the bytes read so far; returns false to stop.
    pub(super) progress: &'a mut dyn FnMut(u64) -> bool,
    pub(super) done: u64,
}

impl Loader<'_> {
    /// Reads the matrix `name`, of this shape.
    pub(super) async fn weight(&mut self, name: &str, rows: usize, cols: usize) -> Result<Weight> {
        let stored = self.files.expect(&self.stored(name), &[rows, cols])?.stored;
        let weight = self.room(name, &[(rows as u32, dtype_of(stored))], cols as u32);
        self.fill(name, stored, rows, &[(0, rows)], &weight, 0).await?;
        Ok(weight)
    }

    /// Allocates an empty matrix of parts, each with its own number of rows and type.
    fn room(&self, name: &str, parts: &[(u32, Dtype)], cols: u32) -> Weight {
        let (mut blocks, mut at) = (Vec::new(), 0);
        for run in parts.chunk_by(|a, b| a.1 == b.1) {
            let (rows, dtype) = (run.iter().map(|(rows, _)| rows).sum::<u32>(), run[0].1);
            let step = block_rows(dtype.bytes_of(u64::from(cols)), self.max_block_bytes);
            for first in (0..rows).step_by(step as usize) {
                blocks.push((at + first, self.gpu.zeros(name, step.min(rows - first), cols, dtype)));
            }
            at += rows;
        }
        Weight { blocks, rows: at, cols }
    }

    /// Reads runs of rows (begin and number of each) of the matrix `name`, which has `n_rows` rows, into the rows of
    /// `weight` from row `at` on.
    async fn fill(
        &mut self,
        name: &str,
        stored: StoredAs,
        n_rows: usize,
        runs: &[(usize, usize)],
        weight: &Weight,
        at: u32,
    ) -> Result<()> {
        let name = self.stored(name);
        let step = slice_rows(dtype_of(stored).bytes_of(u64::from(weight.cols)));
        let mut hash = blake3::Hasher::new();
        let mut to = at;
        for &(from, n) in runs {
            for (first, block) in &weight.blocks {
                let (begin, end) = (to.max(*first), (to + n as u32).min(first + block.rows()));
                for row in (begin..end).step_by(step as usize) {
                    let n = step.min(end - row) as usize;
                    let source = (row - to) as usize + from;
                    let bytes = self.files.rows(&name, n_rows, source..source + n).await?;
                    hash.update(&bytes);
                    self.take(bytes.len())?;
                    self.put(dtype_of(stored), &bytes, row - first, block);
                    // Writes are staged in host memory until the device has taken them: one slice at a time.
                    self.gpu.wait().await?;
                }
            }
            to += n as u32;
        }
        self.count(hash);
        Ok(())
    }

    /// Reads the matrix `name`, stored (in, out), into the rows of `weight` from row `at` on. It is whole in host
    /// memory.
    async fn fill_transposed(
        &mut self,
        name: &str,
        stored: StoredAs,
        linear: &LinearSpec,
        weight: &Weight,
        at: u32,
    ) -> Result<()> {
        let (input, output) = (linear.input, linear.output);
        let bytes = self.files.rows(&self.stored(name), input, 0..input).await?;
        self.take(bytes.len())?;
        let mut hash = blake3::Hasher::new();
        hash.update(&bytes);
        self.count(hash);
        let size = bytes.len() / (input * output);
        let mut turned = Vec::with_capacity(bytes.len());
        for row in 0..output {
            for column in 0..input {
                turned.extend_from_slice(&bytes[(column * output + row) * size..][..size]);
            }
        }
        let row_bytes = input * size;
        for (first, block) in &weight.blocks {
            let (begin, end) = (at.max(*first), (at + output as u32).min(first + block.rows()));
            if begin < end {
                let rows = (begin - at) as usize * row_bytes..(end - at) as usize * row_bytes;
                let step = slice_rows(row_bytes as u64);
                for (slice, row) in
                    turned[rows].chunks(step as usize * row_bytes).zip((begin - first..).step_by(step as usize))
                {
                    self.put(dtype_of(stored), slice, row, block);
                    self.gpu.wait().await?;
                }
            }
        }
        Ok(())
    }

    /// Writes rows that are stored as `stored` into a block of a weight, from its row `row` on.
    fn put(&self, stored: Dtype, bytes: &[u8], row: u32, block: &Tensor) {
        let row_bytes = |dtype: Dtype| dtype.bytes_of(u64::from(block.cols()));
        if block.dtype() == stored {
            self.gpu.write_bytes(block, u64::from(row) * row_bytes(stored), bytes);
            return;
        }
        let rows = (bytes.len() as u64 / row_bytes(stored)) as u32;
        let slice = self.gpu.upload("slice of a weight", rows, block.cols(), stored, bytes);
        quantise(&mut self.gpu.recorder(), &slice, block, row);
    }

    /// Reads the vector `name`, expanded to f32.
    async fn vector(&mut self, name: &str, len: usize) -> Result<Tensor> {
        let values = self.values(name, &[len]).await?;
        Ok(self.upload(name, 1, values.len(), &values))
    }

    fn upload(&self, name: &str, rows: usize, cols: usize, values: &[f32]) -> Tensor {
        self.gpu.upload(name, rows as u32, cols as u32, Dtype::F32, values)
    }

    /// Reads the elements of a small tensor of this shape.
    async fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.stored(name);
        let bytes = self.files.expect(&name, shape)?.bytes;
        let values = self.files.read_f32(&name).await?;
        self.hash.update(bytemuck::cast_slice(&values));
        self.take(bytes as usize)?;
        Ok(values)
    }

    /// Reads the table of learned positions (positions, hidden).
    pub(super) async fn positions(&mut self, name: &str) -> Result<Tensor> {
        let (rows, cols) = (self.config.max_position_embeddings, self.config.hidden_size);
        let values = self.values(name, &[rows, cols]).await?;
        Ok(self.upload(name, rows, cols, &values))
    }

    /// Reads the norm at the path `path`.
    pub(super) async fn norm(&mut self, path: &str) -> Result<Norm> {
        let len = self.config.hidden_size;
        let mut gain = self.values(&format!("{path}.weight"), &[len]).await?;
        let bias = match self.config.norm {
            NormKind::Layer => Some(self.vector(&format!("{path}.bias"), len).await?),
            NormKind::Rms { offset } => {
                gain.iter_mut().for_each(|gain| *gain += offset);
                None
            }
        };
        Ok(Norm { gain: self.upload(path, 1, len, &gain), bias })
    }

    /// Reads the gains of queries and keys, one for each of their columns.
    async fn qk_gain(&mut self, layer: &str) -> Result<Tensor> {
        let (queries, keys) = self.config.head_columns();
        let mut gains = Vec::new();
        for (name, columns) in self.config.attention.qk_norm_names.into_iter().zip([queries, keys]) {
            let width =
                if self.config.attention.qk_norm == QkNorm::Whole { columns } else { self.config.attention.head_dim };
            let gain = self.values(&format!("{layer}.{name}.weight"), &[width]).await?;
            gains.extend(gain.iter().cycle().take(columns));
        }
        if let NormKind::Rms { offset } = self.config.norm {
            gains.iter_mut().for_each(|gain| *gain += offset);
        }
        Ok(self.upload("qk_gain", 1, gains.len(), &gains))
    }

    /// Reads a convolution over `taps` tokens.
    async fn conv(&mut self, layer: &str, taps: usize, bias: bool) -> Result<Conv> {
        let hidden = self.config.hidden_size;
        let stored = self.values(&format!("{layer}.conv.conv.weight"), &[hidden, 1, taps]).await?;
        let turned: Vec<f32> = (0..taps).flat_map(|tap| stored[tap..].iter().step_by(taps).copied()).collect();
        let weight = self.upload("conv", taps, hidden, &turned);
        let bias = match bias {
            true => Some(self.vector(&format!("{layer}.conv.conv.bias"), hidden).await?),
            false => None,
        };
        Ok(Conv { weight, bias })
    }

    /// Reads the linear layers of a group in decoder layer `index`, as one.
    async fn linear(&mut self, index: usize, group: Group) -> Result<Linear> {
        let config = self.config;
        let (input, outputs) = config.dims(index, group);
        let layer = config.layer_path(index);
        let linears = config.linears(index, group);
        let names: Vec<String> = linears.iter().map(|linear| format!("{layer}.{}", linear.path)).collect();
        let mut matrices = Vec::new();
        for (linear, name) in linears.iter().zip(&names) {
            matrices.push(self.files.expect(&self.stored(&format!("{name}.weight")), &linear.shape())?);
        }
        // Layers that are stored in different types keep their types, one part each.
        let parts = linears
            .iter()
            .zip(&matrices)
            .map(|(linear, matrix)| (linear.output as u32, self.load_in.of(dtype_of(matrix.stored), linear.input)));
        let weight = self.room(&names[0], &parts.collect::<Vec<_>>(), input as u32);
        let (mut at, mut bias) = (0, Vec::new());
        for ((linear, name), matrix) in linears.iter().zip(&names).zip(&matrices) {
            let tensor = format!("{name}.weight");
            match linear.stored {
                Stored::InOut if !matrix.turned => {
                    self.fill_transposed(&tensor, matrix.stored, linear, &weight, at).await?;
                }
                _ => self.fill(&tensor, matrix.stored, linear.output, &linear.runs(), &weight, at).await?,
            }
            at += linear.output as u32;
            if linear.bias {
                let stored = self.values(&format!("{name}.bias"), &[linear.output]).await?;
                bias.extend(linear.runs().iter().flat_map(|&(first, n)| &stored[first..first + n]));
            } else {
                bias.extend(vec![0.0; linear.output]);
            }
        }
        if matches!(group, Group::MixerOut | Group::MlpOut) {
            let multiplier = config.residual_multiplier as f32;
            bias.iter_mut().for_each(|bias| *bias *= multiplier);
        }
        let bias = linears.iter().any(|linear| linear.bias).then(|| self.upload("bias", 1, outputs, &bias));
        Ok(Linear { weight, bias })
    }

    /// Reads decoder layer `index`.
    pub(super) async fn layer(&mut self, index: usize) -> Result<Layer> {
        let config = self.config;
        let path = config.layer_path(index);
        // The order is the one in which a model's hash has always been taken.
        let before_mixer = self.layer_norm(&path, config.norms.before_mixer).await?;
        let (mut qk_gain, mut conv) = (None, None);
        match config.kind(index).mixer {
            Mixer::Attention { .. } if config.norms_qk() => qk_gain = Some(self.qk_gain(&path).await?),
            Mixer::Attention { .. } => {}
            Mixer::ShortConv { taps, bias } => conv = Some(self.conv(&path, taps, bias).await?),
        }
        let mixer = [self.linear(index, Group::MixerIn).await?, self.linear(index, Group::MixerOut).await?];
        let after_mixer = self.layer_norm(&path, config.norms.after_mixer).await?;
        let before_mlp = self.layer_norm(&path, config.norms.before_mlp).await?;
        let mlp = [self.linear(index, Group::MlpIn).await?, self.linear(index, Group::MlpOut).await?];
        let after_mlp = self.layer_norm(&path, config.norms.after_mlp).await?;
        let ([mixer_in, mixer_out], [mlp_in, mlp_out]) = (mixer, mlp);
        let linears = [mixer_in, mixer_out, mlp_in, mlp_out];
        Ok(Layer { before_mixer, after_mixer, before_mlp, after_mlp, qk_gain, conv, linears })
    }

    async fn layer_norm(&mut self, layer: &str, name: Option<&str>) -> Result<Option<Norm>> {
        match name {
            Some(name) => self.norm(&format!("{layer}.{name}")).await.map(Some),
            None => Ok(None),
        }
    }

    /// The name under which the files store a tensor.
    fn stored(&self, name: &str) -> String {
        stored_name(self.config, self.files, name)
    }

    /// Adds a matrix's hash to the model's hash.
    fn count(&mut self, matrix: blake3::Hasher) {
        self.last_hash = matrix.finalize();
        self.hash.update(self.last_hash.as_bytes());
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        self.done += bytes as u64;
        if (self.progress)(self.done) { Ok(()) } else { Err(Error::Cancelled) }
    }
}

/// The name under which a file stores a tensor: with the base model's prefix, or without.
pub(super) fn stored_name(config: &Architecture, files: &ModelFiles, name: &str) -> String {
    let short = name.strip_prefix(config.names.base).and_then(|rest| rest.strip_prefix('.'));
    match short {
        Some(short) if !files.contains(name) && files.contains(short) => short.to_owned(),
        _ => name.to_owned(),
    }
}

/// Type on the device of a type in a file, unless it is quantised.
pub(super) fn dtype_of(stored: StoredAs) -> Dtype {
    match stored {
        StoredAs::Plain(files::Dtype::F32) => Dtype::F32,
        StoredAs::Plain(files::Dtype::F16) => Dtype::F16,
        StoredAs::Plain(files::Dtype::BF16) => Dtype::Bf16,
        StoredAs::Blocks(ggml) => match ggml {
            GgmlType::F32 => Dtype::F32,
            GgmlType::F16 => Dtype::F16,
            GgmlType::BF16 => Dtype::Bf16,
            GgmlType::Q4_0 => Dtype::Q4_0,
            GgmlType::Q4_1 => Dtype::Q4_1,
            GgmlType::Q5_0 => Dtype::Q5_0,
            GgmlType::Q5_1 => Dtype::Q5_1,
            GgmlType::Q8_0 => Dtype::Q8_0,
            GgmlType::Q4K => Dtype::Q4K,
            GgmlType::Q5K => Dtype::Q5K,
            GgmlType::Q6K => Dtype::Q6K,
        },
    }
}

/// Rows of a slice: an even number, so that a slice begins at a multiple of 4 bytes in any type.
fn slice_rows(row_bytes: u64) -> u32 {
    (u32::try_from(SLICE_BYTES / row_bytes).unwrap_or(u32::MAX) / 2 * 2).max(2)
}

/// Rows of a block of at most `max_bytes`.
fn block_rows(row_bytes: u64, max_bytes: u64) -> u32 {
    let rows = u32::try_from(max_bytes / row_bytes).unwrap_or(u32::MAX);
    (rows / ROW_STEP * ROW_STEP).max(ROW_STEP)
}

impl Norm {
    /// `y = norm(x)`; `stats` keeps what the backward pass needs.
    pub(super) fn forward(
        &self,
        rec: &mut Recorder<'_>,
        config: &Architecture,
        x: &Tensor,
        y: &Tensor,
        stats: &Tensor,
    ) {
        let eps = config.norm_eps as f32;
        match &self.bias {
            None => rmsnorm_forward(rec, x, &self.gain, eps, None, y, stats),
            Some(bias) => layernorm_forward(rec, x, &self.gain, bias, eps, y, stats),
        }
    }

    /// Stores in `dx` the gradient of the input, given that of the output.
    pub(super) fn backward(
        &self,
        rec: &mut Recorder<'_>,
        dy: &Tensor,
        x: &Tensor,
        stats: &Tensor,
        store: Store,
        dx: &Tensor,
    ) {
        match &self.bias {
            None => rmsnorm_backward(rec, dy, x, &self.gain, stats, store, dx),
            Some(_) => layernorm_backward(rec, dy, x, &self.gain, stats, store, dx),
        }
    }
}
