//! AdamW over all of an adapter's parameters.

use crate::error::Result;
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{self, AdamW};
use crate::model::{Adapter, Matrices};

/// Moments of every parameter, in the adapter's blocks.
pub struct Optimizer {
    m: Vec<Tensor>,
    v: Vec<Tensor>,
    partials: Tensor,
}

impl Optimizer {
    /// Moments of zero.
    pub fn new(gpu: &Gpu, adapter: &Adapter) -> Self {
        let zeros = |name: &str| adapter.params.iter().map(|p| gpu.zeros(name, 1, p.len(), Dtype::F32)).collect();
        let partials = gpu.zeros("partials", adapter.params.len() as u32, 64, Dtype::F32);
        Self { m: zeros("adam m"), v: zeros("adam v"), partials }
    }

    /// Clips, steps, and leaves the gradients at zero; the norm before clipping goes to `metrics`.
    pub fn step(&self, rec: &mut Recorder<'_>, adapter: &Adapter, settings: &AdamW, metrics: &Tensor) {
        let grads: Vec<&Tensor> = adapter.grads.iter().collect();
        kernels::grad_norm(rec, &grads, &self.partials, metrics);
        for (block, param) in adapter.params.iter().enumerate() {
            kernels::adamw(rec, grads[block], metrics, settings, param, &self.m[block], &self.v[block]);
        }
        adapter.changed();
        for grad in grads {
            rec.clear(grad);
        }
    }

    /// Reads both moments of every matrix, the first moment first.
    pub async fn read(&self, gpu: &Gpu, adapter: &Adapter) -> Result<[Matrices; 2]> {
        Ok([adapter.read(gpu, &self.m).await?, adapter.read(gpu, &self.v).await?])
    }

    /// Restores what `read` returned; an error names a matrix that does not fit the adapter.
    pub fn write(&self, gpu: &Gpu, adapter: &Adapter, moments: &[Matrices; 2], from: &str) -> Result<()> {
        for (matrices, blocks) in moments.iter().zip([&self.m, &self.v]) {
            adapter.check(matrices, from)?;
            adapter.write(gpu, blocks, matrices);
        }
        Ok(())
    }
}
