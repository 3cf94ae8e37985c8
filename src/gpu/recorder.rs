//! `Recorder`: an ordered list of dispatches, copies and clears, submitted together.

use bytemuck::Pod;

use super::{Call, Gpu, Shape, Tensor};

/// Workgroups along x, y and z.
pub type Grid = [u32; 3];

/// The largest number of workgroups along one axis that WebGPU promises.
const MAX_GROUPS: u32 = 65_535;
/// Bytes between the `Params` of two dispatches: WebGPU's `minUniformBufferOffsetAlignment`.
const PARAMS_STRIDE: usize = 256;
/// Dispatches after which a submission is sent off on its own, so that none grows long.
pub(super) const MAX_DISPATCHES: usize = 256;

/// One workgroup per row; beyond 65535 rows the grid continues on its second axis.
pub fn row_grid(rows: u32) -> Grid {
    let y = rows.div_ceil(MAX_GROUPS).max(1);
    [rows.div_ceil(y), y, 1]
}

/// Enough workgroups of `width` invocations for one invocation per item.
pub fn item_grid(items: u32, width: u32) -> Grid {
    row_grid(items.div_ceil(width))
}

/// Records GPU commands in order; `submit` (or drop) sends them off.
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
    params: Vec<u8>,
    /// Names of the recorded kernels, if their times are taken.
    profiled: Vec<String>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, encoder: None, pass: None, params: Vec::new(), profiled: Vec::new() }
    }

    /// The device that will run the commands.
    pub fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// Records an operation in the variant that this device chose for it, with `tensors` bound in order.
    pub fn dispatch<P: Pod>(&mut self, call: impl Into<Call>, params: &P, tensors: &[&Tensor], shape: Shape) {
        let kernel = self.gpu.kernel(call);
        let (name, grid) = (kernel.op.name, (kernel.variant.grid)(shape));
        assert_eq!(size_of::<P>(), kernel.op.params_bytes, "{name}: size of Params");
        assert_eq!(tensors.len(), kernel.op.binds.len(), "{name}: number of buffers");
        assert!(grid.iter().all(|&n| n <= MAX_GROUPS), "{name}: grid {grid:?} is too large");
        if grid.contains(&0) {
            return;
        }
        if self.params.len() >= self.gpu.max_dispatches() * PARAMS_STRIDE {
            self.submit();
        }
        let offset = self.params.len();
        self.params.extend_from_slice(bytemuck::bytes_of(params));
        self.params.resize(offset + PARAMS_STRIDE, 0);

        let (pipeline, bind_group) = self.gpu.bind(&kernel, tensors);
        self.gpu.count(|counters| counters.dispatches += 1);
        let profiled = self.gpu.is_profiling();
        if profiled {
            let dispatch = self.profiled.len() as u32;
            self.pass = self.gpu.profiled_pass(self.encoder(), dispatch);
            self.profiled.push(kernel.name());
        }
        let pass = self.pass();
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[offset as u32]);
        pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
        if profiled {
            self.pass = None;
        }
    }

    /// Sets every byte of `tensor` to zero.
    pub fn clear(&mut self, tensor: &Tensor) {
        if tensor.is_empty() {
            return;
        }
        self.pass = None;
        self.encoder().clear_buffer(tensor.buffer(), tensor.offset, Some(tensor.bytes().next_multiple_of(4)));
    }

    /// Copies `from` into `to`, which has the same number of bytes.
    pub fn copy(&mut self, from: &Tensor, to: &Tensor) {
        assert_eq!(from.bytes(), to.bytes(), "a copy needs two tensors of one size");
        self.pass = None;
        let bytes = from.bytes();
        self.encoder().copy_buffer_to_buffer(from.buffer(), from.offset, to.buffer(), to.offset, bytes);
    }

    /// Copies `rows` rows of `from`, from its row `first` on, to `to` from its row `at` on; both have the same columns.
    pub fn copy_rows(&mut self, from: &Tensor, first: u32, rows: u32, to: &Tensor, at: u32) {
        assert_eq!((from.cols(), from.dtype()), (to.cols(), to.dtype()), "rows of one kind");
        assert!(first + rows <= from.rows() && at + rows <= to.rows(), "the rows exist on both sides");
        self.pass = None;
        let row_bytes = from.dtype().bytes_of(u64::from(from.cols()));
        let (source, target) = (from.offset + u64::from(first) * row_bytes, to.offset + u64::from(at) * row_bytes);
        self.encoder().copy_buffer_to_buffer(from.buffer(), source, to.buffer(), target, u64::from(rows) * row_bytes);
    }

    /// Submits what was recorded so far.
    pub fn submit(&mut self) {
        self.pass = None;
        let Some(encoder) = self.encoder.take() else { return };
        self.gpu.submit(encoder, &self.params, &self.profiled);
        self.params.clear();
        self.profiled.clear();
    }

    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        let gpu = self.gpu;
        self.encoder.get_or_insert_with(|| gpu.encoder())
    }

    fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        let gpu = self.gpu;
        let encoder = self.encoder.get_or_insert_with(|| gpu.encoder());
        self.pass.get_or_insert_with(|| encoder.begin_compute_pass(&Default::default()).forget_lifetime())
    }

    /// Largest size of the uniform buffer that one submission needs, in bytes.
    pub(super) const PARAMS_BYTES: u64 = (MAX_DISPATCHES * PARAMS_STRIDE) as u64;
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.submit();
    }
}
