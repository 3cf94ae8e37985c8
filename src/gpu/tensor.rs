//! `Tensor`: a named range of a buffer, with shape and element type. No arithmetic.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bind_groups::BindGroups;

/// Storage format of a tensor's elements on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// IEEE half precision, two per `u32`.
    F16,
    /// bfloat16 (the upper half of a 32-bit float), two per `u32`.
    Bf16,
    /// Indices.
    U32,
    /// ggml's blocks of 32 with one scale, 4 bits an element.
    Q4_0,
    /// ggml's blocks of 32 with one scale and one minimum, 4 bits an element.
    Q4_1,
    /// ggml's blocks of 32 with one scale, 5 bits an element.
    Q5_0,
    /// ggml's blocks of 32 with one scale and one minimum, 5 bits an element.
    Q5_1,
    /// ggml's blocks of 32 with one scale, 8 bits an element.
    Q8_0,
    /// ggml's blocks of 256 in eight groups, 4 bits an element.
    Q4K,
    /// ggml's blocks of 256 in eight groups, 5 bits an element.
    Q5K,
    /// ggml's blocks of 256 in sixteen groups, 6 bits an element.
    Q6K,
    /// bitsandbytes' NF4: blocks of 64 with one scale, and an index into a code book of 16 for each element.
    Nf4,
}

impl Dtype {
    /// Elements of a block that is stored together, and its bytes.
    pub fn block(self) -> (u64, u64) {
        match self {
            Self::F32 | Self::U32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
            Self::Nf4 => (64, 36),
        }
    }

    /// Bytes of `elements` elements, in whole blocks; saturates at `u64::MAX`.
    pub fn bytes_of(self, elements: u64) -> u64 {
        let (block, bytes) = self.block();
        elements.div_ceil(block).saturating_mul(bytes)
    }
}

/// A matrix on the device, with its rows one after another; a vector has one row.
///
/// Cloning copies the handle, not the data.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub(super) allocation: Rc<Allocation>,
    pub(super) offset: u64,
    rows: u32,
    cols: u32,
    dtype: Dtype,
}

/// A buffer, counted as in use as long as a tensor uses it.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) buffer: wgpu::Buffer,
    /// Number of the buffer, unique on its device.
    pub(super) id: u64,
    live_bytes: Arc<AtomicU64>,
    bind_groups: Rc<BindGroups>,
}

impl Allocation {
    pub(super) fn new(buffer: wgpu::Buffer, id: u64, live_bytes: &Arc<AtomicU64>, groups: &Rc<BindGroups>) -> Self {
        live_bytes.fetch_add(buffer.size(), Ordering::Relaxed);
        Self { buffer, id, live_bytes: live_bytes.clone(), bind_groups: groups.clone() }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.bind_groups.forget(self.id);
        self.live_bytes.fetch_sub(self.buffer.size(), Ordering::Relaxed);
    }
}

impl Tensor {
    pub(super) fn new(allocation: Allocation, rows: u32, cols: u32, dtype: Dtype) -> Self {
        Self { allocation: Rc::new(allocation), offset: 0, rows, cols, dtype }
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.allocation.buffer
    }

    /// `[rows, columns]`.
    pub fn dims(&self) -> [u32; 2] {
        [self.rows, self.cols]
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> u32 {
        self.cols
    }

    /// Rows times columns.
    pub fn len(&self) -> u32 {
        self.rows * self.cols
    }

    /// True if there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.dtype.bytes_of(u64::from(self.rows) * u64::from(self.cols))
    }

    /// The first `rows` rows, with another number of columns if that fits. Activations are allocated once at their
    /// largest size and used at the size of each batch.
    pub fn view(&self, rows: u32, cols: u32) -> Self {
        let view = Self { rows, cols, ..self.clone() };
        assert!(view.bytes() <= self.bytes(), "a view of {rows}x{cols} does not fit {}x{}", self.rows, self.cols);
        view
    }

    /// Returns `rows` rows from row `first` on; their first byte must be at a multiple of 256, as WebGPU requires of a
    /// binding.
    pub fn row_range(&self, first: u32, rows: u32) -> Self {
        assert!(first + rows <= self.rows, "rows {first}..{} of {}", first + rows, self.rows);
        self.slice(u64::from(first) * u64::from(self.cols), rows, self.cols)
    }

    /// A matrix of `rows` by `cols` that begins at element `first`, which must be at a multiple of 256 bytes.
    pub fn slice(&self, first: u64, rows: u32, cols: u32) -> Self {
        let begin = self.dtype.bytes_of(first);
        let part = Self { offset: self.offset + begin, rows, cols, ..self.clone() };
        assert!(begin + part.bytes() <= self.bytes(), "elements from {first} do not fit {}x{}", self.rows, self.cols);
        assert!(part.offset.is_multiple_of(256), "element {first} does not begin at a multiple of 256 bytes");
        part
    }
}
