//! Frozen weights on the device, in the type they are stored in, read from the file in slices.

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

/// A linear layer: `weight` (out, in) and, in some configs, `bias` (out).
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in)
    pub weight: Weight,
    /// (out)
    pub bias: Option<Tensor>,
}

/// One decoder layer; fields have the names of the Hugging Face modules.
#[derive(Debug, Clone)]
pub struct Layer {
    /// (hidden)
    pub input_layernorm: Tensor,
    /// (heads * head_dim, hidden)
    pub q_proj: Linear,
    /// (kv_heads * head_dim, hidden)
    pub k_proj: Linear,
    /// (kv_heads * head_dim, hidden)
    pub v_proj: Linear,
    /// (hidden, heads * head_dim)
    pub o_proj: Linear,
    /// (hidden)
    pub post_attention_layernorm: Tensor,
    /// (intermediate, hidden)
    pub gate_proj: Linear,
    /// (intermediate, hidden)
    pub up_proj: Linear,
    /// (hidden, intermediate)
    pub down_proj: Linear,
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
        let name = stored_name(self.files, name);
        let info = self.files.expect(&name, &[rows, cols])?;
        let dtype = match info.dtype {
            files::Dtype::F32 => Dtype::F32,
            files::Dtype::F16 => Dtype::F16,
            files::Dtype::BF16 => Dtype::Bf16,
        };
        let row_bytes = cols as u64 * dtype.bytes();
        let (rows, cols) = (rows as u32, cols as u32);
        let step = block_rows(row_bytes, self.max_block_bytes);
        let (mut blocks, mut hash) = (Vec::new(), blake3::Hasher::new());
        for first in (0..rows).step_by(step as usize) {
            let block = self.gpu.zeros(&name, step.min(rows - first), cols, dtype);
            let begin = u64::from(first) * row_bytes;
            for offset in (0..block.bytes()).step_by(SLICE_BYTES as usize) {
                let len = SLICE_BYTES.min(block.bytes() - offset);
                let bytes = self.files.read(&name, begin + offset, len as usize).await?;
                hash.update(&bytes);
                self.take(bytes.len())?;
                self.gpu.write_bytes(&block, offset, &bytes);
                // Writes are staged in host memory until the device has taken them: one slice at a time.
                self.gpu.wait().await?;
            }
            blocks.push((first, block));
        }
        self.last_hash = hash.finalize();
        self.hash.update(self.last_hash.as_bytes());
        Ok(Weight { blocks, rows, cols })
    }

    /// The vector `name` (a norm's gain, a bias), expanded to f32.
    pub(super) async fn vector(&mut self, name: &str, len: usize) -> Result<Tensor> {
        let name = stored_name(self.files, name);
        self.files.expect(&name, &[len])?;
        let values = self.files.read_f32(&name).await?;
        self.hash.update(bytemuck::cast_slice(&values));
        self.take(4 * values.len())?;
        Ok(self.gpu.upload(&name, 1, len as u32, Dtype::F32, &values))
    }

    async fn linear(&mut self, module: &str, out: usize, input: usize, bias: bool) -> Result<Linear> {
        let weight = self.weight(&format!("{module}.weight"), out, input).await?;
        let bias = if bias { Some(self.vector(&format!("{module}.bias"), out).await?) } else { None };
        Ok(Linear { weight, bias })
    }

    /// Decoder layer `index`.
    pub(super) async fn layer(&mut self, config: &ModelConfig, index: usize) -> Result<Layer> {
        let at = |module: &str| format!("model.layers.{index}.{module}");
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let (attention, mlp) = (config.attention_bias, config.mlp_bias);
        Ok(Layer {
            input_layernorm: self.vector(&at("input_layernorm.weight"), hidden).await?,
            q_proj: self.linear(&at("self_attn.q_proj"), queries, hidden, attention).await?,
            k_proj: self.linear(&at("self_attn.k_proj"), keys, hidden, attention).await?,
            v_proj: self.linear(&at("self_attn.v_proj"), keys, hidden, attention).await?,
            o_proj: self.linear(&at("self_attn.o_proj"), hidden, queries, attention).await?,
            post_attention_layernorm: self.vector(&at("post_attention_layernorm.weight"), hidden).await?,
            gate_proj: self.linear(&at("mlp.gate_proj"), inner, hidden, mlp).await?,
            up_proj: self.linear(&at("mlp.up_proj"), inner, hidden, mlp).await?,
            down_proj: self.linear(&at("mlp.down_proj"), hidden, inner, mlp).await?,
        })
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
