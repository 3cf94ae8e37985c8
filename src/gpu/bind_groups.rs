//! `BindGroups`: the bind groups of a device, each made once.
//!
//! Every micro-batch binds the same buffers to the same kernels, and making a bind group costs more than recording a
//! dispatch. A group covers its buffers from the start of each tensor to the end of the buffer, so that batches of
//! different sizes, which use more or fewer rows of one buffer, share it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::Tensor;
use super::kernel::KernelId;

/// A kernel and the buffers that are bound to it: number and first byte of each.
type Key = (KernelId, Vec<(u64, u64)>);

#[derive(Debug, Default)]
pub(super) struct BindGroups {
    groups: RefCell<HashMap<Key, wgpu::BindGroup>>,
    made: Cell<u64>,
}

impl BindGroups {
    /// The group of `tensors` for a kernel; `make` makes it if it is new.
    pub(super) fn get(
        &self,
        kernel: KernelId,
        tensors: &[&Tensor],
        make: impl FnOnce() -> wgpu::BindGroup,
    ) -> wgpu::BindGroup {
        let buffers = tensors.iter().map(|tensor| (tensor.allocation.id, tensor.offset)).collect();
        let mut groups = self.groups.borrow_mut();
        let group = groups.entry((kernel, buffers)).or_insert_with(|| {
            self.made.set(self.made.get() + 1);
            make()
        });
        group.clone()
    }

    /// Drops the groups that hold a buffer. The buffer is no longer used, and a group would keep its memory.
    pub(super) fn forget(&self, buffer: u64) {
        self.groups.borrow_mut().retain(|(_, buffers), _| buffers.iter().all(|(id, _)| *id != buffer));
    }

    /// Groups made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.get()
    }
}
