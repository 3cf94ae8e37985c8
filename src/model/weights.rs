//! Frozen weights on the device, in the type they are stored in, read from the file in slices.

use super::lora::Group;
use crate::error::{Error, Result};
use crate::files::{self, ModelConfig, TensorFiles};
use crate::gpu::{Dtype, Gpu, Tensor};

/// Bytes of a weight that are in host memory at a time.
const SLICE_BYTES: u64 = 32 << 20;
/// Rows of a block come in this number, so that every block and every part of one begins at a multiple of 256 bytes.
const ROW_STEP: u32 = 128;

/// A matrix (rows, cols) in one or more blocks of rows, each small enough for one binding.
#[derive(Debug, Clone)]
pub struct Weight {
    /// First row and rows of each block.
    pub blocks: Vec<(u32, Tensor)>,
    /// All rows.
    pub rows: u32,
    /// Columns.
    pub cols: u32,
}

impl Weight {
    /// How it is stored.
    pub fn dtype(&self) -> Dtype {
        self.blocks[0].1.dtype()
    }
}

/// Linear layers that are computed as one: `weight` (out, in) and, in some configs, `bias` (out), their rows one layer
/// after the other.
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in)
    pub weight: Weight,
    /// (out)
    pub bias: Option<Tensor>,
}

/// One decoder layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// (hidden)
    pub input_layernorm: Tensor,
    /// (hidden)
    pub post_attention_layernorm: Tensor,
    /// Of each group.
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
    pub(super) files: &'a TensorFiles,
    pub(super) max_block_bytes: u64,
    pub(super) hash: blake3::Hasher,
    /// Of the bytes of the last matrix.
    pub(super) last_hash: blake3::Hash,
    /// Told the bytes read so far; false to stop.
    pub(super) progress: &'a mut dyn FnMut(u64) -> bool,
    pub(super) done: u64,
}

impl Loader<'_> {
    /// The matrix `name`, of this shape.
    pub(super) async fn weight(&mut self, name: &str, rows: usize, cols: usize) -> Result<Weight> {
        let dtype = self.dtype(name, rows, cols)?;
        let weight = self.room(name, rows as u32, cols as u32, dtype);
        self.fill(name, rows as u32, &weight, 0).await?;
        Ok(weight)
    }

    /// How the device stores the matrix `name`, of this shape: as the file does.
    fn dtype(&self, name: &str, rows: usize, cols: usize) -> Result<Dtype> {
        Ok(match self.files.expect(&stored_name(self.files, name), &[rows, cols])?.dtype {
            files::Dtype::F32 => Dtype::F32,
            files::Dtype::F16 => Dtype::F16,
            files::Dtype::BF16 => Dtype::Bf16,
        })
    }

    /// An empty matrix.
    fn room(&self, name: &str, rows: u32, cols: u32, dtype: Dtype) -> Weight {
        let step = block_rows(u64::from(cols) * dtype.bytes(), self.max_block_bytes);
        let firsts = (0..rows).step_by(step as usize);
        let blocks = firsts.map(|first| (first, self.gpu.zeros(name, step.min(rows - first), cols, dtype)));
        Weight { blocks: blocks.collect(), rows, cols }
    }

    /// Reads the `rows` rows of the matrix `name` to the rows of `weight` from row `at` on.
    async fn fill(&mut self, name: &str, rows: u32, weight: &Weight, at: u32) -> Result<()> {
        let name = stored_name(self.files, name);
        let stored = self.files.info(&name)?.dtype;
        let row_bytes = self.files.info(&name)?.bytes() / u64::from(rows);
        let widened = weight.dtype() == Dtype::F32 && stored != files::Dtype::F32;
        let mut hash = blake3::Hasher::new();
        for (first, block) in &weight.blocks {
            let (begin, end) = (at.max(*first), (at + rows).min(first + block.rows()));
            let step = u32::try_from(SLICE_BYTES / row_bytes).unwrap_or(u32::MAX).max(1);
            for row in (begin..end).step_by(step as usize) {
                let n = u64::from(step.min(end - row));
                let bytes = self.files.read(&name, u64::from(row - at) * row_bytes, (n * row_bytes) as usize).await?;
                hash.update(&bytes);
                self.take(bytes.len())?;
                let offset = u64::from(row - first) * u64::from(weight.cols) * weight.dtype().bytes();
                match widened {
                    true => {
                        let values = files::to_f32(stored, &bytes);
                        self.gpu.write_bytes(block, offset, bytemuck::cast_slice(&values));
                    }
                    false => self.gpu.write_bytes(block, offset, &bytes),
                }
                // Writes are staged in host memory until the device has taken them: one slice at a time.
                self.gpu.wait().await?;
            }
        }
        self.last_hash = hash.finalize();
        self.hash.update(self.last_hash.as_bytes());
        Ok(())
    }

    /// The vector `name` (a norm's gain), expanded to f32.
    pub(super) async fn vector(&mut self, name: &str, len: usize) -> Result<Tensor> {
        let values = self.values(name, len).await?;
        Ok(self.gpu.upload(name, 1, len as u32, Dtype::F32, &values))
    }

    /// The elements of the vector `name`.
    async fn values(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let name = stored_name(self.files, name);
        self.files.expect(&name, &[len])?;
        let values = self.files.read_f32(&name).await?;
        self.hash.update(bytemuck::cast_slice(&values));
        self.take(4 * values.len())?;
        Ok(values)
    }

    /// The layers of a group in decoder layer `index`, as one.
    async fn linear(&mut self, config: &ModelConfig, index: usize, group: Group) -> Result<Linear> {
        let (input, outputs) = group.dims(config);
        let mut dtypes = Vec::new();
        for module in group.modules() {
            dtypes.push(self.dtype(&format!("{}.weight", module.path(index)), module.dims(config).1, input)?);
        }
        // Layers that are stored in different types meet in the one that holds all values.
        let dtype = if dtypes.iter().all(|dtype| *dtype == dtypes[0]) { dtypes[0] } else { Dtype::F32 };
        let weight = self.room(&group.modules()[0].path(index), outputs as u32, input as u32, dtype);
        let (mut at, mut bias) = (0, Vec::new());
        for module in group.modules() {
            let (path, rows) = (module.path(index), module.dims(config).1);
            self.fill(&format!("{path}.weight"), rows as u32, &weight, at).await?;
            at += rows as u32;
            if module.has_bias(config) {
                bias.extend(self.values(&format!("{path}.bias"), rows).await?);
            }
        }
        let bias = (!bias.is_empty()).then(|| self.gpu.upload("bias", 1, outputs as u32, Dtype::F32, &bias));
        Ok(Linear { weight, bias })
    }

    /// Decoder layer `index`.
    pub(super) async fn layer(&mut self, config: &ModelConfig, index: usize) -> Result<Layer> {
        let at = |norm: &str| format!("model.layers.{index}.{norm}.weight");
        // In the order in which a model's hash has always been taken.
        let input_layernorm = self.vector(&at("input_layernorm"), config.hidden_size).await?;
        let qkv = self.linear(config, index, Group::Qkv).await?;
        let output = self.linear(config, index, Group::Output).await?;
        let post_attention_layernorm = self.vector(&at("post_attention_layernorm"), config.hidden_size).await?;
        let gate_up = self.linear(config, index, Group::GateUp).await?;
        let down = self.linear(config, index, Group::Down).await?;
        Ok(Layer { input_layernorm, post_attention_layernorm, linears: [qkv, output, gate_up, down] })
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        self.done += bytes as u64;
        if (self.progress)(self.done) { Ok(()) } else { Err(Error::Cancelled) }
    }
}

/// The name under which a file stores a tensor: with the base model's prefix, or without.
pub(super) fn stored_name(files: &TensorFiles, name: &str) -> String {
    match name.strip_prefix("model.") {
        Some(short) if !files.contains(name) && files.contains(short) => short.to_owned(),
        _ => name.to_owned(),
    }
}

/// Rows of a block of at most `max_bytes`.
fn block_rows(row_bytes: u64, max_bytes: u64) -> u32 {
    let rows = u32::try_from(max_bytes / row_bytes).unwrap_or(u32::MAX);
    (rows / ROW_STEP * ROW_STEP).max(ROW_STEP)
}
